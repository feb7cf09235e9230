//! Delivery of signals: the frame that a handler finds on its stack, and the return from it.
//!
//! ```text
//!   higher addresses   interrupted code's stack
//!                      128 bytes red zone (or the top of the alternate stack)
//!                      vector state, at a multiple of 64; see `vectors`
//!   frame + 312        siginfo, 128 bytes
//!   frame + 8          ucontext, 304 bytes
//!   frame              address of the restorer; RSP at the handler's entry, 8 mod 16
//! ```
//!
//! The layout is `struct rt_sigframe` of asm/sigframe.h.

use tinykvm::{Exception, Guest, Registers};

use crate::Flow;
use crate::context::{Answer, Context, Failure, USER_END, copy_out};
use crate::pending::Info;
use crate::process::{Process, State};
use crate::signal::{
    Action, AlternateStack, Disposition, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART,
    SA_RESTORER, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGTRAP, bit,
};
use crate::vectors;
use crate::wire::{Record, u32_at, u64_at};

/// Size of the whole frame.
const FRAME: usize = 440;
/// Where the context of the interrupted code is, and its size.
const CONTEXT: usize = 8;
const CONTEXT_SIZE: usize = 304;
/// Where what is told of the signal is.
const INFO: usize = CONTEXT + CONTEXT_SIZE;

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
/// TF.
const TRAP_FLAG: u64 = 0x100;
/// Flags that are clear when a handler starts: DF, RF, TF.
const ENTRY_CLEARED: u64 = 0x1_0500;

/// `SI_KERNEL` in asm-generic/siginfo.h.
const SI_KERNEL: i32 = 0x80;

impl Process {
    /// Gives a processor exception to the current thread as the signal that Linux would send. Goes
    /// on in the handler ([`Flow::Continue`]) if there is one and the signal is not blocked;
    /// otherwise the exception is the program's end ([`Flow::Signal`]), and nothing was changed.
    ///
    /// The guest's registers are replaced as a whole, from those at the exception.
    pub fn fault(&mut self, guest: &mut dyn Guest, exception: &Exception) -> Flow {
        let info = fault_info(guest, exception);
        let state = self.state();
        let blocked = state.thread().signals.blocked & bit(info.number) != 0;
        if blocked || state.signals.disposition(info.number) != Disposition::Handler {
            return fatal(info.number);
        }
        enter_handler(self, guest, &exception.registers, &info, Some(exception))
    }
}

/// A signal ends the program.
fn fatal(number: u32) -> Flow {
    Flow::Signal {
        number: number.cast_signed(),
    }
}

/// Signal, code and address for an exception vector; codes from asm-generic/siginfo.h.
fn fault_info(guest: &mut dyn Guest, fault: &Exception) -> Info {
    let rip = fault.registers.rip;
    let (number, code, address) = match fault.vector {
        0 => (SIGFPE, 1, rip), // #DE: FPE_INTDIV
        // #DB: TRAP_TRACE after a step, else TRAP_BRKPT
        1 => (
            SIGTRAP,
            if fault.registers.rflags & TRAP_FLAG == 0 {
                1
            } else {
                2
            },
            rip,
        ),
        3 => (SIGTRAP, SI_KERNEL, 0),      // #BP
        6 => (SIGILL, 2, rip),             // #UD: ILL_ILLOPN
        11 | 12 => (SIGBUS, SI_KERNEL, 0), // #NP, #SS
        // #PF: SEGV_ACCERR if something is mapped there, else SEGV_MAPERR
        14 => {
            let range = guest.mapped(fault.address);
            let there = range.is_some_and(|range| range.start <= fault.address);
            (SIGSEGV, if there { 2 } else { 1 }, fault.address)
        }
        16 | 19 => (SIGFPE, arithmetic_code(guest, fault.vector == 16), rip), // #MF, #XM
        17 => (SIGBUS, 1, 0),                                                 // #AC: BUS_ADRALN
        _ => (SIGSEGV, SI_KERNEL, 0),                                         // #GP and the rest
    };
    Info {
        number,
        error: 0,
        code,
        fields: [address, 0, 0, 0],
    }
}

