/* The heap, mappings, protections, mremap and madvise as a program relies on them. */
#define _GNU_SOURCE
#include "check.h"
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE 4096UL
static char *map(void *where, size_t length, int prot, int flags)
{
	return mmap(where, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void allocator(void)
{
	char *blocks[64];
	for (int i = 0; i < 64; i++) {
		size_t size = (size_t)1 << (4 + i % 18);
		blocks[i] = malloc(size);
		CHECK(blocks[i]);
		memset(blocks[i], i, size);
	}
	for (int i = 0; i < 64; i += 2)
		free(blocks[i]);
	for (int i = 1; i < 64; i += 2) {
		size_t size = (size_t)1 << (4 + i % 18);
		blocks[i] = realloc(blocks[i], size * 3);
		CHECK(blocks[i] && blocks[i][0] == i && blocks[i][size - 1] == i);
		free(blocks[i]);
	}
	char *large = malloc(8 << 20);
	CHECK(large);
	memset(large, 7, 8 << 20);
	large = realloc(large, 32 << 20);
	CHECK(large && large[0] == 7 && large[(8 << 20) - 1] == 7);
	free(large);
}

static void mappings(void)
{
	char *at = map(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	CHECK(at != MAP_FAILED);
	for (unsigned i = 0; i < 8 * PAGE; i++)
		CHECK(at[i] == 0);
	memset(at, 1, 8 * PAGE);
	CHECK(map(at + PAGE, PAGE, PROT_READ, MAP_FIXED) == at + PAGE && at[PAGE] == 0);
	CHECK(at[0] == 1 && at[2 * PAGE] == 1);
	CHECK(map(at, PAGE, PROT_READ, MAP_FIXED_NOREPLACE) == MAP_FAILED && errno == EEXIST);
	CHECK(munmap(at + 4 * PAGE, 2 * PAGE) == 0);
	CHECK(map(at + 4 * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE) == at + 4 * PAGE);
	CHECK(at[4 * PAGE] == 0 && at[6 * PAGE] == 1);
	CHECK(mprotect(at, PAGE, PROT_READ) == 0 && at[0] == 1);
	CHECK(syscall(SYS_getcwd, at, 100) == -1 && errno == EFAULT);
	CHECK(mprotect(at, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(syscall(SYS_getcwd, at, 100) == 2 && !strcmp(at, "/"));
	CHECK(madvise(at, PAGE, MADV_DONTNEED) == 0 && at[0] == 0);
	CHECK(mprotect(at, PAGE, PROT_NONE) == 0);
	CHECK(write(1, at, 1) == -1 && errno == EFAULT);
	CHECK(mprotect(at + 5 * PAGE, PAGE, PROT_READ) == -1 && errno == ENOMEM);
	CHECK(map(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, 0) == MAP_FAILED && errno == EACCES);
	CHECK(map(NULL, 1UL << 46, PROT_READ | PROT_WRITE, 0) == MAP_FAILED && errno == ENOMEM);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 5, 0) == MAP_FAILED && errno == EBADF);
}

static void moving(void)
{
	char *at = map(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, 0);
	CHECK(at != MAP_FAILED);
	at[0] = 1, at[299 * PAGE] = 2;
	/* Something in the way. */
	map(at + 300 * PAGE, PAGE, PROT_READ, MAP_FIXED_NOREPLACE);
	CHECK(mremap(at, 300 * PAGE, 301 * PAGE, 0) == MAP_FAILED && errno == ENOMEM);
	char *new = mremap(at, 300 * PAGE, 600 * PAGE, MREMAP_MAYMOVE);
	CHECK(new != MAP_FAILED && new != at && new[0] == 1 && new[299 * PAGE] == 2);
	CHECK(new[599 * PAGE] == 0);
	CHECK(mremap(at, PAGE, 2 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED && errno == EFAULT);
	CHECK(mremap(new, 600 * PAGE, PAGE, 0) == new);
	CHECK(mremap(new, PAGE, 4 * PAGE, 0) == new && new[3 * PAGE] == 0 && new[0] == 1);
	unsigned char resident[4];
	CHECK(mincore(new, 4 * PAGE, resident) == 0 && resident[3] == 1);
}

/* What interpreters and garbage collectors do at their start. */
static void reservations(void)
{
	char *huge = map(NULL, 1UL << 44, PROT_NONE, MAP_NORESERVE);
	CHECK(huge != MAP_FAILED);
	CHECK(mprotect(huge + (1UL << 43), 64 << 20, PROT_READ | PROT_WRITE) == 0);
	huge[(1UL << 43) + (60 << 20)] = 1;
	CHECK(map(huge + (1UL << 42), 8 << 20, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_NORESERVE) != MAP_FAILED);
	huge[1UL << 42] = 2;
	CHECK(huge[(1UL << 43) + (60 << 20)] == 1 && huge[(1UL << 42) + 1] == 0);
	CHECK(munmap(huge, 1UL << 44) == 0);
	for (int i = 0; i < 100; i++) {
		char *stack = map(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_STACK);
		CHECK(stack != MAP_FAILED);
		stack[(8 << 20) - 1] = 1;
	}
	char *lazy = map(NULL, 1UL << 38, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	CHECK(lazy != MAP_FAILED);
	/* The system call reads and writes what nobody has touched. */
	CHECK(syscall(SYS_getcwd, lazy + (1UL << 37), 100) == 2 && lazy[1UL << 37] == '/');
	CHECK(write(1, lazy + (1UL << 36), 0) == 0);
	CHECK(madvise(lazy, 1UL << 38, MADV_DONTNEED) == 0 && lazy[1UL << 37] == 0);
}

static void executable(void)
{
	char *at = map(NULL, PAGE, PROT_READ | PROT_WRITE, 0);
	at[0] = (char)0xc3;
	CHECK(mprotect(at, PAGE, PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
	CHECK(mprotect(at, PAGE, PROT_READ) == 0 && at[0] == (char)0xc3);
	CHECK(mprotect(at, PAGE, PROT_READ | PROT_EXEC) == -1 && errno == EACCES);
	CHECK(map(NULL, PAGE, PROT_READ | PROT_EXEC, 0) != MAP_FAILED);
}

static void advice(void)
{
	char *at = map(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, 0);
	memset(at, 1, 4 * PAGE);
	CHECK(madvise(at, PAGE, MADV_WIPEONFORK) == 0 && madvise(at, PAGE, MADV_KEEPONFORK) == 0);
	CHECK(madvise(at, PAGE, MADV_HUGEPAGE) == 0 && at[0] == 1);
	CHECK(madvise(at, 4 * PAGE, MADV_FREE) == 0);
	CHECK(mprotect(at, 4 * PAGE, PROT_READ) == 0);
	char *new = mremap(at, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	CHECK(new != MAP_FAILED && new != at && at[PAGE] == 0);
	CHECK(syscall(SYS_getcwd, new, 100) == -1 && errno == EFAULT);
	char *down = map(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_GROWSDOWN);
	CHECK(down != MAP_FAILED);
	down[0] = 1;
	CHECK(map(NULL, PAGE, PROT_READ, MAP_HUGETLB) == MAP_FAILED && errno == ENOMEM);
}

int main(void)
{
	allocator();
	mappings();
	moving();
	reservations();
	executable();
	advice();
	puts("ok");
	return 0;
}
