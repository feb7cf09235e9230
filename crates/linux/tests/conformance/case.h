/* What all areas share: how a case is declared, and how it prints what it finds.
 *
 * A program holds the cases of one area: `program --list` names them, `program NAME DIRECTORY`
 * runs one; with DIRECTORY, which is empty, as the working directory if the area's file defines
 * IN_DIRECTORY. What a case prints must be the same in every
 * run on every Linux: no addresses, no numbers of processes, no times. */
#ifndef CASE_H
#define CASE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Wrong arguments are what these programs are about. */
#pragma GCC diagnostic ignored "-Wstringop-overflow"
#pragma GCC diagnostic ignored "-Wstringop-overread"
#pragma GCC diagnostic ignored "-Wnonnull"

struct conformance_case {
	const char *name;
	void (*run)(void);
};

#define CASE(name) \
	static void case_##name(void); \
	static const struct conformance_case entry_##name \
		__attribute__((used, section("cases"))) = {#name, case_##name}; \
	static void case_##name(void)

/* A line of text. */
#define SAY(...) (printf(__VA_ARGS__), putchar('\n'))

/* The value of an expression, or the name of errno if it is -1. */
#define SHOW(expression) \
	do { errno = 0; show(#expression, (long)(expression)); } while (0)

/* Only whether it worked. */
#define TRY(expression) \
	do { errno = 0; show(#expression, (long)(expression) == -1 ? -1 : 0); } while (0)

/* For functions that return an error number. */
#define SHOW_ERROR(expression) \
	do { int code_ = (expression); SAY("%s: %s", #expression, code_ ? error_name(code_) : "0"); } while (0)

/* A condition. */
#define IS(condition) \
	do { bool holds_ = (condition); SAY("%s: %s", #condition, holds_ ? "yes" : "no"); } while (0)

static inline const char *error_name(int error)
{
	const char *name = strerrorname_np(error);
	return name ? name : "?";
}

static inline void show(const char *what, long value)
{
	if (value == -1)
		SAY("%s: %s", what, error_name(errno));
	else
		SAY("%s: %ld", what, value);
}

static inline void sleep_ms(long milliseconds)
{
	struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
	while (nanosleep(&time, &time) == -1 && errno == EINTR)
		;
}

/* Milliseconds of the monotonic clock. */
static inline long now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* A time on a clock, so many milliseconds from now. */
static inline struct timespec in_ms(clockid_t clock, long milliseconds)
{
	struct timespec time;
	clock_gettime(clock, &time);
	time.tv_sec += milliseconds / 1000;
	time.tv_nsec += milliseconds % 1000 * 1000000;
	if (time.tv_nsec >= 1000000000)
		time.tv_sec++, time.tv_nsec -= 1000000000;
	return time;
}

static inline pthread_t start(void *(*function)(void *), void *argument)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, function, argument);
	if (error) {
		SAY("pthread_create: %s", error_name(error));
		exit(99);
	}
	return thread;
}

/* An address at which nothing is ever mapped. */
#define NOWHERE ((void *)0x6666000000)
/* A descriptor that is never open. */
#define NO_FD 900

extern const struct conformance_case __start_cases[], __stop_cases[];

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	bool list = argc == 2 && !strcmp(argv[1], "--list");
	for (const struct conformance_case *it = __start_cases; it < __stop_cases; it++) {
		if (list) {
			puts(it->name);
		} else if (argc == 3 && !strcmp(argv[1], it->name)) {
#ifdef IN_DIRECTORY
			if (chdir(argv[2]) == -1)
				SAY("chdir to the case's directory: %s", error_name(errno));
#endif
			it->run();
			return 0;
		}
	}
	return list ? 0 : 98;
}
#endif
