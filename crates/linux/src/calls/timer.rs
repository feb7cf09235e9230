//! The calls of timers that send signals.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::notice::Full;
use crate::process::signals::Target;
use crate::process::timers::{INTERVAL_SIGNALS, Schedule, Timer};
use crate::wire::errno::{EAGAIN, EINVAL, Errno};
use crate::wire::record::{Record, duration, timespec, timeval, u32_at, u64_at};
use crate::wire::signal::LAST;

/// The most POSIX timers of a program.
const MOST: usize = 128;

/// Which interval timer a program means.
pub(crate) fn interval(which: i32) -> Result<usize, Errno> {
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
pub(crate) fn schedule(now: Duration, value: Duration, interval: Duration) -> Schedule {
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
    let clock = crate::process::clock::clock(context.int(0))?;
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
        let passed = value.saturating_sub(crate::calls::clock::now(context, clock));
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
