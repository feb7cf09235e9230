/* Signals and threads, edited contexts, default actions, errors. */
#include "case.h"
#include <semaphore.h>
#include <ucontext.h>

static volatile int calls;
static volatile pid_t handled_by;
static void counting(int number) { calls++; handled_by = gettid(); }

static void handle(int number, void *handler, int flags)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
	if (sigaction(number, &action, NULL))
		SAY("sigaction: %s", error_name(errno));
}

static void change(int how, int number)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	pthread_sigmask(how, &set, NULL);
}

static sem_t ready;
static volatile bool done;
static void *idle(void *argument)
{
	if (argument)
		change(SIG_UNBLOCK, SIGUSR1);
	sem_post(&ready);
	while (!done)
		sleep_ms(2);
	return (void *)(long)gettid();
}

CASE(pthread_kill_reaches_its_thread)
{
	void *id;
	handle(SIGUSR1, counting, 0);
	sem_init(&ready, 0, 0);
	pthread_t thread = start(idle, NULL);
	sem_wait(&ready);
	SHOW_ERROR(pthread_kill(thread, 0));
	SHOW_ERROR(pthread_kill(thread, SIGUSR1));
	while (!calls)
		sched_yield();
	done = true;
	pthread_join(thread, &id);
	IS(handled_by == (long)id);
	SHOW_ERROR(pthread_kill(pthread_self(), 65));
}

CASE(a_thread_that_does_not_block_it_gets_the_signal)
{
	void *id;
	handle(SIGUSR1, counting, 0);
	change(SIG_BLOCK, SIGUSR1);
	sem_init(&ready, 0, 0);
	pthread_t other = start(idle, NULL), thread = start(idle, (void *)1);
	sem_wait(&ready), sem_wait(&ready);
	SHOW(kill(getpid(), SIGUSR1));
	while (!calls)
		sched_yield();
	done = true;
	pthread_join(other, NULL);
	pthread_join(thread, &id);
	IS(handled_by == (long)id);
}

static void *show_mask(void *argument)
{
	sigset_t now;
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	SAY("inherited %d", sigismember(&now, SIGUSR1));
	change(SIG_UNBLOCK, SIGUSR1);
	change(SIG_BLOCK, SIGUSR2);
	return NULL;
}

