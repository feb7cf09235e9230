//! Delivery of signals: faults become signals, and pending signals run their handlers.

use tinykvm::{Exception, Guest, Registers};

use crate::call::context::copy_out;
use crate::host::Flow;
use crate::process::Process;
use crate::process::frame::{CONTEXT, Contents, INFO, build_frame, place_frame};
use crate::process::pending::Info;
use crate::process::signals::{Action, Disposition, fatal};
use crate::process::state::State;
use crate::wire::record::u32_at;
use crate::wire::signal::{
    SA_NODEFER, SA_RESETHAND, SA_RESTART, SA_RESTORER, SI_KERNEL, SIGBUS, SIGFPE, SIGILL, SIGSEGV,
    SIGTRAP, bit,
};
use crate::wire::user::USER_END;
use crate::wire::xsave;

/// TF.
const TRAP_FLAG: u64 = 0x100;
/// Flags that are clear when a handler starts: DF, RF, TF.
const ENTRY_CLEARED: u64 = 0x1_0500;

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
    let area = xsave::to_frame(&guest.vector_state());
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

#[cfg(test)]
mod tests;
