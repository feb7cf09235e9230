//! An alarm between two threads: the one that runs a vCPU sets it and takes it back, the watchdog
//! looks whether its time has come.
//!
//! ```text
//!   0 ──set──> time ──check: passed──> time, KICKING ──the vCPU is interrupted──> time, KICKED
//!   ^           │                                                                     │
//!   └──clear────┴─────────────────────── clear (waits for KICKED) ───────────────────┘
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

/// The watchdog is about to interrupt the vCPU.
const KICKING: u64 = 1;
/// The vCPU was interrupted.
const KICKED: u64 = 2;
const FLAGS: u64 = 3;

/// A point in time at which the watchdog interrupts a vCPU: 0, or nanoseconds of the monotonic
/// clock with the two flag bits above.
#[derive(Debug, Default)]
pub(super) struct Alarm(AtomicU64);

impl Alarm {
    pub(super) fn set(&self, at: u64) {
        self.0.store((at | FLAGS) ^ FLAGS, Ordering::Release);
    }

    /// As [`Self::set`], in one order with all sequentially consistent accesses.
    pub(super) fn set_in_order(&self, at: u64) {
        self.0.store((at | FLAGS) ^ FLAGS, Ordering::SeqCst);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }

    /// Takes it back. True if the vCPU was interrupted for it; no signal is on its way then.
    pub(super) fn clear(&self) -> bool {
        loop {
            let state = self.0.load(Ordering::Acquire);
            match state & FLAGS {
                _ if state == 0 => return false,
                0 => {
                    let taken =
                        self.0
                            .compare_exchange(state, 0, Ordering::AcqRel, Ordering::Relaxed);
                    if taken.is_ok() {
                        return false;
                    }
                }
                KICKED => {
                    self.0.store(0, Ordering::Relaxed);
                    return true;
                }
                _ => std::hint::spin_loop(),
            }
        }
    }

    /// When it rings, or has rung, if it is set.
    pub(super) fn time(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Acquire) & !FLAGS).filter(|time| *time != 0)
    }

    /// True if it has passed and the vCPU is being interrupted for it.
    pub(super) fn fired(&self) -> bool {
        self.0.load(Ordering::Acquire) & FLAGS != 0
    }

    /// Calls `kick` if it has passed. Returns it if it is to come.
    pub(super) fn check(&self, now: u64, kick: impl FnOnce()) -> Option<u64> {
        let state = self.0.load(Ordering::Acquire);
        if state == 0 || state & FLAGS != 0 {
            return None;
        }
        if state > now {
            return Some(state);
        }
        let kicking = state | KICKING;
        if self
            .0
            .compare_exchange(state, kicking, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
        {
            kick();
            self.0.store(state | KICKED, Ordering::Release);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn an_alarm_rings_once_when_its_time_has_come() {
        let (alarm, rings) = (Alarm::default(), Cell::new(0));
        let check = |now| alarm.check(now, || rings.set(rings.get() + 1));
        assert_eq!(check(u64::MAX), None, "not set");
        alarm.set(1000);
        assert_eq!(
            (check(999), rings.get(), alarm.fired()),
            (Some(1000), 0, false)
        );
        assert_eq!((check(1000), rings.get(), alarm.fired()), (None, 1, true));
        assert_eq!((check(2000), rings.get()), (None, 1));
        assert!(alarm.clear() && !alarm.clear());
        alarm.set(3001);
        assert!(!alarm.clear(), "taken back in time");
        assert_eq!((check(u64::MAX), rings.get()), (None, 1));
    }
}
