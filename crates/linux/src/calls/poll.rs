//! `poll`, `select` and their relatives.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::call::wait::{Limit, borrow_mask};
use crate::objects::readiness::Events;
use crate::wire::errno::{EBADF, EINVAL};
use crate::wire::record::{duration, timespec, timeval, u32_at, u64_at};

/// Size of `struct pollfd`: int fd, short events, short revents.
const RECORD: usize = 8;

/// `poll(fds, count, milliseconds)`
pub(crate) fn poll(context: &mut Context<'_>) -> Answer {
    let limit = Limit::milliseconds(context.int(2));
    wait_for_events(context, limit)
}

/// `ppoll(fds, count, timeout, signal mask, mask size)`
pub(crate) fn ppoll(context: &mut Context<'_>) -> Answer {
    let at = context.word(2);
    let limit = match at {
        0 => Limit(None),
        at => Limit(Some(duration(&context.read(at)?)?)),
    };
    borrow_mask(context, context.word(3), context.word(4))?;
    let ready = wait_for_events(context, limit)?;
    if at != 0 {
        let left = limit.left(context);
        // Linux does not report a failure either.
        let _ = context.write(at, timespec(left).as_bytes());
    }
    Ok(ready)
}

fn wait_for_events(context: &mut Context<'_>, limit: Limit) -> Answer {
    let address = context.word(0);
    let count = u64::from(context.uint(1));
    if count > context.state().open_files().current {
        return Err(EINVAL.into());
    }
    let mut records = vec![0; usize::try_from(count).map_err(|_| EINVAL)? * RECORD];
    context.read_into(address, &mut records)?;
    let mut ready = 0;
    let look = context.look();
    for record in records.chunks_exact_mut(RECORD) {
        let [low, high] = match asked(record) {
            None => [0, 0],
            Some((fd, wanted)) => {
                let events = match look.state.descriptors.id(fd) {
                    Ok(id) => look.at(id).0 & (wanted | Events::ALWAYS),
                    Err(_) => Events::NVAL,
                };
                ready += u64::from(!events.is_empty());
                let [low, high, ..] = events.0.to_le_bytes();
                [low, high]
            }
        };
        record[6..8].copy_from_slice(&[low, high]);
    }
    if ready == 0 {
        let waited = limit.wait(context, |look, interest| {
            for (fd, wanted) in records.chunks_exact(RECORD).filter_map(asked) {
                if let Ok(id) = look.state.descriptors.id(fd) {
                    look.interest(id, wanted, interest);
                }
            }
        });
        waited?;
    }
    context.write(address, &records)?;
    Ok(ready)
}

/// Descriptor and events of a `struct pollfd`; `None` if it is switched off.
fn asked(record: &[u8]) -> Option<(i32, Events)> {
    let fd = u32_at(record, 0).cast_signed();
    (fd >= 0).then(|| (fd, Events(u32_at(record, 4) & 0xffff)))
}

/// `select(count, readable, writable, exceptional, time)`
pub(crate) fn select(context: &mut Context<'_>) -> Answer {
    let at = context.word(4);
    let limit = match at {
        0 => Limit(None),
        at => {
            let [seconds, micros] = words(context, at)?;
            let (seconds, micros) = (nonnegative(seconds)?, nonnegative(micros)?);
            let time = Duration::from_secs(seconds);
            Limit(Some(time.saturating_add(Duration::from_micros(micros))))
        }
    };
    let ready = select_events(context, limit)?;
    if at != 0 {
        let left = limit.left(context);
        let _ = context.write(at, timeval(left).as_bytes());
    }
    Ok(ready)
}

/// `pselect6(count, readable, writable, exceptional, time, mask and size)`
pub(crate) fn pselect6(context: &mut Context<'_>) -> Answer {
    let (at, mask) = (context.word(4), context.word(5));
    let limit = match at {
        0 => Limit(None),
        at => Limit(Some(duration(&context.read(at)?)?)),
    };
    if mask != 0 {
        let [address, size] = words(context, mask)?;
        borrow_mask(context, address, size)?;
    }
    let ready = select_events(context, limit)?;
    if at != 0 {
        let left = limit.left(context);
        let _ = context.write(at, timespec(left).as_bytes());
    }
    Ok(ready)
}

fn words(context: &Context<'_>, at: u64) -> Result<[u64; 2], Failure> {
    let bytes: [u8; 16] = context.read(at)?;
    Ok([u64_at(&bytes, 0), u64_at(&bytes, 8)])
}

fn nonnegative(word: u64) -> Result<u64, Failure> {
    match i64::try_from(word) {
        Ok(_) => Ok(word),
        Err(_) => Err(EINVAL.into()),
    }
}

/// The three sets of `select`, and which events each stands for (fs/select.c).
const SETS: [Events; 3] = [
    // RDNORM, RDBAND, IN, HUP, ERR
    Events(0x40 | 0x80 | 0x01 | 0x10 | 0x08),
    // WRBAND, WRNORM, OUT, ERR
    Events(0x200 | 0x100 | 0x04 | 0x08),
    Events::PRI,
];

fn select_events(context: &mut Context<'_>, limit: Limit) -> Answer {
    let count = usize::try_from(context.int(0)).map_err(|_| EINVAL)?;
    let most = usize::try_from(context.state().open_files().current).unwrap_or(0);
    let count = count.min(most);
    let size = count.div_ceil(64) * 8;
    let mut sets = [const { Vec::new() }; 3];
    for (index, set) in sets.iter_mut().enumerate() {
        let at = context.word(index + 1);
        if at != 0 {
            *set = vec![0; size];
            context.read_into(at, set)?;
        }
    }
    let asked = asked_of_sets(&sets, count);
    let look = context.look();
    let mut ready = 0;
    let mut found = [const { Vec::new() }; 3].map(|_: Vec<u8>| vec![0_u8; size]);
    for &(fd, wanted) in &asked {
        let id = look.state.descriptors.id(fd).map_err(|_| EBADF)?;
        let events = look.at(id).0;
        for (index, set) in found.iter_mut().enumerate() {
            if wanted[index] && events.has(SETS[index]) {
                ready += 1;
                let bit = fd.unsigned_abs() as usize;
                set[bit / 8] |= 1 << (bit % 8);
            }
        }
    }
    if ready == 0 {
        limit.wait(context, |look, interest| {
            for &(fd, wanted) in &asked {
                if let Ok(id) = look.state.descriptors.id(fd) {
                    look.interest(id, together(wanted), interest);
                }
            }
        })?;
    }
    for (index, set) in found.iter().enumerate() {
        context.write_if_wanted(context.word(index + 1), set)?;
    }
    Ok(ready)
}

/// The descriptors that are in any of the sets, and in which.
fn asked_of_sets(sets: &[Vec<u8>; 3], count: usize) -> Vec<(i32, [bool; 3])> {
    let has = |set: &Vec<u8>, bit: usize| {
        set.get(bit / 8)
            .is_some_and(|byte| byte >> (bit % 8) & 1 != 0)
    };
    (0..count)
        .filter_map(|bit| {
            let wanted = [0, 1, 2].map(|index| has(&sets[index], bit));
            let fd = i32::try_from(bit).ok()?;
            wanted.contains(&true).then_some((fd, wanted))
        })
        .collect()
}

fn together(wanted: [bool; 3]) -> Events {
    let mut events = Events::NONE;
    for (set, on) in SETS.into_iter().zip(wanted) {
        events.set(set, on);
    }
    events
}

#[cfg(test)]
mod tests;
