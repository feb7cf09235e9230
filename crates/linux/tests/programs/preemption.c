/* Threads that never wait: slices, and what a switch must keep. */
#define _GNU_SOURCE
#include "check.h"
#include <immintrin.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static atomic_int stop, started;
static atomic_long turns[3];

static void *spin(void *argument)
{
	long me = (long)argument;
	started++;
	while (!stop)
		turns[me]++;
	return NULL;
}

/* Registers of all kinds under preemption. */
static void *registers(void *argument)
{
	uint64_t mark = (uint64_t)argument * 0x0101010101010101;
	started++;
	while (!stop) {
		uint64_t bad = 0;
		__asm__ volatile(
			"movq %1, %%xmm0\n movq %1, %%xmm15\n mov %1, %%r12\n mov %1, %%rcx\n mov %1, %%r11\n"
			"mov $20000, %%r13\n"
			"1: movq %%xmm0, %%r14\n cmp %1, %%r14\n jne 2f\n"
			"movq %%xmm15, %%r14\n cmp %1, %%r14\n jne 2f\n"
			"cmp %1, %%r12\n jne 2f\n cmp %1, %%rcx\n jne 2f\n cmp %1, %%r11\n jne 2f\n"
			"dec %%r13\n jnz 1b\n jmp 3f\n"
			"2: mov $1, %0\n 3:\n"
			: "+r"(bad)
			: "r"(mark)
			: "r11", "r12", "r13", "r14", "rcx", "xmm0", "xmm15", "cc");
		CHECK(bad == 0);
	}
	return NULL;
}

__attribute__((target("avx"))) static void *wide(void *argument)
{
	double mark = (double)(long)argument;
	started++;
	while (!stop) {
		uint32_t bad = 0;
		__asm__ volatile(
			"vbroadcastsd %1, %%ymm7\n vmovapd %%ymm7, %%ymm6\n mov $20000, %%r13\n"
			"1: vcmppd $4, %%ymm6, %%ymm7, %%ymm5\n vptest %%ymm5, %%ymm5\n jnz 2f\n"
			"vbroadcastsd %1, %%ymm5\n vcmppd $4, %%ymm5, %%ymm7, %%ymm5\n vptest %%ymm5, %%ymm5\n jnz 2f\n"
			"dec %%r13\n jnz 1b\n jmp 3f\n 2: mov $1, %0\n 3:\n"
			: "+r"(bad)
			: "m"(mark)
			: "r13", "xmm5", "xmm6", "xmm7", "cc");
		CHECK(bad == 0);
	}
	return NULL;
}

static atomic_int signalled;
static void preempt(int number) { signalled++; }

int main(void)
{
	pthread_t threads[3];
	for (long i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, spin, (void *)i) == 0);
	/* Nobody gives way: the main thread spins, too. */
	while (started < 3 || turns[0] < 1000 || turns[1] < 1000 || turns[2] < 1000)
		;
	/* A signal to a thread that computes. */
	signal(SIGURG, preempt);
	CHECK(pthread_kill(threads[1], SIGURG) == 0);
	while (!signalled)
		;
	stop = 1;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);

	/* A sleeper wakes although somebody computes. */
	stop = started = 0;
	CHECK(pthread_create(&threads[0], NULL, spin, (void *)0) == 0);
	usleep(20000);
	stop = 1;
	pthread_join(threads[0], NULL);

	void *(*kinds[])(void *) = { registers, __builtin_cpu_supports("avx") ? wide : registers };
	for (int kind = 0; kind < 2; kind++) {
		stop = started = 0;
		for (long i = 0; i < 3; i++)
			CHECK(pthread_create(&threads[i], NULL, kinds[kind], (void *)(i + 1)) == 0);
		while (started < 3)
			;
		for (int i = 0; i < 5; i++)
			usleep(10000);
		stop = 1;
		for (int i = 0; i < 3; i++)
			pthread_join(threads[i], NULL);
	}
	puts("ok");
	return 0;
}
