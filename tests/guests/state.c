/* Does anything survive from one request to the next?
 *
 *   /plant/WHAT  changes something and answers "planted", or "unsupported"
 *   /probe/WHAT  answers "clean" if that is as it was when the program said it was ready,
 *                else "dirty"
 *   /probe/all   answers "clean", or "dirty:" and a list
 *   /counter     counts requests, which is always 1 in a program that is reset
 *
 * Registers are saved by the first instructions of a request, before the compiler's code can
 * change them, and compared with those at the wait call.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <tinykvm.h>
#include <unistd.h>

#define ARCH_SET_GS 0x1001
#define ARCH_SET_FS 0x1002
#define ARCH_GET_FS 0x1003
#define ARCH_GET_GS 0x1004

#define MAGIC 0x1eaf1eaf1eaf1eaful
#define PLACE ((void *)0x200000000000)

/* ---- Registers ---- */

struct registers {
	uint64_t general[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8 ... r15 */
	uint64_t flags;
	uint64_t selectors[6]; /* cs ss ds es fs gs */
};

struct registers seen, frozen;
__attribute__((aligned(64))) uint8_t seen_x[16384], frozen_x[16384];
int have_xsave, have_avx;
uint64_t pattern[8] = {MAGIC, MAGIC, MAGIC, MAGIC, MAGIC, MAGIC, MAGIC, MAGIC};

void entry(const char *url, const char *arg);
__attribute__((noreturn)) void freeze_here(void);
__attribute__((used)) static void get(const char *url, const char *arg);

#define SAVE(to, x) \
	"mov %rax, " to "+0(%rip)\n mov %rbx, " to "+8(%rip)\n mov %rcx, " to "+16(%rip)\n" \
	"mov %rdx, " to "+24(%rip)\n mov %rsi, " to "+32(%rip)\n mov %rdi, " to "+40(%rip)\n" \
	"mov %rbp, " to "+48(%rip)\n mov %rsp, " to "+56(%rip)\n mov %r8, " to "+64(%rip)\n" \
	"mov %r9, " to "+72(%rip)\n mov %r10, " to "+80(%rip)\n mov %r11, " to "+88(%rip)\n" \
	"mov %r12, " to "+96(%rip)\n mov %r13, " to "+104(%rip)\n mov %r14, " to "+112(%rip)\n" \
	"mov %r15, " to "+120(%rip)\n pushfq\n popq " to "+128(%rip)\n" \
	"mov %cs, " to "+136(%rip)\n mov %ss, " to "+144(%rip)\n mov %ds, " to "+152(%rip)\n" \
	"mov %es, " to "+160(%rip)\n mov %fs, " to "+168(%rip)\n mov %gs, " to "+176(%rip)\n" \
	"cmpl $0, have_xsave(%rip)\n je 1f\n" \
	"mov $-1, %eax\n mov $-1, %edx\n xsave64 " x "(%rip)\n jmp 2f\n" \
	"1: fxsave64 " x "(%rip)\n 2:\n"

__asm__(".text\n"
        "entry:\n" SAVE("seen", "seen_x")
        /* Compiled code expects DF, AC, NT and TF clear and the usual rounding. */
        "pushfq\n andq $~0x44500, (%rsp)\n popfq\n fninit\n ldmxcsr usual(%rip)\n"
        "mov seen+32(%rip), %rsi\n mov seen+40(%rip), %rdi\n jmp get\n"
        "freeze_here:\n"
        /* Not what a fresh processor has, so that forgetting to restore it shows. */
        "movdqu pattern(%rip), %xmm15\n ldmxcsr unusual(%rip)\n fldcw unusual_cw(%rip)\n fldpi\n"
        "cmpl $0, have_avx(%rip)\n je 1f\n vmovdqu pattern(%rip), %ymm15\n 1:\n"
        SAVE("frozen", "frozen_x")
        "mov $0x10001, %eax\n outl %eax, $0\n ud2\n"
        ".section .rodata\n usual: .long 0x1f80\n unusual: .long 0x5f80\n unusual_cw: .short 0xb7f\n"
        ".text\n");

/* ---- Answers ---- */

static void say(const char *text)
{
	backend_response_str(200, "text/plain", text);
}

/* Answers "planted" with the last instructions of an asm statement. */
#define PLANTED "outl %%eax, $0\n ud2"
#define PLANTED_ARGS \
	"a"(TINYKVM_CALL_BACKEND_RESPONSE), "D"(200l), "S"("text/plain"), "d"(10l), "c"("planted")

#define PLANT_REGISTERS(code) \
	do { \
		register long r8 __asm__("r8") = 7; \
		register long r9 __asm__("r9") = 0; \
		__asm__ volatile(code PLANTED : : PLANTED_ARGS, "r"(r8), "r"(r9) : "memory"); \
	} while (0)

/* ---- Memory ---- */

static char initialised[4096] = {1};
static uint64_t zeroed[512 * 300]; /* 300 pages */
static uint64_t *heap, *mapped;
static char *frozen_brk;
static int counter;

static void plant_global(void)
{
	initialised[0] = 2;
	for (size_t i = 0; i < sizeof zeroed / sizeof *zeroed; i += 512) {
		zeroed[i] = MAGIC;
	}
}

static int dirty_global(void)
{
	int dirty = initialised[0] != 1;
	for (size_t i = 0; i < sizeof zeroed / sizeof *zeroed; i += 512) {
		dirty |= zeroed[i] != 0;
	}
	return dirty;
}

static void plant_heap(void)
{
	heap[0] = heap[1000] = MAGIC;
	memset(malloc(100000), 0xaa, 100000);
}

static int dirty_heap(void)
{
	volatile uint64_t *next = (uint64_t *)malloc(100000);
	__asm__("" : "+r"(next)); /* what is in fresh memory is the question */
	int dirty = heap[0] != 1 || heap[1000] != 2;
	for (size_t i = 100; i < 12500; i++) {
		dirty |= next[i] == 0xaaaaaaaaaaaaaaaaul;
	}
	return dirty;
}

/* 16 KiB below the handler's frame. Calls get a zeroed stack. */
static volatile uint64_t *deep_stack(void)
{
	return (volatile uint64_t *)((seen.general[7] & ~7ul) - 20480);
}

static void plant_stack(void)
{
	volatile uint64_t *at = deep_stack();
	for (int i = 0; i < 2048; i++) {
		at[i] = MAGIC;
	}
}

static int dirty_stack(void)
{
	volatile uint64_t *at = deep_stack();
	int dirty = 0;
	for (int i = 0; i < 2048; i++) {
		dirty |= at[i] != 0;
	}
	return dirty;
}

static void *map(void *at, int flags)
{
	return mmap(at, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
}

static void plant_mmap(void)
{
	memset(map(PLACE, MAP_FIXED_NOREPLACE), 0xaa, 65536);
	memset(map(NULL, 0), 0xaa, 65536);
}

static int dirty_mmap(void)
{
	char *fixed = (char *)map(PLACE, MAP_FIXED_NOREPLACE), *any = (char *)map(NULL, 0);
	if (fixed == MAP_FAILED || any == MAP_FAILED) {
		return 1;
	}
	int dirty = 0;
	for (int i = 0; i < 65536; i++) {
		dirty |= fixed[i] | any[i];
	}
	return dirty != 0;
}

static void plant_munmap(void)
{
	munmap(mapped, 65536);
}

static void plant_mprotect(void)
{
	mprotect(mapped, 65536, PROT_NONE);
}

/* A missing mapping is not "dirty" but a crash, which shows as well. */
static int dirty_mapped(void)
{
	int dirty = mapped[0] != 3 || mapped[8000] != 4;
	mapped[0] = 3;
	return dirty;
}

static char *grow(long by)
{
	char *old = (char *)syscall(SYS_brk, 0);
	syscall(SYS_brk, old + by);
	return old;
}

static void plant_brk(void)
{
	memset(grow(1 << 20), 0xaa, 1 << 20);
}

static int dirty_brk(void)
{
	char *at = grow(1 << 20);
	int dirty = at != frozen_brk;
	for (int i = 0; i < 1 << 20; i++) {
		dirty |= at[i];
	}
	return dirty != 0;
}

/* ---- The processor ---- */

static void plant_general(void)
{
	PLANT_REGISTERS("mov pattern(%%rip), %%rbx\n mov %%rbx, %%rbp\n mov %%rbx, %%r10\n"
	                "mov %%rbx, %%r11\n mov %%rbx, %%r12\n mov %%rbx, %%r13\n"
	                "mov %%rbx, %%r14\n mov %%rbx, %%r15\n");
}

static int dirty_general(void)
{
	int dirty = 0;
	for (int i = 0; i < 16; i++) {
		dirty |= seen.general[i] == MAGIC;
	}
	return dirty;
}

/* DF, AC and ID. */
static void plant_flags(void)
{
	PLANT_REGISTERS("sub $128, %%rsp\n pushfq\n orq $0x240400, (%%rsp)\n popfq\n");
}

static int dirty_flags(void)
{
	return ((seen.flags ^ frozen.flags) & 0x247700) != 0; /* and TF, IF, NT, IOPL */
}

/* Programs may load DS and ES with what SS has, or with nothing. */
static void plant_segments(void)
{
	if (frozen.selectors[2] == 0) {
		PLANT_REGISTERS("mov %%ss, %%ebx\n mov %%ebx, %%ds\n mov %%ebx, %%es\n");
	} else {
		PLANT_REGISTERS("xor %%ebx, %%ebx\n mov %%ebx, %%ds\n mov %%ebx, %%es\n");
	}
}

static int dirty_segments(void)
{
	return memcmp(seen.selectors, frozen.selectors, sizeof seen.selectors) != 0;
}

static long raw_arch_prctl(int code, unsigned long address)
{
	long result;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(SYS_arch_prctl), "D"((long)code), "S"(address)
	                 : "rcx", "r11", "memory");
	return result;
}

static unsigned long frozen_fs;

static void plant_fsbase(void)
{
	raw_arch_prctl(ARCH_SET_FS, (unsigned long)zeroed);
}

static int dirty_fsbase(void)
{
	unsigned long base = 0;
	raw_arch_prctl(ARCH_GET_FS, (unsigned long)&base);
	return base != frozen_fs;
}

static void plant_gsbase(void)
{
	raw_arch_prctl(ARCH_SET_GS, (unsigned long)zeroed);
}

static int dirty_gsbase(void)
{
	unsigned long base = 0;
	raw_arch_prctl(ARCH_GET_GS, (unsigned long)&base);
	return base == (unsigned long)zeroed || vcpuid() != 0;
}

static int differs(size_t from, size_t to)
{
	return memcmp(seen_x + from, frozen_x + from, to - from) != 0;
}

static void plant_xmm(void)
{
	PLANT_REGISTERS("movdqu pattern(%%rip), %%xmm0\n movdqa %%xmm0, %%xmm1\n"
	                "movdqa %%xmm0, %%xmm7\n movdqa %%xmm0, %%xmm14\n pxor %%xmm15, %%xmm15\n");
}

static int dirty_xmm(void)
{
	return differs(160, 416);
}

static void plant_mxcsr(void)
{
	static const uint32_t towards_zero = 0x7f80;
	__asm__ volatile("ldmxcsr %0" : : "m"(towards_zero));
}

static int dirty_mxcsr(void)
{
	return differs(24, 28);
}

static void plant_x87(void)
{
	PLANT_REGISTERS("fninit\n fld1\n fldz\n fldl2e\n");
}

static int dirty_x87(void)
{
	return differs(0, 5) || differs(32, 160); /* not the last instruction's address */
}

/* Whether the operating system, here the host, has enabled these state components. */
static int enabled(uint32_t components)
{
	uint32_t low, high;
	if (!have_xsave) {
		return 0;
	}
	__asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (low & components) == components;
}

static void plant_ymm(void)
{
	if (!enabled(4)) {
		say("unsupported");
	}
	PLANT_REGISTERS("vmovdqu pattern(%%rip), %%ymm0\n vmovdqa %%ymm0, %%ymm8\n");
}

static void plant_zmm(void)
{
	if (!enabled(0xe6)) {
		say("unsupported");
	}
	PLANT_REGISTERS("vmovdqu64 pattern(%%rip), %%zmm0\n vmovdqa64 %%zmm0, %%zmm31\n"
	                "kxnorw %%k1, %%k1, %%k1\n");
}

static int dirty_extended(void)
{
	return differs(576, sizeof seen_x);
}

/* ---- What the host keeps for the program ---- */

static void on_signal(int number) {}

static void plant_signals(void)
{
	static char stack[65536];
	stack_t alternate = {stack, 0, sizeof stack};
	sigset_t all;
	sigfillset(&all);
	signal(SIGUSR1, on_signal);
	sigprocmask(SIG_BLOCK, &all, NULL);
	sigaltstack(&alternate, NULL);
}

static int dirty_signals(void)
{
	struct sigaction action;
	stack_t alternate;
	sigset_t mask;
	sigaction(SIGUSR1, NULL, &action);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	sigaltstack(NULL, &alternate);
	return action.sa_handler != SIG_DFL || sigismember(&mask, SIGUSR2) ||
	       !(alternate.ss_flags & SS_DISABLE);
}

static void plant_descriptors(void)
{
	if (dup2(1, 100) < 0) {
		say("unsupported");
	}
	close(2);
}

static int dirty_descriptors(void)
{
	return fcntl(100, F_GETFD) != -1 || fcntl(2, F_GETFD) == -1;
}

/* ---- Which is which ---- */

static const struct {
	const char *name;
	void (*plant)(void);
	int (*is_dirty)(void);
} things[] = {
        /* First: the others' calls leave traces on the stack. */
        {"stack", plant_stack, dirty_stack},
        {"global", plant_global, dirty_global},
        {"brk", plant_brk, dirty_brk}, /* before malloc, which uses it */
        {"heap", plant_heap, dirty_heap},
        {"mmap", plant_mmap, dirty_mmap},
        {"munmap", plant_munmap, dirty_mapped},
        {"mprotect", plant_mprotect, dirty_mapped},
        {"general", plant_general, dirty_general},
        {"flags", plant_flags, dirty_flags},
        {"segments", plant_segments, dirty_segments},
        {"fsbase", plant_fsbase, dirty_fsbase},
        {"gsbase", plant_gsbase, dirty_gsbase},
        {"xmm", plant_xmm, dirty_xmm},
        {"mxcsr", plant_mxcsr, dirty_mxcsr},
        {"x87", plant_x87, dirty_x87},
        {"ymm", plant_ymm, dirty_extended},
        {"zmm", plant_zmm, dirty_extended},
        {"signals", plant_signals, dirty_signals},
        {"descriptors", plant_descriptors, dirty_descriptors},
};

static void get(const char *url, const char *arg)
{
	static char list[1000] = "dirty:";
	int dirty = 0, all = strcmp(url, "/probe/all") == 0;
	if (strcmp(url, "/counter") == 0) {
		snprintf(list, sizeof list, "%d", ++counter);
		say(list);
	}
	for (size_t i = 0; strlen(url) > 7 && i < sizeof things / sizeof *things; i++) {
		int is_this = strcmp(url + 7, things[i].name) == 0;
		if (is_this && strncmp(url, "/plant/", 7) == 0) {
			things[i].plant();
			backend_response(200, "text/plain", 10, "planted", 7);
		}
		if (all || (is_this && strncmp(url, "/probe/", 7) == 0)) {
			int found = things[i].is_dirty();
			if (!all) {
				say(found ? "dirty" : "clean");
			}
			if (found) {
				strcat(strcat(list, " "), things[i].name);
				dirty = 1;
			}
		}
	}
	if (all) {
		say(dirty ? list : "clean");
	}
	backend_response_str(404, "text/plain", "no such thing");
}

int main(void)
{
	unsigned a, b, c = 0, d;
	__get_cpuid(1, &a, &b, &c, &d);
	have_xsave = (c & bit_OSXSAVE) != 0;
	heap = (uint64_t *)malloc(10000);
	heap[0] = 1, heap[1000] = 2;
	mapped = (uint64_t *)map(NULL, 0);
	mapped[0] = 3, mapped[8000] = 4;
	raw_arch_prctl(ARCH_GET_FS, (unsigned long)&frozen_fs);
	frozen_brk = grow(0);
	have_avx = enabled(4);
	set_backend_get(entry);
	freeze_here();
}
