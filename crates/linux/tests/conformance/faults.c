/* Faults of the processor as signals: which, with which code, and at which address. */
#include "case.h"
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t seen;
static volatile int faults;

static void catch(int number, siginfo_t *info, void *context)
{
	seen = *info;
	siglongjmp(back, 1);
}

static void catching(int number)
{
	struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(number, &action, NULL);
}

static void show_fault(const char *what, const void *base)
{
	SAY("%s: signal %d, code %d, address +%ld", what, seen.si_signo, seen.si_code,
	    (long)((char *)seen.si_addr - (char *)base));
}

/* What a read or a write at an address does. */
static void probe(const char *what, volatile char *at, bool write, const void *base)
{
	catching(SIGSEGV), catching(SIGBUS);
	if (!sigsetjmp(back, 1)) {
		if (write)
			*at = 1;
		else
			(void)*at;
		SAY("%s: works", what);
	} else {
		show_fault(what, base);
	}
}

static char *pages(int count, int protection)
{
	return mmap(NULL, (size_t)count * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

CASE(null_pointer)
{
	probe("read", NULL, false, NULL);
	probe("write", NULL, true, NULL);
	probe("read a field", (char *)0x18, false, NULL);
	probe("read in the first page", (char *)0xfff, false, NULL);
}

CASE(not_mapped)
{
	char *at = pages(3, PROT_READ | PROT_WRITE);
	munmap(at + 4096, 4096);
	probe("before", at + 4095, true, at);
	probe("read", at + 4096, false, at);
	probe("write", at + 8191, true, at);
	probe("behind", at + 8192, true, at);
}

CASE(read_only)
{
	char *at = pages(2, PROT_READ);
	probe("read", at + 100, false, at);
	probe("write", at + 100, true, at);
	mprotect(at, 4096, PROT_READ | PROT_WRITE);
	probe("write when writable", at + 100, true, at);
	mprotect(at, 4096, PROT_READ);
	probe("read again", at + 100, false, at);
	probe("write again", at + 100, true, at);
}

CASE(no_access)
{
	char *at = pages(2, PROT_NONE);
	probe("read", at + 8, false, at);
	probe("write", at + 8, true, at);
	mprotect(at, 8192, PROT_READ | PROT_WRITE);
	at[8] = 5;
	mprotect(at, 8192, PROT_NONE);
	probe("read", at + 8, false, at);
	mprotect(at, 8192, PROT_READ);
	SAY("kept %d", at[8]);
}

CASE(code_is_not_writable) { probe("write", (char *)case_code_is_not_writable, true, case_code_is_not_writable); }

static const char constant[] = "constant";
CASE(constants_are_not_writable) { probe("write", (char *)constant, true, constant); }

static void call(const char *what, void *at)
{
	catching(SIGSEGV);
	if (!sigsetjmp(back, 1)) {
		((void (*)(void))at)();
		SAY("%s: works", what);
	} else {
		show_fault(what, at);
	}
}

static unsigned char data_code[16] __attribute__((aligned(16))) = {0xc3};

CASE(data_is_not_executable)
{
	unsigned char stack_code[16] = {0xc3};
	char *at = pages(1, PROT_READ | PROT_WRITE), *heap = malloc(16);
	*at = *heap = (char)0xc3;
	call("data", data_code);
	call("stack", stack_code);
	call("heap", heap);
	call("mapping", at);
	call("null", NULL);
	call("not mapped", NOWHERE);
}

CASE(made_executable)
{
	char *at = pages(1, PROT_READ | PROT_WRITE);
	*at = (char)0xc3;
	TRY(mprotect(at, 4096, PROT_READ | PROT_EXEC));
	call("code", at);
	probe("write", at, true, at);
	TRY(mprotect(at, 4096, PROT_READ));
	call("no code", at);
}

CASE(writable_and_executable)
{
	char *at = pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	SAY("%s", at == MAP_FAILED ? error_name(errno) : "mapped");
	if (at != MAP_FAILED) {
		*at = (char)0xc3;
		call("code", at);
	}
}

CASE(not_canonical)
{
	probe("read", (char *)0x8000000000000000, false, NULL);
	probe("write", (char *)0x0900000000000000, true, NULL);
}

CASE(kernel_addresses)
{
	probe("read", (char *)0xffff800000000000, false, (void *)0xffff800000000000);
	probe("write", (char *)0xffffffff81000000, true, (void *)0xffffffff81000000);
	probe("read at the end", (char *)0xffffffffffffffff, false, (void *)0xffffffffffffffff);
}

CASE(just_above_user_memory) { probe("read", (char *)0x7ffffffff000, false, (void *)0x7ffffffff000); }

static volatile int zero, minimum = INT_MIN, minus_one = -1;

CASE(division)
{
	catching(SIGFPE);
	if (!sigsetjmp(back, 1))
		SAY("%d", 7 / zero);
	else
		SAY("by zero: signal %d, code %d", seen.si_signo, seen.si_code);
	if (!sigsetjmp(back, 1))
		SAY("%d", minimum / minus_one);
	else
		SAY("overflow: signal %d, code %d", seen.si_signo, seen.si_code);
}

static void unmask(unsigned exceptions)
{
	unsigned control;
	__asm__ volatile("stmxcsr %0" : "=m"(control));
	control = (control | 0x1f80) & ~(exceptions << 7) & ~0x3fu;
	__asm__ volatile("ldmxcsr %0" :: "m"(control));
}

static void vector_fault(const char *what, unsigned exception, double left, double right, bool add)
{
	volatile double a = left, b = right, c;
	catching(SIGFPE);
	if (!sigsetjmp(back, 1)) {
		unmask(exception);
		c = add ? a * b : a / b;
		unmask(0);
		SAY("%s: %d", what, c != c);
	} else {
		unmask(0);
		SAY("%s: signal %d, code %d", what, seen.si_signo, seen.si_code);
	}
}

CASE(floating_point)
{
	vector_fault("masked", 0, 1, 0, false);
	vector_fault("divide by zero", 4, 1, 0, false);
	vector_fault("invalid", 1, 0, 0, false);
	vector_fault("overflow", 8, 1e300, 1e300, true);
	vector_fault("underflow", 16, 1e-300, 1e-300, true);
	vector_fault("inexact", 32, 1, 3, false);
}

CASE(x87)
{
	unsigned short control = 0x37b; /* all but division by zero masked */
	catching(SIGFPE);
	if (!sigsetjmp(back, 1)) {
		__asm__ volatile("fldcw %0; fldz; fld1; fdivp; fwait" :: "m"(control));
		SAY("works");
	} else {
		SAY("signal %d, code %d", seen.si_signo, seen.si_code);
	}
}

#define FAULTY(name, number, instruction) \
	CASE(name) \
	{ \
		catching(number); \
		if (!sigsetjmp(back, 1)) \
			__asm__ volatile(instruction ::: "rax", "memory"); \
		SAY("signal %d, code %d", seen.si_signo, seen.si_code); \
	}
FAULTY(illegal_instruction, SIGILL, "ud2")
FAULTY(breakpoint, SIGTRAP, "int3")
FAULTY(privileged_instruction, SIGSEGV, "hlt")
FAULTY(privileged_register, SIGSEGV, "mov %%cr0, %%rax")
FAULTY(port, SIGSEGV, "outb %%al, $0x80")
FAULTY(misaligned_vector, SIGSEGV, "lea 1(%%rsp), %%rax; movaps (%%rax), %%xmm0")
FAULTY(icebp, SIGTRAP, ".byte 0xf1")

static void step(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	if (++faults == 3)
		user->uc_mcontext.gregs[REG_EFL] &= ~0x100;
	seen = *info;
}

CASE(single_steps)
{
	struct sigaction action = {.sa_sigaction = step, .sa_flags = SA_SIGINFO};
	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("subq $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; nop; nop; nop; nop; nop; addq $128, %%rsp" ::: "cc", "memory");
	SAY("%d steps, code %d", faults, seen.si_code);
}

CASE(illegal_instruction_address)
{
	extern char bad_instruction[];
	catching(SIGILL);
	if (!sigsetjmp(back, 1))
		__asm__ volatile(".globl bad_instruction; bad_instruction: ud2");
	show_fault("ud2", bad_instruction);
}

static char *protected_page;
static void make_writable(int number, siginfo_t *info, void *context)
{
	faults++;
	mprotect(protected_page, 4096, PROT_READ | PROT_WRITE);
}

CASE(handler_repairs_the_access)
{
	struct sigaction action = {.sa_sigaction = make_writable, .sa_flags = SA_SIGINFO};
	sigaction(SIGSEGV, &action, NULL);
	protected_page = pages(1, PROT_NONE);
	for (int i = 0; i < 3; i++) {
		protected_page[i] = (char)(i + 1);
		SAY("%d faults, %d", faults, protected_page[i]);
		mprotect(protected_page, 4096, PROT_NONE);
	}
}

static void look_at_context(int number, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	long long trap = user->uc_mcontext.gregs[REG_TRAPNO];
	SAY("trap %lld, error %lld, address %d", trap, user->uc_mcontext.gregs[REG_ERR],
	    trap == 14 && (void *)user->uc_mcontext.gregs[REG_CR2] == info->si_addr);
	siglongjmp(back, 1);
}

CASE(context_of_a_page_fault)
{
	struct sigaction action = {.sa_sigaction = look_at_context, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGSEGV, &action, NULL);
	volatile char *at = pages(1, PROT_READ), *volatile none = (char *)8;
	(void)*at;
	if (!sigsetjmp(back, 1))
		(void)*none;
	if (!sigsetjmp(back, 1))
		*none = 1;
	if (!sigsetjmp(back, 1))
		*at = 1;
}

CASE(context_of_a_protection_fault)
{
	struct sigaction action = {.sa_sigaction = look_at_context, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGSEGV, &action, NULL);
	if (!sigsetjmp(back, 1))
		__asm__ volatile("hlt");
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static int endless(int depth)
{
	volatile char room[4000];
	room[0] = (char)depth;
	return endless(depth + 1) + room[0];
}

static void overflow(void)
{
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	struct sigaction action = {.sa_sigaction = catch, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (volatile int i = 0; i < 2; i++) {
		if (!sigsetjmp(back, 1))
			SAY("%d", endless(0));
		SAY("signal %d, below the stack %d", seen.si_signo, (char *)seen.si_addr < (char *)&stack);
	}
}

CASE(stack_overflow) { overflow(); }
static void *overflow_in_thread(void *argument) { overflow(); return NULL; }
CASE(stack_overflow_in_a_thread) { pthread_join(start(overflow_in_thread, NULL), NULL); }

CASE(stack_overflow_without_a_stack_for_the_handler)
{
	catching(SIGSEGV);
	SAY("before");
	SAY("%d", endless(0));
}

static void again(int number) { *(volatile int *)0 = 1; }
CASE(fault_in_the_handler)
{
	signal(SIGSEGV, again);
	SAY("before");
	*(volatile int *)0 = 1;
}

CASE(blocked_fault)
{
	sigset_t set;
	sigfillset(&set);
	catching(SIGSEGV);
	sigprocmask(SIG_BLOCK, &set, NULL);
	SAY("before");
	*(volatile int *)0 = 1;
}

CASE(ignored_fault)
{
	signal(SIGSEGV, SIG_IGN);
	SAY("before");
	*(volatile int *)0 = 1;
}

CASE(unhandled_division) { SAY("%d", 7 / zero); }
CASE(unhandled_illegal_instruction) { __asm__ volatile("ud2"); }
CASE(unhandled_breakpoint) { __asm__ volatile("int3"); }
CASE(unhandled_bus_error)
{
	int file = memfd_create("empty", 0);
	volatile char *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
	(void)*at;
}

CASE(file_that_ends_before_its_mapping)
{
	int file = memfd_create("short", 0);
	SHOW(write(file, "text", 4));
	char *at = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	probe("read", at + 3, false, at);
	probe("rest of the page", at + 4095, false, at);
	probe("page behind", at + 4096 + 5, false, at);
	probe("write behind", at + 8192, true, at);
}

CASE(calls_do_not_fault)
{
	char *at = pages(1, PROT_READ);
	int ends[2] = {-1, -1};
	TRY(pipe(ends));
	SHOW(write(ends[1], NOWHERE, 1));
	SHOW(write(ends[1], "x", 1));
	SHOW(read(ends[0], at, 1));
	SHOW(read(ends[0], (void *)1, 1));
	SHOW(fstat(0, (struct stat *)at));
}
