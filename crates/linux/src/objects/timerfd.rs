//! `timerfd`: time as something to wait for.

use std::time::Duration;

use crate::wire::errno::{EAGAIN, Errno};

/// What a timer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) monotonic: Duration,
    pub(crate) realtime: Duration,
    /// Monotonic time when the present call of the program began: a timer set before that has
    /// stood still with its program since it was due.
    pub(crate) resumed: Duration,
}

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Monotonic(Duration),
    /// A time of day.
    Realtime(Duration),
}

/// The timer behind a `timerfd`.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    /// The clock is one that can be set.
    pub(crate) realtime: bool,
    due: Option<Due>,
    /// Zero: it expires once.
    interval: Duration,
    /// Times the timer was set or read: each begins a new edge.
    turns: u64,
}

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new(realtime: bool) -> Self {
        Self {
            realtime,
            due: None,
            interval: Duration::ZERO,
            turns: 0,
        }
    }

    /// Sets the timer, to a time of its clock or from now; zero stops it.
    pub(crate) fn set(&mut self, value: Duration, absolute: bool, interval: Duration, now: Now) {
        self.interval = interval;
        self.turns += 1;
        self.due = if value.is_zero() {
            None
        } else if !absolute {
            Some(Due::Monotonic(now.monotonic.saturating_add(value)))
        } else if self.realtime {
            Some(Due::Realtime(value))
        } else {
            Some(Due::Monotonic(value))
        };
    }

    /// Time until it is due, and the interval, as `timerfd_gettime` tells; zero if not set.
    pub(crate) fn get(&self, now: Now) -> (Duration, Duration) {
        let left = match self.due {
            None => Duration::ZERO,
            Some(due) => {
                let (at, now) = due.on_clock(now);
                if at > now {
                    at - now
                } else if self.interval.is_zero() {
                    Duration::ZERO
                } else {
                    // The next one after those that were not read yet.
                    self.interval - remainder(now - at, self.interval)
                }
            }
        };
        (left, self.interval)
    }

    /// How often it expired since it was set or read. Of the times that passed before the present
    /// call of the program only one counts.
    fn expirations(&self, now: Now) -> u64 {
        let Some(due) = self.due else { return 0 };
        let (at, clock) = due.on_clock(now);
        if at > clock {
            return 0;
        }
        if self.interval.is_zero() {
            return 1;
        }
        let running = now.monotonic.saturating_sub(now.resumed);
        whole(running.min(clock - at), self.interval).saturating_add(1)
    }

    /// How often it expired; begins anew.
    ///
    /// # Errors
    /// `EAGAIN` if it did not.
    pub(crate) fn read(&mut self, now: Now) -> Result<u64, Errno> {
        let count = self.expirations(now);
        if count == 0 {
            return Err(EAGAIN);
        }
        let (left, interval) = self.get(now);
        self.turns += 1;
        self.due = match self.due {
            Some(Due::Monotonic(_)) if !interval.is_zero() => {
                Some(Due::Monotonic(now.monotonic.saturating_add(left)))
            }
            Some(Due::Realtime(_)) if !interval.is_zero() => {
                Some(Due::Realtime(now.realtime.saturating_add(left)))
            }
            _ => None,
        };
        Ok(count)
    }

    /// True if a read would not wait.
    pub(crate) fn is_ready(&self, now: Now) -> bool {
        self.expirations(now) > 0
    }

    /// How many edges there were: one with each expiration.
    pub(crate) fn edges(&self, now: Now) -> u64 {
        self.turns.saturating_add(self.expirations(now))
    }

    /// Monotonic time when something happens next.
    pub(crate) fn next(&self, now: Now) -> Option<Duration> {
        self.due?;
        let (left, _) = self.get(now);
        (!left.is_zero()).then(|| now.monotonic.saturating_add(left))
    }
}

impl Due {
    /// When it is due, and what its clock says now.
    fn on_clock(self, now: Now) -> (Duration, Duration) {
        match self {
            Self::Monotonic(at) => (at, now.monotonic),
            Self::Realtime(at) => (at, now.realtime),
        }
    }
}

/// How many whole intervals there are in a time.
fn whole(time: Duration, interval: Duration) -> u64 {
    let count = time.as_nanos() / interval.as_nanos().max(1);
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// What is left of a time after whole intervals.
fn remainder(time: Duration, interval: Duration) -> Duration {
    let rest = time.as_nanos() % interval.as_nanos().max(1);
    // Less than the interval, whose seconds fit.
    let seconds = u64::try_from(rest / 1_000_000_000).unwrap_or(0);
    let nanoseconds = u32::try_from(rest % 1_000_000_000).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

/// A timer by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerId(pub(crate) usize);

#[cfg(test)]
mod tests;
