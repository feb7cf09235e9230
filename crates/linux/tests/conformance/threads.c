/* Threads as the C library offers them: creation, mutexes, condition variables, barriers. */
#include "case.h"
#include <semaphore.h>
#include <sys/prctl.h>

static void *give_back(void *argument) { return argument; }

CASE(create_and_join)
{
	for (long i = 0; i < 5; i++) {
		void *result;
		SHOW_ERROR(pthread_join(start(give_back, (void *)(i * 7)), &result));
		SAY("%ld", (long)result);
	}
	pthread_t self = pthread_self();
	SHOW_ERROR(pthread_join(self, NULL));
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *count_up(void *argument)
{
	for (long i = 0; i < (long)argument; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

CASE(forty_threads)
{
	pthread_t threads[40];
	for (int i = 0; i < 40; i++)
		threads[i] = start(count_up, (void *)100);
	for (int i = 0; i < 40; i++)
		pthread_join(threads[i], NULL);
	SAY("%ld", counter);
}

CASE(contended_mutex)
{
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		threads[i] = start(count_up, (void *)20000);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	SAY("%ld", counter);
}

static sem_t semaphore;

static void *post(void *argument)
{
	sleep_ms(10);
	sem_post(&semaphore);
	return NULL;
}

CASE(detached)
{
	sem_init(&semaphore, 0, 0);
	pthread_t thread = start(post, NULL);
	SHOW_ERROR(pthread_detach(thread));
	SHOW(sem_wait(&semaphore));
}

CASE(one_after_another)
{
	for (int i = 0; i < 300; i++)
		pthread_join(start(count_up, (void *)1), NULL);
	SAY("%ld", counter);
}

static void *mutex_from_elsewhere(void *argument)
{
	pthread_mutex_t *mutex = argument;
	SHOW_ERROR(pthread_mutex_trylock(mutex));
	SHOW_ERROR(pthread_mutex_unlock(mutex));
	return NULL;
}

static pthread_mutex_t *mutex_of(int type, int protocol, int robust)
{
	static pthread_mutex_t mutex;
	pthread_mutexattr_t attributes;
	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_settype(&attributes, type);
	pthread_mutexattr_setprotocol(&attributes, protocol);
	pthread_mutexattr_setrobust(&attributes, robust);
	SHOW_ERROR(pthread_mutex_init(&mutex, &attributes));
	return &mutex;
}

CASE(error_checking_mutex)
{
	pthread_mutex_t *mutex = mutex_of(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_NONE, 0);
	SHOW_ERROR(pthread_mutex_lock(mutex));
	SHOW_ERROR(pthread_mutex_lock(mutex));
	pthread_join(start(mutex_from_elsewhere, mutex), NULL);
	SHOW_ERROR(pthread_mutex_unlock(mutex));
	SHOW_ERROR(pthread_mutex_unlock(mutex));
}

CASE(recursive_mutex)
{
	pthread_mutex_t *mutex = mutex_of(PTHREAD_MUTEX_RECURSIVE, PTHREAD_PRIO_NONE, 0);
	for (int i = 0; i < 3; i++)
		SHOW_ERROR(pthread_mutex_lock(mutex));
	pthread_join(start(mutex_from_elsewhere, mutex), NULL);
	for (int i = 0; i < 4; i++)
		SHOW_ERROR(pthread_mutex_unlock(mutex));
}

CASE(mutex_with_timeout)
{
	pthread_mutex_lock(&lock);
	struct timespec soon = in_ms(CLOCK_REALTIME, 30), monotonic = in_ms(CLOCK_MONOTONIC, 60);
	struct timespec past = {1, 0}, wrong = {1, 1000000000};
	long begin = now_ms();
	pthread_mutex_t *mutex = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, 0);
	SHOW_ERROR(pthread_mutex_timedlock(mutex, &past));
	SHOW_ERROR(pthread_mutex_timedlock(&lock, &past));
	SHOW_ERROR(pthread_mutex_timedlock(&lock, &wrong));
	SHOW_ERROR(pthread_mutex_timedlock(&lock, &soon));
	IS(now_ms() - begin >= 29);
	SHOW_ERROR(pthread_mutex_clocklock(&lock, CLOCK_MONOTONIC, &monotonic));
	IS(now_ms() - begin >= 59);
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int turn, waiting, woken;

static void *ping_pong(void *argument)
{
	int mine = (int)(long)argument;
	pthread_mutex_lock(&lock);
	for (int i = 0; i < 500; i++) {
		while (turn != mine)
			pthread_cond_wait(&condition, &lock);
		counter++;
		turn = !mine;
		pthread_cond_broadcast(&condition);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

CASE(condition_ping_pong)
{
	pthread_t one = start(ping_pong, (void *)0), two = start(ping_pong, (void *)1);
	pthread_join(one, NULL);
	pthread_join(two, NULL);
	SAY("%ld", counter);
}

static void *wait_for_turn(void *argument)
{
	pthread_mutex_lock(&lock);
	waiting++;
	while (!turn)
		pthread_cond_wait(&condition, &lock);
	turn--;
	woken++;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void wait_until(int *what, int value)
{
	for (bool done = false; !done; sched_yield()) {
		pthread_mutex_lock(&lock);
		done = *what >= value;
		pthread_mutex_unlock(&lock);
	}
}

CASE(condition_signal_and_broadcast)
{
	pthread_t threads[5];
	for (int i = 0; i < 5; i++)
		threads[i] = start(wait_for_turn, NULL);
	wait_until(&waiting, 5);
	pthread_mutex_lock(&lock);
	turn = 1;
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&lock);
	wait_until(&woken, 1);
	sleep_ms(10);
	SAY("%d woken", woken);
	pthread_mutex_lock(&lock);
	turn = 4;
	pthread_cond_broadcast(&condition);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	SAY("%d woken", woken);
}

CASE(condition_with_timeout)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 20), monotonic = in_ms(CLOCK_MONOTONIC, 40);
	struct timespec wrong = {1, -1};
	long begin = now_ms();
	pthread_mutex_lock(&lock);
	SHOW_ERROR(pthread_cond_timedwait(&condition, &lock, &soon));
	IS(now_ms() - begin >= 19);
	SHOW_ERROR(pthread_cond_clockwait(&condition, &lock, CLOCK_MONOTONIC, &monotonic));
	IS(now_ms() - begin >= 39);
	SHOW_ERROR(pthread_cond_timedwait(&condition, &lock, &wrong));
	SHOW_ERROR(pthread_mutex_trylock(&lock));
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;

static void *rwlock_from_elsewhere(void *argument)
{
	struct timespec soon = in_ms(CLOCK_REALTIME, 10);
	SHOW_ERROR(pthread_rwlock_tryrdlock(&rwlock));
	SHOW_ERROR(pthread_rwlock_trywrlock(&rwlock));
	SHOW_ERROR(pthread_rwlock_timedwrlock(&rwlock, &soon));
	return NULL;
}

static void *write_locked(void *argument)
{
	pthread_rwlock_wrlock(&rwlock);
	counter++;
	pthread_rwlock_unlock(&rwlock);
	return NULL;
}

CASE(rwlock)
{
	SHOW_ERROR(pthread_rwlock_rdlock(&rwlock));
	SHOW_ERROR(pthread_rwlock_rdlock(&rwlock));
	pthread_join(start(rwlock_from_elsewhere, NULL), NULL);
	for (int i = 0; i < 3; i++)
		SHOW_ERROR(pthread_rwlock_unlock(&rwlock));
	SHOW_ERROR(pthread_rwlock_wrlock(&rwlock));
	SHOW_ERROR(pthread_rwlock_wrlock(&rwlock));
	pthread_join(start(rwlock_from_elsewhere, NULL), NULL);
	pthread_t threads[4];
	for (int i = 0; i < 4; i++)
		threads[i] = start(write_locked, NULL);
	sleep_ms(10);
	SAY("%ld while locked", counter);
	pthread_rwlock_unlock(&rwlock);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	SAY("%ld", counter);
}

static pthread_barrier_t barrier;

static void *meet(void *argument)
{
	long serial = 0;
	for (int i = 0; i < 50; i++)
		serial += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
	return (void *)serial;
}

CASE(barrier)
{
	pthread_t threads[4];
	long serial = 0;
	pthread_barrier_init(&barrier, NULL, 4);
	for (int i = 0; i < 4; i++)
		threads[i] = start(meet, NULL);
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		serial += (long)result;
	}
	SAY("%ld", serial);
}

CASE(semaphores)
{
	int value;
	struct timespec soon = in_ms(CLOCK_REALTIME, 20), wrong = {0, 2000000000};
	SHOW(sem_init(&semaphore, 0, 2));
	SHOW(sem_wait(&semaphore));
	SHOW(sem_trywait(&semaphore));
	SHOW(sem_trywait(&semaphore));
	SHOW(sem_timedwait(&semaphore, &soon));
	SHOW(sem_timedwait(&semaphore, &wrong));
	pthread_t thread = start(post, NULL);
	SHOW(sem_wait(&semaphore));
	SHOW(sem_post(&semaphore));
	pthread_join(thread, NULL);
	sem_getvalue(&semaphore, &value);
	SAY("value %d", value);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static void count_once(void) { sleep_ms(5); counter++; }
static void *call_once_(void *argument)
{
	pthread_once(&once, count_once);
	return (void *)counter;
}

CASE(once_only)
{
	pthread_t threads[6];
	for (int i = 0; i < 6; i++)
		threads[i] = start(call_once_, NULL);
	for (int i = 0; i < 6; i++) {
		void *seen;
		pthread_join(threads[i], &seen);
		SAY("%ld", (long)seen);
	}
}

static __thread int local = 5;
static pthread_key_t key;
static void destroy(void *value) { __atomic_add_fetch(&counter, (long)value, __ATOMIC_SEQ_CST); }
static void *with_locals(void *argument)
{
	local += (int)(long)argument;
	pthread_setspecific(key, argument);
	sched_yield();
	return (void *)(long)(local * 1000 + (long)pthread_getspecific(key));
}

CASE(thread_local_storage)
{
	pthread_t threads[4];
	SHOW_ERROR(pthread_key_create(&key, destroy));
	for (long i = 0; i < 4; i++)
		threads[i] = start(with_locals, (void *)(i + 1));
	for (int i = 0; i < 4; i++) {
		void *seen;
		pthread_join(threads[i], &seen);
		SAY("%ld", (long)seen);
	}
	SAY("%d, destroyed %ld", local, counter);
}

static void cleanup(void *argument) { SAY("cleanup %s", (char *)argument); }
static void *cancellable(void *argument)
{
	pthread_cleanup_push(cleanup, "outer");
	pthread_cleanup_push(cleanup, "inner");
	sem_post(&semaphore);
	for (;;)
		sleep(100);
	pthread_cleanup_pop(0);
	pthread_cleanup_pop(0);
	return NULL;
}

CASE(cancellation)
{
	void *result;
	sem_init(&semaphore, 0, 0);
	pthread_t thread = start(cancellable, NULL);
	sem_wait(&semaphore);
	/* Told afterwards: the thread may print at any time from here on. */
	int cancelled = pthread_cancel(thread);
	SHOW_ERROR(pthread_join(thread, &result));
	SHOW_ERROR(cancelled);
	IS(result == PTHREAD_CANCELED);
}

static void *spinning(void *argument)
{
	pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
	sem_post(&semaphore);
	for (;;)
		__asm__ volatile("pause");
	return NULL;
}

CASE(asynchronous_cancellation)
{
	void *result;
	sem_init(&semaphore, 0, 0);
	pthread_t thread = start(spinning, NULL);
	sem_wait(&semaphore);
	SHOW_ERROR(pthread_cancel(thread));
	SHOW_ERROR(pthread_join(thread, &result));
	IS(result == PTHREAD_CANCELED);
}

static void *lock_and_die(void *argument)
{
	pthread_mutex_lock(argument);
	return NULL;
}

static void robust(int protocol)
{
	pthread_mutex_t *mutex = mutex_of(PTHREAD_MUTEX_NORMAL, protocol, PTHREAD_MUTEX_ROBUST);
	pthread_join(start(lock_and_die, mutex), NULL);
	SHOW_ERROR(pthread_mutex_lock(mutex));
	SHOW_ERROR(pthread_mutex_consistent(mutex));
	SHOW_ERROR(pthread_mutex_unlock(mutex));
	SHOW_ERROR(pthread_mutex_lock(mutex));
	SHOW_ERROR(pthread_mutex_unlock(mutex));
	pthread_join(start(lock_and_die, mutex), NULL);
	SHOW_ERROR(pthread_mutex_lock(mutex));
	SHOW_ERROR(pthread_mutex_unlock(mutex));
	SHOW_ERROR(pthread_mutex_lock(mutex));
}

CASE(robust_mutex) { robust(PTHREAD_PRIO_NONE); }
CASE(robust_mutex_with_inheritance) { robust(PTHREAD_PRIO_INHERIT); }

static void *lock_sleep_die(void *argument)
{
	pthread_mutex_lock(argument);
	sem_post(&semaphore);
	sleep_ms(20);
	return NULL;
}

CASE(robust_mutex_wakes_a_waiter)
{
	pthread_mutex_t *mutex = mutex_of(PTHREAD_MUTEX_NORMAL, 0, PTHREAD_MUTEX_ROBUST);
	sem_init(&semaphore, 0, 0);
	pthread_t thread = start(lock_sleep_die, mutex);
	sem_wait(&semaphore);
	SHOW_ERROR(pthread_mutex_lock(mutex));
	pthread_join(thread, NULL);
}

static pthread_mutex_t *inheriting;
static void *count_inheriting(void *argument)
{
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(inheriting);
		counter++;
		if (i % 100 == 0)
			sched_yield();
		pthread_mutex_unlock(inheriting);
	}
	return NULL;
}

CASE(mutex_with_priority_inheritance)
{
	pthread_t threads[4];
	inheriting = mutex_of(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_PRIO_INHERIT, 0);
	struct timespec soon = in_ms(CLOCK_REALTIME, 20);
	SHOW_ERROR(pthread_mutex_lock(inheriting));
	SHOW_ERROR(pthread_mutex_lock(inheriting));
	SHOW_ERROR(pthread_mutex_timedlock(inheriting, &soon));
	pthread_join(start(mutex_from_elsewhere, inheriting), NULL);
	SHOW_ERROR(pthread_mutex_unlock(inheriting));
	for (int i = 0; i < 4; i++)
		threads[i] = start(count_inheriting, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	SAY("%ld", counter);
}
