//! The calls that work on the table of descriptors.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::call::objects::limit;
use crate::calls::{lock, memfd, pipe};
use crate::objects::object::{DescriptionId, Object};
use crate::process::descriptors::Descriptors;
use crate::wire::errno::{EBADF, EINVAL};
use crate::wire::file::{O_APPEND, O_ASYNC, O_CLOEXEC, O_NONBLOCK};

/// Flags that `F_SETFL` changes.
const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_ASYNC;

/// `close(fd)`
pub(crate) fn close(context: &mut Context<'_>) -> Answer {
    let fd = context.int(0);
    context.state().descriptors.id(fd)?;
    context.state_mut().close(fd)?;
    Ok(0)
}

/// `close_range(first, last, flags)`
pub(crate) fn close_range(context: &mut Context<'_>) -> Answer {
    // linux/close_range.h
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    let (first, last, flags) = (context.uint(0), context.uint(1), context.uint(2));
    if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
        return Err(EINVAL.into());
    }
    let inside = |&fd: &i32| (first..=last).contains(&fd.cast_unsigned());
    let open: Vec<i32> = numbers(&context.state().descriptors)
        .filter(inside)
        .collect();
    for fd in open {
        if flags & CLOEXEC != 0 {
            context.state_mut().descriptors.entry_mut(fd)?.close_on_exec = true;
        } else {
            context.state_mut().close(fd)?;
        }
    }
    Ok(0)
}

fn numbers(table: &Descriptors) -> impl Iterator<Item = i32> + '_ {
    table
        .numbers()
        .filter_map(|number| i32::try_from(number).ok())
}

/// Another descriptor for `description`: the lowest free number from `lowest`.
fn duplicate(
    context: &mut Context<'_>,
    description: DescriptionId,
    lowest: usize,
    close_on_exec: bool,
) -> Answer {
    let number = context.state().descriptors.free(lowest, limit(context))?;
    let table = &mut context.state_mut().descriptors;
    table.put(number, description, close_on_exec);
    Ok(number as u64)
}

/// `dup(fd)`
pub(crate) fn dup(context: &mut Context<'_>) -> Answer {
    let description = context.state().descriptors.id(context.int(0))?;
    duplicate(context, description, 0, false)
}

/// `dup2(old, new)`
pub(crate) fn dup2(context: &mut Context<'_>) -> Answer {
    let (old, new) = (context.int(0), context.int(1));
    context.state().descriptors.id(old)?;
    if old == new {
        return Ok(u64::from(new.cast_unsigned()));
    }
    duplicate_to(context, old, new, false)
}

/// `dup3(old, new, flags)`
pub(crate) fn dup3(context: &mut Context<'_>) -> Answer {
    let (old, new, flags) = (context.int(0), context.int(1), context.uint(2));
    if flags & !O_CLOEXEC != 0 || old == new {
        return Err(EINVAL.into());
    }
    duplicate_to(context, old, new, flags & O_CLOEXEC != 0)
}

fn duplicate_to(context: &mut Context<'_>, old: i32, new: i32, close_on_exec: bool) -> Answer {
    let description = context.state().descriptors.id(old)?;
    let number = usize::try_from(new).map_err(|_| EBADF)?;
    if number >= limit(context) {
        return Err(EBADF.into());
    }
    if context.state().descriptors.id(new).is_ok() {
        context.state_mut().close(new)?;
    }
    let table = &mut context.state_mut().descriptors;
    table.put(number, description, close_on_exec);
    Ok(number as u64)
}

/// `fcntl(fd, command, argument)`
pub(crate) fn fcntl(context: &mut Context<'_>) -> Answer {
    // asm-generic/fcntl.h, linux/fcntl.h
    const DUPFD: u32 = 0;
    const GETFD: u32 = 1;
    const SETFD: u32 = 2;
    const GETFL: u32 = 3;
    const SETFL: u32 = 4;
    const SETOWN: u32 = 8;
    const GETOWN: u32 = 9;
    const DUPFD_CLOEXEC: u32 = 1030;
    let (fd, command, argument) = (context.int(0), context.uint(1), context.uint(2));
    // Of a lock the argument is where it is described.
    let address = context.word(2);
    let entry = context.state().descriptors.entry(fd)?;
    match command {
        DUPFD | DUPFD_CLOEXEC => {
            let lowest = usize::try_from(argument).map_err(|_| EINVAL)?;
            if lowest >= limit(context) {
                return Err(EINVAL.into());
            }
            let close_on_exec = command == DUPFD_CLOEXEC;
            duplicate(context, entry.description, lowest, close_on_exec)
        }
        GETFD => Ok(u64::from(entry.close_on_exec)),
        SETFD => {
            context.state_mut().descriptors.entry_mut(fd)?.close_on_exec = argument & 1 != 0;
            Ok(0)
        }
        GETFL => Ok(u64::from(context.state().descriptors.get(fd)?.status)),
        // The rest is not for places.
        _ if context.state().descriptors.get(fd)?.is_place() => Err(EBADF.into()),
        SETFL => {
            let status = &mut context.state_mut().descriptors.get_mut(fd)?.status;
            *status = *status & !SETTABLE | argument & SETTABLE;
            Ok(0)
        }
        SETOWN | GETOWN => Ok(0),
        command if lock::is_lock(command) => {
            let description = context.state().descriptors.get(fd)?.clone();
            if matches!(description.object, Object::File(_)) {
                return lock::record(context, fd, command, address);
            }
            lock::lock(context, &description, command, address)
        }
        _ => {
            let object = context.state().descriptors.get(fd)?.object.clone();
            fcntl_of(context, &object, command, argument)
        }
    }
}

/// Commands of `fcntl` that not everything answers.
pub(crate) fn fcntl_of(
    context: &mut Context<'_>,
    object: &Object,
    command: u32,
    argument: u32,
) -> Answer {
    match object {
        Object::Pipe(end) => pipe::fcntl(context, *end, command, argument),
        Object::MemoryFile(file) => memfd::fcntl(context, *file, command, argument),
        _ => Err(EINVAL.into()),
    }
}

#[cfg(test)]
mod tests;
