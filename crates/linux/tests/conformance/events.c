/* Waiting for descriptors: poll, select, epoll, timerfd, signalfd. */
#include "case.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int ends[2];
static char buffer[100000];
static volatile int calls;
static void counting(int number) { calls++; }

static void show_poll(const char *what, struct pollfd *set, int count, int timeout)
{
	int ready = poll(set, (nfds_t)count, timeout);
	printf("%s: %d:", what, ready);
	for (int i = 0; i < count; i++)
		printf(" %#x", set[i].revents);
	putchar('\n');
}

CASE(poll_of_a_pipe)
{
	TRY(pipe2(ends, O_NONBLOCK));
	struct pollfd set[] = {{ends[0], POLLIN | POLLOUT, 0}, {ends[1], POLLIN | POLLOUT, 0}};
	show_poll("empty", set, 2, 0);
	TRY(write(ends[1], "x", 1));
	show_poll("with a byte", set, 2, 0);
	TRY(write(ends[1], buffer, sizeof buffer));
	show_poll("full", set, 2, 0);
	close(ends[1]);
	show_poll("writer gone", set, 2, 0);
	while (read(ends[0], buffer, sizeof buffer) > 0)
		;
	show_poll("at the end", set, 1, 0);
	TRY(pipe(ends));
	close(ends[0]);
	struct pollfd other = {ends[1], POLLOUT, 0};
	show_poll("reader gone", &other, 1, 0);
}

CASE(poll_of_odd_descriptors)
{
	struct pollfd set[] = {{-1, POLLIN, 77}, {NO_FD, POLLIN, 0}, {1, POLLOUT, 0}, {0, POLLIN, 0}};
	show_poll("odd", set, 4, 0);
	show_poll("nothing", set, 1, 10);
	SHOW(poll(NULL, 0, 10));
	SHOW(poll(NOWHERE, 1, 0));
	SHOW(syscall(SYS_poll, set, 100000000, 0));
}

static void *write_later(void *argument)
{
	sleep_ms(20);
	return (void *)write((int)(long)argument, "12345678", 8);
}

CASE(poll_blocks)
{
	TRY(pipe(ends));
	struct pollfd set = {ends[0], POLLIN, 0};
	long begin = now_ms();
	show_poll("timeout", &set, 1, 20);
	IS(now_ms() - begin >= 19);
	pthread_t thread = start(write_later, (void *)(long)ends[1]);
	show_poll("written", &set, 1, -1);
	pthread_join(thread, NULL);
}

CASE(ppoll_with_mask)
{
	struct timespec time = {0, 20000000}, wrong = {0, 1000000000}, second = {5, 0};
	sigset_t blocked, none;
	signal(SIGUSR1, counting);
	sigemptyset(&none), sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	SHOW(ppoll(NULL, 0, &time, NULL));
	SHOW(ppoll(NULL, 0, &wrong, NULL));
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	SHOW(ppoll(NULL, 0, &time, NULL));
	SAY("%d", calls);
	SHOW(ppoll(NULL, 0, &second, &none));
	SAY("%d", calls);
	raise(SIGUSR1);
	SHOW(ppoll(NULL, 0, &time, NULL));
	SAY("%d", calls);
}

CASE(select_of_pipes)
{
	fd_set in, out, bad;
	struct timeval none = {0, 0}, soon = {0, 20000};
	TRY(pipe(ends));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_ZERO(&bad);
	FD_SET(ends[0], &in);
	FD_SET(ends[1], &out);
	FD_SET(ends[0], &bad);
	SHOW(select(20, &in, &out, &bad, &none));
	SAY("%d %d %d", FD_ISSET(ends[0], &in), FD_ISSET(ends[1], &out), FD_ISSET(ends[0], &bad));
	TRY(write(ends[1], "x", 1));
	FD_SET(ends[0], &in);
	SHOW(select(20, &in, &out, NULL, &none));
	SAY("%d %d", FD_ISSET(ends[0], &in), FD_ISSET(ends[1], &out));
	FD_ZERO(&in);
	FD_SET(ends[0], &in);
	SHOW(select(ends[0], &in, NULL, NULL, &none));
	SHOW(select(0, NULL, NULL, NULL, &soon));
	SAY("%ld %ld", (long)soon.tv_sec, (long)soon.tv_usec);
	FD_ZERO(&in);
	FD_SET(40, &in);
	SHOW(select(41, &in, NULL, NULL, &none));
	SHOW(select(-1, NULL, NULL, NULL, &none));
	SHOW(select(5, NOWHERE, NULL, NULL, &none));
	SHOW(select(0, NULL, NULL, NULL, &(struct timeval){-1, 0}));
}

