//! Delivery of signals: the frame that a handler finds on its stack, and the return from it.
//!
//! ```text
//!   higher addresses   interrupted code's stack
//!                      128 bytes red zone (or the top of the alternate stack)
//!   frame + 312        siginfo, 128 bytes
//!   frame + 8          ucontext, 304 bytes
//!   frame              address of the restorer; RSP at the handler's entry, 8 mod 16
//! ```
//!
//! The layout is `struct rt_sigframe` of asm/sigframe.h. Vector state is not in the frame
//! (`fpstate` is null): a handler keeps it by the rules of the C calling convention, which is
//! enough for signals that a program sends itself.

use tinykvm::{Exception, Guest, Registers};

use crate::Flow;
use crate::context::{Answer, Context, Failure, USER_END, copy_out};
use crate::process::{PROCESS_ID, Process};
use crate::signal::{
    Action, AlternateStack, Disposition, SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTORER, SIGBUS,
    SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SYNCHRONOUS, bit,
};
use crate::system::USER_ID;
use crate::wire::{Record, u64_at};

/// Size of the whole frame.
const FRAME: usize = 440;
const CONTEXT: usize = 8;
const CONTEXT_SIZE: usize = 304;
const INFO: usize = CONTEXT + CONTEXT_SIZE;

/// Offsets in `struct ucontext` (asm-generic/ucontext.h) and its `struct sigcontext_64`.
const UC_FLAGS: usize = 0;
const UC_STACK: usize = 16;
const UC_MACHINE: usize = 40;
const UC_MASK: usize = 296;
/// `UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS` in asm/ucontext.h.
const FLAGS: u64 = 6;
/// The 8-byte registers come first, in this order.
const REGISTER_COUNT: usize = 18;
const MC_SEGMENTS: usize = 144;
const MC_ERROR: usize = 152;
const MC_TRAP: usize = 160;
const MC_OLD_MASK: usize = 168;
const MC_ADDRESS: usize = 176;
/// CS and SS as every 64-bit Linux program sees them.
const SEGMENTS: u64 = 0x33 | 0x2b << 48;

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;

/// Flags that a program may restore: `FIX_EFLAGS` of asm/sighandling.h, without the trap flag.
const RESTORABLE_FLAGS: u64 = 0x5_0cd5;
/// Flags that are clear when a handler starts: DF, RF, TF.
const ENTRY_CLEARED: u64 = 0x1_0500;

/// What a handler learns about its signal.
#[derive(Debug, Clone, Copy)]
struct Info {
    number: u32,
    /// `si_code`.
    code: i32,
    /// The 8 bytes at offset 16: sender (process and user), or address.
    detail: u64,
    /// Error code, vector and address of a CPU exception.
    trap: Option<Exception>,
}

impl Process {
    /// Gives a processor exception to the program as the signal that Linux would send. Goes on in
    /// the handler ([`Flow::Continue`]) if there is one and the signal is not blocked; otherwise
    /// the exception is the program's end ([`Flow::Signal`]), and nothing was changed.
    ///
    /// The guest's registers are replaced as a whole, from those at the exception.
    pub fn fault(&mut self, guest: &mut dyn Guest, exception: &Exception) -> Flow {
        let info = fault_info(exception);
        let signals = &self.state().signals;
        let blocked = signals.blocked & bit(info.number) != 0;
        if blocked || signals.disposition(info.number) != Disposition::Handler {
            return fatal(info.number);
        }
        enter_handler(self, guest, &exception.registers, info)
    }
}

fn fatal(number: u32) -> Flow {
    Flow::Signal {
        number: number.cast_signed(),
    }
}

/// Signal, code and address for an exception vector; codes from asm-generic/siginfo.h.
fn fault_info(fault: &Exception) -> Info {
    const SI_KERNEL: i32 = 0x80;
    let rip = fault.registers.rip;
    let (number, code, detail) = match fault.vector {
        0 => (SIGFPE, 1, rip),             // #DE: FPE_INTDIV
        1 => (SIGTRAP, 2, rip),            // #DB: TRAP_TRACE
        3 => (SIGTRAP, SI_KERNEL, 0),      // #BP
        6 => (SIGILL, 2, rip),             // #UD: ILL_ILLOPN
        11 | 12 => (SIGBUS, SI_KERNEL, 0), // #NP, #SS
        // #PF: SEGV_ACCERR if a page is there, else SEGV_MAPERR
        14 => (
            SIGSEGV,
            if fault.error_code & 1 != 0 { 2 } else { 1 },
            fault.address,
        ),
        16 | 19 => (SIGFPE, 7, rip), // #MF, #XM: FPE_FLTINV, not decoded further
        17 => (SIGBUS, 1, 0),        // #AC: BUS_ADRALN
        _ => (SIGSEGV, SI_KERNEL, 0), // #GP and the rest
    };
    Info {
        number,
        code,
        detail,
        trap: Some(*fault),
    }
}

/// Delivers what is pending and not blocked, each signal on top of the one before, as Linux does
/// on the way out of a system call.
pub(crate) fn deliver_pending(process: &mut Process, guest: &mut dyn Guest) -> Flow {
    /// `SI_TKILL` in asm-generic/siginfo.h; `SI_USER` is 0.
    const SI_TKILL: i32 = -6;
    loop {
        let signals = &process.state().signals;
        let ready = signals.pending & !signals.blocked;
        if ready == 0 {
            return Flow::Continue;
        }
        let first = if ready & SYNCHRONOUS != 0 {
            ready & SYNCHRONOUS
        } else {
            ready
        };
        let number = first.trailing_zeros() + 1;
        let code = if signals.to_thread & bit(number) != 0 {
            SI_TKILL
        } else {
            0
        };
        process.state_mut().signals.pending &= !bit(number);
        let sender = u64::from(PROCESS_ID) | u64::from(USER_ID) << 32;
        match process.state().signals.disposition(number) {
            Disposition::Ignore => {}
            Disposition::Fatal => return fatal(number),
            Disposition::Handler => {
                let info = Info {
                    number,
                    code,
                    detail: sender,
                    trap: None,
                };
                let now = *guest.registers();
                match enter_handler(process, guest, &now, info) {
                    Flow::Continue => {}
                    end => return end,
                }
            }
        }
    }
}

