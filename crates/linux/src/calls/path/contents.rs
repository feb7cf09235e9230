//! Calls about the contents of files as a whole.

use rustix::fs::{FallocateFlags, Mode, OFlags};

use crate::access::place::Place;
use crate::access::request::Right;
use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::memfd;
use crate::calls::path::request::of_path;
use crate::objects::file::HostFile;
use crate::objects::object::Object;
use crate::wire::errno::{EBADF, EFBIG, EINVAL, EISDIR, ENODEV, EOPNOTSUPP, ESPIPE, EXDEV, Errno};
use crate::wire::user::LONGEST_TRANSFER;

/// `ftruncate` of something that is open for writing.
pub(crate) fn truncate_open(context: &mut Context<'_>, object: &Object, length: u64) -> Answer {
    match object {
        Object::File(file) => {
            rustix::fs::ftruncate(file.host(), length).map_err(Errno::from)?;
            Ok(0)
        }
        Object::MemoryFile(file) => memfd::truncate(context, *file, length),
        _ => Err(EINVAL.into()),
    }
}

/// `truncate(path, length)`
pub(crate) fn truncate(context: &mut Context<'_>) -> Answer {
    let length = u64::try_from(context.word(1).cast_signed()).map_err(|_| EINVAL)?;
    match of_path(context, 0, true, Right::Write)? {
        Place::Host(grant) if grant.is_special(context) => Err(EINVAL.into()),
        Place::Host(grant) => {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
            let file = grant.open(context, flags, Mode::empty())?;
            rustix::fs::ftruncate(&file, length).map_err(Errno::from)?;
            Ok(0)
        }
        Place::Synthetic(node, _) if node.is_directory() => Err(EISDIR.into()),
        Place::Synthetic(..) => Err(EINVAL.into()),
    }
}

/// `ftruncate(fd, length)`
pub(crate) fn ftruncate(context: &mut Context<'_>) -> Answer {
    let length = u64::try_from(context.word(1).cast_signed()).map_err(|_| EINVAL)?;
    let open = context.state().descriptors.get(context.int(0))?;
    if open.is_place() {
        return Err(EBADF.into());
    }
    if !open.writable() {
        return Err(EINVAL.into());
    }
    let object = open.object.clone();
    truncate_open(context, &object, length)
}

/// `fallocate(fd, mode, offset, length)`
pub(crate) fn fallocate(context: &mut Context<'_>) -> Answer {
    let (offset, length) = (context.word(2).cast_signed(), context.word(3).cast_signed());
    let offset = u64::try_from(offset).map_err(|_| EINVAL)?;
    let length = u64::try_from(length).map_err(|_| EINVAL)?;
    if length == 0 {
        return Err(EINVAL.into());
    }
    let end = offset.checked_add(length).ok_or(EFBIG)?;
    i64::try_from(end).map_err(|_| EFBIG)?;
    let open = context.state().descriptors.get(context.int(0))?;
    if !open.writable() {
        return Err(EBADF.into());
    }
    match &open.object {
        Object::File(file) => {
            let flags = FallocateFlags::from_bits(context.uint(1)).ok_or(EOPNOTSUPP)?;
            let file = std::sync::Arc::clone(file);
            allocate(context, &file, flags, offset..end)
        }
        &Object::MemoryFile(file) => {
            memfd::allocate(context, file, context.uint(1), offset, length)
        }
        _ => Err(ENODEV.into()),
    }
}

/// In pieces, since some file systems take their time. (Ranges that are taken out of a file, or put
/// in, are no more than book-keeping.)
fn allocate(
    context: &mut Context<'_>,
    file: &HostFile,
    flags: FallocateFlags,
    range: std::ops::Range<u64>,
) -> Answer {
    const PIECE: u64 = 16 << 20;
    let moves = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
    let most = if flags.intersects(moves) {
        u64::MAX
    } else {
        PIECE
    };
    let mut at = range.start;
    while at < range.end {
        let length = (range.end - at).min(most);
        rustix::fs::fallocate(file.host(), flags, at, length).map_err(Errno::from)?;
        at += length;
        context.checkpoint()?;
    }
    Ok(0)
}

/// `fadvise64(fd, offset, length, advice)`: advice is not needed.
pub(crate) fn fadvise(context: &mut Context<'_>) -> Answer {
    readahead(context)?;
    match context.int(3) {
        0..=5 => Ok(0),
        _ => Err(EINVAL.into()),
    }
}

/// `readahead(fd, offset, count)`: is not needed.
pub(crate) fn readahead(context: &mut Context<'_>) -> Answer {
    let open = context.state().descriptors.get(context.int(0))?;
    if open.is_place() {
        return Err(EBADF.into());
    }
    if !open.object.seekable() {
        return Err(ESPIPE.into());
    }
    Ok(0)
}

/// `fsync(fd)`
pub(crate) fn fsync(context: &mut Context<'_>) -> Answer {
    bring_to_disk(context, true)?.ok_or(EINVAL.into())
}

