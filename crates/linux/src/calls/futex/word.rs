//! The word of a futex, and the threads that wait at it.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::process::block::Wait;
use crate::process::state::State;
use crate::process::threads::Waiting;
use crate::wire::errno::EINVAL;
use crate::wire::record::duration;
use crate::wire::user::check_user_range;

/// A count as Linux takes it: an `int`, and what is negative counts as none.
pub(crate) fn count(value: i32) -> usize {
    usize::try_from(value).unwrap_or(0)
}

/// Fails unless a word can be at this address.
pub(crate) fn check_word(address: u64) -> Result<(), Failure> {
    if !address.is_multiple_of(4) {
        return Err(EINVAL.into());
    }
    Ok(check_user_range(address, 4)?)
}

/// The value of a word.
pub(crate) fn load(context: &Context<'_>, address: u64) -> Result<u32, Failure> {
    Ok(u32::from_le_bytes(context.read(address)?))
}

/// The monotonic time of a timeout, which says how long or until when. Looked at once.
pub(crate) fn deadline(
    context: &mut Context<'_>,
    timeout: u64,
    absolute: bool,
    realtime: bool,
) -> Result<Option<Duration>, Failure> {
    if timeout == 0 {
        return Ok(None);
    }
    if let Some(known) = context.attempt.deadline {
        return Ok(Some(known));
    }
    let time = duration(&context.read(timeout)?)?;
    let from_now = match (absolute, realtime) {
        (false, _) => time,
        (true, true) => time.saturating_sub(context.guest.realtime()),
        (true, false) => time.saturating_sub(context.guest.monotonic()),
    };
    Ok(Some(context.deadline(from_now)))
}

/// True if a thread waits for a wake at this word that names one of the bits.
pub(crate) fn waits_at(waiting: &Waiting, word: u64, wanted: u32) -> bool {
    let Wait::Futex { address, bits } = waiting.block.on else {
        return false;
    };
    address == word && bits & wanted != 0 && waiting.answer.is_none()
}

/// The threads whose wait fulfils a condition, those that wait longest first, and at most `most`.
pub(crate) fn waiters(state: &State, most: usize, is_one: impl Fn(&Waiting) -> bool) -> Vec<u32> {
    let threads = state.threads.iter().filter_map(|thread| {
        let waiting = thread.wait.as_ref().filter(|waiting| is_one(waiting))?;
        Some((waiting.order, thread.id))
    });
    let mut found: Vec<_> = threads.collect();
    found.sort_unstable();
    found.truncate(most);
    found.into_iter().map(|(_, id)| id).collect()
}

/// Ends a thread's wait with 0.
pub(crate) fn release(state: &mut State, id: u32) {
    if let Some(waiting) = state.threads.find_mut(id).and_then(|one| one.wait.as_mut()) {
        waiting.answer = Some(0);
    }
    state.threads.queue(id);
}

/// Wakes up to `most` threads that wait at a word, and returns how many.
pub(crate) fn wake(state: &mut State, word: u64, most: usize, bits: u32) -> u64 {
    let found = waiters(state, most, |waiting| waits_at(waiting, word, bits));
    for &id in &found {
        release(state, id);
    }
    found.len() as u64
}

/// As [`wake`], but leaves the state alone if nobody waits.
pub(crate) fn wake_if_any(context: &mut Context<'_>, word: u64, most: usize, bits: u32) -> u64 {
    if context.state().threads.is_alone() {
        return 0;
    }
    wake(context.state_mut(), word, most, bits)
}
