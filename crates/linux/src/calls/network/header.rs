//! Messages with all that goes along: `struct msghdr`, and many of them in one call.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::call::parts::vectors;
use crate::calls::network::message::{MSG_DONTWAIT, MSG_TRUNC, Outgoing, open, receive, send};
use crate::calls::network::socket::{address, drop_rights, result};
use crate::objects::object::DescriptionId;
use crate::objects::options::SOL_SOCKET;
use crate::wire::address::Address;
use crate::wire::errno::{EINVAL, EMSGSIZE, ENOBUFS};
use crate::wire::record::{Record, u32_at, u64_at};

/// Size of `struct msghdr`.
const HEADER: usize = 56;
/// The most ancillary data that a call can bring or take.
const MOST_CONTROL: u64 = 8192;
/// The most descriptors in a message (`SCM_MAX_FD` in net/scm.h).
const MOST_RIGHTS: usize = 253;
/// `SCM_RIGHTS` in linux/socket.h.
const SCM_RIGHTS: u32 = 1;
/// `MSG_CTRUNC`
const MSG_CTRUNC: u32 = 8;
/// `MSG_CMSG_CLOEXEC`
const MSG_CMSG_CLOEXEC: u32 = 0x4000_0000;

/// A `struct msghdr`.
struct Header {
    name: u64,
    name_length: u32,
    parts: crate::call::parts::Parts,
    control: u64,
    control_length: u64,
}

fn header(context: &Context<'_>, at: u64) -> Result<Header, Failure> {
    let bytes: [u8; HEADER] = context.read(at)?;
    let parts = match vectors(context, u64_at(&bytes, 16), u64_at(&bytes, 24)) {
        // Of messages that is another error than of `writev`.
        Err(Failure::Error(EINVAL)) if u64_at(&bytes, 24) > 1024 => {
            return Err(EMSGSIZE.into());
        }
        parts => parts?,
    };
    Ok(Header {
        name: u64_at(&bytes, 0),
        name_length: u32_at(&bytes, 8),
        parts,
        control: u64_at(&bytes, 32),
        control_length: u64_at(&bytes, 40),
    })
}

/// `sendmsg(fd, message, flags)`
pub(crate) fn sendmsg(context: &mut Context<'_>) -> Answer {
    send_message(context, context.word(1), context.uint(2))
}

fn send_message(context: &mut Context<'_>, at: u64, flags: u32) -> Answer {
    let fd = context.int(0);
    open(context.state(), fd)?;
    let header = header(context, at)?;
    let to = match header.name {
        0 => None,
        at => Some(address(context, at, header.name_length)?),
    };
    let rights = rights(context, &header)?;
    let out = Outgoing {
        parts: header.parts,
        to,
        rights,
        flags,
    };
    send(context, fd, &out)
}

