/* A filter of bodies that does what its argument says: words with spaces between them. In a word,
 * ~ stands for a space.
 *
 *   same             the body as it is                 (the default)
 *   upper            in capitals
 *   twice            each part two times
 *   large            each part 64 times, in one write
 *   terabyte         a terabyte of zeros behind the body, which costs it nothing
 *   nothing          no output
 *   whole            wants the body in one piece, and writes it in reverse
 *   pass             wants nothing to do with it
 *   direct           writes into the buffer itself
 *   sum              behind the body: its length and a checksum
 *   prefix:X         X before the body, written by the first part
 *   suffix:X         X behind the body
 *   header:N=V       sets a header field of the response
 *   announce:N       announces that its output has N bytes
 *   saw              sets X-Saw to what it was told
 *   count            sets X-Count to how many bodies this memory has seen
 *   says:X           X to standard error, in each function
 *   begin=F chunk=F end=F later=F  does F in that function (later: in the second part and after):
 *                    crash, loop, exit, fail, hog, overflow
 *   quiet            no output before the second part
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ctype.h>
#include <sys/mman.h>
#include <unistd.h>

#include <tinykvm.h>

static char words[1024];
static long bodies, parts;
static uint64_t total;
static uint32_t sum;

static const char *word(const char *name)
{
	size_t length = strlen(name);
	for (const char *at = words; at && *at; at = strchr(at, ' ')) {
		at += *at == ' ';
		if (!strncmp(at, name, length)
		    && (at[length] == 0 || at[length] == ' ' || strchr(":=", name[length - 1]))) {
			return at + length;
		}
	}
	return NULL;
}

/* The text behind a word, up to the next space. */
static const char *value(const char *name)
{
	static char text[1024];
	const char *found = word(name);
	if (!found) {
		return NULL;
	}
	snprintf(text, sizeof text, "%.*s", (int)strcspn(found, " "), found);
	for (char *at = text; (at = strchr(at, '~')); *at = ' ') {
	}
	return text;
}

static int misbehave(const char *where)
{
	if (value("says:")) {
		fputs(value("says:"), stderr);
	}
	const char *how = value(where);
	if (!how) {
		return 0;
	}
	if (!strcmp(how, "crash")) {
		*(volatile int *)8 = 1;
	} else if (!strcmp(how, "loop")) {
		for (;;) {
			__asm__ volatile("");
		}
	} else if (!strcmp(how, "exit")) {
		_exit(3);
	} else if (!strcmp(how, "hog")) {
		for (;;) {
			memset(malloc(1 << 20), 1, 1 << 20);
		}
	} else if (!strcmp(how, "overflow")) {
		tinykvm_filter_output.length = tinykvm_filter_output.capacity + 1;
		return 0;
	}
	return -7;
}

static int begin(const struct filter_start *start)
{
	char field[4096];
	int failed;
	snprintf(words, sizeof words, "%s", start->arg);
	bodies++;
	printf("begin %s\n", start->url);
	if (value("header:")) {
		snprintf(field, sizeof field, "%s", value("header:"));
		char *equals = strchr(field, '=');
		if (equals) {
			*equals = 0;
			http_setf(TINYKVM_RESPONSE, "%s: %s", field, equals + 1);
		}
	}
	if (word("saw")) {
		const char *first = start->num_response_headers ? start->response_headers[0].field : "";
		http_setf(TINYKVM_RESPONSE, "X-Saw: %s %s %u %s %ld %s requests=%u first=%.5s", start->method,
		          start->url, start->status, start->config, (long)start->length,
		          start->flags & TINYKVM_FILTER_DELIVERY ? "delivery" : "fetch",
		          start->num_request_headers > 0, first);
	}
	if (word("count")) {
		http_setf(TINYKVM_RESPONSE, "X-Count: %ld", bodies);
	}
	if (value("announce:")) {
		http_setf(TINYKVM_RESPONSE, "Content-Length: %s", value("announce:"));
	}
	if ((failed = misbehave("begin="))) {
		return failed;
	}
	if (word("pass")) {
		return TINYKVM_FILTER_PASS;
	}
	return word("whole") ? TINYKVM_FILTER_WHOLE_BODY : TINYKVM_FILTER_TRANSFORM;
}

static void write_direct(const uint8_t *data, size_t len)
{
	while (len > 0) {
		size_t room;
		uint8_t *to = filter_room(&room);
		room = room < len ? room : len;
		memcpy(to, data, room);
		filter_wrote(room);
		data += room;
		len -= room;
	}
}

static void write_large(const uint8_t *data, size_t len)
{
	char *copies = malloc(64 * len);
	for (int i = 0; i < 64; i++) {
		memcpy(copies + i * len, data, len);
	}
	filter_write(copies, 64 * len);
	free(copies);
}

static int chunk(const uint8_t *const_data, size_t len)
{
	uint8_t *data = (uint8_t *)const_data;
	int failed;
	if (parts++ == 0 && value("prefix:")) {
		filter_write_str(value("prefix:"));
	}
	total += len;
	for (size_t i = 0; word("sum") && i < len; i++) {
		sum = sum * 31 + data[i];
	}
	if ((failed = misbehave("chunk=")) || (parts >= 2 && (failed = misbehave("later=")))) {
		return failed;
	}
	if (word("nothing") || (word("quiet") && parts < 2)) {
		return 0;
	}
	if (word("upper")) {
		for (size_t i = 0; i < len; i++) {
			data[i] = (uint8_t)toupper(data[i]);
		}
	}
	if (word("whole")) {
		for (size_t i = 0; i < len / 2; i++) {
			uint8_t byte = data[i];
			data[i] = data[len - 1 - i];
			data[len - 1 - i] = byte;
		}
	}
	if (word("large")) {
		write_large(data, len);
	} else if (word("direct")) {
		write_direct(data, len);
	} else {
		filter_write(data, len);
	}
	if (word("twice")) {
		filter_write(data, len);
	}
	return 0;
}

static int end(void)
{
	char text[64];
	int failed = misbehave("end=");
	if (failed) {
		return failed;
	}
	if (word("terabyte")) {
		filter_write(mmap(NULL, 1UL << 40, PROT_READ,
		                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
		             1UL << 40);
	}
	if (word("sum")) {
		snprintf(text, sizeof text, "\n%lu %08x\n", (unsigned long)total, sum);
		filter_write_str(text);
	}
	if (value("suffix:")) {
		filter_write_str(value("suffix:"));
	}
	return 0;
}

int main(int argc, char **argv)
{
	setlinebuf(stdout);
	sys_set_filter(begin, chunk, end,
	               argc > 1 && !strcmp(argv[1], "encoded") ? TINYKVM_FILTER_ENCODED : 0);
	wait_for_requests();
}
