/* Header calls. The URL says which, the argument is the field, or name, or numbers:
 *
 *   /append/WHERE, /set/WHERE    "index N", after the call
 *   /find/WHERE                  the whole field, or "none"
 *   /value/WHERE                 the value, or "none"
 *   /method                      the request method
 *   /cacheable                   sys_set_cacheable with four numbers; "result N"
 *   /extra                       a response with three headers; argument "ttl grace keep"
 *   /fill                        appends until the table is full
 *   /status/N                    status N, with a body
 *   /do                          several calls, "|" between them, each a letter and WHERE, a
 *                                space, and a field or name: a (append), s (set), f (find),
 *                                x (the answer has it, as extra header; WHERE does not count).
 *                                Answers their results, "|" between them
 *   /illegal/N                   appends one of a list of wrong fields; 0 is right. With the
 *                                argument "set" it sets it, with "extra" the answer has it
 *   /wrong/WHAT                  calls with wrong addresses and lengths
 *
 * WHERE is 0 (request), 1 (response) or any other number.
 */
#include <tinykvm.h>

static void say(const char *text)
{
	backend_response_str(200, "text/plain", text);
}

static void say_number(const char *what, long number)
{
	char text[100];
	snprintf(text, sizeof text, "%s %ld", what, number);
	say(text);
}

static void find(int where, const char *name)
{
	char field[1000];
	unsigned len = sys_http_find(where, name, strlen(name), field, sizeof field);
	if (len == 0) {
		say("none");
	}
	/* Without a buffer the length is the same, and too small a one gets nothing. */
	unsigned wanted = sys_http_find(where, name, strlen(name), NULL, 0);
	unsigned small = sys_http_find(where, name, strlen(name), field, len - 1);
	if (wanted != len || small != 0) {
		say("lengths differ");
	}
	backend_response(200, "text/plain", 10, field, len);
}

static void value(int where, const char *name)
{
	char text[1000];
	say(http_value(where, name, text, sizeof text) < 0 ? "none" : text);
}

static void method(void)
{
	char name[32], small[2];
	unsigned long len = sys_http_method(name, sizeof name);
	if (sys_http_method(NULL, 0) != len || sys_http_method(small, sizeof small) != 0) {
		say("lengths differ");
	}
	backend_response(200, "text/plain", 10, name, len);
}

static void extra(const char *arg)
{
	static const struct ResponseHeader headers[] = {
	        {"X-First: 1", 10}, {"X-Second: two", 13}, {"", 0}, {"X-Third: 3 and more", 10}};
	struct BackendResponseExtra extra;
	memset(&extra, 0, sizeof extra);
	extra.headers = headers;
	extra.num_headers = 4;
	extra.cached = sscanf(arg, "%f %f %f", &extra.ttl, &extra.grace, &extra.keep) == 3;
	backend_response_extra(200, "text/plain", 10, "extra", 5, &extra);
}

static void cacheable(const char *arg)
{
	long yes, ttl, grace, keep;
	if (sscanf(arg, "%ld %ld %ld %ld", &yes, &ttl, &grace, &keep) != 4) {
		say("four numbers, please");
	}
	say_number("result", sys_set_cacheable(yes != 0, ttl, grace, keep));
}

static void fill(void)
{
	long result = 0;
	int count = 0;
	while (count < 10000 && result != TINYKVM_HEADER_TABLE_FULL) {
		char field[32];
		snprintf(field, sizeof field, "X-Fill-%d: 1", count++);
		result = http_append_str(TINYKVM_RESPONSE, field);
	}
	say(result == TINYKVM_HEADER_TABLE_FULL ? "full" : "endless");
}

/* A result as text: a number, or the field that was found. */
static size_t one_call(char *out, size_t room, const char *call, size_t len)
{
	int where = call[1] - '0';
	const char *text = call + 3;
	switch (call[0]) {
	case 'a':
		return (size_t)snprintf(out, room, "%ld", sys_http_append(where, text, len - 3));
	case 's':
		return (size_t)snprintf(out, room, "%ld", sys_http_set(where, text, len - 3));
	default:
		return sys_http_find(where, text, len - 3, out, room);
	}
}

static void several(const char *arg)
{
	static struct ResponseHeader headers[64];
	struct BackendResponseExtra extra;
	char out[4096];
	size_t used = 0;
	memset(&extra, 0, sizeof extra);
	extra.headers = headers;
	for (;;) {
		size_t len = strcspn(arg, "|");
		if (len > 3 && arg[0] == 'x') {
			headers[extra.num_headers++] = (struct ResponseHeader){arg + 3, len - 3};
		} else if (len > 3) {
			used += one_call(out + used, sizeof out - used, arg, len);
		}
		if (arg[len] == '\0') {
			break;
		}
		out[used++] = '|';
		arg += len + 1;
	}
	backend_response_extra(200, "text/plain", 10, out, used, &extra);
}

