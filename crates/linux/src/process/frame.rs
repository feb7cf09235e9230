//! The frame that a signal's handler finds on its stack.
//!
//! ```text
//!   higher addresses   interrupted code's stack
//!                      128 bytes red zone (or the top of the alternate stack)
//!                      vector state, at a multiple of 64; see `wire::xsave`
//!   frame + 312        siginfo, 128 bytes
//!   frame + 8          ucontext, 304 bytes
//!   frame              address of the restorer; RSP at the handler's entry, 8 mod 16
//! ```
//!
//! The layout is `struct rt_sigframe` of asm/sigframe.h.

use tinykvm::{Exception, Registers};

use crate::process::pending::Info;
use crate::process::signals::{Action, AlternateStack};
use crate::wire::record::{Record, u64_at};
use crate::wire::signal::SA_ONSTACK;

/// Size of the whole frame.
const FRAME: usize = 440;
/// Where the context of the interrupted code is, and its size.
pub(crate) const CONTEXT: usize = 8;
pub(crate) const CONTEXT_SIZE: usize = 304;
/// Where what is told of the signal is.
pub(crate) const INFO: usize = CONTEXT + CONTEXT_SIZE;

/// Offsets in `struct ucontext` (asm-generic/ucontext.h) and its `struct sigcontext_64`.
const UC_FLAGS: usize = 0;
const UC_STACK: usize = 16;
const UC_MACHINE: usize = 40;
const UC_MASK: usize = 296;
/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS` in asm/ucontext.h.
const FLAGS: u64 = 6;
/// `UC_FP_XSTATE`: the vector state is a whole XSAVE area.
const WITH_VECTORS: u64 = 1;
/// The 8-byte registers come first, in this order.
const REGISTER_COUNT: usize = 18;
const MC_SEGMENTS: usize = 144;
const MC_ERROR: usize = 152;
const MC_TRAP: usize = 160;
const MC_OLD_MASK: usize = 168;
const MC_ADDRESS: usize = 176;
const MC_VECTORS: usize = 184;
/// CS and SS as every 64-bit Linux program sees them.
const SEGMENTS: u64 = 0x33 | 0x2b << 48;

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

/// Flags that a program may restore: `FIX_EFLAGS` of asm/sighandling.h, without the trap flag.
const RESTORABLE_FLAGS: u64 = 0x5_0cd5;

/// What goes into a frame besides the registers.
pub(crate) struct Contents<'a> {
    pub(crate) action: Action,
    pub(crate) alternate: AlternateStack,
    /// The mask to go back to.
    pub(crate) mask: u64,
    pub(crate) info: &'a Info,
    pub(crate) fault: Option<&'a Exception>,
    /// Address of the vector state; 0 without.
    pub(crate) vectors: u64,
}

/// Where the frame and the vector state above it go; `None` if there is no room.
pub(crate) fn place_frame(
    rsp: u64,
    vectors: u64,
    action: Action,
    alternate: AlternateStack,
) -> Option<(u64, u64)> {
    let switches =
        action.flags & SA_ONSTACK != 0 && alternate.size != 0 && !alternate.contains(rsp);
    let top = if switches {
        alternate.base.checked_add(alternate.size)?
    } else {
        rsp.checked_sub(RED_ZONE)?
    };
    let area = top.checked_sub(vectors)? & !63;
    // As after a call: 8 below a multiple of 16.
    let at = (area.checked_sub(FRAME as u64)? & !15).checked_sub(8)?;
    let overflows = (switches || alternate.contains(rsp)) && at < alternate.base;
    (!overflows).then_some((at, area))
}

/// The bytes of the frame.
pub(crate) fn build_frame(before: &Registers, contents: &Contents<'_>) -> Record<FRAME> {
    let machine = CONTEXT + UC_MACHINE;
    let whole = if contents.vectors == 0 {
        0
    } else {
        WITH_VECTORS
    };
    let stack = contents.alternate.record(before.rsp);
    let mut frame = Record::new()
        .u64(0, contents.action.restorer)
        .u64(CONTEXT + UC_FLAGS, FLAGS | whole)
        .bytes(CONTEXT + UC_STACK, stack.as_bytes())
        .u64(machine + MC_SEGMENTS, SEGMENTS)
        .u64(machine + MC_OLD_MASK, contents.mask)
        .u64(machine + MC_VECTORS, contents.vectors)
        .u64(CONTEXT + UC_MASK, contents.mask)
        .bytes(INFO, contents.info.record().as_bytes());
    for (index, value) in in_frame_order(before).into_iter().enumerate() {
        frame = frame.u64(machine + 8 * index, value);
    }
    if let Some(fault) = contents.fault {
        frame = frame
            .u64(machine + MC_ERROR, fault.error_code)
            .u64(machine + MC_TRAP, u64::from(fault.vector))
            .u64(machine + MC_ADDRESS, fault.address);
    }
    frame
}

/// The registers in the order of `struct sigcontext_64`.
fn in_frame_order(from: &Registers) -> [u64; REGISTER_COUNT] {
    [
        from.r8,
        from.r9,
        from.r10,
        from.r11,
        from.r12,
        from.r13,
        from.r14,
        from.r15,
        from.rdi,
        from.rsi,
        from.rbp,
        from.rbx,
        from.rdx,
        from.rax,
        from.rcx,
        from.rsp,
        from.rip,
        from.rflags,
    ]
}

/// What a frame says of the code that was interrupted.
pub(crate) struct Saved {
    pub(crate) registers: Registers,
    /// Address of the vector state; 0 without.
    pub(crate) vectors: u64,
    /// Its alternate stack, if that makes sense.
    pub(crate) stack: Option<AlternateStack>,
    pub(crate) mask: u64,
}

impl Saved {
    /// Takes the context of a frame apart. Of the flags that it says, only those count that a
    /// program may change; the others stay as in `rflags`.
    pub(crate) fn parse(record: &[u8; CONTEXT_SIZE], rflags: u64) -> Self {
        let register = |index: usize| u64_at(record, UC_MACHINE + 8 * index);
        let registers = Registers {
            r8: register(0),
            r9: register(1),
            r10: register(2),
            r11: register(3),
            r12: register(4),
            r13: register(5),
            r14: register(6),
            r15: register(7),
            rdi: register(8),
            rsi: register(9),
            rbp: register(10),
            rbx: register(11),
            rdx: register(12),
            rax: register(13),
            rcx: register(14),
            rsp: register(15),
            rip: register(16),
            rflags: rflags & !RESTORABLE_FLAGS | register(17) & RESTORABLE_FLAGS,
        };
        let stack = record[UC_STACK..].first_chunk().map(AlternateStack::parse);
        Self {
            registers,
            vectors: u64_at(record, UC_MACHINE + MC_VECTORS),
            stack: stack.and_then(Result::ok),
            mask: u64_at(record, UC_MASK),
        }
    }
}
