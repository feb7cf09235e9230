//! The few instructions of ours that run inside the guest, as source that the assembler checks.
//!
//! Two pages. The *exception stubs* (ring 0): one per vector, an `out` that tells the host, then
//! `iretq`. The *user stubs* (ring 3, read-only): the return address of called functions, and the
//! ways in and out of the frozen state. Vector state is saved and restored by the guest's own
//! `xsave`/`xrstor` at ring 3, because that works on every KVM, costs no ioctl, and covers every
//! component (KVM_GET_XSAVE on PVM knows only the legacy 512 bytes).
//!
//! No ring-0 stub touches memory by an address that the guest chose.

use std::arch::global_asm;

use tinykvm_abi::{calls, port};

use super::descriptors::{VECTORS, has_error_code};
use crate::plan::layout;
use crate::units::to_usize;

/// Port of the stubs that end a run of the engine's own.
pub(crate) const PORT_INTERNAL: u16 = 0x11;

global_asm!(
    // Makes the data segment registers null again, keeping the bases of FS and GS. Changes RAX,
    // RCX and RDX but not the flags.
    ".macro tinykvm_clear_segments",
    "mov ecx, ds",
    "jrcxz 2f",
    "jmp 6f",
    "2: mov ecx, es",
    "jrcxz 3f",
    "jmp 6f",
    "3: mov ecx, fs",
    "jrcxz 4f",
    "jmp 6f",
    "4: mov ecx, gs",
    "jrcxz 7f",
    "6: mov ecx, 0",
    "rdfsbase rax",
    "rdgsbase rdx",
    "mov ds, ecx",
    "mov es, ecx",
    "mov fs, ecx",
    "mov gs, ecx",
    "wrfsbase rax",
    "wrgsbase rdx",
    "7:",
    ".endm",
    // Goes to an answer if the host page has one for the system call in EAX; no number that is
    // negative has. `base` is a label, and `numbers` how far the numbers are behind it.
    ".macro tinykvm_find_answer flavour, ask, base, numbers",
    "test eax, eax",
    "js \\ask",
    ".irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "cmp eax, [rip + \\base + \\numbers + 4 * \\index]",
    "je tinykvm_answer_\\flavour\\()_\\index",
    ".endr",
    ".endm",
    ".pushsection .rodata.tinykvm_stubs, \"a\", @progbits",
    // Visible to all codegen units of this crate, but not outside the finished library.
    ".irp name, stubs_start, stubs_end, stub_syscall, stub_return, stub_call, stub_resume",
    ".globl tinykvm_\\name",
    ".hidden tinykvm_\\name",
    ".endr",
    ".irp name, stub_call_pvm, stub_call_keys, stub_resume_pvm, stub_resume_keys, stub_keys",
    ".globl tinykvm_\\name",
    ".hidden tinykvm_\\name",
    ".endr",
    ".irp name, stub_syscall_out, stub_load, stub_load_keys, stub_load_end, stub_keep",
    ".globl tinykvm_\\name",
    ".hidden tinykvm_\\name",
    ".endr",
    ".irp name, kernel_start, kernel_out, kernel_end",
    ".globl tinykvm_\\name",
    ".hidden tinykvm_\\name",
    ".endr",
    ".irp name, stub_save, stub_first, stub_rax, stub_rcx, stub_rdx, stub_rip",
    ".globl tinykvm_\\name",
    ".hidden tinykvm_\\name",
    ".endr",
    ".balign 64",
    "tinykvm_stubs_start:",
    // A system call under PVM: ring 3, on this user page; the host returns to the caller itself.
    // Flags are free: the caller's are in R11. Where threads are switched, vector state is saved.
    "tinykvm_stub_syscall:",
    "tinykvm_find_answer user, tinykvm_stub_syscall_ask, tinykvm_stubs_start, {numbers}",
    "tinykvm_stub_syscall_ask:",
    "test byte ptr [rip + tinykvm_stubs_start + {keep}], 1",
    "jnz 2f",
    "tinykvm_stub_syscall_out:",
    "out {syscall}, eax",
    "ud2",
    "2:",
    "mov [rip + tinykvm_stubs_start + {area}], rax",
    "mov [rip + tinykvm_stubs_start + {area} + 8], rdx",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rip + tinykvm_stubs_start + {area} + 64]",
    "mov rax, [rip + tinykvm_stubs_start + {area}]",
    "mov rdx, [rip + tinykvm_stubs_start + {area} + 8]",
    "jmp tinykvm_stub_syscall_out",
    // What the host page answers, with the caller's flags: `sahf` takes all but OF, and that is
    // the upper bit of a byte which is rotated to. What `syscall` took away of the others is given
    // back by the host only.
    ".irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "tinykvm_answer_user_\\index:",
    "test r11d, {masked}",
    "jnz tinykvm_stub_syscall_ask",
    "mov eax, r11d",
    "mov ah, al",
    "bt r11d, 11",
    "mov al, 0",
    "rcr al, 1",
    "sahf",
    "mov rax, [rip + tinykvm_stubs_start + {values} + 8 * \\index]",
    "jmp rcx",
    ".endr",
    ".balign 16",
    // A called function returned: the guest ABI wants its result in RDI.
    "tinykvm_stub_return:",
    "mov rdi, rax",
    "mov eax, {stop}",
    "out {hypercall}, eax",
    "ud2",
    ".balign 16",
    // Into a function: R10 = its address, R11 = the third argument, for RDX is needed here. PVM
    // starts further up (`call_pvm`): it does not load segment registers from the ones that the
    // host sets. Where ring 3 can use protection keys it starts at `call_keys`, for keys left by
    // an earlier call might deny the image itself.
    "tinykvm_stub_call_keys:",
    "mov r12, rcx",
    "xor eax, eax",
    "xor ecx, ecx",
    "xor edx, edx",
    "wrpkru",
    "mov rcx, r12",
    "tinykvm_stub_call_pvm:",
    "mov r12, rcx",
    "tinykvm_clear_segments",
    "mov rcx, r12",
    "xor r12d, r12d",
    "tinykvm_stub_call:",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rip + tinykvm_stubs_start + {image}]",
    "mov rdx, r11",
    "xor eax, eax",
    "xor r11d, r11d",
    "jmp r10",
    ".balign 16",
    // On after the wait call: the constants below are filled in at the freeze. No instruction
    // here changes the flags.
    "tinykvm_stub_resume_keys:",
    "mov eax, 0",
    "mov ecx, 0",
    "mov edx, 0",
    "wrpkru",
    "tinykvm_stub_resume_pvm:",
    "tinykvm_clear_segments",
    "mov rcx, [rip + tinykvm_stub_rcx]",
    "tinykvm_stub_resume:",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rip + tinykvm_stubs_start + {image}]",
    "mov rax, [rip + tinykvm_stub_rax]",
    "mov rdx, [rip + tinykvm_stub_rdx]",
    "jmp [rip + tinykvm_stub_rip]",
    ".balign 16",
    // Into a thread under PVM: its vector state, then what the host page says. What an earlier
    // call left in segment registers and protection keys is cleared, for this may be the first
    // entry of a call. No instruction here changes the flags.
    "tinykvm_stub_load_keys:",
    "mov eax, 0",
    "mov ecx, 0",
    "mov edx, 0",
    "wrpkru",
    "tinykvm_stub_load:",
    "tinykvm_clear_segments",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rip + tinykvm_stubs_start + {area} + 64]",
    "mov rax, [rip + tinykvm_stubs_start + {target}]",
    "mov rcx, [rip + tinykvm_stubs_start + {target} + 8]",
    "mov rdx, [rip + tinykvm_stubs_start + {target} + 16]",
    "jmp [rip + tinykvm_stubs_start + {target} + 24]",
    "tinykvm_stub_load_end:",
    ".balign 16",
    // At a stop that is no system call: save the vector state of the thread.
    "tinykvm_stub_keep:",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rip + tinykvm_stubs_start + {area} + 64]",
    "out {internal}, eax",
    "ud2",
    ".balign 16",
    // At the freeze: save the vector state.
    "tinykvm_stub_save:",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rip + tinykvm_stubs_start + {image}]",
    "out {internal}, eax",
    "ud2",
    ".balign 16",
    // The first run of a vCPU: what the guest's time stamp counter says (EDX:EAX).
    "tinykvm_stub_first:",
    "rdtsc",
    "out {internal}, eax",
    "ud2",
    ".balign 16",
    // The probe: are protection keys usable at ring 3? If not this is an invalid opcode.
    "tinykvm_stub_keys:",
    "xor ecx, ecx",
    "rdpkru",
    "out {internal}, eax",
    "ud2",
    ".balign 16",
    "tinykvm_stub_rax: .quad 0",
    "tinykvm_stub_rcx: .quad 0",
    "tinykvm_stub_rdx: .quad 0",
    "tinykvm_stub_rip: .quad 0",
    "tinykvm_stubs_end:",
    // A system call on hardware: ring 0, on a page of the supervisor.
    ".balign 16",
    "tinykvm_kernel_start:",
    "tinykvm_find_answer kernel, tinykvm_kernel_out, tinykvm_kernel_start, {kernel_numbers}",
    "tinykvm_kernel_out:",
    "out {syscall}, eax",
    "sysretq",
    ".irp index, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "tinykvm_answer_kernel_\\index:",
    "mov rax, [rip + tinykvm_kernel_start + {kernel_values} + 8 * \\index]",
    "sysretq",
    ".endr",
    "tinykvm_kernel_end:",
    ".popsection",
    syscall = const port::PORT_SYSCALL,
    hypercall = const port::PORT_HYPERCALL,
    internal = const PORT_INTERNAL,
    stop = const calls::STOP,
    image = const layout::SYSTEM_VECTOR_IMAGE - layout::SYSTEM_USER_STUBS,
    area = const layout::SYSTEM_VECTOR_AREA - layout::SYSTEM_USER_STUBS,
    keep = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_KEEP - layout::SYSTEM_USER_STUBS,
    target = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_TARGET - layout::SYSTEM_USER_STUBS,
    numbers = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_NUMBERS - layout::SYSTEM_USER_STUBS,
    values = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_VALUES - layout::SYSTEM_USER_STUBS,
    kernel_numbers = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_NUMBERS - KERNEL_STUB,
    kernel_values = const layout::SYSTEM_HOST_PAGE + layout::HOST_PAGE_VALUES - KERNEL_STUB,
    masked = const super::special::SYSCALL_MASK & !super::special::IOPL & !INTERRUPTS,
);

