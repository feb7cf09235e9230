/* Clocks, sleeping, and timers that send signals. */
#include "case.h"
#include <sys/time.h>
#include <sys/times.h>
#include <sys/resource.h>

static volatile int calls;
static volatile int code, value, overrun;
static void counting(int number) { calls++; }
static void keep(int number, siginfo_t *info, void *context)
{
	calls++;
	code = info->si_code;
	value = info->si_value.sival_int;
}

static void handle(int number)
{
	struct sigaction action = {.sa_handler = counting};
	sigaction(number, &action, NULL);
}

static void handle_info(int number)
{
	struct sigaction action = {.sa_sigaction = keep, .sa_flags = SA_SIGINFO};
	sigaction(number, &action, NULL);
}

static void wait_for(int count)
{
	long begin = now_ms();
	while (calls < count && now_ms() - begin < 8000)
		sleep_ms(1);
}

CASE(every_clock_reads)
{
	struct timespec time;
	static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
		CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE,
		CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_TAI};
	for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
		SAY("clock %d", clocks[i]);
		SHOW(clock_gettime(clocks[i], &time));
		IS(time.tv_nsec >= 0 && time.tv_nsec < 1000000000);
		SHOW(syscall(SYS_clock_gettime, clocks[i], &time));
		TRY(clock_getres(clocks[i], &time));
	}
}

CASE(wrong_clocks)
{
	struct timespec time;
	SHOW(clock_gettime(77, &time));
	SHOW(clock_gettime(10, &time));
	SHOW(clock_getres(77, &time));
	SHOW(clock_getres(CLOCK_REALTIME, NULL));
	SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, NOWHERE));
	SHOW_ERROR(clock_nanosleep(77, 0, &time, NULL));
	SHOW_ERROR(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &time, NULL));
}

