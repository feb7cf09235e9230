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
pub(super) struct Slice {
    /// Nanoseconds; `None`: no slices.
    length: Option<u64>,
    /// Monotonic nanoseconds; 0 before the start.
    end: u64,
}

impl Slice {
    pub(super) fn set(&mut self, length: Option<Duration>) {
        self.length = length.map(|length| nanoseconds(length).max(SHORTEST));
        self.end = 0;
    }

    /// The length that was set.
    pub(super) fn length(&self) -> Option<Duration> {
        self.length.map(Duration::from_nanos)
    }

    /// A new slice starts with the next run.
    pub(super) fn restart(&mut self) {
        self.end = 0;
    }

    /// True if the slice ended while the guest was stopped.
    pub(super) fn is_over(&self) -> bool {
        self.length.is_some() && self.end != 0 && monotonic_now() >= self.end
    }

    /// The guest is about to run.
    pub(super) fn start(&mut self, timer: &Timer) {
        if let Some(length) = self.length {
            if self.end == 0 {
                self.end = monotonic_now().saturating_add(length);
            }
            timer.arm_slice(self.end, length);
        }
    }

    /// The guest has stopped.
    pub(super) fn stop(&self, timer: &Timer, vcpu: &mut Vcpu) {
        if self.length.is_some() {
            timer.disarm_slice(vcpu);
        }
    }

    /// Takes the end of the slice in, if the watchdog has told of it.
    pub(super) fn take(&self, timer: &Timer, vcpu: &mut Vcpu) -> bool {
        self.length.is_some() && timer.slice_fired() && timer.disarm_slice(vcpu)
    }

    /// The guest gets a little more time.
    pub(super) fn prolong(&mut self, timer: &Timer) {
        self.end = monotonic_now().saturating_add(SHORTEST);
        timer.arm_slice(self.end, SHORTEST);
    }
}
