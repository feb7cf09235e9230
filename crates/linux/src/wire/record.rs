//! Structures as the kernel lays them out in user memory: little-endian fields at offsets.

use std::time::Duration;

use crate::wire::errno::{EINVAL, Errno};

/// Nanoseconds in a second.
pub(crate) const NANOSECONDS: u32 = 1_000_000_000;

/// A structure of `N` bytes under construction. Offsets are constants of the caller; one beyond
/// the end writes nothing.
#[derive(Debug, Clone)]
pub(crate) struct Record<const N: usize>([u8; N]);

impl<const N: usize> Record<N> {
    /// All bytes zero.
    pub(crate) fn new() -> Self {
        Self([0; N])
    }

    /// Puts bytes at an offset.
    pub(crate) fn bytes(mut self, offset: usize, value: &[u8]) -> Self {
        if let Some(place) = self.0.get_mut(offset..offset + value.len()) {
            place.copy_from_slice(value);
        }
        self
    }

    /// Puts a 16-bit field.
    pub(crate) fn u16(self, offset: usize, value: u16) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    /// Puts a 32-bit field.
    pub(crate) fn u32(self, offset: usize, value: u32) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    /// Puts a signed 32-bit field.
    pub(crate) fn i32(self, offset: usize, value: i32) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    /// Puts a 64-bit field.
    pub(crate) fn u64(self, offset: usize, value: u64) -> Self {
        self.bytes(offset, &value.to_le_bytes())
    }

    /// The finished bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The 32-bit field at `offset`; 0 beyond the end.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |&field| u32::from_le_bytes(field))
}

/// The 64-bit field at `offset`; 0 beyond the end.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map_or(0, |&field| u64::from_le_bytes(field))
}

/// A `struct timespec` or, with a divided fraction, a `struct timeval`: two 64-bit fields.
pub(crate) fn seconds_and(seconds: u64, fraction: u32) -> Record<16> {
    Record::new().u64(0, seconds).u64(8, u64::from(fraction))
}

/// A `struct timespec`.
pub(crate) fn timespec(time: Duration) -> Record<16> {
    seconds_and(time.as_secs(), time.subsec_nanos())
}

/// A `struct timeval`.
pub(crate) fn timeval(time: Duration) -> Record<16> {
    seconds_and(time.as_secs(), time.subsec_micros())
}

/// Reads a `struct timespec`; negative or not normalised is `EINVAL`.
pub(crate) fn duration(bytes: &[u8; 16]) -> Result<Duration, Errno> {
    let seconds = u64_at(bytes, 0);
    let nanoseconds = u32::try_from(u64_at(bytes, 8)).map_err(|_| EINVAL)?;
    if i64::try_from(seconds).is_err() || nanoseconds >= NANOSECONDS {
        return Err(EINVAL);
    }
    Ok(Duration::new(seconds, nanoseconds))
}

/// The lower 32 bits.
pub(crate) fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}