CASE(masks_are_per_thread)
{
	sigset_t now;
	change(SIG_BLOCK, SIGUSR1);
	pthread_join(start(show_mask, NULL), NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	SAY("own %d %d", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
}

static void *show_pending(void *argument)
{
	sigset_t set;
	raise(SIGUSR2);
	sigpending(&set);
	SAY("thread: %d %d", sigismember(&set, SIGUSR1), sigismember(&set, SIGUSR2));
	return NULL;
}

CASE(pending_signals_of_a_thread_are_its_own)
{
	sigset_t set;
	change(SIG_BLOCK, SIGUSR1);
	change(SIG_BLOCK, SIGUSR2);
	kill(getpid(), SIGUSR1);
	pthread_join(start(show_pending, NULL), NULL);
	sigpending(&set);
	SAY("main: %d %d", sigismember(&set, SIGUSR1), sigismember(&set, SIGUSR2));
}

static void show_altstack(int number)
{
	stack_t now;
	sigaltstack(NULL, &now);
	calls = now.ss_flags;
}

static void *altstack_of_a_thread(void *argument)
{
	raise(SIGUSR1);
	SAY("thread: %d", calls);
	return NULL;
}

CASE(alternate_stacks_are_per_thread)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	sigaltstack(&stack, NULL);
	handle(SIGUSR1, show_altstack, SA_ONSTACK);
	pthread_join(start(altstack_of_a_thread, NULL), NULL);
	raise(SIGUSR1);
	SAY("main: %d", calls);
}

static void skip_it(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	user->uc_mcontext.gregs[REG_RIP] += 2;
	user->uc_mcontext.gregs[REG_RAX] = 1234;
	user->uc_mcontext.gregs[REG_R12] += 1;
}

CASE(handler_edits_registers)
{
	handle(SIGILL, skip_it, SA_SIGINFO);
	long value = 1, other = 7;
	register long kept __asm__("r12") = other;
	__asm__ volatile("ud2" : "+a"(value), "+r"(kept));
	SAY("%ld %ld", value, kept);
}

static void block_more(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	sigaddset(&user->uc_sigmask, SIGUSR2);
}

CASE(handler_edits_the_mask)
{
	sigset_t now;
	handle(SIGUSR1, block_more, SA_SIGINFO);
	raise(SIGUSR1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	SAY("%d %d", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
}

static void clobber(int number)
{
	__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; pcmpeqd %%xmm7, %%xmm7; pcmpeqd %%xmm15, %%xmm15; fldpi; fstp %%st(0)"
			 ::: "xmm0", "xmm7", "xmm15");
	unsigned upward = 0x5f80;
	__asm__ volatile("ldmxcsr %0" :: "m"(upward));
	calls++;
}

CASE(vector_registers_survive_a_handler)
{
	handle(SIGUSR1, clobber, 0);
	double a = 1.5, b = 2.5, c = 3.5;
	long result = SYS_tgkill;
	pid_t process = getpid(), thread = gettid();
	__asm__ volatile("movq %[a], %%xmm0; movq %[b], %%xmm7; movq %[c], %%xmm15; syscall;"
			 "movq %%xmm0, %[a]; movq %%xmm7, %[b]; movq %%xmm15, %[c]"
			 : [a] "+m"(a), [b] "+m"(b), [c] "+m"(c), "+a"(result)
			 : "D"((long)process), "S"((long)thread), "d"((long)SIGUSR1)
			 : "rcx", "r11", "memory", "xmm0", "xmm7", "xmm15");
	unsigned control;
	__asm__ volatile("stmxcsr %0" : "=m"(control));
	SAY("%ld: %.1f %.1f %.1f, rounding %u, calls %d", result, a, b, c, control >> 13 & 3, calls);
}

CASE(general_registers_and_red_zone_survive_a_handler)
{
	handle(SIGUSR1, counting, 0);
	long result = SYS_tgkill, red = 0, flags = 0;
	__asm__ volatile("movq $4711, -8(%%rsp); movq $815, -128(%%rsp); movq $17, %%rbx; movq $18, %%r15; std; syscall;"
			 "pushfq; popq %[flags]; cld; movq -128(%%rsp), %[red]; addq %%rbx, %[red]; addq %%r15, %[red]"
			 : [red] "=&r"(red), [flags] "=&r"(flags), "+a"(result)
			 : "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGUSR1)
			 : "rcx", "r11", "rbx", "r15", "memory", "cc");
	SAY("%ld %ld, direction %ld, calls %d", result, red, flags >> 10 & 1, calls);
}

static volatile int direction;
static void look_at_flags(int number)
{
	long flags;
	__asm__ volatile("pushfq; popq %0" : "=r"(flags));
	direction = (int)(flags >> 10 & 1);
}

CASE(direction_flag_is_clear_in_a_handler)
{
	handle(SIGUSR1, look_at_flags, 0);
	long result = SYS_tgkill;
	__asm__ volatile("std; syscall; cld" : "+a"(result)
			 : "D"((long)getpid()), "S"((long)gettid()), "d"((long)SIGUSR1) : "rcx", "r11", "memory", "cc");
	SAY("%ld %d", result, direction);
}

static sigjmp_buf away;
static void jump(int number) { siglongjmp(away, number); }

CASE(jump_out_of_a_handler)
{
	sigset_t now;
	handle(SIGUSR1, jump, 0);
	for (volatile int i = 0; i < 3; i++) {
		int from = sigsetjmp(away, 1);
		if (!from)
			raise(SIGUSR1);
		sigprocmask(SIG_BLOCK, NULL, &now);
		SAY("from %d, blocked %d", from, sigismember(&now, SIGUSR1));
	}
	int from = sigsetjmp(away, 0);
	if (!from)
		raise(SIGUSR1);
	sigprocmask(SIG_BLOCK, NULL, &now);
	SAY("from %d, blocked %d", from, sigismember(&now, SIGUSR1));
}

CASE(jump_off_an_alternate_stack)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536}, now;
	sigaltstack(&stack, NULL);
	handle(SIGUSR1, jump, SA_ONSTACK);
	for (volatile int i = 0; i < 3; i++) {
		if (!sigsetjmp(away, 1))
			raise(SIGUSR1);
		sigaltstack(NULL, &now);
		SAY("%d", now.ss_flags);
	}
}

