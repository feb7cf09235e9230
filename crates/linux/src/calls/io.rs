//! `read`, `write` and their relatives: from and to whatever is open.
//!
//! Bytes go in pieces of at most [`OUTPUT_PIECE`], with a look at the clock between two. What was
//! moved before something went wrong counts; the trouble shows at the next call.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::call::parts::{Parts, gather, next_piece, scatter, vectors};
use crate::calls::{network, transfer};
use crate::host::OUTPUT_PIECE;
use crate::objects::object::{DescriptionId, Object};
use crate::wire::errno::{EBADF, EFAULT, EINVAL, ENXIO, EOPNOTSUPP, EOVERFLOW, ESPIPE, Errno};
use crate::wire::user::{LONGEST_TRANSFER, check_user_range};

/// Where a transfer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// At the description's offset, which moves.
    Current,
    /// There; the offset stays.
    At(u64),
}

/// `read(fd, buffer, length)`
pub(crate) fn read(context: &mut Context<'_>) -> Answer {
    let part = one_part(context)?;
    receive(context, &[part], Position::Current)
}

/// `readv(fd, vectors, count)`
pub(crate) fn readv(context: &mut Context<'_>) -> Answer {
    let parts = open_and_vectors(context)?;
    receive(context, &parts, Position::Current)
}

/// `pread64(fd, buffer, length, offset)`
pub(crate) fn pread(context: &mut Context<'_>) -> Answer {
    let part = one_part(context)?;
    let position = Position::At(offset(context.word(3))?);
    receive(context, &[part], position)
}

/// `preadv(fd, vectors, count, offset)`
pub(crate) fn preadv(context: &mut Context<'_>) -> Answer {
    let position = Position::At(offset(context.word(3))?);
    let parts = open_and_vectors(context)?;
    receive(context, &parts, position)
}

/// `preadv2(fd, vectors, count, offset, unused, flags)`
pub(crate) fn preadv2(context: &mut Context<'_>) -> Answer {
    let position = position2(context)?;
    let parts = open_and_vectors(context)?;
    receive(context, &parts, position)
}

/// `write(fd, buffer, length)`
pub(crate) fn write(context: &mut Context<'_>) -> Answer {
    let part = one_part(context)?;
    send(context, &[part], Position::Current)
}

/// `writev(fd, vectors, count)`
pub(crate) fn writev(context: &mut Context<'_>) -> Answer {
    let parts = open_and_vectors(context)?;
    send(context, &parts, Position::Current)
}

/// `pwrite64(fd, buffer, length, offset)`
pub(crate) fn pwrite(context: &mut Context<'_>) -> Answer {
    let part = one_part(context)?;
    let position = Position::At(offset(context.word(3))?);
    send(context, &[part], position)
}

/// `pwritev(fd, vectors, count, offset)`
pub(crate) fn pwritev(context: &mut Context<'_>) -> Answer {
    let position = Position::At(offset(context.word(3))?);
    let parts = open_and_vectors(context)?;
    send(context, &parts, position)
}

/// `pwritev2(fd, vectors, count, offset, unused, flags)`
pub(crate) fn pwritev2(context: &mut Context<'_>) -> Answer {
    let position = position2(context)?;
    let parts = open_and_vectors(context)?;
    send(context, &parts, position)
}

fn offset(word: u64) -> Result<u64, Errno> {
    i64::try_from(word).map_err(|_| EINVAL)?;
    Ok(word)
}

/// Offset and flags of the second generation: -1 is the current position.
fn position2(context: &Context<'_>) -> Result<Position, Errno> {
    // RWF_HIPRI, RWF_DSYNC, RWF_SYNC in linux/fs.h: no difference here.
    const HARMLESS: u32 = 7;
    if context.uint(5) & !HARMLESS != 0 {
        return Err(EOPNOTSUPP);
    }
    match context.word(3) {
        u64::MAX => Ok(Position::Current),
        word => Ok(Position::At(offset(word)?)),
    }
}

