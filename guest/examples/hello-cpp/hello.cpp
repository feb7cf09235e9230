// A guest program in C++: a greeting for GET, word counts for POST to /count, else the body in
// capitals.
#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <tinykvm.h>

static void respond(int16_t status, std::string_view type, std::string_view body)
{
	backend_response(status, type.data(), type.size(), body.data(), body.size());
}

// Counts words, to show that the standard library is all there.
static std::string count_words(const std::string &text)
{
	std::map<std::string, int> counts;
	std::istringstream words(text);
	for (std::string word; words >> word;) {
		counts[word]++;
	}
	std::ostringstream out;
	for (const auto &[word, count] : counts) {
		out << word << ": " << count << '\n';
	}
	return out.str();
}

static void get(const char *, const char *)
{
	respond(200, "text/plain", "Hello C++ World");
}

static void post(const char *url, const char *, const char *type, const uint8_t *data, size_t len)
{
	std::string text(reinterpret_cast<const char *>(data), len);
	if (std::string_view(url) == "/count") {
		respond(200, "text/plain", count_words(text));
		return;
	}
	std::transform(text.begin(), text.end(), text.begin(),
	               [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
	respond(200, type, text);
}

int main()
{
	set_backend_get(get);
	set_backend_post(post);
	wait_for_requests();
}
