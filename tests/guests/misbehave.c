/* Everything a program can do wrong with memory, time and the processor, by URL. None of it may harm
 * more than the request.
 * /number/N does so if N is a multiple of five, and else answers with the number.
 *
 * Arguments of the program:
 *   on_error        failed requests are answered with status 555 and the reason
 *   on_error_loop   as above, but the error function never ends
 *   on_error_crash  as above, but the error function crashes
 *   init_*          misbehaves before it is ready: assert, loop, sleep, hog, exit, return, respond
 */
#include <assert.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <tinykvm.h>
#include <unistd.h>

static void say(int16_t status, const char *text)
{
	backend_response_str(status, "text/plain", text);
}

/* Keeps the compiler from knowing a value. */
static long hide(long value)
{
	__asm__ volatile("" : "+r"(value));
	return value;
}

/* ---- Well-behaved, to see that the program still works ---- */

static void ok(void)
{
	say(200, "ok");
}

/* Slow, but within most limits. */
static void nap(void)
{
	usleep(700000);
	say(200, "slept");
}

/* ---- Ends of the process ---- */

static void do_assert(void)
{
	assert(hide(0));
}

static void do_abort(void)
{
	abort();
}

static void do_exit(void)
{
	exit(0);
}

static void do_exit3(void)
{
	_exit(3);
}

static void do_kill(void)
{
	kill(getpid(), SIGKILL);
}

static void do_raise(void)
{
	raise(SIGUSR1);
}

static void no_response(void) {}

/* ---- Memory that is not there, or not for that ---- */

static const char rodata[] = "constant";
static char data[64];

static void null_read(void)
{
	say(200, *(volatile char *)hide(0) ? "read 1" : "read 0");
}

static void null_write(void)
{
	*(volatile char *)hide(0) = 1;
}

static void null_call(void)
{
	((void (*)(void))hide(0))();
}

/* The engine's own pages lie below the program. */
static void low_read(void)
{
	say(200, *(volatile char *)hide(0x5000) ? "read 1" : "read 0");
}

static void kernel_read(void)
{
	say(200, *(volatile char *)hide((long)0xffff800000000000ul) ? "read 1" : "read 0");
}

static void non_canonical(void)
{
	*(volatile char *)hide((long)0x1234567800000000l) = 1;
}

static void write_rodata(void)
{
	*(volatile char *)hide((long)rodata) = 'C';
}

static void write_text(void)
{
	*(volatile char *)hide((long)&write_text) = 0;
}

static void execute(void *at)
{
	memset(at, 0xc3, 1); /* ret */
	((void (*)(void))hide((long)at))();
	say(200, "executed");
}

static void exec_stack(void)
{
	char here[16];
	execute(here);
}

static void exec_heap(void)
{
	execute(malloc(16));
}

static void exec_data(void)
{
	execute(data);
}

static void write_execute(void)
{
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
	                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	say(200, at == MAP_FAILED ? "denied" : "mapped");
}

__attribute__((noinline)) static long recurse(long depth)
{
	volatile char frame[1000];
	frame[depth % 1000] = 1;
	return hide(depth) < 0 ? 0 : recurse(depth + 1) + frame[0];
}

static void stack_overflow(void)
{
	say(200, recurse(hide(0)) ? "1" : "0");
}

/* ---- Too much ---- */

static void loop(void)
{
	for (;;) {
		hide(0);
	}
}

static void loop_syscalls(void)
{
	for (;;) {
		syscall(SYS_getppid);
	}
}

static void loop_hypercalls(void)
{
	for (;;) {
		sys_is_debug();
	}
}

/* With interrupts off, as far as a program can do that. */
static void loop_cli(void)
{
	__asm__ volatile("cli" ::: "memory");
	loop();
}

static void do_sleep(void)
{
	sleep(3600);
	say(200, "slept");
}

