// Filters in C++: a class for what is done to one body, made when the body begins and destroyed
// when it has ended. Exceptions say that the filter has failed.
#ifndef FILTER_HPP
#define FILTER_HPP

#include <cstdio>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <tinykvm.h>

class Filter {
public:
	virtual ~Filter() = default;
	// A part of the body, which may end anywhere.
	virtual void chunk(std::string_view part) = 0;
	// The body has ended.
	virtual void end() {}

protected:
	static void write(std::string_view output)
	{
		filter_write(output.data(), output.size());
	}
};

// Looks at the header fields, may change those of the response, and says who filters the body;
// nobody does if that is null.
using Begin = std::function<std::unique_ptr<Filter>(const filter_start &)>;

// A field of the response, empty if there is none.
std::string response_field(const char *name);

// The program filters bodies. Does not return.
[[noreturn]] void serve(Begin begin);

#endif
