//! The host's clocks.

/// A clock of the host in nanoseconds.
fn clock(id: libc::clockid_t) -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes one `timespec`; the two clocks used here always exist.
    unsafe { libc::clock_gettime(id, &raw mut now) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

/// `CLOCK_MONOTONIC` in nanoseconds.
pub(crate) fn monotonic_now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// `CLOCK_REALTIME` in nanoseconds since the Unix epoch.
pub(crate) fn realtime_now() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

/// The processor's time stamp counter.
pub(crate) fn time_stamp() -> u64 {
    // SAFETY: reads a counter; every x86-64 processor has it.
    unsafe { std::arch::x86_64::_rdtsc() }
}
