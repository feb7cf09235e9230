// A program without a C library: what the engine's tests call. Each function ends by answer().
typedef unsigned long u64;
#define FROZEN 0x10001
#define ANSWER 0x10010

static inline u64 host(u64 number, u64 a, u64 b, u64 c) {
	u64 result;
	asm volatile("out %%eax, $0" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "memory");
	return result;
}
static inline u64 system_call(u64 number, u64 a, u64 b, u64 c) {
	u64 result;
	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}
static void answer(u64 a, u64 b, u64 c) { host(ANSWER, a, b, c); }

u64 global = 7;
const u64 constant = 5;
char big[8 << 20];
char *mapped;      // a page from the host, written before the freeze
volatile u64 sink;

void count(void) { answer(++global, 0, 0); }
u64 twice(u64 a) { return 2 * a; }
void sum(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) { answer(a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f, 0, 0); }
void read_at(u64 *at) { answer(*at, 0, 0); }
void write_at(u64 *at) { *at = 1; answer(0, 0, 0); }
void call_at(void (*at)(void)) { at(); answer(0, 0, 0); }
void undefined(void) { asm volatile("ud2"); }
void divide(u64 by) { sink = 5 / by; answer(0, 0, 0); }
void breakpoint(void) { asm volatile("int3"); answer(0, 0, 0); }
void non_canonical(void) { answer(*(volatile u64 *)0x8000000000000000, 0, 0); }
void interrupt_80(void) { asm volatile("int $0x80"); answer(0, 0, 0); }
void halt(void) { asm volatile("hlt"); answer(0, 0, 0); }
void forever(void) { for (;;) ; }
__attribute__((noinline)) u64 recurse(u64 n) { volatile char pad[256]; pad[n & 255] = 1; return recurse(n + 1) + pad[0]; }
void overflow(void) { answer(recurse(0), 0, 0); }
void leaf_fault(void) { *(volatile int *)0x10 = 1; answer(0, 0, 0); }
__attribute__((noinline)) void middle_fault(void) { leaf_fault(); sink++; }
void outer_fault(void) { middle_fault(); sink++; }

// touch(n): writes one byte in each of n pages.
void touch(u64 n) { for (u64 i = 0; i < n; i++) ((volatile char *)big)[i << 12] = 1; answer(n, 0, 0); }
void touch_at(volatile char *at, u64 n) { for (u64 i = 0; i < n; i++) at[i << 12] = 1; answer(n, 0, 0); }
void touch_between(volatile char *at, u64 n, u64 first, u64 last) {
	for (u64 i = 0; i < first; i++) ((volatile char *)big)[i << 12] = 1;
	for (u64 i = 0; i < n; i++) at[i << 12] = 1;
	for (u64 i = 0; i < last; i++) ((volatile char *)big)[i << 12] = 1;
	answer(n, 0, 0);
}
void touch_slowly(volatile char *at, u64 n) { for (u64 i = 0; i < n; i++) { at[i << 12] = 1; for (volatile int j = 0; j < 10000; j++) ; } answer(n, 0, 0); }
void sum_pages(volatile char *at, u64 n) { u64 s = 0; for (u64 i = 0; i < n; i++) s += *(volatile u64 *)(at + (i << 12)); answer(s, 0, 0); }
void dirty_sum(u64 n) { u64 s = 0; for (u64 i = 0; i < n; i++) s += big[i << 12]; answer(s, 0, 0); }

void ask(u64 number, u64 a, u64 b, u64 c) { answer(system_call(number, a, b, c), 0, 0); }
// Registers that a system call must keep, and the flags.
asm(".globl kept_registers\nkept_registers:\n"
	"mov $1,%ebx; mov $2,%ebp; mov $3,%r12d; mov $4,%r13d; mov $5,%r14d; mov $6,%r15d; mov $7,%edi; mov $8,%esi; mov $9,%edx; mov $10,%r8d; mov $11,%r9d; mov $12,%r10d\n"
	"mov $39,%eax; stc; syscall\n"
	"setc %al; movzbl %al,%eax; add %rbx,%rax; add %rbp,%rax; add %r12,%rax; add %r13,%rax; add %r14,%rax; add %r15,%rax; add %rdi,%rax; add %rsi,%rax; add %rdx,%rax; add %r8,%rax; add %r9,%rax; add %r10,%rax\n"
	"mov %rax,%rdi; mov $0x10010,%eax; out %eax,$0\n");
