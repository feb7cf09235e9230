//! `signalfd`: signals as something to read.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::object::{DescriptionId, Object};
use crate::objects::readiness::Events;
use crate::objects::signalfd::{SignalSet, SignalSetId};
use crate::process::pending::Info;
use crate::wire::errno::EINVAL;
use crate::wire::file::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use crate::wire::record::Record;
use crate::wire::signal::{SET_SIZE, SI_TIMER, UNSTOPPABLE};

/// Size of `struct signalfd_siginfo`.
const RECORD: usize = 128;

/// Takes signals of the set, as many as there is room for.
pub(crate) fn read(
    context: &mut Context<'_>,
    set: SignalSetId,
    id: DescriptionId,
    out: &mut [u8],
) -> Result<usize, Failure> {
    if out.len() < RECORD {
        return Err(EINVAL.into());
    }
    let mut done = 0;
    for place in out.chunks_exact_mut(RECORD) {
        let waiting = context.state().signals_of(set);
        if waiting == 0 {
            break;
        }
        let state = context.state_mut();
        let own = state.thread_mut().signals.pending.take(waiting);
        let Some(taken) = own.or_else(|| state.signals.pending.take(waiting)) else {
            break;
        };
        state.note_overrun(&taken);
        place.copy_from_slice(record(&taken).as_bytes());
        done += RECORD;
    }
    if done == 0 {
        return Err(context.would_block(id, Events::IN));
    }
    Ok(done)
}

/// A `struct signalfd_siginfo`.
fn record(info: &Info) -> Record<RECORD> {
    let [first, value, ..] = info.fields;
    let halves = [first, first >> 32].map(crate::wire::record::low_half);
    // Sender and user, or timer and overrun.
    let [one, other] = if info.code == SI_TIMER {
        [24, 32]
    } else {
        [12, 16]
    };
    Record::new()
        .u32(0, info.number)
        .u32(4, info.error)
        .i32(8, info.code)
        .u32(one, halves[0])
        .u32(other, halves[1])
        .u32(44, crate::wire::record::low_half(value))
        .u64(48, value)
}

/// `signalfd(fd, set, size)`
pub(crate) fn signalfd(context: &mut Context<'_>) -> Answer {
    make(context, 0)
}

/// `signalfd4(fd, set, size, flags)`
pub(crate) fn signalfd4(context: &mut Context<'_>) -> Answer {
    make(context, context.uint(3))
}

fn make(context: &mut Context<'_>, flags: u32) -> Answer {
    let fd = context.int(0);
    if context.word(2) != SET_SIZE {
        return Err(EINVAL.into());
    }
    let set = SignalSet(u64::from_le_bytes(context.read(context.word(1))?) & !UNSTOPPABLE);
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL.into());
    }
    if fd == -1 {
        context.check_free(1)?;
        let object = Object::Signals(SignalSetId(context.keep(set)?));
        return context.install(object, flags | O_RDWR);
    }
    let Object::Signals(SignalSetId(number)) = context.state().descriptors.get(fd)?.object else {
        return Err(EINVAL.into());
    };
    *context.state_mut().object_mut::<SignalSet>(number)? = set;
    Ok(u64::from(fd.cast_unsigned()))
}
