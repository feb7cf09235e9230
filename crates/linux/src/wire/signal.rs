//! Numbers and flags of signals.

use crate::wire::errno::{EINVAL, Errno};

// Signal numbers: asm/signal.h
pub(crate) const SIGILL: u32 = 4;
pub(crate) const SIGTRAP: u32 = 5;
pub(crate) const SIGBUS: u32 = 7;
pub(crate) const SIGFPE: u32 = 8;
pub(crate) const SIGKILL: u32 = 9;
pub(crate) const SIGSEGV: u32 = 11;
pub(crate) const SIGCHLD: u32 = 17;
pub(crate) const SIGCONT: u32 = 18;
pub(crate) const SIGSTOP: u32 = 19;
pub(crate) const SIGTSTP: u32 = 20;
pub(crate) const SIGTTIN: u32 = 21;
pub(crate) const SIGTTOU: u32 = 22;
pub(crate) const SIGURG: u32 = 23;
pub(crate) const SIGWINCH: u32 = 28;
const SIGSYS: u32 = 31;
/// The highest number that a signal has.
pub(crate) const LAST: u32 = 64;

// Flags of actions: asm/signal.h
pub(crate) const SA_RESTORER: u64 = 0x0400_0000;
pub(crate) const SA_ONSTACK: u64 = 0x0800_0000;
pub(crate) const SA_RESTART: u64 = 0x1000_0000;
pub(crate) const SA_NODEFER: u64 = 0x4000_0000;
pub(crate) const SA_RESETHAND: u64 = 0x8000_0000;

// Alternate-stack flags: linux/signal.h
pub(crate) const SS_ONSTACK: u32 = 1;
pub(crate) const SS_DISABLE: u32 = 2;
pub(crate) const SS_AUTODISARM: u32 = 1 << 31;

/// Size of a signal set in system calls.
pub(crate) const SET_SIZE: u64 = 8;

/// Signals that neither a mask nor an action can hold back.
pub(crate) const UNSTOPPABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);

/// Signals of faults: delivered before all others, as the program's next step depends on them.
pub(crate) const SYNCHRONOUS: u64 =
    bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGTRAP) | bit(SIGFPE) | bit(SIGSYS);

/// The bit of a signal (1 to 64) in a set.
pub(crate) const fn bit(number: u32) -> u64 {
    1 << ((number - 1) & 63)
}

/// A signal number that a program names; 0 if it says 0, which only asks.
pub(crate) fn number_or_zero(number: i32) -> Result<u32, Errno> {
    u32::try_from(number)
        .ok()
        .filter(|&number| number <= LAST)
        .ok_or(EINVAL)
}

/// `SI_TIMER` in asm-generic/siginfo.h.
pub(crate) const SI_TIMER: i32 = -2;
/// `SI_TKILL`; `SI_USER` is 0.
pub(crate) const SI_TKILL: i32 = -6;

/// `SI_KERNEL` in asm-generic/siginfo.h.
pub(crate) const SI_KERNEL: i32 = 0x80;