/// `FPE_*` of a floating-point exception, by its flag that is set and not masked (Intel SDM
/// volume 1, 8.1.3 and 10.2.3).
fn arithmetic_code(guest: &mut dyn Guest, x87: bool) -> i32 {
    let state = guest.vector_state();
    let area = state.bytes();
    let flags = if x87 {
        let words = u32_at(area, 0);
        words >> 16 & !words
    } else {
        let mxcsr = u32_at(area, 24);
        mxcsr & !(mxcsr >> 7)
    };
    match flags & 0x3f {
        set if set & 1 != 0 => 7,    // FPE_FLTINV
        set if set & 4 != 0 => 3,    // FPE_FLTDIV
        set if set & 8 != 0 => 4,    // FPE_FLTOVF
        set if set & 0x12 != 0 => 5, // FPE_FLTUND
        set if set & 0x20 != 0 => 6, // FPE_FLTRES
        _ => 7,
    }
}

/// Delivers to the current thread what is pending and not blocked, each signal on top of the one
/// before, as Linux does on the way to user code.
pub(crate) fn deliver_pending(process: &mut Process, guest: &mut dyn Guest) -> Flow {
    if process.state().deliverable_set(process.state().thread()) == 0 {
        return Flow::Continue;
    }
    while let Some(info) = take(process.state_mut()) {
        let state = process.state_mut();
        state.note_overrun(&info);
        match state.signals.disposition(info.number) {
            Disposition::Ignore => {}
            Disposition::Fatal => return fatal(info.number),
            Disposition::Handler => {
                let restart = state.thread_mut().signals.restart.take();
                if let Some(number) = restart
                    && state.signals.action(info.number).flags & SA_RESTART != 0
                {
                    make_again(guest, number);
                }
                let now = *guest.registers();
                match enter_handler(process, guest, &now, &info, None) {
                    Flow::Continue => {}
                    end => return end,
                }
            }
        }
    }
    let thread = process.state_mut().thread_mut();
    thread.signals.restart = None;
    thread.restore_mask();
    Flow::Continue
}

/// The next signal for the current thread: its own first.
fn take(state: &mut State) -> Option<Info> {
    let signals = &mut state.threads.current.signals;
    let allowed = !signals.blocked;
    let own = signals.pending.take(allowed);
    own.or_else(|| state.signals.pending.take(allowed))
}

/// The interrupted call is made anew: back to its instruction.
fn make_again(guest: &mut dyn Guest, number: u16) {
    /// Length of `syscall`.
    const SYSCALL: u64 = 2;
    let now = *guest.registers();
    guest.set_context(&Registers {
        rip: now.rip.wrapping_sub(SYSCALL),
        rax: u64::from(number),
        ..now
    });
}

/// Builds the frame and points the registers at the handler. A program whose stack cannot take
/// the frame, or whose action is unusable, gets SIGSEGV instead; it ends where that has no handler
/// that could run.
fn enter_handler(
    process: &mut Process,
    guest: &mut dyn Guest,
    before: &Registers,
    info: &Info,
    fault: Option<&Exception>,
) -> Flow {
    if push_frame(process, guest, before, info, fault).is_some() {
        return Flow::Continue;
    }
    let instead = Info {
        number: SIGSEGV,
        error: 0,
        code: SI_KERNEL,
        fields: [0; 4],
    };
    let state = process.state();
    let handled = info.number != SIGSEGV
        && state.thread().signals.blocked & bit(SIGSEGV) == 0
        && state.signals.disposition(SIGSEGV) == Disposition::Handler;
    if handled && push_frame(process, guest, before, &instead, None).is_some() {
        Flow::Continue
    } else {
        fatal(SIGSEGV)
    }
}

