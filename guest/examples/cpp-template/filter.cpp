// What is between the classes and tinykvm.h, which is plain C.
#include "filter.hpp"

#include <utility>

namespace {

Begin maker;
std::unique_ptr<Filter> filter;

// No exception may reach the host: it is an answer, and a line in the log.
template <typename Work> int guarded(Work work)
{
	try {
		return work();
	} catch (const std::exception &error) {
		std::fprintf(stderr, "%s\n", error.what());
	} catch (...) {
		std::fprintf(stderr, "an exception of unknown type\n");
	}
	return -1;
}

} // namespace

std::string response_field(const char *name)
{
	const std::size_t length = http_find_str(TINYKVM_RESPONSE, name, nullptr, 0);
	std::string value(length + 1, '\0');
	const long found = http_value(TINYKVM_RESPONSE, name, value.data(), value.size());
	value.resize(found > 0 ? static_cast<std::size_t>(found) : 0);
	return value;
}

void serve(Begin begin)
{
	maker = std::move(begin);
	set_filter(
		[](const filter_start *start) {
			return guarded([&]() -> int {
				filter = maker(*start);
				return filter ? TINYKVM_FILTER_TRANSFORM : TINYKVM_FILTER_PASS;
			});
		},
		[](const uint8_t *data, size_t length) {
			return guarded([&] {
				filter->chunk({reinterpret_cast<const char *>(data), length});
				return 0;
			});
		},
		[] {
			return guarded([] {
				filter->end();
				filter.reset();
				return 0;
			});
		});
	wait_for_requests();
}
