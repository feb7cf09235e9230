//! Waiting for signals.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::process::block::{Block, Wait};
use crate::wire::errno::{EAGAIN, EINVAL};
use crate::wire::record::duration;
use crate::wire::signal::{SET_SIZE, UNSTOPPABLE};

/// `pause()`
pub(crate) fn pause(_: &mut Context<'_>) -> Answer {
    Err(Block::on(Wait::Nothing, None).into())
}

/// `rt_sigsuspend(mask, mask size)`
pub(crate) fn rt_sigsuspend(context: &mut Context<'_>) -> Answer {
    if context.word(1) != SET_SIZE {
        return Err(EINVAL.into());
    }
    if !context.attempt.again {
        let mask = u64::from_le_bytes(context.read(context.word(0))?);
        context.temporary_mask(mask);
    }
    Err(Block::on(Wait::Nothing, None).into())
}

/// `rt_sigtimedwait(set, info, timeout, set size)`: takes a pending signal of the set, blocked or
/// not.
pub(crate) fn rt_sigtimedwait(context: &mut Context<'_>) -> Answer {
    let (set, info, timeout) = (context.word(0), context.word(1), context.word(2));
    if context.word(3) != SET_SIZE {
        return Err(EINVAL.into());
    }
    let set = u64::from_le_bytes(context.read(set)?) & !UNSTOPPABLE;
    let until = match timeout {
        0 => None,
        _ => {
            let time = duration(&context.read(timeout)?)?;
            Some(context.deadline(time))
        }
    };
    let pending = &context.state().signals.pending;
    let waiting = set & (pending.set() | context.thread().signals.pending.set());
    if waiting != 0 {
        let state = context.state_mut();
        let own = state.thread_mut().signals.pending.take(set);
        if let Some(taken) = own.or_else(|| state.signals.pending.take(set)) {
            state.note_overrun(&taken);
            context.write_if_wanted(info, taken.record().as_bytes())?;
            return Ok(u64::from(taken.number));
        }
    }
    let now = context.guest.monotonic();
    if context.timed_out() || until.is_some_and(|until| until <= now) {
        return Err(EAGAIN.into());
    }
    Err(Block::event(until).into())
}

#[cfg(test)]
mod tests;
