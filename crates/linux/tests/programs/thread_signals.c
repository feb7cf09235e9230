/* Signals and threads: who takes them, what they interrupt, and waiting for them. */
#define _GNU_SOURCE
#include "check.h"
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t seen, sum;
static volatile pid_t taker;
static pthread_barrier_t barrier;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static pid_t self(void) { return (pid_t)syscall(SYS_gettid); }

static void note(int number)
{
	seen = number;
	taker = self();
}

static void value(int number, siginfo_t *info, void *context)
{
	CHECK(info->si_code == SI_QUEUE && info->si_pid == getpid());
	sum = sum * 10 + info->si_value.sival_int;
}

static void block(int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
}

static void *sleeps(void *argument)
{
	struct timespec time = { 1000, 0 }, left = { 0, 0 };
	*(pid_t *)argument = self();
	pthread_barrier_wait(&barrier);
	CHECK(nanosleep(&time, &left) == -1 && errno == EINTR);
	CHECK(left.tv_sec >= 900 && left.tv_sec < 1000);
	CHECK(taker == self());
	return NULL;
}

/* A lock is not interrupted: its wait goes on behind the handler. */
static void *locks(void *argument)
{
	*(pid_t *)argument = self();
	pthread_barrier_wait(&barrier);
	CHECK(pthread_mutex_lock(&mutex) == 0);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void *raises(void *argument)
{
	for (int i = 0; i < 50; i++) {
		seen = 0;
		CHECK(raise(SIGUSR1) == 0 && seen == SIGUSR1 && taker == self());
	}
	return NULL;
}

static void *suspends(void *argument)
{
	sigset_t none;
	sigemptyset(&none);
	CHECK(sigsuspend(&none) == -1 && errno == EINTR);
	CHECK(seen == SIGUSR2 && taker == self());
	return NULL;
}

static void interrupting(void)
{
	pthread_t thread;
	pid_t tid = 0;
	struct sigaction action = { .sa_handler = note };
	sigaction(SIGUSR1, &action, NULL);
	pthread_barrier_init(&barrier, NULL, 2);
	CHECK(pthread_create(&thread, NULL, sleeps, &tid) == 0);
	pthread_barrier_wait(&barrier);
	usleep(20000);
	CHECK(syscall(SYS_tgkill, getpid(), tid, SIGUSR1) == 0);
	pthread_join(thread, NULL);
	CHECK(seen == SIGUSR1 && taker == tid);

	for (int flags = 0; flags <= SA_RESTART; flags += SA_RESTART) {
		action.sa_flags = flags;
		sigaction(SIGUSR1, &action, NULL);
		seen = taker = 0;
		pthread_mutex_lock(&mutex);
		CHECK(pthread_create(&thread, NULL, locks, &tid) == 0);
		pthread_barrier_wait(&barrier);
		usleep(20000);
		CHECK(pthread_kill(thread, SIGUSR1) == 0);
		usleep(20000);
		CHECK(seen == SIGUSR1 && taker == tid);
		pthread_mutex_unlock(&mutex);
		pthread_join(thread, NULL);
	}
	CHECK(syscall(SYS_tgkill, getpid(), tid, 0) == -1 && errno == ESRCH);
	CHECK(pthread_create(&thread, NULL, raises, NULL) == 0);
	pthread_join(thread, NULL);
}

static void directing(void)
{
	pthread_t thread;
	/* Blocked here: the other thread takes what goes to the program. */
	signal(SIGUSR2, note);
	block(SIGUSR2);
	CHECK(pthread_create(&thread, NULL, suspends, NULL) == 0);
	sched_yield();
	seen = 0;
	CHECK(kill(getpid(), SIGUSR2) == 0);
	pthread_join(thread, NULL);
	CHECK(seen == SIGUSR2 && taker != getpid());
}

static void queueing(void)
{
	sigset_t set;
	siginfo_t info;
	struct timespec none = { 0, 0 }, some = { 0, 10000000 };
	struct sigaction action = { .sa_sigaction = value, .sa_flags = SA_SIGINFO };
	sigaction(SIGRTMIN + 1, &action, NULL);
	block(SIGRTMIN + 1);
	for (int i = 1; i <= 4; i++)
		CHECK(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = i }) == 0);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	CHECK(sigtimedwait(&set, &info, &none) == SIGRTMIN + 1 && info.si_value.sival_int == 1);
	CHECK(sum == 0 && pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0 && sum == 234);
	CHECK(sigtimedwait(&set, &info, &some) == -1 && errno == EAGAIN);

	/* So many, and no more. */
	block(SIGRTMIN + 1);
	int count = 0;
	while (sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 0 }) == 0)
		count++;
	CHECK(errno == EAGAIN && count >= 100);
	while (sigtimedwait(&set, NULL, &none) > 0)
		count--;
	CHECK(count == 0);
}

static void *sender(void *argument)
{
	usleep(2000);
	CHECK(pthread_kill(*(pthread_t *)argument, SIGTERM) == 0);
	return NULL;
}

int main(void)
{
	sigset_t set;
	int number;
	pthread_t thread, own = pthread_self();
	interrupting();
	directing();
	queueing();
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	block(SIGTERM);
	CHECK(pthread_create(&thread, NULL, sender, &own) == 0);
	CHECK(sigwait(&set, &number) == 0 && number == SIGTERM);
	pthread_join(thread, NULL);
	puts("ok");
	return 0;
}
