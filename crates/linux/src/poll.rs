//! `poll` and `ppoll`.

use std::time::Duration;

use crate::block::Block;
use crate::context::{Answer, Context};
use crate::errno::EINVAL;
use crate::readiness::Events;
use crate::wire::{duration, timespec, u32_at};

/// Size of `struct pollfd`: int fd, short events, short revents.
const RECORD: usize = 8;

// asm-generic/poll.h
const POLLNVAL: u16 = 0x20;

/// `poll(fds, count, milliseconds)`
pub(crate) fn poll(context: &mut Context<'_>) -> Answer {
    // Negative: for ever.
    let wait = u64::try_from(context.int(2))
        .ok()
        .map(Duration::from_millis);
    wait_for_events(context, wait)
}

/// `ppoll(fds, count, timeout, signal mask, mask size)`. The mask is not applied: no signal can
/// arrive during the call, because only the program itself sends any.
pub(crate) fn ppoll(context: &mut Context<'_>) -> Answer {
    let (limit, mask) = (context.word(2), context.word(3));
    let wait = if limit == 0 {
        None
    } else {
        Some(duration(&context.read(limit)?)?)
    };
    if mask != 0 {
        if context.word(4) != 8 {
            return Err(EINVAL.into());
        }
        context.read::<8>(mask)?;
    }
    let ready = wait_for_events(context, wait)?;
    if ready == 0 && limit != 0 {
        // The time that is left. Linux does not report a failure either.
        let _ = context.write(limit, timespec(Duration::ZERO).as_bytes());
    }
    Ok(ready)
}

fn wait_for_events(context: &mut Context<'_>, wait: Option<Duration>) -> Answer {
    let address = context.word(0);
    let count = u64::from(context.uint(1));
    if count > context.state().open_files().current {
        return Err(EINVAL.into());
    }
    let mut records = vec![0; usize::try_from(count).map_err(|_| EINVAL)? * RECORD];
    context.read_into(address, &mut records)?;
    let mut ready = 0;
    for record in records.chunks_exact_mut(RECORD) {
        let fd = u32_at(record, 0).cast_signed();
        let wanted = u16::from_le_bytes([record[4], record[5]]);
        let events = if fd < 0 {
            0
        } else {
            events(context, fd, wanted)
        };
        record[6..8].copy_from_slice(&events.to_le_bytes());
        ready += u64::from(events != 0);
    }
    context.write(address, &records)?;
    if ready == 0 {
        match wait {
            Some(time) if time.is_zero() => {}
            Some(_) if context.timed_out() => {}
            Some(time) => return Err(Block::event(Some(context.deadline(time))).into()),
            None => return Err(Block::event(None).into()),
        }
    }
    Ok(ready)
}

/// Which of the wanted events a descriptor has.
fn events(context: &Context<'_>, fd: i32, wanted: u16) -> u16 {
    let state = context.state();
    match state.descriptors.get(fd) {
        Ok(open) => {
            let wanted = Events(u32::from(wanted)) | Events::ALWAYS;
            u16::try_from((open.object.ready(state) & wanted).0).unwrap_or(0)
        }
        Err(_) => POLLNVAL,
    }
}

#[cfg(test)]
mod tests;