CASE(monotonic_clocks_only_go_forward)
{
	struct timespec last = {0, 0}, now;
	bool fine = true;
	for (int i = 0; i < 20000; i++) {
		if (i % 10)
			clock_gettime(CLOCK_MONOTONIC, &now);
		else
			syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
		if (now.tv_sec < last.tv_sec || (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
			fine = false;
		last = now;
	}
	SAY("%d", fine);
}

CASE(clocks_agree)
{
	struct timespec before, after;
	struct timeval between;
	clock_gettime(CLOCK_REALTIME, &before);
	gettimeofday(&between, NULL);
	time_t seconds = time(NULL);
	clock_gettime(CLOCK_REALTIME, &after);
	IS(before.tv_sec <= between.tv_sec && between.tv_sec <= after.tv_sec);
	IS(before.tv_sec - 1 <= seconds && seconds <= after.tv_sec);
	IS(before.tv_sec > 1700000000);
}

CASE(processor_time_passes_when_computing)
{
	struct timespec before, after;
	struct rusage usage;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	for (volatile int i = 0; i < 5000000; i++)
		;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	IS((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec > 100000);
	SHOW(getrusage(RUSAGE_SELF, &usage));
	SHOW(getrusage(RUSAGE_THREAD, &usage));
	SHOW(getrusage(RUSAGE_CHILDREN, &usage));
	IS(usage.ru_utime.tv_sec == 0 && usage.ru_utime.tv_usec == 0);
	SHOW(getrusage(77, &usage));
	IS(clock() != (clock_t)-1);
	IS(times(NULL) != (clock_t)-1);
}

CASE(processor_time_stands_still_when_sleeping)
{
	struct timespec before, after;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	sleep_ms(100);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	IS((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec < 50000000);
}

CASE(sleeping)
{
	struct timespec time = {0, 20000000}, wrong = {0, 1000000000}, negative = {-1, 0}, none = {0, 0};
	long begin = now_ms();
	SHOW(nanosleep(&time, NULL));
	IS(now_ms() - begin >= 19);
	SHOW(nanosleep(&none, NULL));
	SHOW(nanosleep(&wrong, NULL));
	SHOW(nanosleep(&negative, NULL));
	SHOW(nanosleep(NOWHERE, NULL));
	SHOW(usleep(1000));
	SHOW(sleep(0));
}

CASE(sleeping_until)
{
	struct timespec past = {1, 0}, soon = in_ms(CLOCK_MONOTONIC, 20), wall = in_ms(CLOCK_REALTIME, 40);
	struct timespec wrong = {1, -1};
	long begin = now_ms();
	SHOW_ERROR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
	SHOW_ERROR(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &soon, NULL));
	IS(now_ms() - begin >= 19);
	SHOW_ERROR(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &wall, NULL));
	IS(now_ms() - begin >= 39);
	SHOW_ERROR(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &wrong, NULL));
	SHOW_ERROR(clock_nanosleep(CLOCK_BOOTTIME, 0, &(struct timespec){0, 1000}, NULL));
}

CASE(clocks_cannot_be_set_to_nonsense)
{
	struct timespec wrong = {0, -1};
	SHOW(clock_settime(CLOCK_MONOTONIC, &wrong));
	SHOW(syscall(SYS_clock_settime, CLOCK_REALTIME, NOWHERE));
}

CASE(alarm_sends_a_signal)
{
	handle(SIGALRM);
	SAY("%u", alarm(100));
	IS(alarm(1) == 100);
	long begin = now_ms();
	SHOW(pause());
	IS(now_ms() - begin >= 950);
	SAY("%d, %u left", calls, alarm(0));
}

CASE(alarm_is_cancelled)
{
	SAY("%u", alarm(1));
	IS(alarm(0) == 1);
	sleep_ms(1200);
}

CASE(alarm_without_a_handler)
{
	struct itimerval soon = {.it_value = {0, 20000}};
	setitimer(ITIMER_REAL, &soon, NULL);
	SAY("before");
	sleep_ms(5000);
	SAY("never here");
}

CASE(interval_timer)
{
	struct itimerval timer = {{0, 10000}, {0, 5000}}, old, none = {{0, 0}, {0, 0}};
	handle(SIGALRM);
	SHOW(setitimer(ITIMER_REAL, &timer, NULL));
	SHOW(getitimer(ITIMER_REAL, &old));
	SAY("interval %ld", old.it_interval.tv_usec);
	IS(old.it_value.tv_usec > 0 && old.it_value.tv_usec <= 10000);
	wait_for(3);
	SHOW(setitimer(ITIMER_REAL, &none, &old));
	SAY("interval %ld", old.it_interval.tv_usec);
	int before = calls;
	sleep_ms(30);
	IS(calls == before && before >= 3);
	SHOW(getitimer(ITIMER_REAL, &old));
	SAY("%ld %ld", (long)old.it_value.tv_sec, (long)old.it_value.tv_usec);
}

CASE(timer_of_processor_time)
{
	struct itimerval timer = {.it_value = {0, 20000}};
	handle(SIGVTALRM), handle(SIGPROF);
	SHOW(setitimer(ITIMER_VIRTUAL, &timer, NULL));
	SHOW(setitimer(ITIMER_PROF, &timer, NULL));
	long begin = now_ms();
	while (calls < 2 && now_ms() - begin < 8000)
		;
	SAY("%d", calls);
}

CASE(wrong_interval_timers)
{
	struct itimerval wrong = {.it_value = {0, 1000000}}, now;
	SHOW(setitimer(ITIMER_REAL, &wrong, NULL));
	SHOW(setitimer(77, &now, NULL));
	SHOW(getitimer(77, &now));
	SHOW(getitimer(ITIMER_REAL, NOWHERE));
	SHOW(setitimer(ITIMER_REAL, NOWHERE, NULL));
}

static timer_t create(clockid_t clock, int notify, int number)
{
	timer_t timer = NULL;
	struct sigevent event = {.sigev_notify = notify, .sigev_signo = number, .sigev_value.sival_int = 4711};
	SHOW(timer_create(clock, &event, &timer));
	return timer;
}

CASE(timer_sends_a_signal_with_a_value)
{
	handle_info(SIGRTMIN);
	timer_t timer = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGRTMIN);
	struct itimerspec time = {.it_value = {0, 10000000}}, now;
	SHOW(timer_settime(timer, 0, &time, NULL));
	wait_for(1);
	SAY("%d, code %d, value %d", calls, code, value);
	SHOW(timer_gettime(timer, &now));
	SAY("%ld %ld", (long)now.it_value.tv_sec, now.it_value.tv_nsec);
	SHOW(timer_delete(timer));
	SHOW(timer_delete(timer));
}

