//! `eventfd`, and the counter behind it as a descriptor.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::eventfd::{Counter, CounterId};
use crate::objects::object::{DescriptionId, Object};
use crate::objects::readiness::Events;
use crate::wire::errno::{EAGAIN, EINVAL};
use crate::wire::file::{O_CLOEXEC, O_NONBLOCK, O_RDWR};

/// Reads what was counted.
pub(crate) fn read(
    context: &mut Context<'_>,
    CounterId(number): CounterId,
    id: DescriptionId,
    out: &mut [u8],
) -> Result<usize, Failure> {
    let place = out.first_chunk_mut::<8>().ok_or(EINVAL)?;
    let counter: &Counter = context.state().object(number)?;
    if !counter.ready().has(Events::IN) {
        return Err(context.would_block(id, Events::IN));
    }
    let counter: &mut Counter = context.state_mut().object_mut(number)?;
    *place = counter.read()?.to_le_bytes();
    Ok(8)
}

/// Adds to what was counted.
pub(crate) fn write(
    context: &mut Context<'_>,
    CounterId(number): CounterId,
    id: DescriptionId,
    bytes: &[u8],
) -> Result<usize, Failure> {
    let value = u64::from_le_bytes(*bytes.first_chunk::<8>().ok_or(EINVAL)?);
    let write = |counter: &mut Counter| counter.write(value);
    match context.state_mut().attempt(number, write) {
        Ok(()) => Ok(8),
        Err(EAGAIN) => Err(context.would_block(id, Events::OUT)),
        Err(error) => Err(error.into()),
    }
}

/// `eventfd(count)`
pub(crate) fn eventfd(context: &mut Context<'_>) -> Answer {
    make(context, 0)
}

/// `eventfd2(count, flags)`
pub(crate) fn eventfd2(context: &mut Context<'_>) -> Answer {
    make(context, context.uint(1))
}

fn make(context: &mut Context<'_>, flags: u32) -> Answer {
    /// `EFD_SEMAPHORE` in linux/eventfd.h.
    const SEMAPHORE: u32 = 1;
    if flags & !(O_CLOEXEC | O_NONBLOCK | SEMAPHORE) != 0 {
        return Err(EINVAL.into());
    }
    context.check_free(1)?;
    let counter = Counter::new(context.uint(0), flags & SEMAPHORE != 0);
    let object = Object::Counter(CounterId(context.keep(counter)?));
    context.install(object, flags & !SEMAPHORE | O_RDWR)
}
