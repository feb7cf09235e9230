/* Arguments, environment, auxiliary vector, standard streams, exit handlers. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

static void bye(void) { puts("at exit"); }

int main(int argc, char **argv)
{
	char path[64] = "";
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
	atexit(bye);
	if (fopen("/etc/shadow", "r") || length < 0 || getchar() != EOF || argv[argc])
		return 1;
	if ((unsigned long)__builtin_frame_address(0) % 16)
		return 2;
	printf("%d %s %s %s %s %ld %u %zu\n", argc, argv[0], argv[1], getenv("GREETING"), path,
	       sysconf(_SC_PAGESIZE), getuid(), 8 * sizeof(void *));
	if (getauxval(AT_EUID) != geteuid() || getauxval(AT_GID) != getgid())
		return 3;
	return 42;
}
