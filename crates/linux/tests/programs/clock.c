/* The C library's clocks come from the vDSO, agree with the system calls, and run on. */
#define _GNU_SOURCE
#include "check.h"
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long nanoseconds(struct timespec t) { return t.tv_sec * 1000000000L + t.tv_nsec; }

int main(void)
{
	static const int ids[] = { CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME };
	for (int i = 0; i < 3; i++) {
		struct timespec before, between, after;
		CHECK(syscall(SYS_clock_gettime, ids[i], &before) == 0);
		CHECK(clock_gettime(ids[i], &between) == 0);
		CHECK(syscall(SYS_clock_gettime, ids[i], &after) == 0);
		CHECK(nanoseconds(before) <= nanoseconds(between));
		CHECK(nanoseconds(between) <= nanoseconds(after));
		CHECK(nanoseconds(after) - nanoseconds(before) < 2000000000L);
	}
	struct timespec start, now;
	clock_gettime(CLOCK_MONOTONIC, &start);
	long turns = 0;
	do {
		clock_gettime(CLOCK_MONOTONIC, &now);
		CHECK(nanoseconds(now) >= nanoseconds(start));
		turns++;
	} while (nanoseconds(now) - nanoseconds(start) < 10000000);
	CHECK(turns > 10);
	struct timeval tv;
	CHECK(gettimeofday(&tv, NULL) == 0 && tv.tv_sec > 1700000000);
	CHECK(labs(time(NULL) - tv.tv_sec) < 2);
	puts("ok");
	return 0;
}
