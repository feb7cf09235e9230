//! The calls of `epoll`.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::call::wait::{Limit, borrow_mask};
use crate::objects::epoll::{Key, Set, SetId};
use crate::objects::object::{DescriptionId, Object};
use crate::process::state::State;
use crate::wire::errno::{EBADF, EINVAL, ELOOP, ENOSPC, EPERM, Errno};
use crate::wire::file::{O_CLOEXEC, O_RDWR};
use crate::wire::record::{duration, u32_at, u64_at};
use crate::wire::user::check_user_range;

/// Size of `struct epoll_event`: events and data, packed.
const RECORD: usize = 12;
/// The most things that all sets of a program together watch.
const MOST_ITEMS: usize = 8192;
/// The most sets within sets.
const MOST_NESTED: usize = 16;
/// How deep sets can lie in each other (`EP_MAX_NESTS` in fs/eventpoll.c, and the outermost).
const DEEPEST: usize = 5;
/// The most events of one call. Fewer than asked for may always be reported.
const MOST_EVENTS: usize = 1024;

impl SetId {
    fn get(self, state: &State) -> Result<&Set<DescriptionId>, Errno> {
        state.object(self.0)
    }

    fn get_mut(self, state: &mut State) -> Result<&mut Set<DescriptionId>, Errno> {
        state.object_mut(self.0)
    }

    /// The sets in this one.
    fn inner(self, state: &State) -> Vec<Self> {
        let watched = self.get(state).into_iter().flat_map(Set::descriptions);
        watched.filter_map(|id| of_description(state, id)).collect()
    }

    /// True if `other` is this set or lies in it, however deep.
    fn contains(self, state: &State, other: Self, depth: usize) -> bool {
        self == other
            || (depth > 0
                && self
                    .inner(state)
                    .into_iter()
                    .any(|set| set.contains(state, other, depth - 1)))
    }

    /// How many sets lie in each other here, this one included.
    fn depth(self, state: &State, most: usize) -> usize {
        if most == 0 {
            return 1;
        }
        let deepest = self.inner(state).into_iter();
        1 + deepest
            .map(|set| set.depth(state, most - 1))
            .max()
            .unwrap_or(0)
    }

    /// How many sets this one lies in, itself included.
    fn height(self, state: &State, most: usize) -> usize {
        if most == 0 {
            return 1;
        }
        let sets = state.objects.sets.numbers().map(Self);
        let outer = sets.filter(|set| set.inner(state).contains(&self));
        1 + outer
            .map(|set| set.height(state, most - 1))
            .max()
            .unwrap_or(0)
    }
}

/// The set that a description is, if it is one.
fn of_description(state: &State, id: DescriptionId) -> Option<SetId> {
    match state.descriptors.description(id).ok()?.object {
        Object::Set(set) => Some(set),
        _ => None,
    }
}

/// `epoll_create(size)`: the size says nothing any more.
pub(crate) fn epoll_create(context: &mut Context<'_>) -> Answer {
    if context.int(0) <= 0 {
        return Err(EINVAL.into());
    }
    make(context, 0)
}

/// `epoll_create1(flags)`
pub(crate) fn epoll_create1(context: &mut Context<'_>) -> Answer {
    make(context, context.uint(0))
}

fn make(context: &mut Context<'_>, flags: u32) -> Answer {
    if flags & !O_CLOEXEC != 0 {
        return Err(EINVAL.into());
    }
    context.check_free(1)?;
    let object = Object::Set(SetId(context.keep(Set::default())?));
    context.install(object, flags | O_RDWR)
}