// Registers that a call of the guest ABI must keep: all, the flags, and the vector registers.
asm(".globl kept_by_out\nkept_by_out:\n"
	"mov $1,%ecx; mov $2,%r11d; mov $0x77,%eax; movq %rcx,%xmm3; stc; out %eax,$0\n"
	"setc %dil; movzbl %dil,%edi; add %rcx,%rdi; add %r11,%rdi; movq %xmm3,%rsi; add %rsi,%rdi; mov %rax,%rsi; mov $0x10010,%eax; out %eax,$0\n");

void other_port(u64 port, u64 value) { asm volatile("out %%eax, %%dx" :: "a"(value), "d"(port)); answer(1, 0, 0); }
void in_port(u64 port) { unsigned r = 5; asm volatile("in %%dx, %%eax" : "+a"(r) : "d"(port)); answer(r, 0, 0); }
void jump(u64 to, u64 rcx, u64 rax) { asm volatile("mov %1, %%rcx; mov %2, %%rax; jmp *%0" :: "r"(to), "r"(rcx), "r"(rax) : "rcx", "rax"); }
// A system call with given flags: its result, the flags behind it, and what of RCX and R11 is wrong.
asm(".globl answered\nanswered: mov %rsi,%rax; push %rdi; popfq; syscall\n"
	"1: pushfq; pop %rsi; push $2; popfq; mov %rax,%rdi; lea 1b(%rip),%rax; sub %rax,%rcx; mov %rcx,%rdx\n"
	"xor %rsi,%r11; and $0x40cd5,%r11d; or %r11,%rdx; mov $0x10010,%eax; out %eax,$0\n");
// A system call whose return address is not canonical cannot be made with `syscall` itself.
void set_flags(u64 flags) { asm volatile("push %0; popfq; nop" :: "r"(flags) : "cc"); answer(1, 0, 0); }
// The same bytes are valid in 64-bit and in 32-bit mode: getpid of the 32-bit table by int 0x80,
// sysenter and syscall; whatever comes back is the answer.
asm(".globl legacy_int\nlegacy_int: .byte 0xb8,0x14,0,0,0, 0xcd,0x80, 0x89,0xc7, 0xb8,0x10,0,1,0, 0xe7,0\n"
	".globl legacy_syscall\nlegacy_syscall: .byte 0xb8,0x14,0,0,0, 0x0f,0x05, 0x89,0xc7, 0xb8,0x10,0,1,0, 0xe7,0\n"
	".globl legacy_sysenter\nlegacy_sysenter: .byte 0xb8,0x14,0,0,0, 0x0f,0x34, 0x89,0xc7, 0xb8,0x10,0,1,0, 0xe7,0\n");
void far_jump(u64 selector, u64 to) { asm volatile("push %0; push %1; lretq" :: "r"(selector), "r"(to)); }
void interrupts_off(void) { asm volatile("cli; sti; cli"); answer(1, 0, 0); }

// State outside memory: planted by one call, looked for by the next.
void plant_vectors(void) {
	asm volatile("vpcmpeqd %%ymm0,%%ymm0,%%ymm0; vpcmpeqd %%ymm5,%%ymm5,%%ymm5; vpcmpeqd %%ymm15,%%ymm15,%%ymm15" ::: "xmm0", "xmm5", "xmm15");
	unsigned short x87 = 0x0f7f; unsigned mxcsr = 0x7fc0; // other rounding, denormals to zero
	asm volatile("fldpi; fldpi; fldcw %0; ldmxcsr %1" :: "m"(x87), "m"(mxcsr));
	answer(1, 0, 0);
}
// At entry, before anything else: the registers' contents OR-ed together, control words beside.
asm(".globl probe_vectors\nprobe_vectors:\n"
	"vmovdqa %ymm0,%ymm1; vpor %ymm5,%ymm1,%ymm1; vpor %ymm15,%ymm1,%ymm1; vextracti128 $1,%ymm1,%xmm2; vpor %xmm2,%xmm1,%xmm1; vpextrq $1,%xmm1,%rax; vmovq %xmm1,%rdi; or %rax,%rdi\n"
	"sub $64,%rsp; fnstenv (%rsp); mov 8(%rsp),%esi; and $0xffff,%esi; xor $0xffff,%esi; movzwl (%rsp),%edx; shl $32,%rdx; fldenv (%rsp); stmxcsr (%rsp); mov (%rsp),%eax; or %rax,%rdx\n"
	"mov $0x10010,%eax; out %eax,$0\n");
