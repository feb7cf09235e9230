/* Machine code as some JIT compilers make it: the same memory is mapped twice, once to write and once
 * to execute, so that it is never both at one address.
 */
#define _GNU_SOURCE
#include "../common/program.h"

#include <sys/mman.h>

static unsigned char *to_write;
static int (*to_execute)(void);

static void answer(unsigned number)
{
	/* mov $number, %eax; ret */
	unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3};
	memcpy(code + 1, &number, sizeof number);
	memcpy(to_write, code, sizeof code);
	say("%d", to_execute());
}

int main(void)
{
	int file = memfd_create("code", MFD_CLOEXEC);
	if (file < 0 || ftruncate(file, 4096) != 0) {
		perror("memfd_create");
		return 1;
	}
	void *first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	void *second = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
	if (first == MAP_FAILED || second == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	to_write = first;
	to_execute = (int (*)(void))second;
	return serve();
}