/// `epoll_ctl(set, operation, fd, event)`
pub(crate) fn epoll_ctl(context: &mut Context<'_>) -> Answer {
    // linux/eventpoll.h
    const ADD: u32 = 1;
    const DEL: u32 = 2;
    const MOD: u32 = 3;
    const EXCLUSIVE: u32 = 1 << 28;
    let operation = context.uint(1);
    let mut event = [0; RECORD];
    if operation != DEL {
        context.read_into(context.word(3), &mut event)?;
    }
    let (events, data) = (u32_at(&event, 0), u64_at(&event, 4));
    let fd = context.int(2);
    let table = &context.state().descriptors;
    let outer = table.id(context.int(0))?;
    let id = table.id(fd)?;
    if table.description(id)?.is_place() {
        return Err(EBADF.into());
    }
    if !table.description(id)?.object.pollable() {
        return Err(EPERM.into());
    }
    let set = of_description(context.state(), outer).filter(|_| outer != id);
    let set = set.ok_or(EINVAL)?;
    let key = Key {
        description: id,
        fd,
    };
    let inner = of_description(context.state(), id);
    if inner.is_some() && operation != DEL && events & EXCLUSIVE != 0 {
        return Err(EINVAL.into());
    }
    match operation {
        ADD => {
            check_room(context.state(), set, inner)?;
            context.check_memory(crate::objects::account::WATCH)?;
            set.get_mut(context.state_mut())?.add(key, events, data)?;
        }
        DEL => set.get_mut(context.state_mut())?.remove(key)?,
        MOD => set
            .get_mut(context.state_mut())?
            .modify(key, events, data)?,
        _ => return Err(EINVAL.into()),
    }
    Ok(0)
}

/// Fails if one thing more, which may be a set itself, is too much.
fn check_room(state: &State, set: SetId, inner: Option<SetId>) -> Result<(), Errno> {
    let sets = &state.objects.sets;
    if sets.iter().map(Set::len).sum::<usize>() >= MOST_ITEMS {
        return Err(ENOSPC);
    }
    let Some(inner) = inner else { return Ok(()) };
    if inner.contains(state, set, DEEPEST)
        || inner.depth(state, DEEPEST) + set.height(state, DEEPEST) > DEEPEST
    {
        return Err(ELOOP);
    }
    let nested = sets
        .numbers()
        .map(|number| SetId(number).inner(state).len());
    if nested.sum::<usize>() >= MOST_NESTED {
        return Err(ENOSPC);
    }
    Ok(())
}

/// `epoll_wait(set, events, most, milliseconds)`
pub(crate) fn epoll_wait(context: &mut Context<'_>) -> Answer {
    let limit = Limit::milliseconds(context.int(3));
    wait(context, limit)
}

/// `epoll_pwait(set, events, most, milliseconds, mask, size)`
pub(crate) fn epoll_pwait(context: &mut Context<'_>) -> Answer {
    let limit = Limit::milliseconds(context.int(3));
    borrow_mask(context, context.word(4), context.word(5))?;
    wait(context, limit)
}

/// `epoll_pwait2(set, events, most, time, mask, size)`
pub(crate) fn epoll_pwait2(context: &mut Context<'_>) -> Answer {
    let limit = match context.word(3) {
        0 => Limit(None),
        address => Limit(Some(duration(&context.read(address)?)?)),
    };
    borrow_mask(context, context.word(4), context.word(5))?;
    wait(context, limit)
}

fn wait(context: &mut Context<'_>, limit: Limit) -> Answer {
    let (address, most) = (context.word(1), context.int(2));
    let most = usize::try_from(most).map_err(|_| EINVAL)?;
    if most == 0 || most > i32::MAX as usize / RECORD {
        return Err(EINVAL.into());
    }
    check_user_range(address, (most * RECORD) as u64)?;
    let id = context.state().descriptors.id(context.int(0))?;
    let set = of_description(context.state(), id).ok_or(EINVAL)?;
    let look = context.look();
    if !set.get(look.state)?.is_ready(|id| look.at(id)) {
        return limit.wait(context, |look, interest| {
            look.interest_in_set(set, interest)
        });
    }
    // Events are reported once: only into memory that takes them.
    let mut now = set.get(context.state())?.clone();
    let look = context.look();
    let found = now.report(most.min(MOST_EVENTS), |id| look.at(id));
    let mut bytes = Vec::with_capacity(found.len() * RECORD);
    for (events, data) in &found {
        bytes.extend_from_slice(&events.0.to_le_bytes());
        bytes.extend_from_slice(&data.to_le_bytes());
    }
    context.write(address, &bytes)?;
    // Nothing that anybody waits for has changed.
    if let Some(kept) = context.state_mut().objects.sets.get_mut(set.0) {
        *kept = now;
    }
    Ok(found.len() as u64)
}

#[cfg(test)]
mod tests;