/// Virtual address of the ring-0 `syscall` stub.
const KERNEL_STUB: u64 = layout::SYSTEM + layout::EXCEPTION_STUBS + KERNEL_SYSCALL;
/// The interrupt flag, which user code can't change.
const INTERRUPTS: u64 = 0x200;
/// Most system calls that a guest can answer without the host
/// ([`Guest::set_answers`](crate::Guest::set_answers)). The stubs above have as many.
pub const MOST_ANSWERS: usize = 10;

unsafe extern "C" {
    static tinykvm_stubs_start: u8;
    static tinykvm_stubs_end: u8;
    static tinykvm_kernel_start: u8;
    static tinykvm_kernel_out: u8;
    static tinykvm_kernel_end: u8;
    static tinykvm_stub_syscall: u8;
    static tinykvm_stub_syscall_out: u8;
    static tinykvm_stub_load: u8;
    static tinykvm_stub_load_keys: u8;
    static tinykvm_stub_load_end: u8;
    static tinykvm_stub_keep: u8;
    static tinykvm_stub_return: u8;
    static tinykvm_stub_call: u8;
    static tinykvm_stub_resume: u8;
    static tinykvm_stub_save: u8;
    static tinykvm_stub_first: u8;
    static tinykvm_stub_call_pvm: u8;
    static tinykvm_stub_call_keys: u8;
    static tinykvm_stub_resume_pvm: u8;
    static tinykvm_stub_resume_keys: u8;
    static tinykvm_stub_keys: u8;
    static tinykvm_stub_rax: u8;
    static tinykvm_stub_rcx: u8;
    static tinykvm_stub_rdx: u8;
    static tinykvm_stub_rip: u8;
}