CASE(select_blocks)
{
	fd_set in;
	TRY(pipe(ends));
	FD_ZERO(&in);
	FD_SET(ends[0], &in);
	pthread_t thread = start(write_later, (void *)(long)ends[1]);
	SHOW(select(ends[0] + 1, &in, NULL, NULL, NULL));
	pthread_join(thread, NULL);
	SAY("%d", FD_ISSET(ends[0], &in));
}

CASE(pselect_with_mask)
{
	struct timespec time = {0, 20000000}, second = {5, 0};
	sigset_t blocked, none;
	signal(SIGUSR1, counting);
	sigemptyset(&none), sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	raise(SIGUSR1);
	SHOW(pselect(0, NULL, NULL, NULL, &time, NULL));
	SHOW(pselect(0, NULL, NULL, NULL, &second, &none));
	SAY("%d %ld", calls, time.tv_nsec);
}

static int set_;
static int add(int descriptor, unsigned events, unsigned data)
{
	struct epoll_event event = {.events = events, .data.u32 = data};
	return epoll_ctl(set_, EPOLL_CTL_ADD, descriptor, &event);
}

static int modify(int descriptor, unsigned events, unsigned data)
{
	struct epoll_event event = {.events = events, .data.u32 = data};
	return epoll_ctl(set_, EPOLL_CTL_MOD, descriptor, &event);
}

static void show_events(const char *what, int timeout)
{
	struct epoll_event events[16];
	int count = epoll_wait(set_, events, 16, timeout);
	printf("%s: %d:", what, count);
	for (int i = 0; i < count; i++)
		printf(" %u=%#x", events[i].data.u32, events[i].events);
	putchar('\n');
}

CASE(epoll_level_triggered)
{
	TRY(pipe(ends));
	set_ = epoll_create1(EPOLL_CLOEXEC);
	IS(set_ >= 0);
	SHOW(add(ends[0], EPOLLIN, 1));
	SHOW(add(ends[1], EPOLLOUT, 2));
	show_events("empty", 0);
	TRY(write(ends[1], "xy", 2));
	SHOW(modify(ends[1], 0, 2));
	show_events("written", 0);
	show_events("again", 0);
	TRY(read(ends[0], buffer, 1));
	show_events("one left", 0);
	TRY(read(ends[0], buffer, 1));
	show_events("none left", 0);
	close(ends[1]);
	show_events("writer gone", 0);
	show_events("writer gone", 0);
}

CASE(epoll_edge_triggered)
{
	TRY(pipe2(ends, O_NONBLOCK));
	set_ = epoll_create1(0);
	SHOW(add(ends[0], EPOLLIN | EPOLLET, 1));
	TRY(write(ends[1], "x", 1));
	show_events("written", 0);
	show_events("again", 0);
	TRY(write(ends[1], "x", 1));
	show_events("written once more", 0);
	TRY(read(ends[0], buffer, 10));
	show_events("read", 0);
	TRY(write(ends[1], "x", 1));
	SHOW(modify(ends[0], EPOLLIN | EPOLLET, 5));
	show_events("modified", 0);
	show_events("again", 0);
	close(ends[1]);
	show_events("writer gone", 0);
	show_events("again", 0);
}

CASE(epoll_one_shot)
{
	TRY(pipe(ends));
	set_ = epoll_create1(0);
	SHOW(add(ends[0], EPOLLIN | EPOLLONESHOT, 1));
	TRY(write(ends[1], "x", 1));
	show_events("written", 0);
	show_events("again", 0);
	SHOW(modify(ends[0], EPOLLIN | EPOLLONESHOT, 2));
	show_events("armed", 0);
	show_events("again", 0);
}