/// Buffer and length in arguments 1 and 2. The descriptor is looked at first.
fn one_part(context: &Context<'_>) -> Result<(u64, u64), Failure> {
    context.state().descriptors.get(context.int(0))?;
    Ok((context.word(1), context.word(2).min(LONGEST_TRANSFER)))
}

/// The vectors in arguments 1 and 2. The descriptor is looked at first.
fn open_and_vectors(context: &Context<'_>) -> Result<Parts, Failure> {
    context.state().descriptors.get(context.int(0))?;
    vectors(context, context.word(1), context.word(2))
}

/// What a transfer works on.
struct Open {
    id: DescriptionId,
    object: Object,
    /// Where it starts.
    at: u64,
}

fn open(context: &Context<'_>, fd: i32, position: Position, write: bool) -> Result<Open, Failure> {
    let table = &context.state().descriptors;
    let id = table.id(fd)?;
    let open = table.description(id)?;
    let at = match position {
        Position::At(_) if !open.object.seekable() => return Err(ESPIPE.into()),
        Position::At(at) => at,
        Position::Current => open.offset,
    };
    if !(if write {
        open.writable()
    } else {
        open.readable()
    }) {
        return Err(EBADF.into());
    }
    Ok(Open {
        id,
        object: open.object.clone(),
        at,
    })
}

/// Moves the offset to the end of a transfer.
fn advance(context: &mut Context<'_>, open: &Open, position: Position, done: u64, write: bool) {
    if position == Position::Current && done > 0 && open.object.seekable() {
        let end = open.at.saturating_add(done);
        let descriptors = &mut context.state_mut().descriptors;
        // What is appended moves the offset itself.
        if let Ok(open) = descriptors.description_mut(open.id)
            && !(write && open.appends())
        {
            open.offset = end;
        }
    }
}

/// Reads into parts of guest memory.
fn receive(context: &mut Context<'_>, parts: &[(u64, u64)], position: Position) -> Answer {
    let fd = context.int(0);
    let open = open(context, fd, position, false)?;
    if open.object.is_socket() {
        return network::read(context, fd, parts);
    }
    for &(address, length) in parts {
        check_user_range(address, length)?;
        if open.object.consumes() {
            context.check_writable(address, length)?;
        }
    }
    let mut done = 0;
    let mut end = Ok(());
    while let Some(piece) = next_piece(parts, done, OUTPUT_PIECE) {
        let wanted: u64 = piece.iter().map(|&(_, length)| length).sum();
        let mut bytes = vec![0; usize::try_from(wanted).map_err(|_| EINVAL)?];
        let at = open.at.saturating_add(done);
        match transfer::read(context, &open.object, open.id, at, &mut bytes) {
            Ok(found) => {
                let (written, complete) =
                    scatter(context, &piece, &bytes[..found.min(bytes.len())]);
                done += written;
                if !complete {
                    end = Err(EFAULT.into());
                }
                if !complete || found == 0 || found < bytes.len() {
                    break;
                }
            }
            Err(failure) => {
                end = Err(failure);
                break;
            }
        }
        context.checkpoint()?;
    }
    advance(context, &open, position, done, false);
    finish(done, end)
}

/// What a transfer answers: what was moved counts, unless that is nothing, or the guest's time is
/// over.
fn finish(done: u64, end: Result<(), Failure>) -> Answer {
    match end {
        Err(failure @ Failure::Stop(_)) => Err(failure),
        Err(failure) if done == 0 => Err(failure),
        _ => Ok(done),
    }
}

