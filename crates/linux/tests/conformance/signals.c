/* Signals that are sent: handlers, masks, queues, waiting for them. */
#include "case.h"
#include <semaphore.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

/* What the handlers note down: they may not print. */
static volatile int notes[64], noted;
static void note(int what) { notes[noted++ % 64] = what; }
static void tell(void)
{
	printf("notes:");
	for (int i = 0; i < noted; i++)
		printf(" %d", notes[i]);
	putchar('\n');
	noted = 0;
}

static void noting(int number) { note(number); }

static void handle(int number, void (*handler)(int), int flags, const sigset_t *mask)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
	if (mask)
		action.sa_mask = *mask;
	if (sigaction(number, &action, NULL))
		SAY("sigaction: %s", error_name(errno));
}

static sigset_t set_of(int one, int other)
{
	sigset_t set;
	sigemptyset(&set);
	if (one)
		sigaddset(&set, one);
	if (other)
		sigaddset(&set, other);
	return set;
}

static void block(int one, int other)
{
	sigset_t set = set_of(one, other);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void unblock(int one, int other)
{
	sigset_t set = set_of(one, other);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static void show_pending(void)
{
	sigset_t set;
	sigpending(&set);
	printf("pending:");
	for (int i = 1; i < 65; i++)
		if (sigismember(&set, i) == 1)
			printf(" %d", i);
	putchar('\n');
}

CASE(raise_runs_the_handler)
{
	handle(SIGUSR1, noting, 0, NULL);
	handle(SIGRTMAX, noting, 0, NULL);
	SHOW(raise(SIGUSR1));
	SHOW(kill(getpid(), SIGUSR1));
	SHOW(raise(SIGRTMAX));
	tell();
}

static siginfo_t seen;
static void keep_info(int number, siginfo_t *info, void *context) { seen = *info; note(number); }

static void handle_info(int number, int flags)
{
	struct sigaction action = {.sa_sigaction = keep_info, .sa_flags = SA_SIGINFO | flags};
	sigaction(number, &action, NULL);
}

static void show_info(void)
{
	SAY("number %d, code %d, errno %d, own pid %d, own uid %d", seen.si_signo, seen.si_code,
	    seen.si_errno, seen.si_pid == getpid(), seen.si_uid == getuid());
}

CASE(information_from_kill)
{
	handle_info(SIGUSR1, 0);
	kill(getpid(), SIGUSR1);
	show_info();
}

CASE(information_from_tgkill)
{
	handle_info(SIGUSR2, 0);
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR2);
	show_info();
	syscall(SYS_tkill, gettid(), SIGUSR2);
	show_info();
}

CASE(information_from_sigqueue)
{
	handle_info(SIGRTMIN, 0);
	SHOW(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 4711}));
	show_info();
	SAY("value %d", seen.si_value.sival_int);
}

CASE(information_that_may_be_made_up)
{
	siginfo_t info = {.si_signo = SIGUSR1, .si_code = -77, .si_errno = 5};
	handle_info(SIGUSR1, 0);
	SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &info));
	show_info();
	SHOW(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &info));
	SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &info));
	SHOW(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, NOWHERE));
	tell();
}

