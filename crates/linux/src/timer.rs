//! Timers that send signals: interval timers, `alarm`, and POSIX timers.
//!
//! All run on the monotonic clock; a time of the wall clock is translated when the timer is set,
//! and processor time counts as passing whenever time does. They are looked at when a call is
//! answered, at the end of a slice (there is one while a timer runs), and while the host waits.
//! No time passes for them between a program's freeze and a request in a fork.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::context::{Answer, Context};
use crate::errno::{EAGAIN, EINVAL, Errno};
use crate::kill::Target;
use crate::notice::Full;
use crate::pending::Info;
use crate::process::State;
use crate::signal::LAST;
use crate::time::Clock;
use crate::wire::{Record, duration, timespec, timeval, u32_at, u64_at};

/// The most POSIX timers of a program.
const MOST: usize = 128;

/// Signals of the interval timers: `ITIMER_REAL`, `ITIMER_VIRTUAL`, `ITIMER_PROF`.
const INTERVAL_SIGNALS: [u32; 3] = [14, 26, 27];

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

impl State {
    /// Sends the signals of timers whose time is reached.
    pub(crate) fn fire_timers(&mut self, now: Duration) {
        for (place, signal) in INTERVAL_SIGNALS.into_iter().enumerate() {
            if self.timers.intervals[place].expire(now) > 0 {
                // SI_KERNEL
                let mut info = Info::own(signal, 0x80);
                info.fields = [0; 4];
                let _ = self.send(Target::Process, info);
            }
        }
        let mut due = Vec::new();
        for (&id, timer) in &mut self.timers.posix {
            let times = timer.schedule.expire(now);
            if let Some(target) = timer.target
                && times > 0
            {
                due.push((id, target, timer.signal, timer.value, times));
            }
        }
        for (id, target, signal, value, times) in due {
            self.send_of_timer(id, target, Info::timer(signal, id, 0, value), times);
        }
    }

    /// A timer has one signal under way at most; what expires meanwhile counts as overrun.
    fn send_of_timer(&mut self, id: u32, target: Target, mut info: Info, times: u64) {
        let pending = match target {
            Target::Process => Some(&mut self.signals.pending),
            Target::Thread(thread) => {
                let thread = self.threads.find_mut(thread);
                thread.map(|thread| &mut thread.signals.pending)
            }
        };
        let more = |overrun: u64| u32::try_from(overrun).unwrap_or(u32::MAX).min(0x7fff_ffff);
        if let Some(under_way) = pending.and_then(|pending| pending.of_timer(id)) {
            let overrun = more((under_way.fields[0] >> 32).saturating_add(times));
            under_way.fields[0] = u64::from(id) | u64::from(overrun) << 32;
            return;
        }
        info.fields[0] |= u64::from(more(times - 1)) << 32;
        // A thread that has ended gets none, and a full queue loses it.
        let _ = self.send(target, info);
    }

    /// A timer's signal is delivered: `timer_getoverrun` says its overrun.
    pub(crate) fn note_overrun(&mut self, info: &Info) {
        if info.code == crate::pending::SI_TIMER
            && let Ok(id) = u32::try_from(info.fields[0] & 0xffff_ffff)
            && let Some(timer) = self.timers.posix.get_mut(&id)
        {
            timer.overrun = u32::try_from(info.fields[0] >> 32).unwrap_or(0);
        }
    }
}

/// Which interval timer a program means.
fn interval(which: i32) -> Result<usize, Errno> {
    let place = usize::try_from(which).map_err(|_| EINVAL)?;
    if place < INTERVAL_SIGNALS.len() {
        Ok(place)
    } else {
        Err(EINVAL)
    }
}

/// `struct itimerval` of a schedule.
fn interval_record(schedule: &Schedule, now: Duration) -> Record<32> {
    // Less than a microsecond is not nothing.
    let left = match schedule.left(now) {
        Duration::ZERO => Duration::ZERO,
        left => left.max(Duration::from_micros(1)),
    };
    Record::new()
        .bytes(0, timeval(schedule.interval).as_bytes())
        .bytes(16, timeval(left).as_bytes())
}

/// Reads a `struct timeval`.
fn microseconds(bytes: &[u8], at: usize) -> Result<Duration, Errno> {
    let (seconds, micros) = (u64_at(bytes, at), u64_at(bytes, at + 8));
    if i64::try_from(seconds).is_err() || micros >= 1_000_000 {
        return Err(EINVAL);
    }
    Ok(Duration::from_secs(seconds).saturating_add(Duration::from_micros(micros)))
}

/// A schedule that begins now; nothing to wait means that it stops.
fn schedule(now: Duration, value: Duration, interval: Duration) -> Schedule {
    Schedule {
        next: (!value.is_zero()).then(|| now.saturating_add(value)),
        interval,
    }
}

/// `getitimer(which, value)`
pub(crate) fn getitimer(context: &mut Context<'_>) -> Answer {
    let place = interval(context.int(0))?;
    let now = context.guest.monotonic();
    let record = interval_record(&context.state().timers.intervals[place], now);
    context.write(context.word(1), record.as_bytes())?;
    Ok(0)
}

