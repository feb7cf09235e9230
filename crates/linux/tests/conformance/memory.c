/* Mappings: placing, protecting, moving, discarding. */
#include "case.h"

#define PAGE 4096UL
static sigjmp_buf back;
static void catch(int number) { siglongjmp(back, number); }

/* 'w' if the byte can be written, 'r' if it can only be read, '-' if neither. */
static char access_of(volatile char *at)
{
	signal(SIGSEGV, catch), signal(SIGBUS, catch);
	if (sigsetjmp(back, 1))
		return '-';
	char old = *at;
	if (sigsetjmp(back, 1))
		return 'r';
	*at = old;
	return 'w';
}

static void show_pages(const char *what, char *at, int count)
{
	printf("%s: ", what);
	for (int i = 0; i < count; i++)
		putchar(access_of(at + (size_t)i * PAGE));
	putchar('\n');
}

static char *map(void *where, size_t length, int protection, int flags)
{
	return mmap(where, length, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

#define RW (PROT_READ | PROT_WRITE)
#define MAPS(expression) \
	do { errno = 0; void *at_ = (expression); SAY("%s: %s", #expression, at_ == MAP_FAILED ? error_name(errno) : "ok"); } while (0)

CASE(new_memory_is_zero)
{
	char *at = map(NULL, 64 * PAGE, RW, 0);
	long sum = 0;
	for (size_t i = 0; i < 64 * PAGE; i++)
		sum += at[i];
	memset(at, 1, 64 * PAGE);
	munmap(at, 64 * PAGE);
	at = map(at, 64 * PAGE, RW, MAP_FIXED);
	for (size_t i = 0; i < 64 * PAGE; i++)
		sum += at[i];
	SAY("%ld", sum);
}

CASE(unmapping_the_middle)
{
	char *at = map(NULL, 5 * PAGE, RW, 0);
	memset(at, 7, 5 * PAGE);
	SHOW(munmap(at + PAGE, 2 * PAGE));
	show_pages("after", at, 5);
	SAY("%d %d", at[0], at[3 * PAGE]);
	SHOW(munmap(at + PAGE, 2 * PAGE));
	SHOW(munmap(at, 5 * PAGE));
	show_pages("gone", at, 5);
}

CASE(fixed_mappings_replace)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	memset(at, 7, 4 * PAGE);
	IS(map(at + PAGE, PAGE, PROT_READ, MAP_FIXED) == at + PAGE);
	SAY("%d %d %d", at[0], at[PAGE], at[2 * PAGE]);
	show_pages("after", at, 4);
	MAPS(map(at, PAGE, RW, MAP_FIXED_NOREPLACE));
	MAPS(map(at + 3 * PAGE, 2 * PAGE, RW, MAP_FIXED_NOREPLACE));
	munmap(at + 2 * PAGE, PAGE);
	IS(map(at + 2 * PAGE, PAGE, RW, MAP_FIXED_NOREPLACE) == at + 2 * PAGE);
	show_pages("after", at, 4);
}

CASE(hints)
{
	char *at = map(NULL, 16 * PAGE, RW, 0);
	munmap(at, 16 * PAGE);
	IS(map(at + 4 * PAGE, PAGE, RW, 0) == at + 4 * PAGE);
	IS(map(at + 4 * PAGE, PAGE, RW, 0) != at + 4 * PAGE);
	IS(map(at + 8 * PAGE + 123, PAGE, RW, 0) == at + 8 * PAGE);
	IS(map((void *)PAGE, PAGE, RW, 0) != (void *)PAGE);
	IS(map((void *)0x7ffffffff000, PAGE, RW, 0) != MAP_FAILED);
}

CASE(wrong_mappings)
{
	char *at = map(NULL, PAGE, RW, 0);
	MAPS(map(NULL, 0, RW, 0));
	MAPS(mmap(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0));
	MAPS(mmap(NULL, PAGE, RW, MAP_ANONYMOUS | 0x0f, -1, 0));
	MAPS(map(at + 1, PAGE, RW, MAP_FIXED));
	MAPS(mmap(NULL, PAGE, RW, MAP_PRIVATE, NO_FD, 0));
	MAPS(mmap(NULL, PAGE, RW, MAP_PRIVATE, -1, 0));
	MAPS(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 1));
	MAPS(map(NULL, (size_t)-1, RW, 0));
	MAPS(map(NULL, 1UL << 47, PROT_NONE, MAP_NORESERVE));
	/* Beyond user memory on processors with five levels of page tables, too. */
	MAPS(map((void *)0x100000000000000, PAGE, RW, MAP_FIXED));
	MAPS(map((void *)0xfffffffffff000, PAGE, RW, MAP_FIXED));
}

CASE(protecting_parts)
{
	char *at = map(NULL, 6 * PAGE, RW, 0);
	SHOW(mprotect(at + PAGE, PAGE, PROT_READ));
	SHOW(mprotect(at + 3 * PAGE, 2 * PAGE, PROT_NONE));
	show_pages("after", at, 6);
	SHOW(mprotect(at, 6 * PAGE, PROT_READ));
	show_pages("after", at, 6);
	SHOW(mprotect(at, 6 * PAGE, RW));
	show_pages("after", at, 6);
	SHOW(mprotect(at, 6 * PAGE, PROT_WRITE));
	show_pages("written", at, 6);
}

CASE(protecting_across_a_hole)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	munmap(at + 2 * PAGE, PAGE);
	SHOW(mprotect(at, 4 * PAGE, PROT_READ));
	show_pages("after", at, 4);
}

CASE(wrong_protections)
{
	char *at = map(NULL, 2 * PAGE, RW, 0);
	SHOW(mprotect(at + 1, PAGE, PROT_READ));
	SHOW(mprotect(at, 0, PROT_READ));
	SHOW(mprotect(at, PAGE, 0x40));
	SHOW(mprotect(NOWHERE, PAGE, PROT_READ));
	SHOW(mprotect(at, (size_t)-1, PROT_READ));
	SHOW(mprotect(at, 1, PROT_READ));
	show_pages("after", at, 2);
	SHOW(munmap(at + 1, PAGE));
	SHOW(munmap(at, 0));
	SHOW(munmap(NOWHERE, PAGE));
	SHOW(munmap((void *)0x100000000000000, PAGE));
}

CASE(growing_in_place)
{
	char *at = map(NULL, 8 * PAGE, RW, 0);
	munmap(at + 2 * PAGE, 6 * PAGE);
	memset(at, 7, 2 * PAGE);
	IS(mremap(at, 2 * PAGE, 4 * PAGE, 0) == at);
	SAY("%d %d %d", at[0], at[2 * PAGE - 1], at[2 * PAGE]);
	show_pages("after", at, 5);
	IS(mremap(at, 4 * PAGE, PAGE, 0) == at);
	show_pages("after", at, 5);
	IS(mremap(at, PAGE, PAGE, 0) == at);
}

CASE(moving)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	for (int i = 0; i < 4; i++)
		at[(size_t)i * PAGE] = (char)('a' + i);
	map(at + 4 * PAGE, PAGE, PROT_NONE, MAP_FIXED_NOREPLACE);
	MAPS(mremap(at, 4 * PAGE, 8 * PAGE, 0));
	char *new = mremap(at, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
	IS(new != MAP_FAILED && new != at);
	SAY("%c%c%c%c %d", new[0], new[PAGE], new[2 * PAGE], new[3 * PAGE], new[4 * PAGE]);
	show_pages("old", at, 4);
	show_pages("new", new, 8);
	char *to = map(NULL, 8 * PAGE, RW, 0);
	IS(mremap(new, 4 * PAGE, 4 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
	SAY("%c%c%c%c", to[0], to[PAGE], to[2 * PAGE], to[3 * PAGE]);
	show_pages("old", new, 8);
}

CASE(moving_without_unmapping)
{
	char *at = map(NULL, 2 * PAGE, RW, 0);
	at[0] = 5;
	char *new = mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4 /* MREMAP_DONTUNMAP */, NULL);
	IS(new != MAP_FAILED && new != at);
	if (new != MAP_FAILED)
		SAY("%d %d", at[0], new[0]);
}

CASE(wrong_moves)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	munmap(at + 2 * PAGE, PAGE);
	MAPS(mremap(at + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	MAPS(mremap(at, PAGE, 0, MREMAP_MAYMOVE));
	MAPS(mremap(at, PAGE, 2 * PAGE, 0x40));
	MAPS(mremap(at, PAGE, 2 * PAGE, MREMAP_FIXED, at));
	MAPS(mremap(at, PAGE, PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, at + 1));
	MAPS(mremap(at, 2 * PAGE, 2 * PAGE, MREMAP_FIXED | MREMAP_MAYMOVE, at + PAGE));
	MAPS(mremap(NOWHERE, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	MAPS(mremap(at + PAGE, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	/* What a size beyond the address space is depends on the version of Linux. */
}

CASE(discarding)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	memset(at, 7, 4 * PAGE);
	SHOW(madvise(at + PAGE, 2 * PAGE, MADV_DONTNEED));
	SAY("%d %d %d %d", at[0], at[PAGE], at[2 * PAGE], at[3 * PAGE]);
	mprotect(at, PAGE, PROT_READ);
	SHOW(madvise(at, PAGE, MADV_DONTNEED));
	SAY("%d", at[0]);
	SHOW(madvise(at + 3 * PAGE, PAGE, MADV_FREE));
	at[3 * PAGE] = 9;
	SAY("%d", at[3 * PAGE]);
}

CASE(advice)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	at[0] = 3;
	static const int kinds[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_DONTFORK, MADV_DOFORK, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK,
		MADV_COLD, MADV_PAGEOUT};
	for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		SAY("advice %d", kinds[i]);
		SHOW(madvise(at, 2 * PAGE, kinds[i]));
	}
	SAY("%d", at[0]);
	SHOW(madvise(at + 1, PAGE, MADV_NORMAL));
	SHOW(madvise(at, 0, MADV_NORMAL));
	SHOW(madvise(at, PAGE, 9999));
	SHOW(madvise(NOWHERE, PAGE, MADV_DONTNEED));
	munmap(at + PAGE, PAGE);
	SHOW(madvise(at, 4 * PAGE, MADV_DONTNEED));
	SAY("%d", at[0]);
	SHOW(madvise(at, (size_t)-1, MADV_DONTNEED));
}

CASE(residency)
{
	unsigned char resident[4] = {9, 9, 9, 9};
	char *at = map(NULL, 4 * PAGE, RW, 0);
	madvise(at, 4 * PAGE, MADV_NOHUGEPAGE);
	SHOW(mincore(at, 4 * PAGE, resident));
	SAY("%d%d%d%d", resident[0] & 1, resident[1] & 1, resident[2] & 1, resident[3] & 1);
	at[0] = at[2 * PAGE] = 1;
	SHOW(mincore(at, 4 * PAGE, resident));
	SAY("%d%d%d%d", resident[0] & 1, resident[1] & 1, resident[2] & 1, resident[3] & 1);
	SHOW(mincore(at + 1, PAGE, resident));
	SHOW(mincore(at, PAGE, NOWHERE));
	SHOW(mincore(NOWHERE, PAGE, resident));
	SHOW(mincore(at, 0, resident));
}

CASE(heap_end)
{
	char *start = sbrk(0);
	IS(sbrk(0) == start);
	IS(brk(start + 10 * PAGE) == 0);
	IS(sbrk(0) == start + 10 * PAGE);
	memset(start, 7, 10 * PAGE);
	IS(brk(start + 2 * PAGE) == 0);
	IS(access_of((char *)(((uintptr_t)start + 3 * PAGE) & ~(PAGE - 1))) == '-');
	IS(brk(start + 10 * PAGE) == 0);
	SAY("%d %d", start[0], start[5 * PAGE]);
	SHOW(brk((void *)(1UL << 46)));
	IS(sbrk(0) == start + 10 * PAGE);
	IS(syscall(SYS_brk, 0) == (long)sbrk(0));
}

CASE(locking)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	SHOW(mlock(at, PAGE));
	SHOW(mlock(at + 5, 10));
	SHOW(munlock(at, PAGE));
	SHOW(mlock2(at, PAGE, MLOCK_ONFAULT));
	SHOW(mlock2(at, PAGE, 77));
	SHOW(mlock(NOWHERE, PAGE));
	SHOW(munlock(NOWHERE, PAGE));
	SHOW(munlockall());
	SHOW(mlockall(0));
	SHOW(mlockall(64));
}

CASE(synchronising)
{
	char *at = map(NULL, 4 * PAGE, RW, 0);
	SHOW(msync(at, PAGE, MS_SYNC));
	SHOW(msync(at, PAGE, MS_ASYNC | MS_INVALIDATE));
	SHOW(msync(at, PAGE, MS_SYNC | MS_ASYNC));
	SHOW(msync(at, PAGE, 64));
	SHOW(msync(at + 1, PAGE, MS_SYNC));
	SHOW(msync(NOWHERE, PAGE, MS_SYNC));
	munmap(at + PAGE, PAGE);
	SHOW(msync(at, 4 * PAGE, MS_SYNC));
}

CASE(huge_reservation)
{
	char *at = map(NULL, 1UL << 40, PROT_NONE, MAP_NORESERVE);
	IS(at != MAP_FAILED);
	char *middle = at + (1UL << 39);
	SHOW(mprotect(middle, 2 * PAGE, RW));
	middle[0] = 5, middle[2 * PAGE - 1] = 6;
	SAY("%d %d", middle[0], middle[2 * PAGE - 1]);
	show_pages("around", middle - PAGE, 4);
	IS(map(middle + (1 << 30), PAGE, RW, MAP_FIXED) == middle + (1 << 30));
	show_pages("fixed", middle + (1 << 30), 2);
	SHOW(madvise(at, 1UL << 40, MADV_DONTNEED));
	SAY("%d", middle[0]);
	SHOW(munmap(at, 1UL << 40));
	show_pages("gone", middle, 1);
}

CASE(shared_anonymous_memory)
{
	char *at = mmap(NULL, 2 * PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	IS(at != MAP_FAILED);
	at[0] = 5;
	SHOW(mprotect(at, PAGE, PROT_READ));
	show_pages("after", at, 2);
	SAY("%d", at[0]);
	SHOW(madvise(at, PAGE, MADV_DONTNEED));
	SAY("%d", at[0]);
}

CASE(stack_that_grows)
{
	char *room = map(NULL, 4096 * PAGE, PROT_NONE, 0);
	munmap(room, 4096 * PAGE);
	char *top = map(room + 4000 * PAGE, PAGE, RW, MAP_FIXED | MAP_GROWSDOWN);
	IS(top == room + 4000 * PAGE);
	signal(SIGSEGV, catch);
	for (volatile int i = 0; i < 20; i++) {
		if (sigsetjmp(back, 1)) {
			SAY("fault in page %d", i);
			return;
		}
		top[-(long)i * (long)PAGE] = 1;
	}
	SAY("grown");
}

CASE(much_memory)
{
	size_t length = 96 << 20;
	char *at = map(NULL, length, RW, 0);
	long sum = 0;
	for (size_t i = 0; i < length; i += PAGE)
		at[i] = (char)(i / PAGE);
	for (size_t i = 0; i < length; i += PAGE)
		sum += at[i];
	SAY("%ld", sum);
	SHOW(munmap(at, length));
}

CASE(allocator)
{
	void *blocks[200];
	unsigned long state = 1, sum = 0;
	for (int round = 0; round < 4000; round++) {
		state = state * 6364136223846793005UL + 1442695040888963407UL;
		int slot = (int)(state >> 33) % 200;
		size_t size = (state >> 40) % 60000 + 1;
		if (round < 200)
			slot = round, blocks[slot] = NULL;
		blocks[slot] = realloc(blocks[slot], size);
		memset(blocks[slot], slot, size);
		sum += ((unsigned char *)blocks[slot])[size - 1];
	}
	for (int i = 0; i < 200; i++)
		free(blocks[i]);
	char *large = malloc(20 << 20);
	memset(large, 1, 20 << 20);
	large = realloc(large, 50 << 20);
	SAY("%lu %d %d", sum, large[(20 << 20) - 1], large[20 << 20]);
}

CASE(many_small_mappings)
{
	char *at = map(NULL, 2000 * PAGE, RW, 0);
	memset(at, 1, 2000 * PAGE);
	for (int i = 0; i < 2000; i += 2)
		if (mprotect(at + (size_t)i * PAGE, PAGE, PROT_READ))
			SAY("%d: %s", i, error_name(errno));
	show_pages("some", at, 6);
	for (int i = 1; i < 2000; i += 2)
		munmap(at + (size_t)i * PAGE, PAGE);
	show_pages("some", at, 6);
	SHOW(munmap(at, 2000 * PAGE));
}

CASE(mapped_memory_file)
{
	int file = memfd_create("memory", 0);
	SHOW(ftruncate(file, 3 * PAGE));
	char *one = mmap(NULL, 3 * PAGE, RW, MAP_SHARED, file, 0);
	char *two = mmap(NULL, PAGE, RW, MAP_SHARED, file, PAGE);
	char *private = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE, file, 0);
	IS(one != MAP_FAILED && two != MAP_FAILED && private != MAP_FAILED);
	if (one == MAP_FAILED || two == MAP_FAILED || private == MAP_FAILED)
		return;
	one[PAGE] = 5;
	SAY("%d %d", two[0], private[PAGE]);
	private[PAGE] = 6;
	SAY("%d %d", two[0], private[PAGE]);
	char byte = 0;
	SHOW(pread(file, &byte, 1, PAGE));
	SAY("%d", byte);
	SHOW(pwrite(file, "x", 1, 0));
	SAY("%d", one[0]);
}

CASE(mapping_needs_rights_on_the_file)
{
	int ends[2] = {-1, -1};
	TRY(pipe(ends));
	MAPS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0));
	int file = memfd_create("memory", 0);
	MAPS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, 1));
	MAPS(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, file, PAGE));
}
