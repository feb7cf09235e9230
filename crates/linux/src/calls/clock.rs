//! Clocks and sleeping. Most programs read clocks in the vDSO and never come here.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::process::block::Block;
use crate::process::clock::{Clock, TICKS, clock};
use crate::wire::errno::{EINVAL, EOPNOTSUPP, EPERM};
use crate::wire::record::{Record, duration, timespec, timeval};

/// The time on a clock.
pub(crate) fn now(context: &Context<'_>, clock: Clock) -> Duration {
    match clock {
        Clock::Realtime => context.guest.realtime(),
        Clock::Monotonic => context.guest.monotonic(),
        Clock::Processor => processor_time(context),
    }
}

/// Processor time, of a thread too: the time since the program's start in which it did not wait. It
/// moves when the program computes.
fn processor_time(context: &Context<'_>) -> Duration {
    context
        .guest
        .monotonic()
        .saturating_sub(context.state().started)
        .saturating_sub(context.state().idle)
}

/// `clock_gettime(clock, time)`
pub(crate) fn clock_gettime(context: &mut Context<'_>) -> Answer {
    let time = now(context, clock(context.int(0))?);
    context.write(context.word(1), timespec(time).as_bytes())?;
    Ok(0)
}

/// `clock_settime(clock, time)`: nobody may set the wall clock, and nobody can set another.
pub(crate) fn clock_settime(context: &mut Context<'_>) -> Answer {
    if context.int(0) != 0 {
        return Err(EINVAL.into());
    }
    duration(&context.read(context.word(1))?)?;
    Err(EPERM.into())
}

/// `clock_getres(clock, resolution)`: a nanosecond for all, the coarse ones too.
pub(crate) fn clock_getres(context: &mut Context<'_>) -> Answer {
    clock(context.int(0))?;
    let resolution = timespec(Duration::from_nanos(1));
    context.write_if_wanted(context.word(1), resolution.as_bytes())?;
    Ok(0)
}

/// `gettimeofday(time, zone)`: the zone is UTC.
pub(crate) fn gettimeofday(context: &mut Context<'_>) -> Answer {
    let time = timeval(context.guest.realtime());
    context.write_if_wanted(context.word(0), time.as_bytes())?;
    context.write_if_wanted(context.word(1), &[0; 8])?;
    Ok(0)
}

/// `time(result)`
pub(crate) fn time(context: &mut Context<'_>) -> Answer {
    let seconds = context.guest.realtime().as_secs();
    context.write_if_wanted(context.word(0), &seconds.to_le_bytes())?;
    Ok(seconds)
}

/// `nanosleep(time, left)`
pub(crate) fn nanosleep(context: &mut Context<'_>) -> Answer {
    let time = duration(&context.read(context.word(0))?)?;
    sleep(context, time, Some(context.word(1)))
}

/// Sleeps. If a signal interrupts that, the time that is left goes to `left`; without such a place
/// the call goes on behind a handler with `SA_RESTART`.
fn sleep(context: &mut Context<'_>, time: Duration, left: Option<u64>) -> Answer {
    let until = context.deadline(time);
    if context.timed_out() {
        return Ok(0);
    }
    let Some(left) = left else {
        return Err(Block::sleep(until).restarting().into());
    };
    if context.interrupted() {
        let rest = until.saturating_sub(context.guest.monotonic());
        context.write_if_wanted(left, timespec(rest).as_bytes())?;
    }
    Err(Block::sleep(until).into())
}

/// `clock_nanosleep(clock, flags, time, left)`
pub(crate) fn clock_nanosleep(context: &mut Context<'_>) -> Answer {
    /// `TIMER_ABSTIME` in linux/time.h.
    const ABSOLUTE: u32 = 1;
    /// `CLOCK_THREAD_CPUTIME_ID`: a sleeping thread would never get there.
    const OWN_THREAD: i32 = 3;
    if context.int(0) == OWN_THREAD {
        return Err(EOPNOTSUPP.into());
    }
    let clock = clock(context.int(0))?;
    let mut time = duration(&context.read(context.word(2))?)?;
    if context.uint(1) & ABSOLUTE == 0 {
        return sleep(context, time, Some(context.word(3)));
    }
    time = time.saturating_sub(now(context, clock));
    sleep(context, time, None)
}

/// Time in ticks of `times`.
fn ticks(time: Duration) -> u64 {
    time.as_secs() * TICKS + u64::from(time.subsec_millis()) * TICKS / 1000
}

/// `times(buffer)`: all processor time counts as the program's own.
pub(crate) fn times(context: &mut Context<'_>) -> Answer {
    let own = ticks(processor_time(context));
    context.write_if_wanted(context.word(0), Record::<32>::new().u64(0, own).as_bytes())?;
    Ok(ticks(context.guest.monotonic()))
}

/// `getrusage(who, usage)`: processor time; everything else is 0.
pub(crate) fn getrusage(context: &mut Context<'_>) -> Answer {
    // linux/resource.h
    const CHILDREN: i32 = -1;
    const OWN: i32 = 0;
    const THREAD: i32 = 1;
    let user = match context.int(0) {
        OWN | THREAD => processor_time(context),
        CHILDREN => Duration::ZERO,
        _ => return Err(EINVAL.into()),
    };
    let usage = Record::<144>::new().bytes(0, timeval(user).as_bytes());
    context.write(context.word(1), usage.as_bytes())?;
    Ok(0)
}

#[cfg(test)]
mod tests;
