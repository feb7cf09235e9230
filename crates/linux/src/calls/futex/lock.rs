//! Futexes that the kernel gives from owner to owner (`FUTEX_LOCK_PI` and its like). Every thread
//! has the same priority, so there is none to inherit: what matters is that the word says who has
//! the lock, and that the next in line gets it.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::futex::word::{check_word, deadline, load, release, waiters, wake};
use crate::process::block::{Block, Wait};
use crate::process::state::State;
use crate::wire::errno::{EAGAIN, EDEADLK, EPERM, ESRCH, ETIMEDOUT};

// The word: linux/futex.h
const WAITERS: u32 = 0x8000_0000;
const OWNER_DIED: u32 = 0x4000_0000;
const OWNER: u32 = 0x3fff_ffff;

/// The threads that wait for a lock, those that wait longest first.
fn line(state: &State, word: u64) -> Vec<u32> {
    waiters(state, usize::MAX, |waiting| {
        waiting.block.on == Wait::Lock { address: word } && waiting.answer.is_none()
    })
}

/// Takes a lock that nobody has; false if somebody has it.
fn take(context: &mut Context<'_>) -> Result<bool, Failure> {
    let word = context.word(0);
    check_word(word)?;
    let value = load(context, word)?;
    let own = context.thread().id;
    match value & OWNER {
        0 => {
            // The mark of a dead owner stays for the new one to see.
            let new = own | value & !OWNER;
            context.write(word, &new.to_le_bytes())?;
            Ok(true)
        }
        owner if owner == own => Err(EDEADLK.into()),
        _ => Ok(false),
    }
}

/// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`
pub(super) fn lock(context: &mut Context<'_>, realtime: bool) -> Answer {
    let until = deadline(context, context.word(3), true, realtime)?;
    if context.timed_out() {
        return Err(ETIMEDOUT.into());
    }
    if take(context)? {
        return Ok(0);
    }
    let word = context.word(0);
    let value = load(context, word)?;
    if context.state().threads.find(value & OWNER).is_none() {
        return Err(ESRCH.into());
    }
    context.write(word, &(value | WAITERS).to_le_bytes())?;
    Err(Block::on(Wait::Lock { address: word }, until)
        .restarting()
        .into())
}

/// `FUTEX_TRYLOCK_PI`
pub(super) fn try_lock(context: &mut Context<'_>) -> Answer {
    if take(context)? {
        Ok(0)
    } else {
        Err(EAGAIN.into())
    }
}

/// `FUTEX_UNLOCK_PI`
pub(super) fn unlock(context: &mut Context<'_>) -> Answer {
    let word = context.word(0);
    check_word(word)?;
    if load(context, word)? & OWNER != context.thread().id {
        return Err(EPERM.into());
    }
    hand_over(context, word, 0)?;
    Ok(0)
}

/// Gives a lock to the next in line, or to nobody.
fn hand_over(context: &mut Context<'_>, word: u64, mark: u32) -> Result<(), Failure> {
    let line = line(context.state(), word);
    let more = if line.len() > 1 { WAITERS } else { 0 };
    let new = line.first().map_or(mark, |next| next | more | mark);
    context.write(word, &new.to_le_bytes())?;
    if let Some(&next) = line.first() {
        release(context.state_mut(), next);
    }
    Ok(())
}

/// Marks a lock of the current thread, which ends; `pending`: it was about to take it or give it
/// back. What cannot be read or written is passed over, as in Linux.
pub(crate) fn owner_died(context: &mut Context<'_>, word: u64, lock: bool, pending: bool) {
    let Ok(value) = check_word(word).and_then(|()| load(context, word)) else {
        return;
    };
    if value & OWNER != context.thread().id {
        // It gave the lock back, but did not come to wake anybody.
        if pending && !lock && value & OWNER == 0 {
            wake(context.state_mut(), word, 1, u32::MAX);
        }
    } else if lock {
        let _ = hand_over(context, word, OWNER_DIED);
    } else {
        let new = value & WAITERS | OWNER_DIED;
        if context.write(word, &new.to_le_bytes()).is_ok() && value & WAITERS != 0 {
            wake(context.state_mut(), word, 1, u32::MAX);
        }
    }
}
