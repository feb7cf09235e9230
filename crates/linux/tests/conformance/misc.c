/* The process itself: limits, names, identity, start and end, what the C library tells. */
#include "case.h"
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>

CASE(system_name)
{
	struct utsname name;
	SHOW(uname(&name));
	SAY("%s %s", name.sysname, name.machine);
	IS(name.release[0] >= '3' && name.release[0] <= '9');
}

CASE(process_name)
{
	char name[17] = "";
	SHOW(prctl(PR_SET_NAME, "a name of more than fifteen bytes"));
	SHOW(prctl(PR_GET_NAME, name));
	SAY("%s", name);
	SHOW(prctl(PR_SET_NAME, ""));
	SHOW(prctl(PR_GET_NAME, name));
	SAY("[%s]", name);
}

CASE(process_flags)
{
	int number = -1;
	SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	SHOW(prctl(PR_GET_PDEATHSIG, &number));
	SAY("%d", number);
	SHOW(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
	SHOW(prctl(PR_SET_TIMERSLACK, 1000));
}

CASE(limits)
{
	struct rlimit limit = {100, 200}, now;
	SHOW(setrlimit(RLIMIT_NOFILE, &limit));
	SHOW(getrlimit(RLIMIT_NOFILE, &now));
	SAY("%ld %ld", (long)now.rlim_cur, (long)now.rlim_max);
	SHOW(sysconf(_SC_OPEN_MAX));
	limit.rlim_cur = 300;
	SHOW(setrlimit(RLIMIT_NOFILE, &limit));
	limit = (struct rlimit){150, 150};
	SHOW(setrlimit(RLIMIT_NOFILE, &limit));
	SHOW(dup2(0, 149));
	SHOW(dup2(0, 150));
	for (int i = 0; i < 16; i++)
		if (getrlimit((__rlimit_resource_t)i, &now))
			SAY("%d: %s", i, error_name(errno));
	SHOW(getrlimit((__rlimit_resource_t)16, &now));
}

CASE(random_bytes)
{
	static unsigned char room[100000], other[100000];
	SHOW(getrandom(room, 0, 0));
	SHOW(getrandom(room, 256, GRND_NONBLOCK));
	SHOW(getrandom(room, sizeof room, 0));
	SHOW(getrandom(other, sizeof other, GRND_RANDOM));
	int same = 0, zero = 0;
	for (unsigned i = 0; i < sizeof room; i++)
		same += room[i] == other[i], zero += room[i] == 0;
	IS(same < 600 && zero < 600 && same > 200 && zero > 200);
	SHOW(getentropy(room, 256));
	SHOW(getentropy(room, 257));
}

CASE(auxiliary_vector)
{
	SAY("%lu %lu %lu", getauxval(AT_PAGESZ), getauxval(AT_CLKTCK), getauxval(AT_SECURE));
	IS(getauxval(AT_RANDOM) != 0 && getauxval(AT_PHDR) != 0 && getauxval(AT_ENTRY) != 0);
	IS(getauxval(AT_UID) == getuid() && getauxval(AT_EUID) == geteuid() && getauxval(AT_GID) == getgid());
	SAY("%s", (char *)getauxval(AT_PLATFORM));
	IS(getauxval(AT_MINSIGSTKSZ) >= 1024);
	IS(!memcmp((void *)getauxval(AT_SYSINFO_EHDR), "\177ELF", 4));
	SAY("%lu", getauxval(9999));
	// All that a program is started with is its own memory.
	memset((void *)getauxval(AT_RANDOM), 7, 16);
	memset((void *)getauxval(AT_PLATFORM), 'x', 6);
	memset((void *)getauxval(AT_EXECFN), 'x', 1);
	SAY("%d %s", *(char *)getauxval(AT_RANDOM), (char *)getauxval(AT_PLATFORM));
}

CASE(system_configuration)
{
	SHOW(sysconf(_SC_PAGESIZE));
	SHOW(sysconf(_SC_CLK_TCK));
	SHOW(sysconf(_SC_IOV_MAX));
	SHOW(sysconf(_SC_NGROUPS_MAX));
	IS(sysconf(_SC_NPROCESSORS_ONLN) >= 1);
	IS(sysconf(_SC_PHYS_PAGES) > 1000);
	SHOW(getpagesize());
}

CASE(environment)
{
	SAY("%s", getenv("LC_ALL"));
	IS(getenv("ABSENT") == NULL);
	SHOW(setenv("NEW", "value", 1));
	SAY("%s", getenv("NEW"));
	SHOW(unsetenv("LC_ALL"));
	IS(getenv("LC_ALL") == NULL);
}

CASE(identity)
{
	uid_t real, effective, saved;
	IS(getuid() == geteuid() && getgid() == getegid());
	SHOW(getresuid(&real, &effective, &saved));
	IS(real == effective && effective == saved);
	IS(getpid() > 0 && getppid() >= 0);
	IS(getpgid(0) == getpgrp());
	SHOW(setuid(getuid()));
	SHOW(setgid(getgid()));
}

CASE(masks_for_new_files)
{
	umask(022);
	SAY("%o", umask(077));
	SAY("%o", umask(01777));
	SAY("%o", umask(0));
}

CASE(priorities)
{
	SHOW(sched_getscheduler(0));
	SHOW(sched_get_priority_min(SCHED_FIFO));
	SHOW(sched_get_priority_max(SCHED_FIFO));
	SHOW(sched_get_priority_max(SCHED_OTHER));
	struct sched_param parameter = {77};
	SHOW(sched_getparam(0, &parameter));
	SAY("%d", parameter.sched_priority);
	SHOW(sched_setscheduler(0, SCHED_OTHER, &parameter));
	TRY(nice(0));
	SHOW(sched_yield());
}

CASE(processors)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	SHOW(sched_getaffinity(0, sizeof set, &set));
	IS(CPU_COUNT(&set) >= 1 && sched_getcpu() >= 0 && CPU_ISSET(sched_getcpu(), &set));
	SHOW(sched_setaffinity(0, sizeof set, &set));
	CPU_ZERO(&set);
	SHOW(sched_setaffinity(0, sizeof set, &set));
}