/// `setitimer(which, value, old value)`: without a value it stops.
pub(crate) fn setitimer(context: &mut Context<'_>) -> Answer {
    let (value, old) = (context.word(1), context.word(2));
    let record: [u8; 32] = match value {
        0 => [0; 32],
        _ => context.read(value)?,
    };
    let place = interval(context.int(0))?;
    let (step, first) = (microseconds(&record, 0)?, microseconds(&record, 16)?);
    let now = context.guest.monotonic();
    let before = context.state().timers.intervals[place];
    context.state_mut().timers.intervals[place] = schedule(now, first, step);
    context.write_if_wanted(old, interval_record(&before, now).as_bytes())?;
    Ok(0)
}

/// `alarm(seconds)`: the seconds that were left, rounded up.
pub(crate) fn alarm(context: &mut Context<'_>) -> Answer {
    let now = context.guest.monotonic();
    let left = context.state().timers.intervals[0].left(now);
    let time = Duration::from_secs(u64::from(context.uint(0)));
    context.state_mut().timers.intervals[0] = schedule(now, time, Duration::ZERO);
    // Rounded to the nearest, but never to nothing.
    let seconds = left.as_secs() + u64::from(left.subsec_millis() >= 500);
    Ok(if left.is_zero() { 0 } else { seconds.max(1) })
}

/// `timer_create(clock, event, id)`
pub(crate) fn timer_create(context: &mut Context<'_>) -> Answer {
    // asm-generic/siginfo.h
    const SIGNAL: u32 = 0;
    const NONE: u32 = 1;
    const THREAD: u32 = 2;
    const THREAD_ID: u32 = 4;
    const SIGALRM: u32 = 14;
    let clock = crate::time::clock(context.int(0))?;
    let event = context.word(1);
    let given = match event {
        0 => None,
        _ => Some(context.read::<64>(event)?),
    };
    if context.state().timers.posix.len() >= MOST {
        context.full(Full::Timers);
        return Err(EAGAIN.into());
    }
    let timers = &context.state().timers;
    let mut id = timers.next_id;
    while timers.posix.contains_key(&id) {
        id = id.wrapping_add(1) & 0x7fff_ffff;
    }
    let mut timer = Timer {
        clock,
        target: Some(Target::Process),
        signal: SIGALRM,
        value: u64::from(id),
        schedule: Schedule::default(),
        overrun: 0,
    };
    if let Some(record) = given {
        timer.value = u64_at(&record, 0);
        timer.signal = u32_at(&record, 8);
        timer.target = match u32_at(&record, 12) {
            SIGNAL | THREAD => Some(Target::Process),
            NONE => None,
            THREAD_ID => {
                let thread = u32_at(&record, 16);
                context.state().threads.find(thread).ok_or(EINVAL)?;
                Some(Target::Thread(thread))
            }
            _ => return Err(EINVAL.into()),
        };
        if timer.target.is_some() && !(1..=LAST).contains(&timer.signal) {
            return Err(EINVAL.into());
        }
    }
    context.write(context.word(2), &id.to_le_bytes())?;
    let timers = &mut context.state_mut().timers;
    timers.posix.insert(id, timer);
    timers.next_id = id.wrapping_add(1) & 0x7fff_ffff;
    Ok(0)
}

fn posix<'a>(context: &'a Context<'_>) -> Result<(u32, &'a Timer), Errno> {
    let id = context.uint(0);
    let timer = context.state().timers.posix.get(&id).ok_or(EINVAL)?;
    Ok((id, timer))
}

/// `struct itimerspec` of a schedule.
fn record(schedule: &Schedule, now: Duration) -> Record<32> {
    Record::new()
        .bytes(0, timespec(schedule.interval).as_bytes())
        .bytes(16, timespec(schedule.left(now)).as_bytes())
}

/// `timer_settime(id, flags, value, old value)`
pub(crate) fn timer_settime(context: &mut Context<'_>) -> Answer {
    /// `TIMER_ABSTIME` in linux/time.h.
    const ABSOLUTE: u32 = 1;
    let given: [u8; 32] = context.read(context.word(2))?;
    let half = |at: usize| given[at..].first_chunk().ok_or(EINVAL).and_then(duration);
    let (step, value) = (half(0)?, half(16)?);
    let (id, timer) = posix(context)?;
    let (before, clock) = (timer.schedule, timer.clock);
    let now = context.guest.monotonic();
    let from_now = if context.uint(1) & ABSOLUTE == 0 || value.is_zero() {
        value
    } else {
        // One that has passed expires at once.
        let passed = value.saturating_sub(crate::time::now(context, clock));
        passed.max(Duration::from_nanos(1))
    };
    let state = context.state_mut();
    if let Some(timer) = state.timers.posix.get_mut(&id) {
        timer.schedule = schedule(now, from_now, step);
        timer.overrun = 0;
    }
    context.write_if_wanted(context.word(3), record(&before, now).as_bytes())?;
    Ok(0)
}

/// `timer_gettime(id, value)`
pub(crate) fn timer_gettime(context: &mut Context<'_>) -> Answer {
    let now = context.guest.monotonic();
    let record = record(&posix(context)?.1.schedule, now);
    context.write(context.word(1), record.as_bytes())?;
    Ok(0)
}

/// `timer_getoverrun(id)`
pub(crate) fn timer_getoverrun(context: &mut Context<'_>) -> Answer {
    Ok(u64::from(posix(context)?.1.overrun))
}

/// `timer_delete(id)`
pub(crate) fn timer_delete(context: &mut Context<'_>) -> Answer {
    let (id, _) = posix(context)?;
    context.state_mut().timers.posix.remove(&id);
    Ok(0)
}

#[cfg(test)]
mod tests;
