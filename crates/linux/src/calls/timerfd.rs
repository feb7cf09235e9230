//! `timerfd` as a descriptor.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::object::{DescriptionId, Object};
use crate::objects::readiness::Events;
use crate::objects::timerfd::{Timer, TimerId};
use crate::wire::errno::{EINVAL, EPERM, Errno};
use crate::wire::file::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use crate::wire::record::{Record, duration, timespec};

/// Reads how often the timer has expired.
pub(crate) fn read(
    context: &mut Context<'_>,
    TimerId(number): TimerId,
    id: DescriptionId,
    out: &mut [u8],
) -> Result<usize, Failure> {
    let place = out.first_chunk_mut::<8>().ok_or(EINVAL)?;
    let now = context.now();
    if !context.state().object::<Timer>(number)?.is_ready(now) {
        return Err(context.would_block(id, Events::IN));
    }
    let timer: &mut Timer = context.state_mut().object_mut(number)?;
    *place = timer.read(now)?.to_le_bytes();
    Ok(8)
}

/// `timerfd_create(clock, flags)`
pub(crate) fn timerfd_create(context: &mut Context<'_>) -> Answer {
    // linux/time.h
    const REALTIME: u32 = 0;
    const MONOTONIC: u32 = 1;
    const BOOTTIME: u32 = 7;
    const REALTIME_ALARM: u32 = 8;
    const BOOTTIME_ALARM: u32 = 9;
    let flags = context.uint(1);
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL.into());
    }
    let realtime = match context.uint(0) {
        REALTIME => true,
        MONOTONIC | BOOTTIME => false,
        // They would wake a machine that sleeps.
        REALTIME_ALARM | BOOTTIME_ALARM => return Err(EPERM.into()),
        _ => return Err(EINVAL.into()),
    };
    context.check_free(1)?;
    let object = Object::Timer(TimerId(context.keep(Timer::new(realtime))?));
    context.install(object, flags | O_RDWR)
}

/// The timer in argument 0.
fn number(context: &Context<'_>) -> Result<usize, Errno> {
    match context.state().descriptors.get(context.int(0))?.object {
        Object::Timer(TimerId(number)) => Ok(number),
        _ => Err(EINVAL),
    }
}

/// A `struct itimerspec`: interval and value.
fn record((left, interval): (Duration, Duration)) -> Record<32> {
    Record::new()
        .bytes(0, timespec(interval).as_bytes())
        .bytes(16, timespec(left).as_bytes())
}

/// `timerfd_settime(fd, flags, new, old)`
pub(crate) fn timerfd_settime(context: &mut Context<'_>) -> Answer {
    // linux/timerfd.h
    const ABSOLUTE: u32 = 1;
    const CANCEL_ON_SET: u32 = 2;
    let flags = context.uint(1);
    let interval = duration(&context.read(context.word(2))?)?;
    let value = duration(&context.read(context.word(2).wrapping_add(16))?)?;
    if flags & !(ABSOLUTE | CANCEL_ON_SET) != 0 {
        return Err(EINVAL.into());
    }
    let number = number(context)?;
    let now = context.now();
    let timer: &mut Timer = context.state_mut().object_mut(number)?;
    let old = timer.get(now);
    timer.set(value, flags & ABSOLUTE != 0, interval, now);
    context.write_if_wanted(context.word(3), record(old).as_bytes())?;
    Ok(0)
}

/// `timerfd_gettime(fd, value)`
pub(crate) fn timerfd_gettime(context: &mut Context<'_>) -> Answer {
    let number = number(context)?;
    let now = context.now();
    let found = context.state().object::<Timer>(number)?.get(now);
    context.write(context.word(1), record(found).as_bytes())?;
    Ok(0)
}