static ucontext_t contexts[2];
static void other_context(void)
{
	for (int i = 0; i < 3; i++) {
		SAY("there %d", i);
		swapcontext(&contexts[1], &contexts[0]);
	}
}

CASE(user_contexts)
{
	getcontext(&contexts[1]);
	contexts[1].uc_stack = (stack_t){.ss_sp = malloc(65536), .ss_size = 65536};
	contexts[1].uc_link = &contexts[0];
	makecontext(&contexts[1], other_context, 0);
	for (int i = 0; i < 4; i++) {
		SAY("here %d", i);
		swapcontext(&contexts[0], &contexts[1]);
	}
}

CASE(actions_are_remembered)
{
	struct sigaction action = {.sa_handler = counting, .sa_flags = SA_RESTART | SA_NODEFER}, old;
	sigaddset(&action.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &action, &old);
	IS(old.sa_handler == SIG_DFL && !(old.sa_flags & ~0x04000000));
	sigaction(SIGUSR1, NULL, &old);
	IS(old.sa_handler == counting);
	SAY("flags %#x mask %d %d", old.sa_flags & ~0x04000000, sigismember(&old.sa_mask, SIGUSR2),
	    sigismember(&old.sa_mask, SIGUSR1));
}

CASE(wrong_actions)
{
	struct sigaction action = {.sa_handler = counting};
	SHOW(sigaction(SIGKILL, &action, NULL));
	SHOW(sigaction(SIGSTOP, &action, NULL));
	SHOW(sigaction(SIGKILL, NULL, &action));
	SHOW(sigaction(0, NULL, &action));
	SHOW(sigaction(65, NULL, &action));
	SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
	SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NOWHERE, NULL, 8));
	SHOW(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NOWHERE, 8));
}

CASE(wrong_masks)
{
	sigset_t set, now;
	sigfillset(&set);
	SHOW(sigprocmask(77, &set, NULL));
	SHOW(sigprocmask(77, NULL, &now));
	SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4));
	SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NOWHERE, NULL, 8));
	SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NOWHERE, 8));
	SHOW(sigprocmask(SIG_BLOCK, &set, NULL));
	sigprocmask(SIG_BLOCK, NULL, &now);
	SAY("%d %d %d", sigismember(&now, SIGKILL), sigismember(&now, SIGSTOP), sigismember(&now, SIGTERM));
}

CASE(wrong_targets)
{
	SHOW(kill(getpid(), 0));
	SHOW(kill(0, 0));
	SHOW(kill(getpid(), 65));
	SHOW(kill(getpid(), -1));
	SHOW(kill(0x3fffff, 0));
	SHOW(kill(INT_MIN, 0));
	SHOW(syscall(SYS_tkill, gettid(), 65));
	SHOW(syscall(SYS_tkill, 0x3fffff, 0));
}

CASE(harmless_by_default)
{
	SHOW(raise(SIGCHLD));
	SHOW(raise(SIGURG));
	SHOW(raise(SIGWINCH));
	SHOW(raise(SIGCONT));
}

#define ENDS(name, number) CASE(ends_by_##name) { SAY("before"); raise(number); SAY("never here"); }
ENDS(sigterm, SIGTERM)
ENDS(sigusr1, SIGUSR1)
ENDS(sigkill, SIGKILL)
ENDS(sigpipe, SIGPIPE)
ENDS(sigsegv, SIGSEGV)
ENDS(realtime_signal, SIGRTMIN + 5)

CASE(ends_by_a_signal_in_a_thread)
{
	sem_init(&ready, 0, 0);
	pthread_t thread = start(idle, NULL);
	sem_wait(&ready);
	pthread_kill(thread, SIGTERM);
	pthread_join(thread, NULL);
	SAY("never here");
}

CASE(ends_by_abort)
{
	handle(SIGABRT, counting, 0);
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	abort();
}

CASE(blocked_fatal_signals_wait)
{
	change(SIG_BLOCK, SIGTERM);
	raise(SIGTERM);
	SAY("still here");
	change(SIG_UNBLOCK, SIGTERM);
	SAY("never here");
}
