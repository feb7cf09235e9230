//! Pipes as descriptors: `pipe`, and what can be done with the ends.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::account;
use crate::objects::object::{DescriptionId, Object};
use crate::objects::pipe::{PAGE, Pipe, PipeEnd};
use crate::objects::readiness::Events;
use crate::process::state::State;
use crate::wire::errno::{EAGAIN, EBADF, EINVAL, ENOTTY, EPIPE, Errno};
use crate::wire::file::{O_CLOEXEC, O_NONBLOCK, O_WRONLY};

/// `O_DIRECT` in asm-generic/fcntl.h: packets.
const O_DIRECT: u32 = 0o40000;
/// What all pipes together can hold: further ones are small (`pipe-user-pages-soft`, if less).
const MOST_TOGETHER: usize = 16 << 20;
/// What a pipe beyond that can hold.
const SMALL: u32 = 8192;

fn of(state: &State, end: PipeEnd) -> Result<&Pipe, Errno> {
    state.object(end.number)
}

fn of_mut(state: &mut State, end: PipeEnd) -> Result<&mut Pipe, Errno> {
    state.object_mut(end.number)
}

/// Reads at an end; it may block.
pub(crate) fn read(
    context: &mut Context<'_>,
    end: PipeEnd,
    id: DescriptionId,
    out: &mut [u8],
) -> Result<usize, Failure> {
    if end.writer {
        return Err(EBADF.into());
    }
    if out.is_empty() {
        return Ok(0);
    }
    if of(context.state(), end)?.ready(false).is_empty() {
        return Err(context.would_block(id, Events::IN));
    }
    let bytes = of_mut(context.state_mut(), end)?.read(out.len())?;
    if let Some(place) = out.get_mut(..bytes.len()) {
        place.copy_from_slice(&bytes);
    }
    Ok(bytes.len())
}

/// Writes at an end; it may block.
pub(crate) fn write(
    context: &mut Context<'_>,
    end: PipeEnd,
    id: DescriptionId,
    bytes: &[u8],
) -> Result<usize, Failure> {
    if !end.writer {
        return Err(EBADF.into());
    }
    let pipe = of(context.state(), end)?;
    let room = (pipe.capacity() / PAGE) as u64 - pipe.pages();
    // What comes into the last page takes no further one; a packet takes one of its own.
    let pages = (bytes.len().div_ceil(PAGE) as u64).min(room);
    context.check_memory(account::pages(pages))?;
    let packets = context.state().descriptors.description(id)?.status & O_DIRECT != 0;
    let write = |pipe: &mut Pipe| pipe.write(bytes, packets);
    match context.state_mut().attempt(end.number, write) {
        Ok(count) => Ok(count),
        Err(EAGAIN) => Err(context.would_block(id, Events::OUT)),
        Err(EPIPE) => Err(context.broken_pipe()),
        Err(error) => Err(error.into()),
    }
}

/// Requests of `ioctl`: how many bytes wait.
pub(crate) fn ioctl(
    context: &mut Context<'_>,
    end: PipeEnd,
    request: u32,
    argument: u64,
) -> Answer {
    /// asm-generic/ioctls.h
    const FIONREAD: u32 = 0x541b;
    if request != FIONREAD {
        return Err(ENOTTY.into());
    }
    let waiting = u32::try_from(of(context.state(), end)?.len()).unwrap_or(u32::MAX);
    context.write(argument, &waiting.to_le_bytes())?;
    Ok(0)
}

/// Commands of `fcntl`: how much it can hold.
pub(crate) fn fcntl(context: &mut Context<'_>, end: PipeEnd, command: u32, wanted: u32) -> Answer {
    // linux/fcntl.h
    const SETPIPE_SZ: u32 = 1031;
    const GETPIPE_SZ: u32 = 1032;
    match command {
        GETPIPE_SZ => Ok(of(context.state(), end)?.capacity() as u64),
        SETPIPE_SZ => {
            let now = of(context.state(), end)?.capacity();
            let others = capacity(context.state()) - now;
            if wanted as usize > now && others + wanted as usize > MOST_TOGETHER {
                return Err(crate::wire::errno::EPERM.into());
            }
            let size = of_mut(context.state_mut(), end)?.set_capacity(wanted)?;
            Ok(size as u64)
        }
        _ => Err(EINVAL.into()),
    }
}

/// What all pipes together can hold.
fn capacity(state: &State) -> usize {
    state.objects.pipes.iter().map(Pipe::capacity).sum()
}

/// `pipe(descriptors)`
pub(crate) fn pipe(context: &mut Context<'_>) -> Answer {
    make(context, 0)
}

/// `pipe2(descriptors, flags)`
pub(crate) fn pipe2(context: &mut Context<'_>) -> Answer {
    make(context, context.uint(1))
}

fn make(context: &mut Context<'_>, flags: u32) -> Answer {
    if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0 {
        return Err(EINVAL.into());
    }
    context.check_free(2)?;
    context.check_writable(context.word(0), 8)?;
    let small = capacity(context.state()) >= MOST_TOGETHER;
    let mut pipe = Pipe::default();
    if small {
        pipe.set_capacity(SMALL)?;
    }
    let number = context.keep(pipe)?;
    let end = |writer| Object::Pipe(PipeEnd { number, writer });
    let reader = context.install(end(false), flags)?;
    let writer = context.install(end(true), flags | O_WRONLY)?;
    let both = reader | writer << 32;
    context.write(context.word(0), &both.to_le_bytes())?;
    Ok(0)
}
