/* The smallest useful guest program in C: a greeting for GET, the body in capitals for POST. */
#include <ctype.h>
#include <tinykvm.h>

/* Requests without a body. `url` and `arg` are what VCL passed to the program. */
static void get(const char *url, const char *arg)
{
	(void)url;
	(void)arg;
	backend_response_str(200, "text/plain", "Hello World");
}

/* Requests with a body. The data is this request's own copy, like everything else in this
 * program's memory, and may be changed in place. */
static void post(const char *url, const char *arg, const char *content_type, const uint8_t *data,
                 size_t len)
{
	(void)url;
	(void)arg;
	char *text = (char *)data;
	for (size_t i = 0; i < len; i++) {
		text[i] = (char)toupper(data[i]);
	}
	backend_response(200, content_type, strlen(content_type), text, len);
}

int main(void)
{
	/* Whatever takes long (reading files, building tables) is done here, once. */
	set_backend_get(get);
	set_backend_post(post);
	wait_for_requests();
}