/// The user stubs as bytes, and where in them each one starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UserStubs {
    /// All of them.
    pub(crate) code: &'static [u8],
    /// Entry of `syscall` under PVM.
    pub(crate) syscall: u64,
    /// Its `out`.
    pub(crate) syscall_out: u64,
    /// Return address of called functions.
    pub(crate) returned: u64,
    /// Way into a function: on hardware, under PVM, under PVM with protection keys.
    pub(crate) call: [u64; 3],
    /// Way back behind the wait call, likewise.
    pub(crate) resume: [u64; 3],
    /// Way into a thread whose vector state is to be loaded: (never on hardware), under PVM, under
    /// PVM with protection keys, which is the start of all of it.
    pub(crate) load: [u64; 3],
    /// End of that stub.
    pub(crate) load_end: u64,
    /// Saves the vector state of a thread.
    pub(crate) keep: u64,
    /// Saves the vector state of the freeze.
    pub(crate) save: u64,
    /// The first run of a vCPU.
    pub(crate) first: u64,
    /// Reads the protection keys.
    pub(crate) keys: u64,
    /// Places of the constants for `resume`: RAX, RCX, RDX, RIP.
    pub(crate) constants: [u64; 4],
}

/// The user stubs.
pub(crate) fn user() -> UserStubs {
    // SAFETY: the symbols are labels in one read-only section of this very file, `start` first
    // and `end` last; only their addresses are taken, and the slice lies between the two.
    unsafe {
        let start = &raw const tinykvm_stubs_start;
        let end = &raw const tinykvm_stubs_end;
        let offset = |label: *const u8| label as u64 - start as u64;
        UserStubs {
            code: std::slice::from_raw_parts(start, to_usize(offset(end))),
            syscall: offset(&raw const tinykvm_stub_syscall),
            syscall_out: offset(&raw const tinykvm_stub_syscall_out),
            load: [
                offset(&raw const tinykvm_stub_load),
                offset(&raw const tinykvm_stub_load),
                offset(&raw const tinykvm_stub_load_keys),
            ],
            load_end: offset(&raw const tinykvm_stub_load_end),
            keep: offset(&raw const tinykvm_stub_keep),
            returned: offset(&raw const tinykvm_stub_return),
            call: [
                offset(&raw const tinykvm_stub_call),
                offset(&raw const tinykvm_stub_call_pvm),
                offset(&raw const tinykvm_stub_call_keys),
            ],
            resume: [
                offset(&raw const tinykvm_stub_resume),
                offset(&raw const tinykvm_stub_resume_pvm),
                offset(&raw const tinykvm_stub_resume_keys),
            ],
            save: offset(&raw const tinykvm_stub_save),
            first: offset(&raw const tinykvm_stub_first),
            keys: offset(&raw const tinykvm_stub_keys),
            constants: [
                offset(&raw const tinykvm_stub_rax),
                offset(&raw const tinykvm_stub_rcx),
                offset(&raw const tinykvm_stub_rdx),
                offset(&raw const tinykvm_stub_rip),
            ],
        }
    }
}