CASE(epoll_control_errors)
{
	struct epoll_event event = {.events = EPOLLIN};
	TRY(pipe(ends));
	SHOW(epoll_create(0));
	SHOW(epoll_create1(77));
	set_ = epoll_create(5);
	SHOW(add(ends[0], EPOLLIN, 1));
	SHOW(add(ends[0], EPOLLIN, 1));
	SHOW(modify(ends[1], EPOLLIN, 1));
	SHOW(epoll_ctl(set_, EPOLL_CTL_DEL, ends[1], NULL));
	SHOW(epoll_ctl(set_, EPOLL_CTL_DEL, ends[0], NULL));
	SHOW(epoll_ctl(set_, EPOLL_CTL_DEL, ends[0], NULL));
	SHOW(add(NO_FD, EPOLLIN, 1));
	SHOW(add(set_, EPOLLIN, 1));
	SHOW(epoll_ctl(NO_FD, EPOLL_CTL_ADD, ends[0], &event));
	SHOW(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event));
	SHOW(epoll_ctl(set_, 77, ends[0], &event));
	SHOW(epoll_ctl(set_, EPOLL_CTL_ADD, ends[0], NOWHERE));
	SHOW(epoll_wait(set_, &event, 0, 0));
	SHOW(epoll_wait(set_, &event, -1, 0));
	SHOW(epoll_wait(ends[0], &event, 1, 0));
	SHOW(epoll_wait(NO_FD, &event, 1, 0));
	SHOW(read(set_, buffer, 1));
	SHOW(add(memfd_create("file", 0), EPOLLIN, 1));
}

CASE(epoll_blocks)
{
	TRY(pipe(ends));
	set_ = epoll_create1(0);
	TRY(add(ends[0], EPOLLIN, 1));
	long begin = now_ms();
	show_events("timeout", 20);
	IS(now_ms() - begin >= 19);
	pthread_t thread = start(write_later, (void *)(long)ends[1]);
	show_events("written", -1);
	pthread_join(thread, NULL);
}

CASE(epoll_and_closed_descriptors)
{
	TRY(pipe(ends));
	set_ = epoll_create1(0);
	TRY(add(ends[0], EPOLLIN, 1));
	TRY(write(ends[1], "x", 1));
	int copy = dup(ends[0]);
	close(ends[0]);
	show_events("a copy is left", 0);
	close(copy);
	show_events("gone", 0);
}

CASE(epoll_of_a_duplicate)
{
	TRY(pipe(ends));
	set_ = epoll_create1(0);
	int copy = dup(ends[0]);
	SHOW(add(ends[0], EPOLLIN, 1));
	SHOW(add(copy, EPOLLIN, 2));
	TRY(write(ends[1], "x", 1));
	SHOW(epoll_wait(set_, (struct epoll_event *)buffer, 16, 0));
}

CASE(epoll_in_epoll)
{
	TRY(pipe(ends));
	int inner = epoll_create1(0);
	set_ = inner;
	TRY(add(ends[0], EPOLLIN, 1));
	set_ = epoll_create1(0);
	SHOW(add(inner, EPOLLIN, 2));
	show_events("empty", 0);
	TRY(write(ends[1], "x", 1));
	show_events("written", 0);
	struct pollfd poll_set = {set_, POLLIN, 0};
	SHOW(poll(&poll_set, 1, 0));
	TRY(read(ends[0], buffer, 1));
	show_events("read", 0);
	int outer = set_;
	set_ = inner;
	SHOW(add(outer, EPOLLIN, 3));
}

CASE(epoll_takes_turns)
{
	set_ = epoll_create1(0);
	for (unsigned i = 0; i < 4; i++)
		TRY(add(eventfd(1, 0), EPOLLIN, i));
	struct epoll_event events[2];
	unsigned seen = 0;
	for (int i = 0; i < 2; i++) {
		SHOW(epoll_wait(set_, events, 2, 0));
		seen |= 1u << events[0].data.u32 | 1u << events[1].data.u32;
	}
	SAY("%#x", seen);
}

CASE(epoll_of_sockets)
{
	TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	set_ = epoll_create1(0);
	SHOW(add(ends[0], EPOLLIN | EPOLLOUT | EPOLLRDHUP, 1));
	show_events("fresh", 0);
	TRY(write(ends[1], "x", 1));
	show_events("written", 0);
	SHOW(shutdown(ends[1], SHUT_WR));
	show_events("shut down", 0);
	close(ends[1]);
	show_events("closed", 0);
}

CASE(epoll_with_mask)
{
	struct epoll_event event;
	sigset_t blocked, none;
	signal(SIGUSR1, counting);
	sigemptyset(&none), sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, NULL);
	set_ = epoll_create1(0);
	raise(SIGUSR1);
	SHOW(epoll_pwait(set_, &event, 1, 10, NULL));
	SHOW(epoll_pwait(set_, &event, 1, 5000, &none));
	SAY("%d", calls);
	struct timespec time = {0, 10000000};
	SHOW(syscall(441 /* epoll_pwait2 */, set_, &event, 1, &time, NULL, 8));
}