/// Writes parts of guest memory.
fn send(context: &mut Context<'_>, parts: &[(u64, u64)], position: Position) -> Answer {
    let fd = context.int(0);
    let open = open(context, fd, position, true)?;
    if open.object.is_socket() {
        return network::write(context, fd, parts);
    }
    for &(address, length) in parts {
        check_user_range(address, length)?;
    }
    // A call that had to wait goes on where it was.
    let mut done = context.attempt.done;
    let mut end = Ok(());
    while let Some(piece) = next_piece(parts, done, OUTPUT_PIECE) {
        if done > 0 {
            context.checkpoint()?;
        }
        let (bytes, complete) = gather(context, &piece);
        if bytes.is_empty() && !complete {
            end = Err(EFAULT.into());
            break;
        }
        let at = open.at.saturating_add(done);
        match transfer::write(context, &open.object, open.id, at, &bytes) {
            Ok(count) => {
                done += count as u64;
                // A pipe is asked again, and then says whether the call waits.
                let short = count < bytes.len() && !matches!(open.object, Object::Pipe(_));
                if short || !complete || bytes.is_empty() {
                    break;
                }
            }
            Err(failure) => {
                end = Err(failure);
                break;
            }
        }
    }
    if let Err(Failure::Block(block)) = end {
        if !context.attempt.interrupted || done == 0 {
            context.attempt.done = done;
            return Err(block.into());
        }
        end = Ok(());
    }
    advance(context, &open, position, done, true);
    finish(done, end)
}

/// Copies from one descriptor to another, each at a position or at its own.
pub(crate) fn copy(
    context: &mut Context<'_>,
    (from, start): (i32, Option<u64>),
    (to, target): (i32, Option<u64>),
    count: u64,
) -> Result<u64, Failure> {
    let at = |start: Option<u64>| start.map_or(Position::Current, Position::At);
    let source = open(context, from, at(start), false)?;
    let sink = open(context, to, at(target), true)?;
    let (mut done, mut end) = (0, Ok(()));
    while done < count {
        let room = (count - done).min(OUTPUT_PIECE as u64);
        let mut bytes = vec![0; usize::try_from(room).map_err(|_| EINVAL)?];
        let from = source.at.saturating_add(done);
        let moved = match transfer::read(context, &source.object, source.id, from, &mut bytes) {
            Ok(0) => break,
            Ok(found) => {
                bytes.truncate(found);
                let to = sink.at.saturating_add(done);
                transfer::write(context, &sink.object, sink.id, to, &bytes)
            }
            Err(failure) => Err(failure),
        };
        match moved {
            Ok(moved) => {
                done += moved as u64;
                if moved < bytes.len() {
                    break;
                }
            }
            Err(failure) => {
                end = Err(failure);
                break;
            }
        }
        context.checkpoint()?;
    }
    advance(context, &sink, at(target), done, true);
    finish(done, end)
}

/// `lseek(fd, offset, whence)`
pub(crate) fn lseek(context: &mut Context<'_>) -> Answer {
    // linux/fs.h
    const SET: u32 = 0;
    const CURRENT: u32 = 1;
    const END: u32 = 2;
    const DATA: u32 = 3;
    const HOLE: u32 = 4;
    let (fd, wanted, whence) = (
        context.int(0),
        context.word(1).cast_signed(),
        context.uint(2),
    );
    let open = context.state().descriptors.get(fd)?;
    if open.is_place() {
        return Err(EBADF.into());
    }
    if !open.object.seekable() {
        return Err(ESPIPE.into());
    }
    let from = match whence {
        SET => 0,
        CURRENT => open.offset,
        END | DATA | HOLE => transfer::size(context.state(), &open.object)?,
        _ => return Err(EINVAL.into()),
    };
    let from = i64::try_from(from).map_err(|_| EOVERFLOW)?;
    let to = match whence {
        // The whole of a file counts as data; the hole is at its end.
        DATA | HOLE if wanted < 0 || wanted >= from => return Err(ENXIO.into()),
        DATA => wanted,
        HOLE => from,
        _ => from.checked_add(wanted).ok_or(EOVERFLOW)?,
    };
    let to = u64::try_from(to).map_err(|_| EINVAL)?;
    if to != open.offset {
        context.state_mut().descriptors.get_mut(fd)?.offset = to;
    }
    Ok(to)
}

#[cfg(test)]
mod tests;
