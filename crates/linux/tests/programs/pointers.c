/* Bad pointers are EFAULT, and the program goes on. */
#define _GNU_SOURCE
#include "check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static const long bad[] = {
	1, 0x1000, (long)0xffff000000000000 - 1, 0x666600000000, 0x7ffffffff000, 0x800000000000, -1, -4096, -0x7fff800000000000,
	/* The engine's own pages: nothing for a program to write through a call. */
	(long)0xffff800000000000, (long)0xffffffffff600000,
};

static void efault(int line, long a, long b, long c, long d, long e)
{
	errno = 0;
	long result = syscall(a, b, c, d, e, 8);
	if (result != -1 || errno != EFAULT) {
		printf("line %d: call %ld(%#lx, %#lx, %#lx, %#lx) gave %ld, errno %d\n", line, a, b, c, d,
		       e, result, errno);
		exit(1);
	}
}
#define EFAULTS(...) efault(__LINE__, __VA_ARGS__)

int main(void)
{
	for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
		long at = bad[i];
		EFAULTS(SYS_write, 1, at, 10, 0);
		EFAULTS(SYS_writev, 1, at, 1, 0);
		EFAULTS(SYS_fstat, 1, at, 0, 0);
		EFAULTS(SYS_uname, at, 0, 0, 0);
		EFAULTS(SYS_getrandom, at, 16, 0, 0);
		EFAULTS(SYS_clock_gettime, 1, at, 0, 0);
		EFAULTS(SYS_nanosleep, at, 0, 0, 0);
		EFAULTS(SYS_rt_sigaction, 10, at, 0, 8);
		EFAULTS(SYS_rt_sigaction, 10, 0, at, 8);
		EFAULTS(SYS_rt_sigprocmask, 0, at, 0, 8);
		EFAULTS(SYS_openat, AT_FDCWD, at, 0, 0);
		EFAULTS(SYS_readlink, at, at, 10, 0);
		EFAULTS(SYS_poll, at, 1, 0, 0);
		EFAULTS(SYS_arch_prctl, 0x1003, at, 0, 0);
		EFAULTS(SYS_prlimit64, 0, 7, at, 0);
		EFAULTS(SYS_sysinfo, at, 0, 0, 0);
	}
	/* Memory that ends in the middle, code, and a page that may not be read. */
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED && munmap(page + 4096, 4096) == 0);
	EFAULTS(SYS_uname, (long)page + 4000, 0, 0, 0);
	EFAULTS(SYS_write, 1, (long)page + 4090, 7, 0);
	EFAULTS(SYS_getrandom, (long)main, 16, 0, 0);
	EFAULTS(SYS_getrandom, (long)page | 1L << 48, 16, 0, 0);
	EFAULTS(SYS_getrandom, (long)page | 1L << 63, 16, 0, 0);
	CHECK(mprotect(page, 4096, PROT_NONE) == 0);
	EFAULTS(SYS_getrandom, (long)page, 16, 0, 0);
	EFAULTS(SYS_write, 1, (long)page, 1, 0);
	puts("ok");
	return 0;
}