void plant_segments(u64 selector) {
	asm volatile("mov %0,%%ds; mov %0,%%es; mov %0,%%fs; mov %0,%%gs" :: "r"((unsigned)selector));
	asm volatile("mov $0x10010,%eax; mov $1,%edi; out %eax,$0");
}
void probe_segments(void) {
	u64 ds, es, fs, gs;
	asm volatile("mov %%ds,%0; mov %%es,%1; mov %%fs,%2; mov %%gs,%3" : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
	u64 cs, ss;
	asm volatile("mov %%cs,%0; mov %%ss,%1" : "=r"(cs), "=r"(ss));
	answer(ds << 48 | es << 32 | fs << 16 | gs, cs << 16 | ss, 0);
}
void plant_fs(u64 base) { asm volatile("wrfsbase %0" :: "r"(base)); answer(1, 0, 0); }
void plant_gs(u64 base) { asm volatile("wrgsbase %0" :: "r"(base)); answer(1, 0, 0); }
void probe_gs(void) { u64 v; asm volatile("mov %%gs:0,%0" : "=r"(v)); answer(v, 0, 0); }
void plant_pkru(void) { asm volatile("wrpkru" :: "a"(0xfffffffc), "c"(0), "d"(0)); answer(1, 0, 0); }
void probe_pkru(void) { unsigned v; asm volatile("rdpkru" : "=a"(v) : "c"(0) : "edx"); answer(v, 0, 0); }
void deny_all_keys(void) { asm volatile("wrpkru; mov $0x10010,%%eax; out %%eax,$0" :: "a"(0xffffffff), "c"(0), "d"(0)); }
void has_pkru(void) { unsigned a = 7, b, c = 0, d; asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d)); answer(c >> 4 & 1, 0, 0); }
void deep_stack(void) { volatile char pad[65536]; for (int i = 0; i < 65536; i += 64) pad[i] = 1; answer(pad[0], 0, 0); }
void stack_below(void) { u64 s = 0, *at = __builtin_frame_address(0); for (int i = 16; i < 8192; i++) s |= at[-i]; answer(s, 0, 0); }
void first_mapped(void) { answer(mapped[0], (u64)mapped, 0); }
void clock(char *page) { u64 t; asm volatile("rdtsc; shl $32,%%rdx; or %%rdx,%%rax" : "=a"(t) :: "rdx"); answer(t, 0, 0); }
void integers(u64 n) { u64 x = 88172645463325252ull; for (u64 i = 0; i < n; i++) { x ^= x << 13; x ^= x >> 7; x ^= x << 17; } answer(x, 0, 0); }

int main_frozen(void) {
	asm volatile("vpcmpeqd %%ymm7,%%ymm7,%%ymm7" ::: "xmm7");   // part of the frozen state
	mapped = (char *)host(0x100, 0, 0, 0);
	if (mapped) mapped[0] = 42;
	deep_stack();
	u64 kept = 0x1234567;
	asm volatile("" : "+r"(kept));
	asm volatile("out %%eax, $0" :: "a"(FROZEN) : "memory");    // later calls, or a resume, go on here
	for (;;) { global++; answer(kept, global, 0); }
}
__attribute__((naked)) void _start(void) { asm("and $-16,%rsp; call main_frozen; ud2"); }
// The vector register that was set before the freeze.
asm(".globl frozen_vector\nfrozen_vector: vextracti128 $1,%ymm7,%xmm1; vmovq %xmm1,%rdi; mov $0x10010,%eax; out %eax,$0\n");