/// Offset of the ring-0 copy of the `syscall` stub in the page of the exception stubs.
pub(crate) const KERNEL_SYSCALL: u64 = 0x800;
/// Offset of the stub that edits page tables in that page: RCX entries from RSI are written anew to
/// RDI, by the guest itself, which KVM takes notice of; then translations are forgotten.
pub(crate) const KERNEL_EDIT: u64 = 0xa00;
/// Bytes of an `out imm8, eax`.
pub(crate) const OUT_LENGTH: u64 = 2;

/// The ring-0 `syscall` stub, and where its `out` is.
fn kernel_syscall() -> (&'static [u8], u64) {
    // SAFETY: as in `user`: labels in one read-only section, whose addresses are taken, and a slice
    // from the first to the last.
    unsafe {
        let start = &raw const tinykvm_kernel_start;
        let length = &raw const tinykvm_kernel_end as u64 - start as u64;
        let out = &raw const tinykvm_kernel_out as u64 - start as u64;
        (std::slice::from_raw_parts(start, to_usize(length)), out)
    }
}

/// Offset of the `out` of the ring-0 `syscall` stub in the page of the exception stubs.
pub(crate) fn kernel_syscall_out() -> u64 {
    KERNEL_SYSCALL + kernel_syscall().1
}

/// The page of ring-0 stubs: a stub for each exception vector, and the `syscall` entry.
pub(crate) fn kernel() -> Vec<u8> {
    let mut page = vec![0xf4; to_usize(crate::PAGE_SIZE)]; // hlt
    let mut put = |at: u64, code: &[u8]| {
        let at = to_usize(at);
        page[at..at + code.len()].copy_from_slice(code);
    };
    for vector in 0..VECTORS {
        let [port, _] = (port::PORT_EXCEPTION + u16::from(vector)).to_le_bytes();
        let at = u64::from(vector) * layout::STUB_SIZE;
        put(at, &[0xe7, port]); // out port, eax
        if has_error_code(vector) {
            put(at + OUT_LENGTH, &[0x48, 0x83, 0xc4, 0x08, 0x48, 0xcf]); // add rsp, 8; iretq
        } else {
            put(at + OUT_LENGTH, &[0x48, 0xcf]); // iretq
        }
    }
    put(KERNEL_SYSCALL, kernel_syscall().0);
    let [port, _] = PORT_INTERNAL.to_le_bytes();
    put(KERNEL_EDIT, &[0xf3, 0x48, 0xa5]); // rep movsq
    put(KERNEL_EDIT + 3, &[0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8]); // mov rax, cr3; mov cr3, rax
    put(KERNEL_EDIT + 9, &[0xe7, port]); // out port, eax
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_stubs_fit_their_page_and_start_with_their_instructions() {
        let stubs = user();
        assert!(stubs.code.len() <= 4096);
        let at = |offset: u64| &stubs.code[to_usize(offset)..];
        assert_eq!(at(stubs.syscall)[..2], [0x85, 0xc0], "test eax, eax");
        assert_eq!(at(stubs.syscall_out)[..2], [0xe7, 0x10]);
        assert_eq!(at(stubs.keep)[..1], [0xb8]);
        assert!(stubs.load[2] < stubs.load[1] && stubs.load[1] < stubs.load_end);
        assert_eq!(at(stubs.returned)[..3], [0x48, 0x89, 0xc7]);
        assert_eq!(at(stubs.first)[..4], [0x0f, 0x31, 0xe7, 0x11]);
        assert_eq!(stubs.constants[3] - stubs.constants[0], 24);
    }

    #[test]
    fn the_kernel_stubs_do_not_touch_each_other() {
        let (code, out) = kernel_syscall();
        assert!(KERNEL_SYSCALL + code.len() as u64 <= KERNEL_EDIT);
        assert!(u64::from(VECTORS) * layout::STUB_SIZE <= KERNEL_SYSCALL);
        // out 0x10, eax; sysretq
        assert_eq!(code[to_usize(out)..][..5], [0xe7, 0x10, 0x48, 0x0f, 0x07]);
        assert!(code.ends_with(&[0x48, 0x0f, 0x07]));
    }
}
