//! Futexes: a word of memory that threads wait on. Those with priority inheritance are in
//! `futex::lock`.
//!
//! All memory belongs to one program, so a word is known by its address, private or not. Only one
//! thread runs at a time, and none while a call is answered, so to look at a word and to wait is
//! one step by itself.

mod lock;
pub(crate) mod robust;
pub(crate) mod word;

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::calls::futex::word::{
    check_word, count, deadline, load, waiters, waits_at, wake, wake_if_any,
};
use crate::process::block::{Block, Wait};
use crate::wire::errno::{EAGAIN, EINVAL, ENOSYS, ETIMEDOUT};

// Operations: linux/futex.h
const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAKE_OP: u32 = 5;
const LOCK_PI: u32 = 6;
const UNLOCK_PI: u32 = 7;
const TRYLOCK_PI: u32 = 8;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const LOCK_PI2: u32 = 13;
const PRIVATE_FLAG: u32 = 128;
const CLOCK_REALTIME_FLAG: u32 = 256;

/// `futex(word, operation, value, timeout, word 2, value 3)`
///
/// `FUTEX_WAIT_REQUEUE_PI` and `FUTEX_CMP_REQUEUE_PI` do not exist: no C library uses them any
/// more.
pub(crate) fn futex(context: &mut Context<'_>) -> Answer {
    let word = context.word(0);
    let flags = context.uint(1) & (PRIVATE_FLAG | CLOCK_REALTIME_FLAG);
    let realtime = flags & CLOCK_REALTIME_FLAG != 0;
    let operation = context.uint(1) & !flags;
    if realtime && !matches!(operation, WAIT_BITSET | LOCK_PI2) {
        return Err(ENOSYS.into());
    }
    // One that is shared is known by its memory, so there must be some.
    let wakes = matches!(
        operation,
        WAKE | WAKE_BITSET | REQUEUE | CMP_REQUEUE | WAKE_OP
    );
    if wakes && flags & PRIVATE_FLAG == 0 {
        check_word(word)?;
        context.guest.check_readable(word, 4)?;
    }
    match operation {
        WAIT => wait(context, u32::MAX, false, false),
        WAIT_BITSET => wait(context, context.uint(5), true, realtime),
        WAKE | WAKE_BITSET => {
            let bits = if operation == WAKE {
                u32::MAX
            } else {
                context.uint(5)
            };
            check_word(word)?;
            if bits == 0 {
                return Err(EINVAL.into());
            }
            let most = count(context.int(2)).max(1);
            Ok(wake_if_any(context, word, most, bits))
        }
        REQUEUE | CMP_REQUEUE => requeue(context, operation == CMP_REQUEUE),
        WAKE_OP => wake_and_change(context),
        LOCK_PI => lock::lock(context, true),
        LOCK_PI2 => lock::lock(context, realtime),
        UNLOCK_PI => lock::unlock(context),
        TRYLOCK_PI => lock::try_lock(context),
        _ => Err(ENOSYS.into()),
    }
}

/// Waits for a wake, or until the timeout.
fn wait(context: &mut Context<'_>, bits: u32, absolute: bool, realtime: bool) -> Answer {
    let (word, timeout) = (context.word(0), context.word(3));
    let until = deadline(context, timeout, absolute, realtime)?;
    if bits == 0 {
        return Err(EINVAL.into());
    }
    check_word(word)?;
    if context.timed_out() {
        return Err(ETIMEDOUT.into());
    }
    if !context.attempt.again && load(context, word)? != context.uint(2) {
        return Err(EAGAIN.into());
    }
    let on = Wait::Futex {
        address: word,
        bits,
    };
    let block = Block::on(on, until);
    // To wait for the same span again would be to wait longer.
    Err(if until.is_none() || absolute {
        block.restarting().into()
    } else {
        block.into()
    })
}

/// `FUTEX_REQUEUE`, `FUTEX_CMP_REQUEUE`: wakes some, and the others wait at the second word.
fn requeue(context: &mut Context<'_>, compare: bool) -> Answer {
    let (from, to) = (context.word(0), context.word(4));
    let (most, moved) = (context.int(2), context.uint(3).cast_signed());
    if most < 0 || moved < 0 {
        return Err(EINVAL.into());
    }
    check_word(from)?;
    check_word(to)?;
    if compare && load(context, from)? != context.uint(5) {
        return Err(EAGAIN.into());
    }
    if context.state().threads.is_alone() {
        return Ok(0);
    }
    let state = context.state_mut();
    let woken = wake(state, from, count(most), u32::MAX);
    let found = waiters(state, count(moved), |waiting| {
        waits_at(waiting, from, u32::MAX)
    });
    for &id in &found {
        let order = state.threads.next_wait();
        let thread = state.threads.find_mut(id);
        if let Some(waiting) = thread.and_then(|thread| thread.wait.as_mut())
            && let Wait::Futex { address, .. } = &mut waiting.block.on
        {
            *address = to;
            waiting.order = order;
        }
    }
    Ok(woken + found.len() as u64)
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes at the first, and at the second if what was
/// there says so.
fn wake_and_change(context: &mut Context<'_>) -> Answer {
    let (first, second) = (context.word(0), context.word(4));
    check_word(first)?;
    check_word(second)?;
    let code = context.uint(5);
    let signed = |bits: u32| (bits << 20).cast_signed() >> 20;
    let (argument, comparand) = (signed(code >> 12 & 0xfff), signed(code & 0xfff));
    let argument = match code >> 31 {
        0 => argument.cast_unsigned(),
        // FUTEX_OP_OPARG_SHIFT
        _ => 1_u32.wrapping_shl(argument.cast_unsigned() & 31),
    };
    let old = load(context, second)?;
    let new = match code >> 28 & 7 {
        0 => argument,
        1 => old.wrapping_add(argument),
        2 => old | argument,
        3 => old & !argument,
        4 => old ^ argument,
        _ => return Err(ENOSYS.into()),
    };
    let seen = old.cast_signed();
    let also = match code >> 24 & 15 {
        0 => seen == comparand,
        1 => seen != comparand,
        2 => seen < comparand,
        3 => seen <= comparand,
        4 => seen > comparand,
        5 => seen >= comparand,
        _ => return Err(ENOSYS.into()),
    };
    context.write(second, &new.to_le_bytes())?;
    let most = count(context.int(2)).max(1);
    let mut woken = wake_if_any(context, first, most, u32::MAX);
    if also {
        let most = count(context.uint(3).cast_signed()).max(1);
        woken += wake_if_any(context, second, most, u32::MAX);
    }
    Ok(woken)
}

#[cfg(test)]
mod tests;
