//! Timers that send signals: interval timers, `alarm`, and POSIX timers.
//!
//! All run on the monotonic clock; a time of the wall clock is translated when the timer is set,
//! and processor time counts as passing whenever time does. They are looked at when a call is
//! answered, at the end of a slice (there is one while a timer runs), and while the host waits.
//! No time passes for them between a program's freeze and a request in a fork.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::process::clock::Clock;
use crate::process::signals::Target;

/// Signals of the interval timers: `ITIMER_REAL`, `ITIMER_VIRTUAL`, `ITIMER_PROF`.
pub(crate) const INTERVAL_SIGNALS: [u32; 3] = [14, 26, 27];

/// When a timer expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Schedule {
    /// Monotonic time; `None`: it does not run.
    pub(crate) next: Option<Duration>,
    /// Zero: once.
    pub(crate) interval: Duration,
}

impl Schedule {
    /// How often it has expired by `now`; it goes on with the next time after that.
    pub(crate) fn expire(&mut self, now: Duration) -> u64 {
        let Some(next) = self.next.filter(|&next| next <= now) else {
            return 0;
        };
        if self.interval.is_zero() {
            self.next = None;
            return 1;
        }
        let (late, interval) = ((now - next).as_nanos(), self.interval.as_nanos());
        let times = late / interval + 1;
        let ahead = Duration::from_nanos(u64::try_from(interval - late % interval).unwrap_or(0));
        self.next = Some(now + ahead);
        u64::try_from(times).unwrap_or(u64::MAX)
    }

    /// The time until it expires; zero if it does not run.
    pub(crate) fn left(&self, now: Duration) -> Duration {
        // One that is due and has not been looked at yet still runs.
        let least = Duration::from_nanos(1);
        self.next
            .map_or(Duration::ZERO, |next| next.saturating_sub(now).max(least))
    }
}

/// A timer of `timer_create`.
#[derive(Debug, Clone)]
pub(crate) struct Timer {
    pub(crate) clock: Clock,
    /// `None`: it sends nothing (`SIGEV_NONE`).
    pub(crate) target: Option<Target>,
    pub(crate) signal: u32,
    pub(crate) value: u64,
    pub(crate) schedule: Schedule,
    /// Of the last signal that was delivered.
    pub(crate) overrun: u32,
}

/// All timers of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers {
    pub(crate) intervals: [Schedule; 3],
    pub(crate) posix: BTreeMap<u32, Timer>,
    pub(crate) next_id: u32,
}

impl Timers {
    /// When the first one expires.
    pub(crate) fn next(&self) -> Option<Duration> {
        let posix = self.posix.values().map(|timer| &timer.schedule);
        let all = self.intervals.iter().chain(posix);
        all.filter_map(|schedule| schedule.next).min()
    }

    /// All that run expire later.
    pub(crate) fn postpone(&mut self, by: Duration) {
        let posix = self.posix.values_mut().map(|timer| &mut timer.schedule);
        for schedule in self.intervals.iter_mut().chain(posix) {
            schedule.next = schedule.next.map(|next| next.saturating_add(by));
        }
    }
}