// Contexts. All registers but RSP get the values of context_in, the carry and the direction flag
// are set; then the program stops, and what the registers are afterwards goes to context_out.
unsigned char context_in[16 * 32 + 16 * 8] __attribute__((aligned(64))), context_out[16 * 32 + 16 * 8 + 8] __attribute__((aligned(64)));
volatile u64 released;
asm(".macro context_load\n"
	".altmacro\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu context_in+32*\\n(%rip),%ymm\\n\n .endr\n"
	".set at, 512\n"
	".irp r, rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n mov context_in+at(%rip),%\\r\n .set at, at+8\n .endr\n"
	"stc\n std\n"
	".endm\n"
	".macro context_store\n"
	".set at, 512\n"
	".irp r, rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n mov %\\r,context_out+at(%rip)\n .set at, at+8\n .endr\n"
	"pushfq\n popq context_out+at+8(%rip)\n cld\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vmovdqu %ymm\\n,context_out+32*\\n(%rip)\n .endr\n"
	"mov $0x10010,%eax; out %eax,$0\n"
	".endm\n"
	".globl context_syscall\ncontext_syscall: context_load\n syscall\n context_store\n"
	".globl context_out_port\ncontext_out_port: context_load\n out %eax,$0\n context_store\n"
	".globl context_fault\ncontext_fault: context_load\n ud2\n context_store\n"
	// Spins until it is released; the flags are those of the comparison.
	".globl context_spin\ncontext_spin: context_load\n 1: cmpq $0,released(%rip)\n je 1b\n context_store\n");
// Another thread: other contents everywhere, then a stop.
asm(".globl other_thread\nother_thread:\n"
	".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n vpcmpeqd %ymm\\n,%ymm\\n,%ymm\\n\n .endr\n"
	".irp r, rax,rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15\n mov $-1,%\\r\n .endr\n"
	"clc; mov $0x222,%eax; syscall\n"
	"mov $0x10010,%eax; mov $3,%edi; out %eax,$0\n");
// Works with all kinds of registers until the sum is complete.
asm(".globl spin_sum\nspin_sum:\n"
	"mov $1,%eax; vmovq %rax,%xmm0; vpbroadcastq %xmm0,%ymm0; vpxor %xmm1,%xmm1,%xmm1; xor %esi,%esi; xor %ebx,%ebx; fldz\n"
	"1: vpaddq %ymm0,%ymm1,%ymm1; add %rdi,%rsi; fld1; faddp; inc %rbx; dec %rdi; jnz 1b\n"
	"vextracti128 $1,%ymm1,%xmm2; vpaddq %xmm2,%xmm1,%xmm1; vpextrq $1,%xmm1,%rdx; vmovq %xmm1,%rax; add %rax,%rdx; shl $2,%rbx; xor %rbx,%rdx\n"
	"sub $8,%rsp; fistpll (%rsp); pop %rdi\n"
	"mov $0x10010,%eax; out %eax,$0\n");
asm(".globl fault_read\nfault_read: mov (%rdi),%rdi; mov $0x10010,%eax; out %eax,$0\n"
	".globl fault_divide\nfault_divide: mov $50,%eax; xor %edx,%edx; div %rdi; mov %rax,%rdi; mov $0x10010,%eax; out %eax,$0\n"
	".globl fault_undefined\nfault_undefined: ud2; mov $7,%edi; mov $0x10010,%eax; out %eax,$0\n"
	".globl fault_breakpoint\nfault_breakpoint: int3; mov $8,%edi; mov $0x10010,%eax; out %eax,$0\n"
	".globl fault_push\nfault_push: push %rax; mov $0x10010,%eax; out %eax,$0\n"
	".globl fault_loop\nfault_loop: ud2; jmp fault_loop\n"
	".globl recovered\nrecovered: mov $99,%edi; mov $0x10010,%eax; out %eax,$0\n"
	// The place of the port's instruction is the same for all threads.
	".globl shared_out\nshared_out: out %eax,$0\n mov %rax,%rdi; mov $0x10010,%eax; out %eax,$0\n");
void pages(u64 *at, u64 n) { u64 s = 0; for (u64 i = 0; i < n; i++) s += at[i * 512]; answer(s, 0, 0); }
void fill(unsigned char *at, u64 n, u64 value) { for (u64 i = 0; i < n; i++) at[i] = value; answer(system_call(39, 0, 0, 0), 0, 0); }
void or_of(u64 *at, u64 n) { u64 s = 0; for (u64 i = 0; i < n; i++) s |= at[i]; answer(s, 0, 0); }
void calls(u64 n) { for (u64 i = 0; i < n; i++) system_call(39, 0, 0, 0); answer(n, 0, 0); }
