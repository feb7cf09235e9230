//! Sending and receiving on either kind of socket: pieces, waiting, and what goes along.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::call::parts::{Parts, gather, next_piece, scatter};
use crate::calls::network::pair::is_broken;
use crate::objects::object::{DescriptionId, Object};
use crate::objects::pair::{Kind, PairEnd, SEND_BUFFER};
use crate::objects::readiness::Events;
use crate::objects::socket::SocketId;
use crate::process::block::Block;
use crate::process::state::State;
use crate::wire::address::Address;
use crate::wire::errno::{EAGAIN, EFAULT, EINVAL, EISCONN, EMSGSIZE, ENOTSOCK, EOPNOTSUPP, Errno};
use crate::wire::user::check_user_range;

// linux/socket.h
pub(super) const MSG_OOB: u32 = 0x1;
pub(super) const MSG_PEEK: u32 = 0x2;
pub(super) const MSG_TRUNC: u32 = 0x20;
pub(super) const MSG_DONTWAIT: u32 = 0x40;
const MSG_WAITALL: u32 = 0x100;
const MSG_NOSIGNAL: u32 = 0x4000;
const MSG_ERRQUEUE: u32 = 0x2000;

/// Bytes that are moved at a time.
const PIECE: usize = 64 * 1024;

/// A socket of either kind.
#[derive(Debug, Clone, Copy)]
pub(super) enum Endpoint {
    Pair(PairEnd),
    Socket(SocketId),
}

/// A socket and its description.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) id: DescriptionId,
    pub(super) end: Endpoint,
}

/// The socket of a descriptor.
pub(super) fn open(state: &State, fd: i32) -> Result<Open, Errno> {
    let id = state.descriptors.id(fd)?;
    let end = match state.descriptors.description(id)?.object {
        Object::Pair(end) => Endpoint::Pair(end),
        Object::Socket(socket) => Endpoint::Socket(socket),
        _ => return Err(ENOTSOCK),
    };
    Ok(Open { id, end })
}

impl Endpoint {
    fn is_stream(self, state: &State) -> Result<bool, Errno> {
        match self {
            Self::Pair(end) => Ok(end.get(state)?.kind() == Kind::Stream),
            Self::Socket(socket) => Ok(socket.get(state)?.stream),
        }
    }

    /// How long it waits to send or to receive.
    fn limit(self, state: &State, send: bool) -> Option<Duration> {
        let options = match self {
            Self::Socket(socket) => &socket.get(state).ok()?.options,
            Self::Pair(pair) => pair.options(state).ok()?,
        };
        if send {
            options.send_limit
        } else {
            options.receive_limit
        }
    }
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) parts: Parts,
    pub(super) to: Option<Address>,
    pub(super) rights: Vec<DescriptionId>,
    pub(super) flags: u32,
}

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    /// Bytes that were put into the guest's memory.
    pub(super) count: u64,
    /// Length of the message, which may be more.
    pub(super) length: u64,
    pub(super) from: Option<Address>,
    pub(super) rights: Vec<DescriptionId>,
}

/// Parks a call that receives, or sends `out`, or says that there is nothing now.
fn wait(context: &mut Context<'_>, open: Open, flags: u32, out: Option<&Outgoing>) -> Failure {
    let send = out.is_some();
    let description = context.state().descriptors.description(open.id);
    let nonblocking = description.is_ok_and(|open| open.nonblocking());
    if nonblocking || flags & MSG_DONTWAIT != 0 || context.timed_out() {
        return EAGAIN.into();
    }
    let limit = open.end.limit(context.state(), send);
    if limit == Some(Duration::ZERO) {
        return EAGAIN.into();
    }
    let deadline = limit.map(|limit| context.deadline(limit));
    // A socket that is not connected does not tell when the reader of another one has room.
    if matches!(
        out,
        Some(Outgoing {
            to: Some(Address::Unix(_)),
            ..
        })
    ) {
        return Block::pause(context.guest.monotonic(), deadline).into();
    }
    let wanted = if send { Events::OUT } else { Events::IN };
    match context.wait_for(open.id, wanted, deadline) {
        // With a limit, a signal's handler ends the call whatever it was installed with.
        Failure::Block(block) if limit.is_some() => Block {
            restart: false,
            ..block
        }
        .into(),
        failure => failure,
    }
}

fn total(parts: &[(u64, u64)]) -> u64 {
    parts.iter().map(|&(_, length)| length).sum()
}

/// Sends: of a stream all, a message whole.
pub(super) fn send(context: &mut Context<'_>, fd: i32, out: &Outgoing) -> Answer {
    let open = open(context.state(), fd)?;
    if out.flags & MSG_OOB != 0 {
        return Err(EOPNOTSUPP.into());
    }
    for &(address, length) in &out.parts {
        check_user_range(address, length)?;
    }
    let stream = open.end.is_stream(context.state())?;
    let total = total(&out.parts);
    if !stream && total > SEND_BUFFER as u64 {
        return Err(EMSGSIZE.into());
    }
    let most = if stream { PIECE } else { SEND_BUFFER };
    // A call that had to wait goes on where it was.
    let mut done = context.attempt.done;
    loop {
        let piece = next_piece(&out.parts, done, most).unwrap_or_default();
        let (bytes, complete) = gather(context, &piece);
        if !complete && (bytes.is_empty() || !stream) {
            return finish(done, EFAULT.into());
        }
        match send_once(context, open, out, &bytes, done == 0) {
            Ok(count) => {
                done += count as u64;
                if !stream || !complete || done >= total {
                    return Ok(done);
                }
            }
            Err(Failure::Error(EAGAIN)) => {
                let failure = wait(context, open, out.flags, Some(out));
                if matches!(failure, Failure::Block(_))
                    && !(context.attempt.interrupted && done > 0)
                {
                    context.attempt.done = done;
                    return Err(failure);
                }
                return finish(done, failure);
            }
            Err(failure) => {
                if done == 0 && is_broken(&failure) && out.flags & MSG_NOSIGNAL == 0 {
                    return Err(context.broken_pipe());
                }
                return finish(done, failure);
            }
        }
        context.checkpoint()?;
    }
}