CASE(realtime_signals_queue)
{
	handle(SIGRTMIN, noting, 0, NULL);
	block(SIGRTMIN, 0);
	for (int i = 0; i < 5; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
	tell();
	unblock(SIGRTMIN, 0);
	tell();
}

CASE(realtime_signals_keep_their_order)
{
	siginfo_t info;
	sigset_t set = set_of(SIGRTMIN, SIGRTMIN + 1);
	block(SIGRTMIN, SIGRTMIN + 1);
	for (int i = 0; i < 6; i++)
		sigqueue(getpid(), SIGRTMIN + !(i % 2), (union sigval){.sival_int = i});
	for (int i = 0; i < 6; i++) {
		int number = sigwaitinfo(&set, &info);
		SAY("%d %d", number - SIGRTMIN, info.si_value.sival_int);
	}
}

CASE(standard_signals_do_not_queue)
{
	handle(SIGUSR1, noting, 0, NULL);
	block(SIGUSR1, 0);
	for (int i = 0; i < 5; i++)
		kill(getpid(), SIGUSR1);
	unblock(SIGUSR1, 0);
	tell();
}

CASE(order_of_several_pending)
{
	block(SIGUSR1, SIGUSR2);
	block(SIGRTMIN, SIGALRM);
	for (int number = 1; number < 65; number++)
		if (number == SIGUSR1 || number == SIGUSR2 || number == SIGALRM || number == SIGRTMIN)
			handle(number, noting, 0, NULL);
	raise(SIGRTMIN), raise(SIGALRM), raise(SIGUSR2), raise(SIGUSR1);
	show_pending();
	sigset_t none = set_of(0, 0);
	sigprocmask(SIG_SETMASK, &none, NULL);
	tell();
	show_pending();
}

CASE(blocked_signals_are_pending)
{
	handle(SIGUSR1, noting, 0, NULL);
	block(SIGUSR1, SIGRTMIN + 3);
	raise(SIGUSR1), raise(SIGRTMIN + 3);
	show_pending();
	tell();
	unblock(SIGUSR1, 0);
	tell();
	show_pending();
}

CASE(ignoring_discards_what_is_pending)
{
	block(SIGUSR1, 0);
	raise(SIGUSR1);
	show_pending();
	handle(SIGUSR1, SIG_IGN, 0, NULL);
	show_pending();
	handle(SIGUSR1, SIG_DFL, 0, NULL);
	unblock(SIGUSR1, 0);
	SAY("alive");
}

static void raises_another(int number)
{
	note(number);
	if (number == SIGUSR1)
		raise(SIGUSR2);
	note(-number);
}

CASE(handlers_nest)
{
	handle(SIGUSR1, raises_another, 0, NULL);
	handle(SIGUSR2, raises_another, 0, NULL);
	raise(SIGUSR1);
	tell();
}

CASE(mask_of_the_action_holds_in_the_handler)
{
	sigset_t mask = set_of(SIGUSR2, 0);
	handle(SIGUSR1, raises_another, 0, &mask);
	handle(SIGUSR2, raises_another, 0, NULL);
	raise(SIGUSR1);
	tell();
}

static volatile int depth;
static void recursive(int number)
{
	note(++depth);
	if (depth < 4)
		raise(number);
	note(-depth);
	depth--;
}

static void raises_itself(int number)
{
	note(1);
	if (noted < 4)
		raise(number);
	note(2);
}

CASE(a_signal_is_blocked_in_its_handler)
{
	handle(SIGUSR1, raises_itself, 0, NULL);
	raise(SIGUSR1);
	tell();
}

CASE(nodefer)
{
	handle(SIGUSR1, recursive, SA_NODEFER, NULL);
	raise(SIGUSR1);
	tell();
}

CASE(resethand)
{
	struct sigaction now;
	handle(SIGUSR1, noting, SA_RESETHAND, NULL);
	raise(SIGUSR1);
	tell();
	sigaction(SIGUSR1, NULL, &now);
	IS(now.sa_handler == SIG_DFL);
	raise(SIGUSR1);
	SAY("never here");
}

static void show_stack(int number)
{
	stack_t now;
	sigaltstack(NULL, &now);
	note(now.ss_flags);
	char here;
	note(&here >= (char *)now.ss_sp && &here < (char *)now.ss_sp + now.ss_size);
	stack_t other = {.ss_sp = now.ss_sp, .ss_size = now.ss_size};
	note(sigaltstack(&other, NULL) == -1 ? errno : 0);
	if (number == SIGUSR1)
		raise(SIGUSR2);
}

CASE(alternate_stack)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, old;
	SHOW(sigaltstack(&stack, &old));
	SAY("was %d", old.ss_flags);
	handle(SIGUSR1, show_stack, SA_ONSTACK, NULL);
	handle(SIGUSR2, show_stack, SA_ONSTACK, NULL);
	raise(SIGUSR1);
	tell();
	handle(SIGUSR1, show_stack, 0, NULL);
	raise(SIGUSR1);
	tell();
	SHOW(sigaltstack(NULL, &old));
	IS(old.ss_sp == stack.ss_sp && old.ss_size == 65536 && old.ss_flags == 0);
}

CASE(wrong_alternate_stacks)
{
	static char room[65536];
	stack_t small = {.ss_sp = room, .ss_size = 1024}, flags = {.ss_sp = room, .ss_size = 65536, .ss_flags = 77};
	stack_t disabled = {.ss_flags = SS_DISABLE}, autodisarm = {.ss_sp = room, .ss_size = 65536, .ss_flags = SS_AUTODISARM};
	SHOW(sigaltstack(&small, NULL));
	SHOW(sigaltstack(&flags, NULL));
	SHOW(sigaltstack(&disabled, NULL));
	SHOW(sigaltstack(NOWHERE, NULL));
	SHOW(sigaltstack(&autodisarm, NULL));
	handle(SIGUSR1, show_stack, SA_ONSTACK, NULL);
	SHOW(sigaltstack(&disabled, NULL));
}

