/* Timers that send signals. */
#define _GNU_SOURCE
#include "check.h"
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks, number;
static volatile int overruns, value;

static void tick(int signal) { ticks++; number = signal; }

static void detailed(int signal, siginfo_t *info, void *context)
{
	CHECK(info->si_code == SI_TIMER);
	value = info->si_value.sival_int;
	overruns += info->si_overrun;
	ticks++;
}

int main(void)
{
	struct itimerval each = { { 0, 5000 }, { 0, 5000 } }, none = { 0 }, now;
	signal(SIGALRM, tick);
	CHECK(setitimer(ITIMER_REAL, &each, NULL) == 0);
	/* Out of a computation, */
	while (ticks < 3)
		;
	/* and out of a wait. */
	ticks = 0;
	CHECK(pause() == -1 && errno == EINTR && ticks >= 1);
	CHECK(getitimer(ITIMER_REAL, &now) == 0 && now.it_interval.tv_usec == 5000);
	CHECK(now.it_value.tv_sec == 0 && now.it_value.tv_usec <= 5000);
	CHECK(setitimer(ITIMER_REAL, &none, &now) == 0);
	ticks = 0;
	usleep(20000);
	CHECK(ticks == 0);

	signal(SIGVTALRM, tick);
	CHECK(setitimer(ITIMER_VIRTUAL, &each, NULL) == 0);
	while (ticks < 2)
		;
	CHECK(number == SIGVTALRM && setitimer(ITIMER_VIRTUAL, &none, NULL) == 0);

	CHECK(alarm(10) == 0);
	unsigned left = alarm(0);
	CHECK(left == 10 && alarm(0) == 0);

	timer_t timer;
	struct sigaction action = { .sa_sigaction = detailed, .sa_flags = SA_SIGINFO };
	sigaction(SIGRTMIN, &action, NULL);
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
	event.sigev_value.sival_int = 77;
	CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
	struct itimerspec once = { { 0, 0 }, { 0, 3000000 } }, often = { { 0, 1000000 }, { 0, 1000000 } };
	ticks = 0;
	CHECK(timer_settime(timer, 0, &once, NULL) == 0);
	while (!ticks)
		;
	CHECK(value == 77 && overruns == 0);
	/* Blocked for a while: one signal, and a count of those that it stands for. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	CHECK(timer_settime(timer, 0, &often, NULL) == 0);
	usleep(30000);
	ticks = 0;
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	CHECK(ticks >= 1 && overruns >= 10);
	struct itimerspec stop = { 0 };
	CHECK(timer_settime(timer, 0, &stop, NULL) == 0);
	CHECK(timer_getoverrun(timer) >= 0);
	struct timespec past;
	clock_gettime(CLOCK_REALTIME, &past);
	timer_t wall;
	CHECK(timer_create(CLOCK_REALTIME, &event, &wall) == 0);
	once.it_value = past;
	ticks = 0;
	CHECK(timer_settime(wall, TIMER_ABSTIME, &once, NULL) == 0);
	while (!ticks)
		;
	CHECK(timer_delete(wall) == 0 && timer_delete(timer) == 0);
	/* Past the C library, whose numbers are its own. */
	CHECK(syscall(SYS_timer_delete, 12345) == -1 && errno == EINVAL);
	puts("ok");
	return 0;
}