CASE(poll_of_an_eventfd)
{
	uint64_t value = UINT64_MAX - 1;
	struct pollfd set = {eventfd(0, EFD_NONBLOCK), POLLIN | POLLOUT, 0};
	show_poll("zero", &set, 1, 0);
	TRY(write(set.fd, &value, 8));
	show_poll("full", &set, 1, 0);
	TRY(read(set.fd, &value, 8));
	value = 1;
	TRY(write(set.fd, &value, 8));
	show_poll("one", &set, 1, 0);
}

CASE(timerfd)
{
	uint64_t count = 0;
	int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	struct itimerspec time = {{0, 10000000}, {0, 5000000}}, now, none = {{0, 0}, {0, 0}};
	struct pollfd set = {timer, POLLIN, 0};
	SHOW(fcntl(timer, F_GETFD));
	SHOW(read(timer, &count, 8));
	SHOW(timerfd_settime(timer, 0, &time, NULL));
	SHOW(timerfd_gettime(timer, &now));
	SAY("interval %ld", now.it_interval.tv_nsec);
	show_poll("expired", &set, 1, 1000);
	SHOW(read(timer, &count, 8));
	IS(count >= 1);
	sleep_ms(40);
	SHOW(read(timer, &count, 8));
	IS(count >= 3);
	SHOW(timerfd_settime(timer, 0, &none, &now));
	SAY("interval %ld", now.it_interval.tv_nsec);
	sleep_ms(20);
	SHOW(read(timer, &count, 8));
	SHOW(read(timer, &count, 4));
	SHOW(write(timer, &count, 8));
}

CASE(timerfd_at_an_absolute_time)
{
	uint64_t count = 0;
	int timer = timerfd_create(CLOCK_REALTIME, 0);
	struct itimerspec past = {.it_value = {1, 0}}, soon = {.it_value = in_ms(CLOCK_REALTIME, 20)};
	SHOW(timerfd_settime(timer, TFD_TIMER_ABSTIME, &past, NULL));
	SHOW(read(timer, &count, 8));
	SAY("%lu", count);
	SHOW(timerfd_settime(timer, TFD_TIMER_ABSTIME, &soon, NULL));
	SHOW(read(timer, &count, 8));
	SAY("%lu", count);
	IS(in_ms(CLOCK_REALTIME, 0).tv_sec >= soon.it_value.tv_sec);
}

CASE(wrong_timerfds)
{
	struct itimerspec wrong = {.it_value = {0, 1000000000}}, now;
	SHOW(timerfd_create(77, 0));
	SHOW(timerfd_create(CLOCK_MONOTONIC, 77));
	int timer = timerfd_create(CLOCK_BOOTTIME, 0);
	SHOW(timerfd_settime(timer, 0, &wrong, NULL));
	SHOW(timerfd_settime(timer, 77, &now, NULL));
	SHOW(timerfd_settime(timer, 0, NOWHERE, NULL));
	SHOW(timerfd_settime(0, 0, &(struct itimerspec){{0, 0}, {0, 0}}, NULL));
	SHOW(timerfd_gettime(NO_FD, &now));
	SHOW(timerfd_gettime(timer, NOWHERE));
}

CASE(signalfd)
{
	struct signalfd_siginfo info[3];
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int descriptor = (signalfd)(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	IS(descriptor >= 0);
	struct pollfd poll_set = {descriptor, POLLIN, 0};
	show_poll("none", &poll_set, 1, 0);
	SHOW(read(descriptor, info, sizeof info));
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
	raise(SIGUSR1);
	show_poll("two", &poll_set, 1, 0);
	SHOW(read(descriptor, info, sizeof info) / (long)sizeof *info);
	SAY("%u %d, %u %d value %d", info[0].ssi_signo, info[0].ssi_code, info[1].ssi_signo - 34,
	    info[1].ssi_code, info[1].ssi_int);
	IS(info[0].ssi_pid == (unsigned)getpid());
	SHOW(read(descriptor, info, 10));
	SHOW((signalfd)(0, &set, 0));
	SHOW((signalfd)(-1, &set, 77));
	SHOW((signalfd)(NO_FD, &set, 0));
}
