//! How many ioctls a thread made: a warm call promises one.

use std::cell::Cell;

thread_local! {
    static IOCTLS: Cell<u64> = const { Cell::new(0) };
}

/// Notes that this thread makes a KVM ioctl. Every call on a machine, a vCPU or a ring that may come
/// after the machine is made counts.
pub(super) fn count_ioctl() {
    IOCTLS.set(IOCTLS.get() + 1);
}

/// KVM ioctls that this thread made so far on vCPUs, dirty rings and memory slots.
#[must_use]
pub fn ioctl_count() -> u64 {
    IOCTLS.get()
}
