//! The clocks of a program.

use crate::wire::errno::{EINVAL, Errno};
use crate::wire::ids::is_self;

/// Ticks of `times` per second (`USER_HZ`, and `AT_CLKTCK` in the auxiliary vector).
pub(crate) const TICKS: u64 = 100;

/// A clock of `clock_gettime`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// Wall-clock time.
    Realtime,
    /// Time since some start.
    Monotonic,
    /// Processor time of the program, or of a thread.
    Processor,
}

/// The clock of a number (linux/time.h).
pub(crate) fn clock(id: i32) -> Result<Clock, Errno> {
    match id {
        // REALTIME, REALTIME_COARSE, REALTIME_ALARM, TAI (nobody told us about leap seconds)
        0 | 5 | 8 | 11 => Ok(Clock::Realtime),
        // MONOTONIC, MONOTONIC_RAW, MONOTONIC_COARSE, BOOTTIME, BOOTTIME_ALARM
        1 | 4 | 6 | 7 | 9 => Ok(Clock::Monotonic),
        2 | 3 => Ok(Clock::Processor),
        // The clock of a process or thread: !number << 3 | thread ? 4 : 0 | kind, kind < 3
        id if id < 0 && id & 3 < 3 && is_own(!(id >> 3)) => Ok(Clock::Processor),
        _ => Err(EINVAL),
    }
}

fn is_own(id: i32) -> bool {
    id == 0 || is_self(id)
}