static int pipe_ends[2];
static pthread_t main_thread;
static void *signal_then_write(void *argument)
{
	sleep_ms(20);
	pthread_kill(main_thread, SIGUSR1);
	sleep_ms(20);
	return write(pipe_ends[1], "x", 1) == 1 ? NULL : argument;
}

static void read_with(int flags)
{
	char byte;
	handle(SIGUSR1, noting, flags, NULL);
	if (pipe(pipe_ends))
		SAY("no pipe");
	main_thread = pthread_self();
	pthread_t thread = start(signal_then_write, NULL);
	SHOW(read(pipe_ends[0], &byte, 1));
	pthread_join(thread, NULL);
	tell();
}

CASE(interrupted_read) { read_with(0); }
CASE(restarted_read) { read_with(SA_RESTART); }

static void *signal_main(void *argument)
{
	sleep_ms((long)argument);
	pthread_kill(main_thread, SIGUSR1);
	return NULL;
}

CASE(interrupted_sleep)
{
	struct timespec time = {5, 0}, rest = {0};
	handle(SIGUSR1, noting, SA_RESTART, NULL);
	main_thread = pthread_self();
	pthread_t thread = start(signal_main, (void *)20);
	SHOW(nanosleep(&time, &rest));
	IS(rest.tv_sec == 4);
	tell();
	pthread_join(thread, NULL);
}

CASE(interrupted_semaphore)
{
	sem_t semaphore;
	sem_init(&semaphore, 0, 0);
	handle(SIGUSR1, noting, 0, NULL);
	main_thread = pthread_self();
	pthread_t thread = start(signal_main, (void *)20);
	SHOW(sem_wait(&semaphore));
	pthread_join(thread, NULL);
	tell();
}

CASE(interrupted_poll)
{
	struct pollfd nothing = {.fd = -1};
	handle(SIGUSR1, noting, SA_RESTART, NULL);
	main_thread = pthread_self();
	pthread_t thread = start(signal_main, (void *)20);
	SHOW(poll(&nothing, 1, 5000));
	pthread_join(thread, NULL);
	tell();
}

CASE(ignored_signals_interrupt_nothing)
{
	struct pollfd nothing = {.fd = -1};
	handle(SIGUSR1, SIG_IGN, 0, NULL);
	main_thread = pthread_self();
	pthread_t thread = start(signal_main, (void *)10);
	SHOW(poll(&nothing, 1, 50));
	pthread_join(thread, NULL);
}

CASE(sigsuspend_waits_with_another_mask)
{
	handle(SIGUSR1, noting, 0, NULL);
	handle(SIGUSR2, noting, 0, NULL);
	block(SIGUSR1, SIGUSR2);
	raise(SIGUSR1), raise(SIGUSR2);
	sigset_t only_two = set_of(SIGUSR1, 0), now;
	SHOW(sigsuspend(&only_two));
	tell();
	sigprocmask(SIG_BLOCK, NULL, &now);
	SAY("blocked again: %d %d", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
	show_pending();
}

CASE(pause_waits_for_a_handler)
{
	handle(SIGUSR1, noting, SA_RESTART, NULL);
	main_thread = pthread_self();
	pthread_t thread = start(signal_main, (void *)20);
	SHOW(pause());
	tell();
	pthread_join(thread, NULL);
}

CASE(sigtimedwait_takes_pending_signals)
{
	siginfo_t info;
	struct timespec none = {0, 0}, short_ = {0, 20000000}, wrong = {0, 1000000000};
	sigset_t set = set_of(SIGUSR1, SIGRTMIN);
	block(SIGUSR1, SIGRTMIN);
	SHOW(sigtimedwait(&set, &info, &none));
	SHOW(sigtimedwait(&set, &info, &wrong));
	long begin = now_ms();
	SHOW(sigtimedwait(&set, &info, &short_));
	IS(now_ms() - begin >= 19);
	sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
	kill(getpid(), SIGUSR1);
	SHOW(sigtimedwait(&set, &info, &none));
	SAY("code %d", info.si_code);
	SHOW(sigtimedwait(&set, &info, &none) - SIGRTMIN);
	SAY("code %d value %d", info.si_code, info.si_value.sival_int);
	show_pending();
}

static void *wait_for_a_signal(void *argument)
{
	sigset_t set = set_of(SIGUSR1, 0);
	int number = 0;
	SHOW_ERROR(sigwait(&set, &number));
	SAY("%d", number);
	return NULL;
}

CASE(sigwait_in_a_thread)
{
	block(SIGUSR1, 0);
	pthread_t thread = start(wait_for_a_signal, NULL);
	sleep_ms(20);
	int result = kill(getpid(), SIGUSR1);
	pthread_join(thread, NULL);
	SAY("kill: %d", result);
	show_pending();
}
