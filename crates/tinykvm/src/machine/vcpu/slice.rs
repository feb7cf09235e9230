//! Time slices of a program's threads.

use std::time::Duration;

use crate::kvm::time::monotonic_now;
use crate::kvm::{Timer, Vcpu};
use crate::units::nanoseconds;

/// The shortest slice, in nanoseconds: what the watchdog can do.
const SHORTEST: u64 = 500_000;

/// The current slice. It starts with the first run after it was set, or after the one before
/// ended, and goes on over system calls. The watchdog sees it only while the guest runs, so that
/// it never interrupts the host's own system calls.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    /// Nanoseconds; `None`: no slices.
    length: Option<u64>,
    /// Monotonic nanoseconds; 0 before the start.
    end: u64,
    /// The guest is to be stopped now and then, for a look at its memory.
    watched: bool,
}

impl Slice {
    pub(crate) fn set(&mut self, length: Option<Duration>) {
        self.length = length.map(|length| nanoseconds(length).max(SHORTEST));
        self.end = 0;
    }

    /// The length that was set.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.length.map(Duration::from_nanos)
    }

    /// A new slice starts with the next run.
    pub(crate) fn restart(&mut self) {
        self.end = 0;
    }

    /// True if the slice ended while the guest was stopped.
    pub(crate) fn is_over(&self) -> bool {
        self.length.is_some() && self.end != 0 && monotonic_now() >= self.end
    }

    /// The guest is about to run. `watched`: it is to be stopped now and then.
    pub(crate) fn start(&mut self, timer: &Timer, watched: bool) {
        self.watched = watched;
        if let Some(length) = self.length {
            if self.end == 0 {
                self.end = monotonic_now().saturating_add(length);
            }
            if !watched {
                timer.arm_slice(self.end, length);
            }
        }
        if watched {
            self.arm_look(timer);
        }
    }

    /// The guest goes on, and is to be stopped now and then, or no longer.
    pub(crate) fn watch(&mut self, watched: bool, timer: &Timer, vcpu: &mut Vcpu) {
        if self.watched && !watched {
            // A slice that is over by now ends with the next look at it.
            timer.disarm_slice(vcpu);
            if let Some(length) = self.length {
                timer.arm_slice(self.end, length);
            }
        }
        self.watched = watched;
        if watched {
            self.arm_look(timer);
        }
    }

    /// A look is due soon, and no later than the end of the slice.
    fn arm_look(&self, timer: &Timer) {
        let soon = monotonic_now().saturating_add(SHORTEST);
        let end = match self.end {
            0 => soon,
            end => soon.min(end),
        };
        timer.arm_slice(end, SHORTEST);
    }

    /// True if the guest is stopped now and then, for a look at its memory.
    pub(crate) fn watches(&self) -> bool {
        self.watched
    }

    /// The guest has stopped.
    pub(crate) fn stop(&mut self, timer: &Timer, vcpu: &mut Vcpu) {
        if self.length.is_some() || self.watched {
            timer.disarm_slice(vcpu);
            self.watched = false;
        }
    }

    /// Takes the end of the slice in, or that a look is due, if the watchdog has told of it. True
    /// for the end of the slice.
    pub(crate) fn take(&self, timer: &Timer, vcpu: &mut Vcpu) -> bool {
        let set = self.length.is_some() || self.watched;
        let told = set && timer.slice_fired() && timer.disarm_slice(vcpu);
        told && self.length.is_some() && (!self.watched || monotonic_now() >= self.end)
    }

    /// The guest gets a little more time.
    pub(crate) fn prolong(&mut self, timer: &Timer) {
        self.end = monotonic_now().saturating_add(SHORTEST);
        timer.arm_slice(self.end, SHORTEST);
    }
}
