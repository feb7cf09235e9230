//! The one place for conversions between integer types.
//!
//! The engine runs on 64-bit x86 hosts only, where `usize` and `u64` have the same range.

/// A length or offset as the host's `usize`.
#[allow(
    clippy::cast_possible_truncation,
    reason = "x86-64 only: usize has 64 bits"
)]
#[must_use]
pub(crate) const fn to_usize(value: u64) -> usize {
    value as usize
}

/// Rounds up to a multiple of the page size; saturates at the last page boundary.
#[must_use]
pub(crate) const fn page_up(value: u64) -> u64 {
    match value.checked_add(crate::PAGE_SIZE - 1) {
        Some(sum) => page_down(sum),
        None => page_down(u64::MAX),
    }
}

/// Rounds down to a multiple of the page size.
#[must_use]
pub(crate) const fn page_down(value: u64) -> u64 {
    value & !(crate::PAGE_SIZE - 1)
}

/// Nanoseconds of a duration, saturating (584 years).
#[must_use]
pub(crate) fn nanoseconds(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
