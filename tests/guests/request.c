/* The request callback: answers everything that it was given, one thing a line. */
#include <tinykvm.h>

static char out[200000];
static size_t used;

__attribute__((format(printf, 1, 2))) static void line(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	used += (size_t)vsnprintf(out + used, sizeof out - used, format, arguments);
	va_end(arguments);
	out[used++] = '\n';
}

/* The length that was given is that of the string. */
static const char *is(const char *text, size_t len)
{
	return strlen(text) == len ? "" : " (length is wrong)";
}

static void request(const struct kvm_request *it)
{
	line("method: %s%s", it->method, is(it->method, it->method_len));
	line("url: %s%s", it->url, is(it->url, it->url_len));
	line("arg: %s%s", it->arg, is(it->arg, it->arg_len));
	line("type: %s%s", it->content_type, is(it->content_type, it->content_type_len));
	line("content: %s %lu", it->content ? "at" : "NULL", (unsigned long)it->content_len);
	if (it->content != NULL && it->content_len < 1000) {
		line("body: %.*s", (int)it->content_len, (const char *)it->content);
	}
	line("headers: %s %u", it->headers ? "at" : "NULL", it->num_headers);
	for (unsigned i = 0; i < it->num_headers; i++) {
		const struct kvm_request_header *header = &it->headers[i];
		const char *colon = strchr(header->field, ':');
		int right = colon ? header->field_colon == (uint32_t)(colon - header->field)
		                  : header->field_colon == TINYKVM_NO_COLON;
		line("header: %s%s%s", header->field, is(header->field, header->field_len),
		     right ? "" : " (colon is wrong)");
	}
	line("flags: %u", it->info_flags);
	line("prng: %s", it->prng[0] != 0 && it->prng[0] != it->prng[1] ? "set" : "not set");
	line("reserved: %s", it->reserved0 | it->reserved1[0] | it->reserved1[1] ? "set" : "zero");

	const struct ResponseHeader headers[] = {
	        {"X-Method: ", 0}, {"X-One: 1", 8}, {"X-Two: 2", 8}, {"X-Three: 3", 10}};
	struct BackendResponseExtra extra;
	memset(&extra, 0, sizeof extra);
	extra.headers = headers;
	extra.num_headers = 4;
	backend_response_extra(200, "text/plain", 10, out, used, &extra);
}

/* Never called: the request callback takes everything. */
static void get(const char *url, const char *arg)
{
	backend_response_str(500, "text/plain", "the wrong function");
}

int main(void)
{
	set_backend_get(get);
	set_backend_request(request);
	wait_for_requests();
}
