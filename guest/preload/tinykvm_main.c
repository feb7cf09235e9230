/* Makes any dynamically linked program serve requests, without knowing of them: its main() runs once
 * per request, with further arguments from the request, and what it prints is the answer.
 *
 *     gcc -O2 -shared -fPIC -Iguest/c/include guest/preload/tinykvm_main.c -o tinykvm_main.so
 *
 * In the program's configuration:
 *
 *     "environment": ["LD_PRELOAD=/srv/tinykvm_main.so"]
 *
 * The program is frozen when its libraries are loaded, before main(). A request's argument (the last
 * one of tinykvm.program() in VCL) has one argument of main() in each line; they follow those of the
 * configuration. A request's body is the standard input. The answer has status 200 if the program
 * ends with status 0, else 500; its type is that of the environment variable TINYKVM_TYPE.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/mman.h>
#include <tinykvm.h>
#include <unistd.h>

#define ARGUMENTS_MAX 256

typedef int main_function(int, char **, char **);

static main_function *program_main;
static int output = -1;

__attribute__((noreturn)) static void respond(int status)
{
	const char *type = getenv("TINYKVM_TYPE");
	off_t length = lseek(output, 0, SEEK_END);
	char *body = length > 0 ? malloc((size_t)length) : NULL;
	if (body == NULL || pread(output, body, (size_t)length, 0) != length)
		length = 0;
	if (type == NULL)
		type = "text/plain";
	backend_response(status == 0 ? 200 : 500, type, strlen(type), body, (size_t)length);
	__builtin_trap();
}

/* A program ends in one of these; exit() ends in the first. */

void _exit(int status)
{
	if (output < 0)
		((void (*)(int))dlsym(RTLD_NEXT, "_exit"))(status);
	respond(status);
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
	respond(status);
}

static void to_file(int descriptor, const void *data, size_t length)
{
	int file = memfd_create("tinykvm", 0);
	if (file < 0 || write(file, data, length) != (ssize_t)length ||
	    lseek(file, 0, SEEK_SET) != 0 || dup2(file, descriptor) < 0)
		abort();
	close(file);
}

static int serving_main(int count, char **arguments, char **environment)
{
	static char *all[ARGUMENTS_MAX + 1];
	static struct kvm_request request;
	int used = 0;
	while (used < count && used < ARGUMENTS_MAX) {
		all[used] = arguments[used];
		used++;
	}
	to_file(STDOUT_FILENO, "", 0);
	on_exit(at_exit, NULL);
	wait_for_requests_paused(&request);
	output = STDOUT_FILENO;
	to_file(STDIN_FILENO, request.content, request.content_len);
	for (char *line = request.arg_len ? (char *)request.arg : NULL; line && used < ARGUMENTS_MAX;) {
		all[used++] = line;
		line = strchr(line, '\n');
		if (line)
			*line++ = '\0';
	}
	return program_main(used, all, environment);
}

int __libc_start_main(main_function *function, int count, char **arguments, void (*init)(void),
                      void (*fini)(void), void (*linker_fini)(void), void *stack_end)
{
	int (*start)(main_function *, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
	*(void **)&start = dlsym(RTLD_NEXT, "__libc_start_main");
	program_main = function;
	if (IS_SANDBOXED_MAIN())
		function = serving_main;
	return start(function, count, arguments, init, fini, linker_fini, stack_end);
}