CASE(timer_with_interval)
{
	handle_info(SIGUSR1);
	timer_t timer = create(CLOCK_REALTIME, SIGEV_SIGNAL, SIGUSR1);
	struct itimerspec time = {{0, 5000000}, {0, 5000000}}, old, none = {{0, 0}, {0, 0}};
	SHOW(timer_settime(timer, 0, &time, NULL));
	wait_for(4);
	SHOW(timer_settime(timer, 0, &none, &old));
	SAY("interval %ld", old.it_interval.tv_nsec);
	int before = calls;
	sleep_ms(20);
	IS(calls == before && before >= 4);
}

CASE(timer_overruns)
{
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	timer_t timer = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1);
	struct itimerspec time = {{0, 2000000}, {0, 2000000}};
	timer_settime(timer, 0, &time, NULL);
	sleep_ms(40);
	SHOW(sigwaitinfo(&set, &info));
	IS(info.si_overrun >= 10);
	IS(timer_getoverrun(timer) >= 10);
}

CASE(timer_at_an_absolute_time)
{
	handle_info(SIGUSR1);
	timer_t timer = create(CLOCK_MONOTONIC, SIGEV_SIGNAL, SIGUSR1);
	struct itimerspec past = {.it_value = {1, 0}}, time = {.it_value = in_ms(CLOCK_MONOTONIC, 20)};
	timer_settime(timer, TIMER_ABSTIME, &past, NULL);
	wait_for(1);
	SAY("%d", calls);
	timer_settime(timer, TIMER_ABSTIME, &time, NULL);
	wait_for(2);
	SAY("%d", calls);
}

CASE(timer_without_notification)
{
	timer_t timer = create(CLOCK_MONOTONIC, SIGEV_NONE, 0);
	struct itimerspec time = {.it_value = {100, 0}}, now;
	SHOW(timer_settime(timer, 0, &time, NULL));
	SHOW(timer_gettime(timer, &now));
	IS(now.it_value.tv_sec == 99 || now.it_value.tv_sec == 100);
}

static void on_thread(union sigval argument)
{
	value = argument.sival_int;
	__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
}

CASE(timer_that_starts_a_thread)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 99};
	event.sigev_notify_function = on_thread;
	SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
	struct itimerspec time = {.it_value = {0, 10000000}};
	SHOW(timer_settime(timer, 0, &time, NULL));
	wait_for(1);
	SAY("%d %d", calls, value);
}

CASE(wrong_timers)
{
	timer_t timer;
	struct itimerspec wrong = {.it_value = {0, -1}}, now;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 65};
	SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
	event.sigev_signo = SIGUSR1, event.sigev_notify = 77;
	SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
	event.sigev_notify = SIGEV_SIGNAL;
	SHOW(timer_create(77, &event, &timer));
	SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, NOWHERE, &timer));
	SHOW(syscall(SYS_timer_create, CLOCK_REALTIME, NULL, NOWHERE));
	SHOW(timer_create(CLOCK_REALTIME, &event, &timer));
	SHOW(timer_settime(timer, 0, &wrong, NULL));
	SHOW(syscall(SYS_timer_settime, 0, 0, NOWHERE, NULL));
	SHOW(syscall(SYS_timer_settime, 7777, 0, &now, NULL));
	SHOW(syscall(SYS_timer_gettime, 7777, &now));
	SHOW(syscall(SYS_timer_getoverrun, 7777));
	SHOW(syscall(SYS_timer_delete, 7777));
}
