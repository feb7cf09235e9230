/* Handlers that run on raise(), with masks, an alternate stack, siginfo and siglongjmp. */
#define _GNU_SOURCE
#include "check.h"
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t seen, order, nested;
static char *stack;
static sigjmp_buf jump;

static void plain(int number) { seen = number; }

static void detailed(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	char here;
	CHECK(info->si_signo == number && info->si_pid == getpid());
	CHECK(&here > stack && &here < stack + 65536);
	CHECK(uc->uc_stack.ss_sp == stack && uc->uc_stack.ss_size == 65536);
	CHECK(sigismember(&uc->uc_sigmask, SIGUSR2) == 0);
	CHECK(uc->uc_mcontext.gregs[REG_RIP] != 0);
	sigset_t now;
	sigprocmask(SIG_BLOCK, NULL, &now);
	CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
	CHECK(((unsigned long)__builtin_frame_address(0) & 15) == 0);
	seen = number;
}

static void first(int number)
{
	order = order * 100 + number;
	if (!nested++)
		raise(SIGUSR2);
	order = order * 100 + number;
}

static void second(int number) { order = order * 100 + number; }
static void jumps(int number) { siglongjmp(jump, number); }

int main(void)
{
	volatile double value = 1.5;
	long kept = 0x123456789abcdef;
	signal(SIGUSR1, plain);
	CHECK(raise(SIGUSR1) == 0 && seen == SIGUSR1);
	CHECK(value == 1.5 && kept == 0x123456789abcdef);

	stack = malloc(65536);
	stack_t alternate = { .ss_sp = stack, .ss_size = 65536 }, old;
	CHECK(sigaltstack(&alternate, NULL) == 0 && sigaltstack(NULL, &old) == 0);
	CHECK(old.ss_sp == stack && old.ss_flags == 0);
	struct sigaction action = { .sa_sigaction = detailed, .sa_flags = SA_SIGINFO | SA_ONSTACK }, was;
	sigaddset(&action.sa_mask, SIGUSR2);
	CHECK(sigaction(SIGUSR1, &action, &was) == 0 && was.sa_handler == plain);
	seen = 0;
	CHECK(kill(getpid(), SIGUSR1) == 0 && seen == SIGUSR1);
	sigset_t mask;
	CHECK(sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1));

	/* Blocked, then pending, then delivered by unblocking. */
	signal(SIGUSR2, plain);
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	seen = 0;
	raise(SIGUSR2);
	sigset_t pending;
	CHECK(seen == 0 && sigpending(&pending) == 0 && sigismember(&pending, SIGUSR2));
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	CHECK(seen == SIGUSR2);

	/* A handler that raises another. */
	signal(SIGUSR1, first);
	signal(SIGUSR2, second);
	raise(SIGUSR1);
	CHECK(order == 101210);

	/* Leaving a handler without returning. */
	signal(SIGABRT, jumps);
	if (sigsetjmp(jump, 1) == 0)
		abort();
	sigprocmask(SIG_BLOCK, NULL, &mask);
	CHECK(!sigismember(&mask, SIGABRT));

	signal(SIGUSR1, SIG_IGN);
	CHECK(raise(SIGUSR1) == 0 && raise(SIGCHLD) == 0);
	CHECK(kill(2, 0) == -1 && errno == ESRCH);
	puts("ok");
	return 0;
}
