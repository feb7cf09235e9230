/*
 * Runs the vDSO image on the host: maps it behind a page like the one that the engine writes,
 * calls every function and compares with the kernel's clocks.
 *
 *   vdso_harness IMAGE clock_gettime gettimeofday time clock_getres getcpu
 *
 * with the functions as offsets in the image. Exit status 0, or 1 with a message.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define CHECK(condition, ...) \
	do { if (!(condition)) { printf("line %d: %s: ", __LINE__, #condition); \
		printf(__VA_ARGS__); puts(""); exit(1); } } while (0)

struct page {
	uint32_t sequence, shift;
	uint64_t tsc_base, multiplier, realtime, monotonic;
	uint32_t valid;
};

static int (*get)(int, struct timespec *);
static int (*day)(struct timeval *, struct timezone *);
static int64_t (*seconds)(int64_t *);
static int (*resolution)(int, struct timespec *);
static long (*cpu)(unsigned *, unsigned *, void *);

static uint64_t kernel(int id)
{
	struct timespec t;
	syscall(SYS_clock_gettime, id, &t);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static uint64_t ours(int id)
{
	struct timespec t = { -1, -1 };
	int result = get(id, &t);
	CHECK(result == 0, "clock %d: %d", id, result);
	CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000, "clock %d: %ld", id, t.tv_nsec);
	return t.tv_sec * 1000000000UL + t.tv_nsec;
}

static void exact(struct page *page)
{
	/* With a multiplier of 0 time stands still, and every result is known. */
	page->realtime = 1700000000999999999UL;
	page->monotonic = 5000000000UL;
	page->multiplier = 0;
	page->shift = 0;
	page->tsc_base = 0;
	page->valid = 1;
	static const int real[] = { 0, 5 }, mono[] = { 1, 4, 6, 7 };
	for (int i = 0; i < 2; i++)
		CHECK(ours(real[i]) == page->realtime, "clock %d", real[i]);
	for (int i = 0; i < 4; i++)
		CHECK(ours(mono[i]) == page->monotonic, "clock %d", mono[i]);
	struct timeval tv;
	struct timezone tz = { 1, 1 };
	CHECK(day(&tv, &tz) == 0, "gettimeofday");
	CHECK(tv.tv_sec == 1700000000 && tv.tv_usec == 999999, "%ld", tv.tv_usec);
	CHECK(tz.tz_minuteswest == 0 && tz.tz_dsttime == 0, "zone");
	CHECK(day(NULL, NULL) == 0, "null");
	int64_t t = 0;
	CHECK(seconds(&t) == 1700000000 && t == 1700000000, "%ld", t);
	CHECK(seconds(NULL) == 1700000000, "null");

	/* A counter behind the base must not make time jump. */
	page->tsc_base = __rdtsc() + (1UL << 40);
	page->multiplier = 1UL << 32;
	CHECK(ours(1) == page->monotonic, "behind");

	/* 2^62 ticks times 2^62, shifted back by 62: more than 64 bits on the way. */
	page->tsc_base = __rdtsc() - (1UL << 62);
	page->multiplier = 1UL << 62;
	page->shift = 62;
	uint64_t ticks = ours(1) - page->monotonic;
	CHECK(ticks >= 1UL << 62 && ticks < (1UL << 62) + (1UL << 36), "%lu", ticks);
}

static void running(struct page *page)
{
	uint64_t tsc = __rdtsc(), start = kernel(CLOCK_MONOTONIC);
	while (kernel(CLOCK_MONOTONIC) - start < 50000000)
		;
	uint64_t ticks = __rdtsc() - tsc, elapsed = kernel(CLOCK_MONOTONIC) - start;
	page->shift = 32;
	page->multiplier = (uint64_t)(((unsigned __int128)elapsed << 32) / ticks);
	/* Again if something came in between. */
	do {
		page->monotonic = kernel(CLOCK_MONOTONIC);
		page->realtime = kernel(CLOCK_REALTIME);
		page->tsc_base = __rdtsc();
	} while (kernel(CLOCK_MONOTONIC) - page->monotonic > 100000);
	for (int id = 0; id < 2; id++) {
		/* The multiplier above is good to a few parts in a thousand. */
		uint64_t before = kernel(id), between = ours(id), after = kernel(id);
		CHECK(between + 1000000 > before, "clock %d is %lu ns behind", id, before - between);
		CHECK(between < after + 1000000, "clock %d is %lu ns ahead", id, between - after);
		uint64_t last = ours(id);
		for (int i = 0; i < 100000; i++) {
			uint64_t now = ours(id);
			CHECK(now >= last, "clock %d went back", id);
			last = now;
		}
	}
}

static void fallback(struct page *page)
{
	static const int ids[] = { 0, 1, 4, 5, 6, 7 };
	struct timespec t;
	/* The host is asked when there is no counter, and when the page stays locked. */
	for (int locked = 0; locked < 2; locked++) {
		page->valid = locked;
		page->sequence = locked;
		for (int i = 0; i < 6; i++) {
			uint64_t before = kernel(ids[i]), now = ours(ids[i]);
			CHECK(now >= before && now - before < 1000000000, "clock %d", ids[i]);
		}
		CHECK(llabs(seconds(NULL) - time(NULL)) < 2, "time");
		struct timeval tv;
		CHECK(day(&tv, NULL) == 0 && llabs(tv.tv_sec - time(NULL)) < 2, "gettimeofday");
	}
	page->sequence = 2;
	/* Clocks that are not on the page, and what is no clock. */
	CHECK(get(CLOCK_PROCESS_CPUTIME_ID, &t) == 0 && t.tv_sec < 60, "processor time");
	CHECK(get(CLOCK_TAI, &t) == 0, "TAI");
	CHECK(get(99, &t) == -22 && get(-1, &t) != 0, "EINVAL");
	CHECK(resolution(CLOCK_MONOTONIC, &t) == 0, "resolution");
	CHECK(resolution(99, &t) == -22, "EINVAL");
	unsigned processor = 9, node = 9;
	CHECK(cpu(&processor, &node, NULL) == 0 && processor == 0 && node == 0, "getcpu");
	CHECK(cpu(NULL, NULL, NULL) == 0, "null");
}

int main(int argc, char **argv)
{
	CHECK(argc == 7, "%d arguments", argc);
	FILE *file = fopen(argv[1], "rb");
	CHECK(file, "%s", argv[1]);
	char *memory = mmap(NULL, 4096 + 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(memory != MAP_FAILED, "mmap");
	CHECK(fread(memory + 4096, 1, 8192, file) > 0, "read");
	CHECK(mprotect(memory + 4096, 8192, PROT_READ | PROT_EXEC) == 0, "mprotect");
	void *function[5];
	for (int i = 0; i < 5; i++)
		function[i] = memory + 4096 + strtoul(argv[2 + i], NULL, 0);
	memcpy(&get, &function[0], sizeof get);
	memcpy(&day, &function[1], sizeof day);
	memcpy(&seconds, &function[2], sizeof seconds);
	memcpy(&resolution, &function[3], sizeof resolution);
	memcpy(&cpu, &function[4], sizeof cpu);
	struct page *page = (struct page *)memory;
	exact(page);
	running(page);
	fallback(page);
	return 0;
}
