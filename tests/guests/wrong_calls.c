/* Calls of the host with arguments that it must refuse, by URL.
 *
 * What the refused ones would answer is "went on"; those that are fine say what they saw. With
 * the argument "on_error", refused ones are answered with status 555 and the reason.
 */
#include <errno.h>
#include <sys/mman.h>
#include <tinykvm.h>
#include <unistd.h>

static const char rodata[] = "constant";

static void say(int16_t status, const char *text)
{
	backend_response_str(status, "text/plain", text);
}

/* Keeps the compiler from knowing a value. */
static long hide(long value)
{
	__asm__ volatile("" : "+r"(value));
	return value;
}

static void ok(void)
{
	say(200, "ok");
}

/* ---- Calls with wrong arguments ---- */

static void unknown_hypercall(void)
{
	say(200, tinykvm_call3(0x12345, 1, 2, 3) == TINYKVM_UNKNOWN_CALL ? "enosys" : "other");
}

static void unknown_syscall(void)
{
	long result = syscall(9999);
	say(200, result == -1 && errno == ENOSYS ? "enosys" : "other");
}

static void bad_buffer(void)
{
	ssize_t result = write(1, (void *)hide(8), 10);
	say(200, result == -1 && errno == EFAULT ? "efault" : "other");
}

static void wait_again(void)
{
	tinykvm_call3(TINYKVM_CALL_WAIT_FOR_REQUESTS, 0, 0, 0);
	say(200, "went on");
}

static void register_late(void)
{
	register_func(TINYKVM_CALLBACK_GET, ok);
	say(200, "went on");
}

static void ephemeral_late(void)
{
	sys_make_ephemeral(0);
	say(200, "went on");
}

static void stop(void)
{
	tinykvm_call3(TINYKVM_CALL_STOP, 0, 0, 0);
	say(200, "went on");
}

static void bad_log(void)
{
	sys_log((char *)hide(8), 100);
	say(200, "went on");
}

static void bad_meminfo(void)
{
	get_meminfo((struct meminfo *)hide((long)rodata));
	say(200, "went on");
}

/* ---- Responses that are none ---- */

static void null_body(void)
{
	backend_response(200, "text/plain", 10, NULL, 0);
}

static void null_body_length(void)
{
	backend_response(200, "text/plain", 10, NULL, 16);
}

static void bad_body_pointer(void)
{
	backend_response(200, "text/plain", 10, (void *)hide(0x10), 16);
}

static void bad_body_length(void)
{
	backend_response(200, "text/plain", 10, "body", ~0ul);
}

/* A body that begins in memory and ends outside. */
static void body_beyond(void)
{
	char *at = (char *)mmap((void *)0x200000000000, 4096, PROT_READ | PROT_WRITE,
	                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	backend_response(200, "text/plain", 10, at, 4097);
}

static void bad_type_pointer(void)
{
	backend_response(200, (void *)hide(0x10), 10, "body", 4);
}

static void bad_type_length(void)
{
	backend_response(200, "text/plain", ~0u, "body", 4);
}

static void type_with_nul(void)
{
	backend_response(200, "text/plain", 11, "body", 4);
}

static void type_with_newline(void)
{
	backend_response(200, "text/plain\r\nX-Injected: 1", 25, "body", 4);
}

/* The longest that is taken, and one more. */
static void long_type(size_t len)
{
	static char type[5000];
	memset(type, 'x', sizeof type);
	backend_response(200, type, len, "body", 4);
}

static void type_4095(void)
{
	long_type(4095);
}

static void type_4096(void)
{
	long_type(4096);
}

static void status_199(void)
{
	say(199, "too little");
}

static void status_599(void)
{
	say(599, "just enough");
}

static void status_negative(void)
{
	say(-200, "below zero");
}

static void no_type(void)
{
	backend_response(200, NULL, 0, "body", 4);
}

static void status_100(void)
{
	say(100, "continue");
}

static void status_600(void)
{
	say(600, "too much");
}

static void extra_pointer(void)
{
	sys_backend_response(200, "t/p", 3, "body", 4, (struct BackendResponseExtra *)hide(1));
}

static void extra_null_headers(void)
{
	struct BackendResponseExtra extra;
	memset(&extra, 0, sizeof extra);
	sys_backend_response(200, "t/p", 3, "body", 4, &extra);
}

static void extra_many_headers(void)
{
	static struct ResponseHeader headers[65];
	struct BackendResponseExtra extra;
	memset(&extra, 0, sizeof extra);
	extra.headers = headers;
	extra.num_headers = 65;
	sys_backend_response(200, "t/p", 3, "body", 4, &extra);
}

/* The first answer counts. */
static void two_responses(void)
{
	say(404, "Not found");
	say(403, "Forbidden");
}

/* ---- Which is which ---- */

static const struct {
	const char *url;
	void (*run)(void);
} cases[] = {
        {"/ok", ok},
        {"/unknown-hypercall", unknown_hypercall},
        {"/unknown-syscall", unknown_syscall},
        {"/bad-buffer", bad_buffer},
        {"/wait-again", wait_again},
        {"/register-late", register_late},
        {"/ephemeral-late", ephemeral_late},
        {"/stop", stop},
        {"/bad-log", bad_log},
        {"/bad-meminfo", bad_meminfo},
        {"/null-body", null_body},
        {"/null-body-length", null_body_length},
        {"/bad-body-pointer", bad_body_pointer},
        {"/bad-body-length", bad_body_length},
        {"/body-beyond", body_beyond},
        {"/bad-type-pointer", bad_type_pointer},
        {"/bad-type-length", bad_type_length},
        {"/type-with-nul", type_with_nul},
        {"/type-with-newline", type_with_newline},
        {"/type-4095", type_4095},
        {"/type-4096", type_4096},
        {"/no-type", no_type},
        {"/status-100", status_100},
        {"/status-199", status_199},
        {"/status-599", status_599},
        {"/status-600", status_600},
        {"/status-negative", status_negative},
        {"/extra-pointer", extra_pointer},
        {"/extra-null-headers", extra_null_headers},
        {"/extra-many-headers", extra_many_headers},
        {"/two-responses", two_responses},
};

static void get(const char *url, const char *arg)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (strcmp(url, cases[i].url) == 0) {
			cases[i].run();
			return;
		}
	}
	say(404, "no such case");
}

static void on_error(const char *url, const char *arg, const char *exception)
{
	backend_response_str(555, "text/plain", exception);
}

int main(int argc, char **argv)
{
	set_backend_get(get);
	if (argc > 1 && strcmp(argv[1], "on_error") == 0) {
		set_on_error(on_error);
	}
	wait_for_requests();
}