/* Touches memory for ever; a failing mmap is not the end. */
static void hog(void)
{
	enum { CHUNK = 1 << 20 };
	for (;;) {
		char *at = (char *)mmap(NULL, CHUNK, PROT_READ | PROT_WRITE,
		                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (at == MAP_FAILED) {
			say(507, "mmap failed");
		}
		for (long i = 0; i < CHUNK; i += 4096) {
			at[i] = 1;
		}
	}
}

static void hog_malloc(void)
{
	for (;;) {
		char *at = (char *)malloc(100000);
		if (at == NULL) {
			say(507, "malloc failed");
		}
		memset(at, 1, 100000);
	}
}

/* ---- The processor ---- */

static void ud2(void)
{
	__asm__ volatile("ud2");
}

static void div0(void)
{
	volatile int one = 1, zero = 0;
	say(200, one / zero ? "1" : "0");
}

static void int3(void)
{
	__asm__ volatile("int3");
	say(200, "went on");
}

static void int80(void)
{
	__asm__ volatile("int $0x80" : : "a"(20) : "memory");
	say(200, "went on");
}

static void int20(void)
{
	__asm__ volatile("int $0x20");
	say(200, "went on");
}

static void hlt(void)
{
	__asm__ volatile("hlt");
	say(200, "went on");
}

static void rdmsr(void)
{
	__asm__ volatile("rdmsr" : : "c"(0xc0000082) : "eax", "edx");
	say(200, "went on");
}

static void mov_cr3(void)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(hide(0)) : "memory");
	say(200, "went on");
}

static void lidt(void)
{
	static const char empty[10];
	__asm__ volatile("lidt %0" : : "m"(empty));
	say(200, "went on");
}

static void sysenter(void)
{
	__asm__ volatile("sysenter" : : "a"(20) : "memory", "rcx", "rdx");
	say(200, "went on");
}

/* The compiler may keep variables in the 128 bytes below the stack pointer. */
#define SET_FLAG(flag) \
	"lea -128(%%rsp), %%rsp\n\tpushf\n\torq $" flag ", (%%rsp)\n\tpopf\n\tlea 128(%%rsp), %%rsp\n\t"

/* Single-stepping. */
static void trap_flag(void)
{
	__asm__ volatile(SET_FLAG("0x100") "nop" ::: "memory", "cc");
	say(200, "went on");
}

/* Alignment checks, then an unaligned access. */
static void alignment(void)
{
	__asm__ volatile(SET_FLAG("0x40000") "movl 1(%%rsp), %%eax" ::: "memory", "cc", "eax");
	say(200, "went on");
}

/* Traps with a stack pointer that leads nowhere. */
static void bad_stack_syscall(void)
{
	__asm__ volatile("mov %0, %%rsp\n\tsyscall\n\tud2" : : "r"(hide(8)), "a"(39) : "memory");
}

static void bad_stack_hypercall(void)
{
	__asm__ volatile("mov %0, %%rsp\n\toutl %%eax, $0\n\tud2"
	                 :
	                 : "r"(hide((long)0x1234567800000000l)), "a"(TINYKVM_CALL_IS_DEBUG)
	                 : "memory");
}

static void bad_stack_push(void)
{
	__asm__ volatile("mov %0, %%rsp\n\tpush %%rax" : : "r"(hide((long)0x1234567800000000l)));
}

/* ---- I/O ports ---- */

static void out_exception(void)
{
	__asm__ volatile("outl %%eax, $0x8d" : : "a"(0) : "memory");
	say(200, "went on");
}

static void out_syscall(void)
{
	__asm__ volatile("outl %%eax, $0x10" : : "a"(39) : "memory");
	say(200, "went on");
}

static void out_other(void)
{
	__asm__ volatile("outb %%al, $0x70\n\tinb $0x71, %%al" : : "a"(0) : "memory");
	__asm__ volatile("outb %%al, $0" : : "a"(0) : "memory");
	say(200, "went on");
}

/* ---- Which is which ---- */