/// What goes into a frame besides the registers.
struct Contents<'a> {
    pub(crate) action: Action,
    pub(crate) alternate: AlternateStack,
    /// The mask to go back to.
    pub(crate) mask: u64,
    pub(crate) info: &'a Info,
    pub(crate) fault: Option<&'a Exception>,
    /// Address of the vector state; 0 without.
    pub(crate) vectors: u64,
}

/// `None` if the frame cannot be built; then nothing but dead stack was changed.
fn push_frame(
    process: &mut Process,
    guest: &mut dyn Guest,
    before: &Registers,
    info: &Info,
    fault: Option<&Exception>,
) -> Option<()> {
    let state = process.state();
    let action = state.signals.action(info.number);
    let signals = &state.thread().signals;
    let (blocked, alternate) = (signals.blocked, signals.alternate);
    if action.flags & SA_RESTORER == 0 || action.handler >= USER_END {
        return None;
    }
    let area = vectors::to_frame(&guest.vector_state());
    let (at, vectors) = place_frame(before.rsp, area.len() as u64, action, alternate)?;
    let contents = Contents {
        action,
        alternate,
        mask: signals.saved.unwrap_or(blocked),
        info,
        fault,
        vectors,
    };
    let frame = build_frame(before, &contents);
    copy_out(guest, vectors, &area).ok()?;
    copy_out(guest, at, frame.as_bytes()).ok()?;
    let state = process.state_mut();
    let own = if action.flags & SA_NODEFER == 0 {
        bit(info.number)
    } else {
        0
    };
    let signals = &mut state.thread_mut().signals;
    signals.saved = None;
    signals.block(blocked | action.mask | own);
    signals.alternate = alternate.while_in_use();
    if action.flags & SA_RESETHAND != 0 {
        let default = Action {
            handler: 0,
            ..action
        };
        state.set_action(info.number, default);
    }
    enter(guest, before, action, at, info.number);
    Some(())
}

/// Goes to the handler.
fn enter(guest: &mut dyn Guest, before: &Registers, action: Action, at: u64, number: u32) {
    let rflags = before.rflags & !ENTRY_CLEARED;
    guest.set_context(&Registers {
        rax: 0,
        rdi: u64::from(number),
        rsi: at + INFO as u64,
        rdx: at + CONTEXT as u64,
        rsp: at,
        rip: action.handler,
        rflags,
        // As after every system call, so that the fast way back to the guest fits.
        rcx: action.handler,
        r11: rflags,
        ..*before
    });
}

/// Where the frame and the vector state above it go; `None` if there is no room.
fn place_frame(
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
fn build_frame(before: &Registers, contents: &Contents<'_>) -> Record<FRAME> {
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

/// `rt_sigreturn()`: goes back to what the frame below the stack pointer says, as far as a
/// program may say it. The result is the RAX of the interrupted code.
pub(crate) fn rt_sigreturn(context: &mut Context<'_>) -> Answer {
    let end = || Failure::Stop(fatal(SIGSEGV));
    let now = *context.guest.registers();
    let record: [u8; CONTEXT_SIZE] = context.read(now.rsp).map_err(|_| end())?;
    let saved = Saved::parse(&record, now.rflags);
    let back = saved.registers;
    // A CPU must not be sent to an address that it cannot hold.
    if back.rip >= USER_END {
        return Err(end());
    }
    let current = context.guest.vector_state();
    let state = vectors::from_frame(context.guest, saved.vectors, &current).ok_or_else(end)?;
    if state != current {
        context.guest.set_vector_state(&state);
    }
    let signals = &mut context.thread_mut().signals;
    signals.block(saved.mask);
    // As in Linux: not while on it, and nonsense is passed over.
    if let Some(stack) = saved.stack
        && !signals.alternate.contains(back.rsp)
    {
        signals.alternate = stack;
    }
    context.guest.set_context(&back);
    Err(Failure::Done)
}

#[cfg(test)]
mod tests;