/// The descriptors in the ancillary data of a message.
fn rights(context: &Context<'_>, header: &Header) -> Result<Vec<DescriptionId>, Failure> {
    if header.control == 0 || header.control_length == 0 {
        return Ok(Vec::new());
    }
    if header.control_length > MOST_CONTROL {
        return Err(ENOBUFS.into());
    }
    let mut bytes = vec![0; usize::try_from(header.control_length).map_err(|_| EINVAL)?];
    context.read_into(header.control, &mut bytes)?;
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    // struct cmsghdr: length, level, type; each aligned to 8 bytes.
    while rest.len() >= 16 {
        let length = usize::try_from(u64_at(rest, 0)).map_err(|_| EINVAL)?;
        let data = rest.get(16..length).ok_or(EINVAL)?;
        if (u32_at(rest, 8), u32_at(rest, 12)) == (SOL_SOCKET, SCM_RIGHTS) {
            for fd in data.chunks_exact(4) {
                let fd = u32_at(fd, 0).cast_signed();
                found.push(context.state().descriptors.id(fd)?);
            }
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    if found.len() > MOST_RIGHTS {
        return Err(EINVAL.into());
    }
    Ok(found)
}

/// `recvmsg(fd, message, flags)`
pub(crate) fn recvmsg(context: &mut Context<'_>) -> Answer {
    receive_message(context, context.word(1), context.uint(2))
}

fn receive_message(context: &mut Context<'_>, at: u64, flags: u32) -> Answer {
    let header = header(context, at)?;
    context.check_writable(at, HEADER as u64)?;
    let arrived = receive(context, context.int(0), &header.parts, flags)?;
    let mut told = 0;
    if arrived.length > arrived.count {
        told |= MSG_TRUNC;
    }
    if header.name != 0 {
        let bytes = arrived
            .from
            .as_ref()
            .map(Address::encode)
            .unwrap_or_default();
        let room = usize::try_from(header.name_length).map_err(|_| EINVAL)?;
        context.write(header.name, &bytes[..room.min(bytes.len())])?;
        let length = u32::try_from(bytes.len()).map_err(|_| EINVAL)?;
        context.write(at + 8, &length.to_le_bytes())?;
    }
    let (control, cut) = give_rights(context, &header, &arrived.rights, flags)?;
    if cut {
        told |= MSG_CTRUNC;
    }
    context.write(at + 40, &control.to_le_bytes())?;
    context.write(at + 48, &told.to_le_bytes())?;
    Ok(result(&arrived, flags))
}

/// Opens descriptors that arrived, as many as there is room for, and writes their numbers. Returns
/// the length of the ancillary data, and whether some were lost.
fn give_rights(
    context: &mut Context<'_>,
    header: &Header,
    rights: &[DescriptionId],
    flags: u32,
) -> Result<(u64, bool), Failure> {
    let room = header.control_length.min(MOST_CONTROL).saturating_sub(16) / 4;
    let room = if header.control == 0 { 0 } else { room };
    let room = usize::try_from(room).unwrap_or(0).min(rights.len());
    let mut numbers = Vec::new();
    for &id in &rights[..room] {
        match context.install_held(id, flags & MSG_CMSG_CLOEXEC != 0) {
            Ok(number) => numbers.push(number),
            Err(_) => break,
        }
    }
    drop_rights(context, rights);
    let cut = numbers.len() < rights.len();
    if numbers.is_empty() {
        return Ok((0, cut));
    }
    let length = 16 + 4 * numbers.len() as u64;
    let head = Record::<16>::new()
        .u64(0, length)
        .u32(8, SOL_SOCKET)
        .u32(12, SCM_RIGHTS);
    let mut bytes = head.as_bytes().to_vec();
    for number in numbers {
        bytes.extend_from_slice(&u32::try_from(number).unwrap_or(0).to_le_bytes());
    }
    context.write(header.control, &bytes)?;
    Ok((length.next_multiple_of(8).min(header.control_length), cut))
}

/// Size of `struct mmsghdr`: a message, and what became of it.
const SLOT: u64 = 64;
/// The most messages of one call (`UIO_MAXIOV` in linux/uio.h).
const MOST_MESSAGES: u64 = 1024;

/// `sendmmsg(fd, messages, count, flags)`
pub(crate) fn sendmmsg(context: &mut Context<'_>) -> Answer {
    let flags = context.uint(3);
    each(context, |context, at, _| send_message(context, at, flags))
}

/// `recvmmsg(fd, messages, count, flags, time)`: waits for the first message only.
pub(crate) fn recvmmsg(context: &mut Context<'_>) -> Answer {
    /// `MSG_WAITFORONE` in linux/socket.h.
    const WAIT_FOR_ONE: u32 = 0x10000;
    let flags = context.uint(3) & !WAIT_FOR_ONE;
    each(context, |context, at, first| {
        let flags = if first { flags } else { flags | MSG_DONTWAIT };
        receive_message(context, at, flags)
    })
}

/// Makes a call for each of the messages in arguments 1 and 2; those before a failure count.
fn each(
    context: &mut Context<'_>,
    mut call: impl FnMut(&mut Context<'_>, u64, bool) -> Answer,
) -> Answer {
    let count = u64::from(context.uint(2)).min(MOST_MESSAGES);
    for index in 0..count {
        let at = context.word(1).wrapping_add(index * SLOT);
        match call(context, at, index == 0) {
            Ok(length) => {
                let length = u32::try_from(length).unwrap_or(u32::MAX);
                context.write(at.wrapping_add(HEADER as u64), &length.to_le_bytes())?;
            }
            Err(failure @ Failure::Stop(_)) => return Err(failure),
            Err(failure) if index == 0 => return Err(failure),
            // A part of a stream's message has gone out: it must not be sent once more.
            Err(Failure::Block(_)) if context.attempt.done > 0 => {
                let length = u32::try_from(context.attempt.done).unwrap_or(u32::MAX);
                context.write(at.wrapping_add(HEADER as u64), &length.to_le_bytes())?;
                return Ok(index + 1);
            }
            Err(_) => return Ok(index),
        }
        context.attempt.done = 0;
        context.checkpoint()?;
    }
    Ok(count)
}