/// What was moved counts, if anything was.
fn finish(done: u64, failure: Failure) -> Answer {
    match failure {
        Failure::Stop(_) => Err(failure),
        _ if done > 0 => Ok(done),
        _ => Err(failure),
    }
}

fn send_once(
    context: &mut Context<'_>,
    open: Open,
    out: &Outgoing,
    bytes: &[u8],
    first: bool,
) -> Result<usize, Failure> {
    match open.end {
        Endpoint::Pair(_) if out.to.is_some() => Err(EISCONN.into()),
        Endpoint::Pair(end) => {
            let rights = if first { out.rights.as_slice() } else { &[] };
            end.send(context, bytes, rights)
        }
        // What crosses to the host is bytes.
        Endpoint::Socket(_) if !out.rights.is_empty() => Err(EINVAL.into()),
        Endpoint::Socket(socket) => socket.send(context, bytes, out.to.as_ref()),
    }
}

/// Receives into parts of guest memory.
pub(super) fn receive(
    context: &mut Context<'_>,
    fd: i32,
    parts: &[(u64, u64)],
    flags: u32,
) -> Result<Arrived, Failure> {
    let open = open(context.state(), fd)?;
    if flags & MSG_OOB != 0 {
        return Err(EINVAL.into());
    }
    if flags & MSG_ERRQUEUE != 0 {
        return Err(EAGAIN.into());
    }
    for &(address, length) in parts {
        context.check_writable(address, length)?;
    }
    let stream = open.end.is_stream(context.state())?;
    let peek = flags & MSG_PEEK != 0;
    let all = stream && flags & MSG_WAITALL != 0 && !peek;
    let most = if stream { PIECE } else { SEND_BUFFER };
    let total = total(parts);
    let mut arrived = Arrived {
        count: context.attempt.done,
        ..Arrived::default()
    };
    loop {
        let piece = next_piece(parts, arrived.count, most).unwrap_or_default();
        let room = piece.iter().map(|&(_, length)| length).sum::<u64>();
        let room = usize::try_from(room).map_err(|_| EINVAL)?;
        let bytes = match receive_once(context, open, room, peek, &mut arrived) {
            Ok(bytes) => bytes,
            Err(Failure::Error(EAGAIN)) => {
                let failure = wait(context, open, flags, None);
                let blocks = matches!(failure, Failure::Block(_));
                if arrived.count == 0 || (blocks && all && !context.attempt.interrupted) {
                    context.attempt.done = arrived.count;
                    return Err(failure);
                }
                break;
            }
            Err(failure) if arrived.count == 0 => return Err(failure),
            Err(_) => break,
        };
        let (written, complete) = scatter(context, &piece, &bytes);
        arrived.count += written;
        if !complete && arrived.count == 0 {
            return Err(EFAULT.into());
        }
        let full = bytes.len() == room;
        let ended = bytes.is_empty() || arrived.count >= total || !arrived.rights.is_empty();
        if !complete || !stream || peek || ended || !(all || full) {
            break;
        }
        context.checkpoint()?;
    }
    if stream {
        arrived.length = arrived.count;
    }
    Ok(arrived)
}

fn receive_once(
    context: &mut Context<'_>,
    open: Open,
    room: usize,
    peek: bool,
    arrived: &mut Arrived,
) -> Result<Vec<u8>, Failure> {
    match open.end {
        Endpoint::Pair(end) => {
            let found = end.receive(context, room, peek)?;
            arrived.length = found.length as u64;
            if !peek {
                arrived.rights.extend(found.rights);
            }
            Ok(found.bytes)
        }
        Endpoint::Socket(socket) => {
            let found = socket.receive(context, room, peek)?;
            arrived.length = found.length as u64;
            arrived.from = found.from;
            Ok(found.bytes)
        }
    }
}

/// `read` and its relatives, on a socket.
pub(crate) fn read(context: &mut Context<'_>, fd: i32, parts: &[(u64, u64)]) -> Answer {
    if total(parts) == 0 {
        return Ok(0);
    }
    let arrived = receive(context, fd, parts, 0)?;
    for id in arrived.rights {
        context.state_mut().release(id);
    }
    Ok(arrived.count)
}

/// `write` and its relatives, on a socket.
pub(crate) fn write(context: &mut Context<'_>, fd: i32, parts: &[(u64, u64)]) -> Answer {
    let out = Outgoing {
        parts: parts.to_vec(),
        ..Outgoing::default()
    };
    send(context, fd, &out)
}
