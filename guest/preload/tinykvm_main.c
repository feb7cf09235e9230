/* Makes any dynamically linked program serve requests, without knowing of them: its main() runs once
 * per request, with further arguments from the request, and what it prints is the answer.
 *
 *     gcc -O2 -shared -fPIC -Wl,-z,initfirst -Iguest/c/include guest/preload/tinykvm_main.c -o tinykvm_main.so
 *
 * In the program's configuration:
 *
 *     "environment": ["LD_PRELOAD=/srv/tinykvm_main.so"]
 *
 * Where the program is frozen says the environment variable TINYKVM_FREEZE:
 *
 *     start    when its libraries are loaded, before its own first instruction (the default)
 *     stdin    when it first reads its standard input
 *     /a/path  when it first opens that file, named as the program names it, or reads its input
 *
 * A request's argument (the last one of tinykvm.program() in VCL) has one argument of main() in each
 * line; they follow those of the configuration. That is for programs that are frozen at their start;
 * in each, the variables TINYKVM_URL, TINYKVM_ARGUMENT and TINYKVM_METHOD tell of the request. Its
 * body is the standard input. What was printed to standard output, before the freeze and behind it,
 * is the answer. Its status is 200 if the program ends with status 0, else 500; its type is that of
 * the environment variable TINYKVM_TYPE. Standard error goes to the log.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <tinykvm.h>
#include <unistd.h>

/* Descriptors of our own, where programs have none: the answer, and what standard output was. */
#define FIRST_OWN 512

typedef int main_function(int, char **, char **);

static struct kvm_request request;
static int in_vm, frozen;
static int answer = -1, terminal = -1;
/* TINYKVM_FREEZE: NULL is the start. */
static const char *point;