/// `fdatasync(fd)`, `sync_file_range(fd, offset, length, flags)`
pub(crate) fn fdatasync(context: &mut Context<'_>) -> Answer {
    bring_to_disk(context, false)?.ok_or(EINVAL.into())
}

/// `syncfs(fd)`: of the file system there is at least the file.
pub(crate) fn syncfs(context: &mut Context<'_>) -> Answer {
    Ok(bring_to_disk(context, false)?.unwrap_or(0))
}

/// Brings what was written to a file of the host to its disk; `None` for what has none. `metadata`:
/// also what reading it does not need.
fn bring_to_disk(context: &mut Context<'_>, metadata: bool) -> Result<Option<u64>, Failure> {
    let open = context.state().descriptors.get(context.int(0))?;
    if open.is_place() {
        return Err(EBADF.into());
    }
    match &open.object {
        Object::File(file) if file.is_writable() => {
            let result = if metadata {
                rustix::fs::fsync(file.host())
            } else {
                rustix::fs::fdatasync(file.host())
            };
            result.map_err(Errno::from)?;
            Ok(Some(0))
        }
        Object::File(_) | Object::Directory(_) | Object::Text(_) => Ok(Some(0)),
        _ => Ok(None),
    }
}

/// `sync()`: what was written is with the host's kernel already.
#[expect(clippy::unnecessary_wraps, reason = "one type for all handlers")]
pub(crate) fn sync(_: &mut Context<'_>) -> Answer {
    Ok(0)
}

/// `splice`, `tee`, `vmsplice`: programs have a second way for kinds that cannot do it.
pub(crate) fn splice(_: &mut Context<'_>) -> Answer {
    Err(EINVAL.into())
}

/// Extended attributes: there are none.
pub(crate) fn unsupported(_: &mut Context<'_>) -> Answer {
    Err(EOPNOTSUPP.into())
}

/// `sendfile(out, in, offset, count)`
pub(crate) fn sendfile(context: &mut Context<'_>) -> Answer {
    let (out, from, pointer) = (context.int(0), context.int(1), context.word(2));
    check_copy(context, from, out)?;
    let start = position(context, from, pointer)?;
    let count = context.word(3).min(LONGEST_TRANSFER);
    let done = crate::calls::io::copy(context, (from, Some(start)), (out, None), count)?;
    put_position(context, from, pointer, start + done)?;
    Ok(done)
}

/// `copy_file_range(in, in offset, out, out offset, length, flags)`
pub(crate) fn copy_file_range(context: &mut Context<'_>) -> Answer {
    let (from, from_at) = (context.int(0), context.word(1));
    let (out, out_at) = (context.int(2), context.word(3));
    if context.uint(5) != 0 {
        return Err(EINVAL.into());
    }
    check_copy(context, from, out)?;
    let table = &context.state().descriptors;
    let (source, sink) = (table.get(from)?, table.get(out)?);
    let (Object::File(source), Object::File(sink_file)) = (&source.object, &sink.object) else {
        return Err(EXDEV.into());
    };
    let same = source.metadata()?.same_file(&sink_file.metadata()?);
    if sink.status & crate::wire::file::O_APPEND != 0 {
        return Err(EBADF.into());
    }
    let start = position(context, from, from_at)?;
    let target = position(context, out, out_at)?;
    let count = context.word(4).min(LONGEST_TRANSFER);
    let overlap = start < target.saturating_add(count) && target < start.saturating_add(count);
    if same && overlap && count > 0 {
        return Err(EINVAL.into());
    }
    let done = crate::calls::io::copy(context, (from, Some(start)), (out, Some(target)), count)?;
    put_position(context, from, from_at, start + done)?;
    put_position(context, out, out_at, target + done)?;
    Ok(done)
}

fn check_copy(context: &mut Context<'_>, from: i32, out: i32) -> Result<(), Failure> {
    let table = &context.state().descriptors;
    let (source, sink) = (table.get(from)?, table.get(out)?);
    if !source.readable() || !sink.writable() {
        return Err(EBADF.into());
    }
    if matches!(source.object, Object::Directory(_)) {
        return Err(EISDIR.into());
    }
    if !source.object.seekable() {
        return Err(EINVAL.into());
    }
    Ok(())
}

/// The position at a pointer, or the descriptor's own if that is null.
fn position(context: &Context<'_>, fd: i32, pointer: u64) -> Result<u64, Failure> {
    if pointer == 0 {
        return Ok(context.state().descriptors.get(fd)?.offset);
    }
    let at = u64::from_le_bytes(context.read(pointer)?);
    if i64::try_from(at).is_err() {
        return Err(EINVAL.into());
    }
    Ok(at)
}

fn put_position(context: &mut Context<'_>, fd: i32, pointer: u64, at: u64) -> Result<(), Failure> {
    if pointer == 0 {
        context.state_mut().descriptors.get_mut(fd)?.offset = at;
        return Ok(());
    }
    context.write(pointer, &at.to_le_bytes())
}