static void illegal(int index, const char *how)
{
	static const struct {
		const char *field;
		size_t len;
	} fields[] = {
	        {"X-Value: 1", 10},
	        {"X-Value: 1 ", 11},
	        {"X-Value: ", 9},
	        {"X-Value:", 8},
	        {"X-Value:1", 9},
	        {": value", 7},
	        {" X-Value: 1", 11},
	        {"X:1", 3},
	        {"X: ", 3},
	        {"", 0},
	        {NULL, 0},
	        {NULL, 10},
	        {"X-Value: 1\r\nX-Other: 2", 22},
	        {"X-Value: 1\0 2", 13},
	        {"X Value: 1", 10},
	        {"no colon at all", 15},
	        {"X-Value: a\nb", 12},
	        {"X-Value: a\rb", 12},
	        {"X-Value: a\x7f""b", 12},
	        {"X\r\nY: 1", 7},
	};
	if ((size_t)index >= sizeof fields / sizeof *fields) {
		__builtin_trap();
	}
	const char *field = fields[index].field;
	if (strcmp(how, "extra") == 0) {
		struct ResponseHeader header = {field, fields[index].len};
		struct BackendResponseExtra extra;
		memset(&extra, 0, sizeof extra);
		extra.headers = &header;
		extra.num_headers = 1;
		backend_response_extra(200, "text/plain", 10, "OK", 2, &extra);
	} else if (strcmp(how, "set") == 0) {
		sys_http_set(TINYKVM_RESPONSE, field, fields[index].len);
	} else {
		sys_http_append(TINYKVM_RESPONSE, field, fields[index].len);
	}
	say("OK");
}

static void wrong(const char *what)
{
	static const char name[] = "Host";
	if (strcmp(what, "append-length") == 0) {
		sys_http_append(1, "X-Value: 1", ~0ul);
	} else if (strcmp(what, "set-length") == 0) {
		sys_http_set(1, "X-Value: 1", ~0ul);
	} else if (strcmp(what, "set-empty") == 0) {
		say_number("index", sys_http_set(1, "", 0));
	} else if (strcmp(what, "find-length") == 0) {
		sys_http_find(0, name, ~0ul, NULL, 0);
	} else if (strcmp(what, "find-empty") == 0) {
		sys_http_find(0, name, 0, NULL, 0);
	} else if (strcmp(what, "find-colon") == 0) {
		sys_http_find(0, "Host:", 5, NULL, 0);
	} else if (strcmp(what, "find-address") == 0) {
		sys_http_find(0, (const char *)8, 4, NULL, 0);
	} else if (strcmp(what, "find-into-code") == 0) {
		sys_http_find(0, name, 4, (char *)(long)&wrong, 1000);
	} else if (strcmp(what, "method-into-code") == 0) {
		sys_http_method((char *)(long)&wrong, 1000);
	} else if (strcmp(what, "append-code") == 0) {
		sys_http_append(1, (const char *)0x1234567800000000, 10);
	}
	say("went on");
}

static void get(const char *url, const char *arg)
{
	int where;
	if (sscanf(url, "/append/%d", &where) == 1) {
		say_number("index", http_append_str(where, arg));
	} else if (sscanf(url, "/set/%d", &where) == 1) {
		say_number("index", http_set_str(where, arg));
	} else if (sscanf(url, "/find/%d", &where) == 1) {
		find(where, arg);
	} else if (sscanf(url, "/value/%d", &where) == 1) {
		value(where, arg);
	} else if (sscanf(url, "/illegal/%d", &where) == 1) {
		illegal(where, arg);
	} else if (sscanf(url, "/status/%d", &where) == 1) {
		backend_response_str((int16_t)where, "text/plain", "the body");
	} else if (strcmp(url, "/method") == 0) {
		method();
	} else if (strcmp(url, "/cacheable") == 0) {
		cacheable(arg);
	} else if (strcmp(url, "/extra") == 0) {
		extra(arg);
	} else if (strcmp(url, "/do") == 0) {
		several(arg);
	} else if (strcmp(url, "/fill") == 0) {
		fill();
	} else if (strncmp(url, "/wrong/", 7) == 0) {
		wrong(url + 7);
	}
	backend_response_str(404, "text/plain", "not found");
}

int main(void)
{
	set_backend_get(get);
	wait_for_requests();
}
