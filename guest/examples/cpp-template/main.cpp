// Filters of text. The argument says which one:
//
//   replace A B      every A becomes B
//   count            a line at the end: how many words there are
#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "filter.hpp"

namespace {

class Replace final : public Filter {
public:
	Replace(std::string from, std::string to) : from(std::move(from)), to(std::move(to))
	{
		if (this->from.empty()) {
			throw std::invalid_argument("replace needs a word");
		}
	}

	void chunk(std::string_view part) override
	{
		rest += part;
		std::size_t done = 0;
		for (std::size_t at; (at = rest.find(from, done)) != rest.npos; done = at + from.size()) {
			write(std::string_view(rest).substr(done, at - done));
			write(to);
		}
		// The word may go on in the next part.
		const std::size_t kept = std::min(from.size() - 1, rest.size() - done);
		write(std::string_view(rest).substr(done, rest.size() - done - kept));
		rest.erase(0, rest.size() - kept);
	}

	void end() override
	{
		write(rest);
	}

private:
	const std::string from, to;
	std::string rest;
};

class Count final : public Filter {
public:
	~Count() override
	{
		// To the log: filters are destroyed behind end().
		std::printf("%zu words\n", words);
	}

	void chunk(std::string_view part) override
	{
		for (const unsigned char letter : part) {
			const bool now = !std::isspace(letter);
			words += now && !inside;
			inside = now;
		}
		write(part);
	}

	void end() override
	{
		write("<!-- " + std::to_string(words) + " words -->\n");
	}

private:
	std::size_t words = 0;
	bool inside = false;
};

using Maker = std::function<std::unique_ptr<Filter>(std::istream &)>;

const std::map<std::string, Maker> makers = {
	{"replace", [](std::istream &argument) {
		std::string from, to;
		argument >> from >> to;
		return std::make_unique<Replace>(from, to);
	}},
	{"count", [](std::istream &) { return std::make_unique<Count>(); }},
};

} // namespace

int main()
{
	serve([](const filter_start &start) -> std::unique_ptr<Filter> {
		if (response_field("Content-Type").rfind("text/", 0) != 0) {
			return nullptr;
		}
		std::istringstream argument(start.arg);
		std::string name;
		argument >> name;
		const auto maker = makers.find(name);
		if (maker == makers.end()) {
			throw std::invalid_argument("there is no filter \"" + name + "\"");
		}
		return maker->second(argument);
	});
}