CASE(no_children)
{
	int status;
	siginfo_t info;
	SHOW(wait(&status));
	SHOW(waitpid(-1, &status, WNOHANG));
	SHOW(waitid(P_ALL, 0, &info, WEXITED));
}

CASE(new_process)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0)
		_exit(3);
	if (child < 0)
		SAY("fork: %s", error_name(errno));
	SHOW(waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1);
}

CASE(other_program)
{
	char *arguments[] = {"/absent/program", NULL};
	SHOW(execv("/absent/program", arguments));
	SHOW(execv("/bin/true", arguments));
}

CASE(terminal)
{
	struct winsize size;
	SAY("%d %d", isatty(0), isatty(1));
	SHOW(ioctl(1, TIOCGWINSZ, &size));
	SHOW(ttyname(1) == NULL ? 0 : 1);
}

CASE(standard_descriptors)
{
	char byte;
	SHOW(read(0, &byte, 1));
	SHOW(fcntl(0, F_GETFD));
	SHOW(fcntl(1, F_GETFD));
	SHOW(fcntl(2, F_GETFL) >= 0 ? 0 : -1);
	SHOW(fcntl(3, F_GETFD));
	SHOW(write(1, "raw\n", 4));
	SHOW(close(0));
	SHOW(dup(1));
	SHOW(write(0, "copy\n", 5));
}

static void first(void) { SAY("first"); }
static void second(void) { SAY("second"); }
CASE(end_by_return)
{
	atexit(first), atexit(second);
	printf("no line end");
}

CASE(end_by_exit)
{
	atexit(first);
	SAY("before");
	exit(300);
}

CASE(end_by_quick_exit)
{
	atexit(first);
	setvbuf(stdout, NULL, _IOFBF, 4096);
	printf("lost");
	_exit(-1);
}

CASE(end_with_output_closed)
{
	fclose(stdout);
	exit(4);
}

CASE(much_output)
{
	for (int i = 0; i < 3000; i++)
		SAY("line %d of a long text that goes through a pipe of limited size", i);
}

CASE(long_arguments)
{
	static char text[200000];
	memset(text, 'x', sizeof text - 1);
	SHOW(write(1, text, 150000) == 150000 ? 0 : -1);
	SAY("%d", (int)strlen(text));
}

CASE(deep_recursion)
{
	volatile char *room = __builtin_alloca(6 << 20);
	for (int i = (6 << 20) - 1; i >= 0; i -= 4096)
		room[i] = 1;
	SAY("%d", room[4095]);
}

CASE(locale_and_time)
{
	time_t when = 1700000000;
	struct tm *parts = gmtime(&when);
	char text[64];
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", parts);
	SAY("%s", text);
	parts = localtime(&when);
	strftime(text, sizeof text, "%Y", parts);
	SAY("%s %.3f %ld", text, 1234.5678, strtol("0x1f", NULL, 0));
}

CASE(segment_registers)
{
	unsigned long fs = 0, gs = 1;
	SHOW(syscall(SYS_arch_prctl, 0x1003, &fs));
	IS(fs == (unsigned long)__builtin_thread_pointer());
	SHOW(syscall(SYS_arch_prctl, 0x1001, 0x123456));
	SHOW(syscall(SYS_arch_prctl, 0x1004, &gs));
	SAY("%#lx", gs);
	SHOW(syscall(SYS_arch_prctl, 0x1002, 1UL << 56));
}

CASE(calls_that_do_not_exist)
{
	SHOW(syscall(9999));
	SHOW(syscall(-5L));
	SHOW(syscall(1UL << 40 | SYS_getpid) > 0 ? 0 : -1);
	SHOW(syscall(SYS_uselib, "x"));
	SHOW(syscall(SYS_create_module));
}