/* The function of that name that the program would have without us. */
#define NEXT(name) \
	__extension__({ \
		static __typeof__(&name) next; \
		if (next == NULL) \
			*(void **)&next = dlsym(RTLD_NEXT, #name); \
		next; \
	})

__attribute__((noreturn)) static void fail(const char *what)
{
	perror(what);
	abort();
}

static int own_descriptor(int descriptor)
{
	int own = fcntl(descriptor, F_DUPFD_CLOEXEC, FIRST_OWN);
	if (own < 0)
		fail("tinykvm_main: a descriptor");
	return own;
}

/* Makes the descriptor a file in memory with this content. */
static void to_file(int descriptor, const void *data, size_t length)
{
	int file = memfd_create("tinykvm", 0);
	if (file < 0 || write(file, data, length) != (ssize_t)length ||
	    lseek(file, 0, SEEK_SET) != 0 || dup2(file, descriptor) < 0)
		fail("tinykvm_main: standard input or output");
	if (file != descriptor)
		NEXT(close)(file);
}

/* What has been printed; NULL if there is nothing. */
static char *printed(size_t *length)
{
	off_t size = lseek(answer, 0, SEEK_END);
	char *text = size > 0 ? malloc((size_t)size) : NULL;
	*length = 0;
	if (size < 0 || (size > 0 && (text == NULL || pread(answer, text, (size_t)size, 0) != size)))
		fail("tinykvm_main: what was printed");
	*length = (size_t)size;
	return text;
}

__attribute__((noreturn)) static void respond(int status)
{
	const char *type = getenv("TINYKVM_TYPE");
	size_t length;
	char *body = printed(&length);
	if (type == NULL)
		type = "text/plain";
	backend_response(status == 0 ? 200 : 500, type, strlen(type), body, length);
	__builtin_trap();
}

/* The end of a program that was not frozen yet: what it printed is for whoever wonders why. */
static void tell(void)
{
	size_t length;
	char *text = printed(&length);
	if (write(terminal, text, length) < 0)
		perror("tinykvm_main: the log");
}

/* A program ends in one of these; exit() ends in the second. */

void _exit(int status)
{
	if (frozen)
		respond(status);
	if (in_vm)
		tell();
	NEXT(_exit)(status);
	__builtin_trap();
}

void _Exit(int status)
{
	_exit(status);
}

static void at_exit(int status, void *unused)
{
	(void)unused;
	/* Files that are not flushed yet are so after all functions of atexit(): this is the one that
	 * was registered first, and so the last. */
	fflush(NULL);
	if (frozen)
		respond(status);
	tell();
}

/* The wait call. Behind it, this is a request. */
static void freeze(void)
{
	int error = errno;
	if (!in_vm || frozen)
		return;
	frozen = 1;
	wait_for_requests_paused(&request);
	to_file(STDIN_FILENO, request.content, request.content_len);
	if (setenv("TINYKVM_URL", request.url, 1) != 0 || setenv("TINYKVM_ARGUMENT", request.arg, 1) != 0 ||
	    setenv("TINYKVM_METHOD", request.method, 1) != 0)
		fail("tinykvm_main: the environment");
	errno = error;
}

/* Standard input for stdio, whose functions read without calling read(). */

static ssize_t stdin_read(void *unused, char *data, size_t length)
{
	(void)unused;
	return read(STDIN_FILENO, data, length);
}

static int stdin_seek(void *unused, off64_t *offset, int whence)
{
	off64_t at = lseek(STDIN_FILENO, *offset, whence);
	(void)unused;
	if (at >= 0)
		*offset = at;
	return at < 0 ? -1 : 0;
}

static int stdin_close(void *unused)
{
	(void)unused;
	return close(STDIN_FILENO);
}

static void watch_stdin(void)
{
	cookie_io_functions_t functions = { stdin_read, NULL, stdin_seek, stdin_close };
	FILE *file = fopencookie(NULL, "r", functions);
	int ends[2];
	/* Of nothing else can be known that it has neither a length nor a place. */
	if (file == NULL || pipe(ends) != 0 || dup2(ends[0], STDIN_FILENO) < 0)
		fail("tinykvm_main: standard input");
	own_descriptor(ends[1]);
	for (int i = 0; i < 2; i++)
		if (ends[i] != STDIN_FILENO)
			NEXT(close)(ends[i]);
	file->_fileno = STDIN_FILENO;
	stdin = file;
}

/* With -z initfirst before those of all other libraries, which remember stdin (C++ does). */
__attribute__((constructor)) static void prepare(int count, char **arguments, char **environment)
{
	(void)count;
	(void)arguments;
	for (char **one = environment; *one; one++) {
		in_vm |= strncmp(*one, "KVM_NAME=", 9) == 0;
		if (strncmp(*one, "TINYKVM_FREEZE=", 15) == 0)
			point = *one + 15;
	}
	if (!in_vm)
		return;
	if (point && (!*point || strcmp(point, "start") == 0))
		point = NULL;
	if (point && strcmp(point, "stdin") != 0 && *point != '/') {
		fprintf(stderr, "tinykvm_main: TINYKVM_FREEZE=%s is none of start, stdin, and the path of a file\n", point);
		abort();
	}
	terminal = own_descriptor(STDOUT_FILENO);
	to_file(STDOUT_FILENO, "", 0);
	answer = own_descriptor(STDOUT_FILENO);
	if (point)
		watch_stdin();
}

/* What may be where a program is to be frozen. */

static void reads(int descriptor)
{
	if (point && !frozen && descriptor == STDIN_FILENO)
		freeze();
}

static void opens(const char *path)
{
	if (point && !frozen && path && strcmp(path, point) == 0)
		freeze();
}

ssize_t read(int descriptor, void *data, size_t length)
{
	reads(descriptor);
	return NEXT(read)(descriptor, data, length);
}

ssize_t __read_chk(int descriptor, void *data, size_t length, size_t size)
{
	if (length > size)
		abort();
	return read(descriptor, data, length);
}

ssize_t readv(int descriptor, const struct iovec *parts, int count)
{
	reads(descriptor);
	return NEXT(readv)(descriptor, parts, count);
}

/* `own` is a function that opens a file, `with` its parameters and `hands` them on. */
#define OPENS(result, own, with, hands) \
	result own with \
	{ \
		opens(path); \
		return NEXT(own) hands; \
	}
#define OPENS_WITH_MODE(own, with, hands) \
	int own with \
	{ \
		va_list rest; \
		va_start(rest, flags); \
		mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		opens(path); \
		return NEXT(own) hands; \
	}

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

OPENS_WITH_MODE(open, (const char *path, int flags, ...), (path, flags, mode))
OPENS_WITH_MODE(open64, (const char *path, int flags, ...), (path, flags, mode))
OPENS_WITH_MODE(openat, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS_WITH_MODE(openat64, (int at, const char *path, int flags, ...), (at, path, flags, mode))
OPENS(int, __open_2, (const char *path, int flags), (path, flags))
OPENS(int, __open64_2, (const char *path, int flags), (path, flags))
OPENS(int, __openat_2, (int at, const char *path, int flags), (at, path, flags))
OPENS(int, __openat64_2, (int at, const char *path, int flags), (at, path, flags))
OPENS(FILE *, fopen, (const char *path, const char *mode), (path, mode))
OPENS(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
OPENS(FILE *, freopen, (const char *path, const char *mode, FILE *file), (path, mode, file))
OPENS(FILE *, freopen64, (const char *path, const char *mode, FILE *file), (path, mode, file))

/* Programs close what they don't know; the answer is needed when they have ended. */

static int is_own(int descriptor)
{
	return in_vm && descriptor >= FIRST_OWN && (descriptor == answer || descriptor == terminal);
}

int close(int descriptor)
{
	if (is_own(descriptor)) {
		errno = EBADF;
		return -1;
	}
	return NEXT(close)(descriptor);
}

int close_range(unsigned first, unsigned last, int flags)
{
	if (in_vm && first <= FIRST_OWN && last >= FIRST_OWN)
		last = FIRST_OWN - 1;
	return first <= last ? NEXT(close_range)(first, last, flags) : 0;
}

void closefrom(int first)
{
	close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

/* The beginning of a program: its own code, constructors included, comes behind this. */

/* How many strings there are in a list that ends with NULL. */
static size_t length_of(char **list)
{
	size_t length = 0;
	while (list[length])
		length++;
	return length;
}

/* The program's arguments with those of the request, and behind them, as the kernel leaves them,
 * environment and auxiliary vector. */
static char **with_request(int *count, char **arguments, char **environment)
{
	size_t words = 2, named = length_of(environment), auxiliary = 0;
	unsigned long *vector = (unsigned long *)(arguments + *count + 1);
	char *text = strdup(request.arg);
	char **all, **next;
	while (*vector)
		vector++;
	vector++;
	while (vector[auxiliary])
		auxiliary += 2;
	auxiliary += 2;
	for (char *at = text; at && *at; at++)
		words += *at == '\n';
	all = next = malloc(sizeof *all * ((size_t)*count + words + named + 1 + auxiliary));
	if (text == NULL || all == NULL)
		fail("tinykvm_main: arguments");
	for (int i = 0; i < *count; i++)
		*next++ = arguments[i];
	for (char *line = *text ? text : NULL; line;) {
		*next++ = line;
		line = strchr(line, '\n');
		if (line)
			*line++ = '\0';
	}
	*count = (int)(next - all);
	*next++ = NULL;
	memcpy(next, environment, sizeof *next * (named + 1));
	memcpy(next + named + 1, vector, sizeof *vector * auxiliary);
	return all;
}

int __libc_start_main(main_function *function, int count, char **arguments, void (*init)(void),
                      void (*fini)(void), void (*linker_fini)(void), void *stack_end)
{
	int (*start)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
	*(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
	if (in_vm) {
		on_exit(at_exit, NULL);
		if (point == NULL) {
			freeze();
			arguments = with_request(&count, arguments, environ);
		}
	}
	return start(function, count, arguments, init, fini, linker_fini, stack_end);
}
