//! The clock page: time that the guest reads without an exit.

use std::time::Duration;

use crate::kvm::time::{monotonic_now, realtime_now, time_stamp};
use crate::mem::Mapping;

/// Binary digits behind the point of the multiplier.
const SHIFT: u32 = 32;

/// Host time as a linear function of the time stamp counter, as in the host page:
/// `base + ((tsc - start) * multiplier >> SHIFT)`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Clock {
    start: u64,
    multiplier: u64,
    realtime: u64,
    monotonic: u64,
}

impl Clock {
    /// A clock for a counter of `khz`; `None` (the guest makes system calls) without a usable one.
    pub(crate) fn new(khz: Option<u32>) -> Self {
        let multiplier = khz.map_or(0, |khz| (1_000_000 << SHIFT) / u64::from(khz.max(1)));
        Self {
            multiplier,
            ..Self::default()
        }
    }

    /// Takes the host's time now as the new base. Monotonic time never goes back, even where
    /// the extrapolation from the old base was ahead. Returns the host's monotonic time.
    pub(crate) fn refresh(&mut self) -> u64 {
        let start = time_stamp();
        let ahead = if self.start == 0 {
            0
        } else {
            self.extrapolate(self.monotonic, start)
        };
        self.realtime = realtime_now();
        let now = monotonic_now();
        self.monotonic = now.max(ahead);
        self.start = start;
        now
    }

    fn extrapolate(&self, base: u64, now: u64) -> u64 {
        let ticks = u128::from(now.saturating_sub(self.start));
        let passed = (ticks * u128::from(self.multiplier)) >> SHIFT;
        base.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }

    /// Wall-clock time since the Unix epoch.
    pub(crate) fn realtime(&self) -> Duration {
        if self.multiplier == 0 {
            return Duration::from_nanos(realtime_now());
        }
        Duration::from_nanos(self.extrapolate(self.realtime, time_stamp()))
    }

    /// Monotonic time.
    pub(crate) fn monotonic(&self) -> Duration {
        if self.multiplier == 0 {
            return Duration::from_nanos(monotonic_now());
        }
        Duration::from_nanos(self.extrapolate(self.monotonic, time_stamp()))
    }

    /// Writes the clock to the host page (the guest is stopped).
    pub(crate) fn publish(&self, page: &mut Mapping) {
        let mut bytes = [0; 44];
        bytes[4..8].copy_from_slice(&SHIFT.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.start.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.multiplier.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.realtime.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.monotonic.to_le_bytes());
        bytes[40..44].copy_from_slice(&u32::from(self.multiplier != 0).to_le_bytes());
        if let Some(place) = page.bytes_mut(0, bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }
}
