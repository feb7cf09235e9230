//! Futexes of a program with one thread: nobody else can ever wake it.

use std::time::Duration;

use crate::block::{Block, Wait};
use crate::context::{Answer, Context, Failure, check_user_range};
use crate::errno::{EAGAIN, EINVAL, ENOSYS, ETIMEDOUT};
use crate::wire::duration;

// Operations: linux/futex.h
const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const PRIVATE_FLAG: u32 = 128;
const CLOCK_REALTIME_FLAG: u32 = 256;

/// `futex(word, operation, value, timeout, word 2, value 3)`
pub(crate) fn futex(context: &mut Context<'_>) -> Answer {
    let word = context.word(0);
    let flags = context.uint(1) & (PRIVATE_FLAG | CLOCK_REALTIME_FLAG);
    let operation = context.uint(1) & !flags;
    match operation {
        WAIT | WAIT_BITSET => wait(context, operation, flags & CLOCK_REALTIME_FLAG != 0),
        WAKE | WAKE_BITSET | REQUEUE | CMP_REQUEUE => {
            check_word(word)?;
            if operation == WAKE_BITSET && context.uint(5) == 0 {
                return Err(EINVAL.into());
            }
            if matches!(operation, REQUEUE | CMP_REQUEUE) {
                check_word(context.word(4))?;
            }
            if operation == CMP_REQUEUE && load(context, word)? != context.uint(5) {
                return Err(EAGAIN.into());
            }
            // Nobody waits.
            Ok(0)
        }
        _ => Err(ENOSYS.into()),
    }
}

fn check_word(address: u64) -> Result<(), Failure> {
    if !address.is_multiple_of(4) {
        return Err(EINVAL.into());
    }
    Ok(check_user_range(address, 4)?)
}

fn load(context: &Context<'_>, address: u64) -> Result<u32, Failure> {
    Ok(u32::from_le_bytes(context.read(address)?))
}

/// Waits for the timeout if there is one. Without one this is a deadlock.
fn wait(context: &mut Context<'_>, operation: u32, realtime: bool) -> Answer {
    let (word, timeout) = (context.word(0), context.word(3));
    let limit = if timeout == 0 {
        None
    } else {
        Some(duration(&context.read(timeout)?)?)
    };
    if operation == WAIT_BITSET && context.uint(5) == 0 {
        return Err(EINVAL.into());
    }
    check_word(word)?;
    if load(context, word)? != context.uint(2) {
        return Err(EAGAIN.into());
    }
    if context.timed_out() {
        return Err(ETIMEDOUT.into());
    }
    let until = limit.map(|limit| {
        let limit = from_now(context, limit, operation == WAIT_BITSET, realtime);
        context.deadline(limit)
    });
    // Nobody else can wake it.
    let on = Wait::Nothing;
    Err(Block {
        on,
        ..Block::event(until)
    }
    .into())
}

/// `WAIT` says how long, `WAIT_BITSET` until when.
fn from_now(context: &Context<'_>, limit: Duration, absolute: bool, realtime: bool) -> Duration {
    match (absolute, realtime) {
        (false, _) => limit,
        (true, true) => limit.saturating_sub(context.guest.realtime()),
        (true, false) => limit.saturating_sub(context.guest.monotonic()),
    }
}

#[cfg(test)]
mod tests;
