// C++: exceptions within and across threads, std::thread, std::async, iostreams, containers.
#include "../common/program.h"

#include <algorithm>
#include <future>
#include <iomanip>
#include <iostream>
#include <map>
#include <mutex>
#include <numeric>
#include <regex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Odd : std::runtime_error {
	using std::runtime_error::runtime_error;
};

thread_local std::string local = "local";

unsigned half(unsigned number)
{
	if (number % 2)
		throw Odd("odd: " + std::to_string(number));
	return number / 2;
}

std::string in_thread(unsigned number)
{
	std::promise<unsigned> promise;
	auto future = promise.get_future();
	std::thread thread([&] {
		local += "!";
		try {
			promise.set_value(half(number));
		} catch (...) {
			promise.set_exception(std::current_exception());
		}
	});
	thread.join();
	try {
		return std::to_string(future.get()) + local;
	} catch (const Odd &error) {
		return error.what();
	}
}

unsigned long by_async(unsigned number)
{
	std::vector<unsigned> values(1000);
	std::iota(values.begin(), values.end(), number);
	auto sum = [&](size_t from, size_t to) {
		return std::accumulate(values.begin() + from, values.begin() + to, 0ul);
	};
	auto first = std::async(std::launch::async, sum, 0, 500);
	auto second = std::async(std::launch::async, sum, 500, 1000);
	return first.get() + second.get();
}

std::string words(unsigned number)
{
	std::istringstream in("the quick brown fox jumps over the lazy dog " + std::to_string(number));
	std::map<std::string, int> lengths;
	for (std::string word; in >> word;)
		lengths[word] = static_cast<int>(word.size());
	std::ostringstream out;
	for (const auto &[word, length] : lengths)
		out << word << '=' << std::hex << std::setw(2) << std::setfill('0') << length << ' ';
	return out.str();
}

std::string replaced(unsigned number)
{
	static const std::regex pattern("([0-9])([0-9])");
	return std::regex_replace(std::to_string(number * 7919 + 100000), pattern, "$2$1");
}

unsigned locked()
{
	static std::shared_mutex mutex;
	unsigned total = 0;
	std::vector<std::jthread> threads;
	for (int i = 0; i < 4; i++)
		threads.emplace_back([&] {
			for (int j = 0; j < 100; j++) {
				std::unique_lock guard(mutex);
				total++;
			}
		});
	threads.clear();
	std::shared_lock guard(mutex);
	return total;
}

} // namespace

static void answer(unsigned number)
{
	std::string text = words(number) + in_thread(number) + ' ' + replaced(number);
	say("%s %lu %u", text.c_str(), by_async(number), locked());
}

int main()
{
	std::cerr << "warming up" << std::endl;
	return serve();
}
