//! Reading and writing whatever is open.

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::calls::{eventfd, memfd, pipe, signalfd, stream, timerfd};
use crate::objects::file::HostFile;
use crate::objects::memfd::MemoryFile;
use crate::objects::object::{DescriptionId, Object};
use crate::process::state::State;
use crate::wire::errno::{EBADF, EINVAL, EISDIR, Errno};

/// Reads at most `out.len()` bytes (`OUTPUT_PIECE` at most) from position `at`. Less than asked for
/// ends the call; 0 is the end. May block.
pub(crate) fn read(
    context: &mut Context<'_>,
    object: &Object,
    id: DescriptionId,
    at: u64,
    out: &mut [u8],
) -> Result<usize, Failure> {
    match object {
        Object::Input => Ok(0),
        Object::Output(_) => Err(EBADF.into()),
        Object::Device(device) => Ok(device.read(out)?),
        Object::Pipe(end) => pipe::read(context, *end, id, out),
        Object::Counter(counter) => eventfd::read(context, *counter, id, out),
        Object::Timer(timer) => timerfd::read(context, *timer, id, out),
        Object::Signals(set) => signalfd::read(context, *set, id, out),
        Object::MemoryFile(file) => Ok(memfd::read(context.state(), *file, at, out)?),
        Object::Set(_) | Object::Pair(_) | Object::Socket(_) => Err(EINVAL.into()),
        Object::File(file) => Ok(file.read(at, out)?),
        Object::Directory(_) => Err(EISDIR.into()),
        Object::Text(text) => Ok(text.read(at, out)),
    }
}

/// Writes bytes (`OUTPUT_PIECE` at most) at position `at`. Less than given ends the call. May
/// block.
pub(crate) fn write(
    context: &mut Context<'_>,
    object: &Object,
    id: DescriptionId,
    at: u64,
    bytes: &[u8],
) -> Result<usize, Failure> {
    match object {
        Object::Input => Err(EBADF.into()),
        Object::Output(stream) => Ok(stream::write(context, *stream, bytes)),
        Object::Device(device) => Ok(device.write(bytes)?),
        Object::Pipe(end) => pipe::write(context, *end, id, bytes),
        Object::Counter(counter) => eventfd::write(context, *counter, id, bytes),
        Object::MemoryFile(file) => memfd::write(context, *file, at, bytes),
        Object::Timer(_)
        | Object::Signals(_)
        | Object::Set(_)
        | Object::Pair(_)
        | Object::Socket(_) => Err(EINVAL.into()),
        Object::File(file) => write_to_file(context, file, id, at, bytes),
        Object::Directory(_) | Object::Text(_) => Err(EBADF.into()),
    }
}

/// Where `lseek` finds the end.
pub(crate) fn size(state: &State, object: &Object) -> Result<u64, Errno> {
    match object {
        Object::MemoryFile(file) => Ok(state.object::<MemoryFile>(file.0)?.size()),
        Object::File(file) => file.size(),
        Object::Directory(_) => Err(EINVAL),
        _ => Ok(0),
    }
}

/// Writes at a position, or at the end, which then is where the offset is.
pub(crate) fn write_to_file(
    context: &mut Context<'_>,
    file: &HostFile,
    id: DescriptionId,
    at: u64,
    bytes: &[u8],
) -> Result<usize, Failure> {
    let append = context.state().descriptors.description(id)?.appends();
    let (count, end) = file.write(at, append, bytes)?;
    if append {
        let open = context.state_mut().descriptors.description_mut(id)?;
        open.offset = end;
    }
    Ok(count)
}

#[cfg(test)]
mod tests;