/// Builds the frame and points the registers at the handler. A program whose stack cannot take
/// the frame, or whose action is unusable, ends with SIGSEGV.
fn enter_handler(
    process: &mut Process,
    guest: &mut dyn Guest,
    before: &Registers,
    info: Info,
) -> Flow {
    let signals = &process.state().signals;
    let action = signals.action(info.number);
    let (blocked, alternate) = (signals.blocked, signals.alternate);
    let usable = action.flags & SA_RESTORER != 0 && action.handler < USER_END;
    let Some(at) = place_frame(before.rsp, action, alternate).filter(|_| usable) else {
        return fatal(SIGSEGV);
    };
    let frame = build_frame(before, action, alternate, blocked, info);
    if copy_out(guest, at, frame.as_bytes()).is_err() {
        return fatal(SIGSEGV);
    }

    let signals = &mut process.state_mut().signals;
    let own = if action.flags & SA_NODEFER == 0 {
        bit(info.number)
    } else {
        0
    };
    signals.block(blocked | action.mask | own);
    signals.alternate = alternate.while_in_use();
    if action.flags & SA_RESETHAND != 0 {
        signals.set_action(
            info.number,
            Action {
                handler: 0,
                ..action
            },
        );
    }
    let rflags = before.rflags & !ENTRY_CLEARED;
    *guest.registers_mut() = Registers {
        rax: 0,
        rdi: u64::from(info.number),
        rsi: at + INFO as u64,
        rdx: at + CONTEXT as u64,
        rsp: at,
        rip: action.handler,
        rflags,
        // As after every system call, so that the fast way back to the guest fits.
        rcx: action.handler,
        r11: rflags,
        ..*before
    };
    Flow::Continue
}

/// Where the frame goes; `None` if there is no room.
fn place_frame(rsp: u64, action: Action, alternate: AlternateStack) -> Option<u64> {
    let switches =
        action.flags & SA_ONSTACK != 0 && alternate.size != 0 && !alternate.contains(rsp);
    let top = if switches {
        alternate.base.checked_add(alternate.size)?
    } else {
        rsp.checked_sub(RED_ZONE)?
    };
    // As after a call: 8 below a multiple of 16.
    let at = (top.checked_sub(FRAME as u64)? & !15).checked_sub(8)?;
    let overflows = (switches || alternate.contains(rsp)) && at < alternate.base;
    (!overflows).then_some(at)
}

/// The bytes of the frame.
fn build_frame(
    before: &Registers,
    action: Action,
    alternate: AlternateStack,
    blocked: u64,
    info: Info,
) -> Record<FRAME> {
    let machine = CONTEXT + UC_MACHINE;
    let mut frame = Record::new()
        .u64(0, action.restorer)
        .u64(CONTEXT + UC_FLAGS, FLAGS)
        .bytes(CONTEXT + UC_STACK, alternate.record(before.rsp).as_bytes())
        .u64(machine + MC_SEGMENTS, SEGMENTS)
        .u64(machine + MC_OLD_MASK, blocked)
        .u64(CONTEXT + UC_MASK, blocked);
    for (index, value) in in_frame_order(before).into_iter().enumerate() {
        frame = frame.u64(machine + 8 * index, value);
    }
    if let Some(fault) = info.trap {
        frame = frame
            .u64(machine + MC_ERROR, fault.error_code)
            .u64(machine + MC_TRAP, u64::from(fault.vector))
            .u64(machine + MC_ADDRESS, fault.address);
    }
    // siginfo: si_signo, si_errno, si_code, then by kind
    frame
        .u32(INFO, info.number)
        .i32(INFO + 8, info.code)
        .u64(INFO + 16, info.detail)
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

/// `rt_sigreturn()`: goes back to what the frame below the stack pointer says, as far as a
/// program may say it. The result is the RAX of the interrupted code.
pub(crate) fn rt_sigreturn(context: &mut Context<'_>) -> Answer {
    let end = || Failure::Stop(fatal(SIGSEGV));
    let now = *context.guest.registers();
    let record: [u8; CONTEXT_SIZE] = context.read(now.rsp).map_err(|_| end())?;
    let register = |index: usize| u64_at(&record, UC_MACHINE + 8 * index);
    let back = Registers {
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
        rflags: now.rflags & !RESTORABLE_FLAGS | register(17) & RESTORABLE_FLAGS,
    };
    // A CPU must not be sent to an address that it cannot hold.
    if back.rip >= USER_END {
        return Err(end());
    }
    let stack = record[UC_STACK..].first_chunk().map(AlternateStack::parse);
    let signals = &mut context.state_mut().signals;
    signals.block(u64_at(&record, UC_MASK));
    // As in Linux: not while on it, and nonsense is passed over.
    if let Some(Ok(stack)) = stack
        && !signals.alternate.contains(back.rsp)
    {
        signals.alternate = stack;
    }
    *context.guest.registers_mut() = back;
    Ok(back.rax)
}

#[cfg(test)]
mod tests;
