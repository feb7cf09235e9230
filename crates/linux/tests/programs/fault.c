/* Handlers of processor exceptions: what they are told, and that the program goes on. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "check.h"

static sigjmp_buf back;
static siginfo_t told;
static volatile int count;
static char *page;

static void jump(int number, siginfo_t *info, void *context)
{
	(void)context;
	told = *info;
	siglongjmp(back, number);
}

static void skip(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	(void)number;
	told = *info;
	user->uc_mcontext.gregs[REG_RIP] += 2; /* ud2 */
	user->uc_mcontext.gregs[REG_RBX] = 77;
}

static void allow(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	count++;
	CHECK(info->si_addr == page + 100);
	CHECK(mprotect(page, 4096, PROT_READ | PROT_WRITE) == 0);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
	CHECK(sigaction(number, &action, NULL) == 0);
}

static int __attribute__((noinline)) recurse(int depth)
{
	volatile char room[1024];
	room[depth % 1024] = 1;
	return recurse(depth + 1) + room[0];
}

int main(void)
{
	/* One after the other: number, and what the handler is told. */
	handle(SIGSEGV, jump, 0);
	volatile uintptr_t nowhere = 0x10;
	if (!sigsetjmp(back, 1))
		*(volatile int *)nowhere = 1;
	CHECK(told.si_signo == SIGSEGV && told.si_code == SEGV_MAPERR && told.si_addr == (void *)0x10);
	if (!sigsetjmp(back, 1))
		*(volatile char *)main = 1;
	CHECK(told.si_code == SEGV_ACCERR && told.si_addr == (void *)main);
	volatile uintptr_t far = 0x8000000000000000;
	if (!sigsetjmp(back, 1))
		*(volatile int *)far = 1;
	CHECK(told.si_signo == SIGSEGV && told.si_code == SI_KERNEL);

	handle(SIGFPE, jump, 0);
	volatile int zero = 0;
	if (!sigsetjmp(back, 1))
		zero = 100 / zero;
	CHECK(told.si_signo == SIGFPE && told.si_code == FPE_INTDIV);

	handle(SIGTRAP, jump, 0);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("int3" ::: "memory");
	CHECK(told.si_signo == SIGTRAP);

	/* A handler that changes registers and returns. */
	handle(SIGILL, skip, 0);
	uint64_t value = 5;
	__asm__ volatile("mov $6, %%rbx; ud2; mov %%rbx, %0" : "=r"(value)::"rbx", "memory");
	CHECK(told.si_signo == SIGILL && value == 77);

	/* A handler that makes the access possible: it is tried again. */
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED);
	handle(SIGSEGV, allow, 0);
	for (int round = 0; round < 3; round++) {
		CHECK(mprotect(page, 4096, round % 2 ? PROT_NONE : PROT_READ) == 0);
		page[100] += 1;
		CHECK(page[100] == round + 1 && count == round + 1);
	}

	/* The end of the stack, handled on another one; more than once. */
	stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
	CHECK(sigaltstack(&other, NULL) == 0);
	handle(SIGSEGV, jump, SA_ONSTACK);
	for (int round = 0; round < 3; round++) {
		if (!sigsetjmp(back, 1))
			recurse(0);
		CHECK(told.si_signo == SIGSEGV);
		CHECK((char *)told.si_addr < (char *)&other);
	}
	puts("ok");
	return 0;
}
