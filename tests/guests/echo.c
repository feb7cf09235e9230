/* Bodies, in and out.
 *
 *   POST /echo       the body, with its content type
 *   POST /check      url, arg, content type, length and a checksum of the body
 *   POST /scribble   as /echo, after writing a '#' over its first byte
 *   GET /size/N      N bytes of text in which every 16-byte line is its own offset
 *   GET /mmap/N      the same, in memory of its own
 *   GET /rodata      from the program's constants
 *   GET /pages/N     "ok", after changing N pages
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <tinykvm.h>

static char buffer[32 << 20];

static const char *fill(char *at, size_t len)
{
	for (size_t i = 0; i < len; i += 16) {
		char line[32];
		snprintf(line, sizeof line, "%015zu\n", i);
		memcpy(at + i, line, len - i < 16 ? len - i : 16);
	}
	return at;
}

static uint64_t checksum(const uint8_t *data, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ data[i]) * 0x100000001b3;
	}
	return hash;
}

static int number(const char *url, const char *prefix, size_t *out)
{
	size_t len = strlen(prefix);
	if (strncmp(url, prefix, len) != 0) {
		return 0;
	}
	*out = strtoul(url + len, NULL, 10);
	return 1;
}

static void get(const char *url, const char *arg)
{
	size_t n;
	if (number(url, "/size/", &n) && n <= sizeof buffer) {
		backend_response(200, "text/plain", 10, fill(buffer, n), n);
	} else if (number(url, "/mmap/", &n)) {
		void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		                0);
		if (at == MAP_FAILED) {
			backend_response_str(507, "text/plain", "mmap failed");
		}
		backend_response(200, "text/plain", 10, fill((char *)at, n), n);
	} else if (number(url, "/pages/", &n) && n <= sizeof buffer / 4096) {
		for (size_t i = 0; i < n; i++) {
			buffer[i * 4096] = 1;
		}
		backend_response_str(200, "text/plain", "ok");
	} else if (strcmp(url, "/rodata") == 0) {
		backend_response_str(200, "text/plain", "a constant");
	}
	backend_response_str(404, "text/plain", "not found");
}

static void post(const char *url, const char *arg, const char *content_type, const uint8_t *data,
                 size_t len)
{
	if (strcmp(url, "/check") == 0) {
		char text[4096];
		snprintf(text, sizeof text, "url=%s arg=%s type=%s len=%zu aligned=%d sum=%016llx",
		         url, arg, content_type, len, (unsigned long)data % 4096 == 0,
		         (unsigned long long)checksum(data, len));
		backend_response_str(200, "text/plain", text);
	}
	if (strcmp(url, "/scribble") == 0) {
		((uint8_t *)data)[0] = '#';
	}
	backend_response(200, content_type, strlen(content_type), data, len);
}

int main(void)
{
	set_backend_get(get);
	set_backend_post(post);
	wait_for_requests();
}
