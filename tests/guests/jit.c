/* Code that is written first and then run, by URL:
 *
 *   /map     in memory that is writable and executable from the start
 *   /flip    in memory that is writable, and then executable
 *   /both    in memory that was writable, and becomes executable, too
 *   /change  as /flip, and once more with other code, as compilers do
 *
 * Answers with what the code returned. What is refused is status 403 and the name of the error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <tinykvm.h>

#define READ_WRITE (PROT_READ | PROT_WRITE)
#define SIZE 4096

static void failed(void)
{
	backend_response_str(403, "text/plain", strerrorname_np(errno));
}

static unsigned char *map(int protection)
{
	void *at = mmap(NULL, SIZE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED) {
		failed();
	}
	return at;
}

static void allow(void *at, int protection)
{
	if (mprotect(at, SIZE, protection) != 0) {
		failed();
	}
}

/* mov eax, number; ret */
static void write_code(unsigned char *at, unsigned char number)
{
	const unsigned char code[] = {0xb8, number, 0, 0, 0, 0xc3};
	memcpy(at, code, sizeof code);
}

static int run(unsigned char *at)
{
	int (*function)(void);
	__asm__ volatile("mov %1, %0" : "=r"(function) : "r"(at) : "memory");
	return function();
}

static void get(const char *url, const char *arg)
{
	unsigned char *at;
	int result;
	if (strcmp(url, "/map") == 0) {
		at = map(READ_WRITE | PROT_EXEC);
		write_code(at, 42);
		result = run(at);
	} else if (strcmp(url, "/flip") == 0) {
		at = map(READ_WRITE);
		write_code(at, 43);
		allow(at, PROT_READ | PROT_EXEC);
		result = run(at);
	} else if (strcmp(url, "/both") == 0) {
		at = map(READ_WRITE);
		write_code(at, 44);
		allow(at, READ_WRITE | PROT_EXEC);
		result = run(at);
	} else {
		at = map(READ_WRITE);
		write_code(at, 1);
		allow(at, PROT_READ | PROT_EXEC);
		result = run(at);
		allow(at, READ_WRITE);
		write_code(at, 44);
		allow(at, PROT_READ | PROT_EXEC);
		result += run(at);
	}
	char text[20];
	snprintf(text, sizeof text, "%d", result);
	backend_response_str(200, "text/plain", text);
}

int main(void)
{
	set_backend_get(get);
	wait_for_requests();
}
