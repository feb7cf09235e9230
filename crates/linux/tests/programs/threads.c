/* Threads and what they synchronise with. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static sem_t semaphore;
static __thread int own = 7;
static int turn, total, at_barrier;
static long counter;
static volatile int held;

static void *add(void *argument)
{
	double sum = 0;
	CHECK(own == 7);
	own = (int)(intptr_t)argument;
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&mutex);
		long before = counter;
		sum += 0.5;
		if (i % 50 == 0)
			sched_yield();
		counter = before + 1;
		pthread_mutex_unlock(&mutex);
	}
	CHECK(own == (int)(intptr_t)argument && sum == 250);
	return argument;
}

static void *ping_pong(void *argument)
{
	int me = (int)(intptr_t)argument;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&mutex);
		while (turn != me)
			pthread_cond_wait(&turned, &mutex);
		turn = !me;
		total++;
		pthread_cond_broadcast(&turned);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void *meet(void *argument)
{
	int last = 0;
	for (int round = 1; round <= 5; round++) {
		__atomic_add_fetch(&at_barrier, 1, __ATOMIC_SEQ_CST);
		last += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
		CHECK(at_barrier >= 10 * round);
		pthread_barrier_wait(&barrier);
	}
	return (void *)(intptr_t)last;
}

static void *reader(void *argument)
{
	for (int i = 0; i < 100; i++) {
		pthread_rwlock_rdlock(&rwlock);
		long seen = counter;
		sched_yield();
		CHECK(seen == counter);
		pthread_rwlock_unlock(&rwlock);
	}
	return NULL;
}

static void *writer(void *argument)
{
	for (int i = 0; i < 100; i++) {
		pthread_rwlock_wrlock(&rwlock);
		counter++;
		sched_yield();
		counter++;
		pthread_rwlock_unlock(&rwlock);
	}
	return NULL;
}

static void *post(void *argument)
{
	for (int i = 0; i < 10; i++)
		sem_post(&semaphore);
	return NULL;
}

static pthread_mutex_t robust, inherits;

static void *leave_locked(void *argument)
{
	pthread_mutex_lock(&robust);
	return NULL;
}

static void *take_inheriting(void *argument)
{
	for (int i = 0; i < 100; i++) {
		CHECK(pthread_mutex_lock(&inherits) == 0);
		counter++;
		if (i % 10 == 0)
			sched_yield();
		CHECK(pthread_mutex_unlock(&inherits) == 0);
	}
	return NULL;
}

static void *hold(void *argument)
{
	pthread_mutex_lock(&mutex);
	held = 1;
	usleep(30000);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void *sleeper(void *argument)
{
	pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
	for (;;)
		sleep(100000);
	return NULL;
}

static struct timespec soon(clockid_t clock, long milliseconds)
{
	struct timespec now;
	clock_gettime(clock, &now);
	now.tv_nsec += milliseconds * 1000000;
	now.tv_sec += now.tv_nsec / 1000000000;
	now.tv_nsec %= 1000000000;
	return now;
}

static void timed_waits(void)
{
	pthread_t one;
	void *result;
	pthread_mutex_lock(&mutex);
	struct timespec until = soon(CLOCK_REALTIME, 20);
	CHECK(pthread_cond_timedwait(&turned, &mutex, &until) == ETIMEDOUT);
	pthread_mutex_unlock(&mutex);
	CHECK(pthread_create(&one, NULL, hold, NULL) == 0);
	while (!held)
		sched_yield();
	until = soon(CLOCK_REALTIME, 5);
	CHECK(pthread_mutex_timedlock(&mutex, &until) == ETIMEDOUT);
	until = soon(CLOCK_REALTIME, 2000);
	CHECK(pthread_mutex_timedlock(&mutex, &until) == 0);
	pthread_mutex_unlock(&mutex);
	pthread_join(one, NULL);
	until = soon(CLOCK_REALTIME, 5);
	sem_init(&semaphore, 0, 0);
	CHECK(sem_timedwait(&semaphore, &until) == -1 && errno == ETIMEDOUT);

	CHECK(pthread_create(&one, NULL, sleeper, NULL) == 0);
	sched_yield();
	CHECK(pthread_cancel(one) == 0 && pthread_join(one, &result) == 0);
	CHECK(result == PTHREAD_CANCELED);
}

static void special_mutexes(void)
{
	pthread_t threads[4];
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &attributes);
	CHECK(pthread_create(threads, NULL, leave_locked, NULL) == 0);
	pthread_join(threads[0], NULL);
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	CHECK(pthread_mutex_consistent(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);
	CHECK(pthread_mutex_lock(&robust) == 0 && pthread_mutex_unlock(&robust) == 0);

	pthread_mutexattr_init(&attributes);
	CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
	CHECK(pthread_mutex_init(&inherits, &attributes) == 0);
	counter = 0;
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, take_inheriting, NULL) == 0);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK(counter == 400);
}

static void *wait_for_ever(void *argument)
{
	pthread_barrier_wait(&barrier);
	pthread_mutex_lock(&mutex);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void many(void)
{
	enum { MANY = 100 };
	pthread_t threads[MANY];
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 65536);
	pthread_barrier_init(&barrier, NULL, MANY + 1);
	pthread_mutex_lock(&mutex);
	for (int i = 0; i < MANY; i++)
		CHECK(pthread_create(&threads[i], &attributes, wait_for_ever, NULL) == 0);
	pthread_barrier_wait(&barrier);
	pthread_mutex_unlock(&mutex);
	for (int i = 0; i < MANY; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}

int main(void)
{
	pthread_t threads[10];
	void *result;
	CHECK(getpid() == syscall(SYS_gettid));
	for (intptr_t i = 0; i < 10; i++)
		CHECK(pthread_create(&threads[i], NULL, add, (void *)(i + 100)) == 0);
	for (intptr_t i = 0; i < 10; i++)
		CHECK(pthread_join(threads[i], &result) == 0 && result == (void *)(i + 100));
	CHECK(counter == 5000 && own == 7);

	for (intptr_t i = 0; i < 2; i++)
		CHECK(pthread_create(&threads[i], NULL, ping_pong, (void *)i) == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK(total == 400);

	pthread_barrier_init(&barrier, NULL, 10);
	int last = 0;
	for (int i = 0; i < 10; i++)
		CHECK(pthread_create(&threads[i], NULL, meet, NULL) == 0);
	for (int i = 0; i < 10; i++) {
		pthread_join(threads[i], &result);
		last += (int)(intptr_t)result;
	}
	CHECK(last == 5);
	pthread_barrier_destroy(&barrier);

	counter = 0;
	for (int i = 0; i < 10; i++)
		CHECK(pthread_create(&threads[i], NULL, i % 3 ? reader : writer, NULL) == 0);
	for (int i = 0; i < 10; i++)
		pthread_join(threads[i], NULL);
	CHECK(counter == 800);

	sem_init(&semaphore, 0, 0);
	CHECK(pthread_create(threads, NULL, post, NULL) == 0);
	for (int i = 0; i < 10; i++)
		CHECK(sem_wait(&semaphore) == 0);
	pthread_join(threads[0], NULL);

	timed_waits();
	special_mutexes();
	many();
	many();
	puts("ok");
	return 0;
}