static const struct {
	const char *url;
	void (*run)(void);
} cases[] = {
        {"/ok", ok},
        {"/nap", nap},
        {"/assert", do_assert},
        {"/abort", do_abort},
        {"/exit", do_exit},
        {"/exit3", do_exit3},
        {"/kill", do_kill},
        {"/raise", do_raise},
        {"/no-response", no_response},
        {"/null-read", null_read},
        {"/null-write", null_write},
        {"/null-call", null_call},
        {"/low-read", low_read},
        {"/kernel-read", kernel_read},
        {"/non-canonical", non_canonical},
        {"/write-rodata", write_rodata},
        {"/write-text", write_text},
        {"/exec-stack", exec_stack},
        {"/exec-heap", exec_heap},
        {"/exec-data", exec_data},
        {"/write-execute", write_execute},
        {"/stack-overflow", stack_overflow},
        {"/loop", loop},
        {"/loop-syscalls", loop_syscalls},
        {"/loop-hypercalls", loop_hypercalls},
        {"/loop-cli", loop_cli},
        {"/sleep", do_sleep},
        {"/hog", hog},
        {"/hog-malloc", hog_malloc},
        {"/ud2", ud2},
        {"/div0", div0},
        {"/int3", int3},
        {"/int80", int80},
        {"/int20", int20},
        {"/hlt", hlt},
        {"/rdmsr", rdmsr},
        {"/mov-cr3", mov_cr3},
        {"/lidt", lidt},
        {"/sysenter", sysenter},
        {"/trap-flag", trap_flag},
        {"/alignment", alignment},
        {"/bad-stack-syscall", bad_stack_syscall},
        {"/bad-stack-hypercall", bad_stack_hypercall},
        {"/bad-stack-push", bad_stack_push},
        {"/out-exception", out_exception},
        {"/out-syscall", out_syscall},
        {"/out-other", out_other},
};

/* Every fifth number ends badly, each time in another way. The others are answered, with what a
 * request before may have left behind, which is nothing. */
static void numbered(long number)
{
	static void (*const ends[])(void) = {ud2, null_write, do_abort, do_exit, no_response, hog,
	                                     write_text};
	static long before;
	char text[64];
	if (number % 5 == 0) {
		ends[number / 5 % (long)(sizeof ends / sizeof *ends)]();
		return;
	}
	snprintf(text, sizeof text, "%ld after %ld", number, before);
	before = number;
	say(200, text);
}

static void get(const char *url, const char *arg)
{
	if (strncmp(url, "/number/", 8) == 0) {
		numbered(atol(url + 8));
		return;
	}
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (strcmp(url, cases[i].url) == 0) {
			cases[i].run();
			return;
		}
	}
	say(404, "no such case");
}

static void on_error(const char *url, const char *arg, const char *exception)
{
	backend_response_str(555, "text/plain", exception);
}

static void on_error_loop(const char *url, const char *arg, const char *exception)
{
	loop();
}

static void on_error_crash(const char *url, const char *arg, const char *exception)
{
	ud2();
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	set_backend_get(get);
	if (strcmp(mode, "on_error") == 0) {
		set_on_error(on_error);
	} else if (strcmp(mode, "on_error_loop") == 0) {
		set_on_error(on_error_loop);
	} else if (strcmp(mode, "on_error_crash") == 0) {
		set_on_error(on_error_crash);
	} else if (strcmp(mode, "init_assert") == 0) {
		do_assert();
	} else if (strcmp(mode, "init_loop") == 0) {
		loop();
	} else if (strcmp(mode, "init_sleep") == 0) {
		sleep(100);
	} else if (strcmp(mode, "init_read") == 0) {
		struct itimerspec late = { .it_value = { .tv_sec = 100 } };
		uint64_t times;
		int timer = timerfd_create(CLOCK_MONOTONIC, 0);
		timerfd_settime(timer, 0, &late, NULL);
		read(timer, &times, sizeof times);
	} else if (strcmp(mode, "init_hog") == 0) {
		hog();
	} else if (strcmp(mode, "init_exit") == 0) {
		do_exit();
	} else if (strcmp(mode, "init_return") == 0) {
		return 0;
	} else if (strcmp(mode, "init_respond") == 0) {
		ok();
	}
	wait_for_requests();
}
