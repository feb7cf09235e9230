/* More of threads: time slices, ends, names, registers, stacks, identities. */
#include "case.h"
#include <semaphore.h>
#include <sys/prctl.h>

static sem_t semaphore;

static void *sleeping(void *argument)
{
	sem_post(&semaphore);
	for (;;)
		sleep(100);
	return NULL;
}

static volatile int flag;
static void *spin(void *argument)
{
	while (!flag)
		;
	return NULL;
}

CASE(spinning_starves_nobody)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		threads[i] = start(spin, NULL);
	sleep_ms(20);
	flag = 1;
	for (int i = 0; i < 3; i++)
		SHOW_ERROR(pthread_join(threads[i], NULL));
}

static void *end_all(void *argument)
{
	SAY("in the thread");
	exit(7);
}

CASE(exit_in_a_thread)
{
	pthread_join(start(end_all, NULL), NULL);
	SAY("never here");
}

static void *outlive(void *argument)
{
	sleep_ms(20);
	SAY("the main thread has ended");
	return NULL;
}

CASE(main_thread_ends_first)
{
	start(outlive, NULL);
	pthread_exit(NULL);
}

CASE(joining_with_timeout)
{
	sem_init(&semaphore, 0, 0);
	pthread_t thread = start(sleeping, NULL);
	sem_wait(&semaphore);
	struct timespec soon = in_ms(CLOCK_REALTIME, 10);
	SHOW_ERROR(pthread_tryjoin_np(thread, NULL));
	SHOW_ERROR(pthread_timedjoin_np(thread, NULL, &soon));
	pthread_cancel(thread);
	SHOW_ERROR(pthread_join(thread, NULL));
}

static void *named(void *argument)
{
	char name[16];
	prctl(PR_GET_NAME, name);
	SAY("inherited %s", name);
	prctl(PR_SET_NAME, argument);
	prctl(PR_GET_NAME, name);
	SAY("own %s", name);
	return NULL;
}

CASE(names)
{
	char name[16];
	prctl(PR_SET_NAME, "first");
	pthread_join(start(named, "second"), NULL);
	pthread_join(start(named, "longer than fifteen bytes"), NULL);
	prctl(PR_GET_NAME, name);
	SAY("%s", name);
}

static void *compute(void *argument)
{
	volatile double seed = (double)(long)argument;
	double a = seed, b = seed * 2, c = seed * 3, d = seed * 4, e = 1, f = 2, g = 3, h = 4;
	for (int i = 0; i < 3000000; i++) {
		a = a * 0.5 + e, b = b * 0.5 + f, c = c * 0.5 + g, d = d * 0.5 + h;
		e += 1e-9, f += 1e-9, g += 1e-9, h += 1e-9;
	}
	return (void *)(long)((a + b + c + d) * 1e6);
}

CASE(vector_registers_are_per_thread)
{
	pthread_t threads[4];
	long expected = (long)compute((void *)1);
	for (int i = 0; i < 4; i++)
		threads[i] = start(compute, (void *)1);
	for (int i = 0; i < 4; i++) {
		void *result;
		pthread_join(threads[i], &result);
		IS((long)result == expected);
	}
}

static int deep(int depth)
{
	volatile char room[1000];
	room[0] = (char)depth;
	return depth == 0 ? 0 : deep(depth - 1) + 1 + room[0] * 0;
}
static void *go_deep(void *argument) { return (void *)(long)deep(3500); }

CASE(stack_sizes)
{
	pthread_attr_t attributes;
	pthread_t thread;
	void *result;
	pthread_attr_init(&attributes);
	SHOW_ERROR(pthread_attr_setstacksize(&attributes, 1000));
	SHOW_ERROR(pthread_attr_setstacksize(&attributes, 4 << 20));
	SHOW_ERROR(pthread_create(&thread, &attributes, go_deep, NULL));
	pthread_join(thread, &result);
	SAY("%ld", (long)result);
}

static void *own_ids(void *argument)
{
	IS(getpid() == (pid_t)(long)argument);
	IS(gettid() != getpid());
	return NULL;
}

CASE(identities)
{
	IS(gettid() == getpid());
	pthread_join(start(own_ids, (void *)(long)getpid()), NULL);
	SHOW(syscall(SYS_tgkill, getpid(), 0x3fffff, 0));
	SHOW(syscall(SYS_tgkill, getpid(), gettid(), 0));
	SHOW(syscall(SYS_tgkill, 0x3fffff, gettid(), 0));
	SHOW(syscall(SYS_tgkill, -1, gettid(), 0));
	SHOW(syscall(SYS_tkill, 0, 0));
}

CASE(where_the_stack_is)
{
	pthread_attr_t attributes;
	void *base;
	size_t size;
	char here;
	SHOW_ERROR(pthread_getattr_np(pthread_self(), &attributes));
	pthread_attr_getstack(&attributes, &base, &size);
	IS(&here > (char *)base && &here < (char *)base + size);
}

CASE(clone_with_wrong_flags)
{
	SHOW(syscall(SYS_clone, CLONE_THREAD, 0, 0, 0, 0));
	SHOW(syscall(SYS_clone, CLONE_SIGHAND, 0, 0, 0, 0));
	SHOW(syscall(SYS_clone, CLONE_THREAD | CLONE_SIGHAND, 0, 0, 0, 0));
	SHOW(syscall(SYS_clone, CLONE_FS | CLONE_NEWNS, 0, 0, 0, 0));
	SHOW(syscall(SYS_clone3, NULL, 8));
	SHOW(syscall(SYS_clone3, NOWHERE, 64));
	uint64_t arguments[11] = {CLONE_THREAD};
	SHOW(syscall(SYS_clone3, arguments, 88));
}
