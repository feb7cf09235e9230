/* C with threads that wait frozen, threads of a request, semaphores, timed waits, signals, faults.
 */
#define _GNU_SOURCE
#include "../common/program.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKERS 3
#define ITEMS 3000

/* Work for the threads that are there before the freeze. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER;
static unsigned long turn, finished;
static unsigned long sums[WORKERS];
static unsigned items[ITEMS];

static void *worker(void *argument)
{
	unsigned long index = (unsigned long)argument;
	unsigned long seen = 0;
	pthread_mutex_lock(&lock);
	for (;;) {
		while (turn == seen)
			pthread_cond_wait(&work, &lock);
		seen = turn;
		pthread_mutex_unlock(&lock);
		unsigned long sum = 0;
		for (unsigned i = index; i < ITEMS; i += WORKERS)
			sum += items[i] % 1000;
		pthread_mutex_lock(&lock);
		sums[index] = sum;
		if (++finished == WORKERS)
			pthread_cond_signal(&done);
	}
	return NULL;
}

static unsigned long parallel_sum(void)
{
	pthread_mutex_lock(&lock);
	finished = 0;
	turn++;
	pthread_cond_broadcast(&work);
	while (finished < WORKERS)
		pthread_cond_wait(&done, &lock);
	unsigned long sum = sums[0] + sums[1] + sums[2];
	pthread_mutex_unlock(&lock);
	return sum;
}

/* A thread of this request, with thread-local storage and a semaphore. */
static __thread unsigned local = 7;
static sem_t semaphore;

static void *short_lived(void *argument)
{
	local += *(unsigned *)argument;
	*(unsigned *)argument = local;
	sem_post(&semaphore);
	return argument;
}

static unsigned own_thread(unsigned number)
{
	pthread_t thread;
	unsigned value = number;
	sem_init(&semaphore, 0, 0);
	if (pthread_create(&thread, NULL, short_lived, &value) != 0)
		abort();
	sem_wait(&semaphore);
	pthread_join(thread, NULL);
	return value + local;
}

static int timed_wait(void)
{
	struct timespec until;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 100000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&lock);
	int result = pthread_cond_timedwait(&done, &lock, &until);
	pthread_mutex_unlock(&lock);
	return result;
}

/* A guard page whose fault is survived. */
static sigjmp_buf back;
static volatile sig_atomic_t raised;

static void on_fault(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	siglongjmp(back, info->si_code);
}

static void on_signal(int number)
{
	raised += number;
}

static int guarded(void)
{
	volatile char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || mprotect((void *)(page + 4096), 4096, PROT_NONE) != 0)
		abort();
	int code = sigsetjmp(back, 1);
	if (code == 0)
		page[4096] = 1;
	munmap((void *)page, 8192);
	return code;
}

static int compare(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
	return x < y ? -1 : x > y;
}

static void answer(unsigned number)
{
	unsigned state = number + 1;
	for (unsigned i = 0; i < ITEMS; i++)
		items[i] = (state = state * 1103515245 + 12345) >> 8;
	qsort(items, ITEMS, sizeof *items, compare);
	raised = 0;
	raise(SIGUSR1);
	say("median %u, sum %lu, own %u, ", items[ITEMS / 2], parallel_sum(), own_thread(number));
	say("timed out %d, ", timed_wait() == ETIMEDOUT);
	say("signal %d, fault %d, %.3f", (int)raised, guarded(), number / 7.0);
}

int main(void)
{
	struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &fault, NULL);
	signal(SIGUSR1, on_signal);
	for (unsigned long i = 0; i < WORKERS; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, worker, (void *)i) != 0)
			return 1;
	}
	return serve();
}
