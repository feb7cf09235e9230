//! The socket calls.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::network::message::{
    Arrived, Endpoint, MSG_TRUNC, Open, Outgoing, open, receive, send,
};
use crate::notice::Notice;
use crate::objects::object::{DescriptionId, Object};
use crate::objects::options::SOL_SOCKET;
use crate::objects::pair::{Kind, PairEnd, SEND_BUFFER};
use crate::objects::readiness::Events;
use crate::objects::socket::{Socket, SocketId};
use crate::process::block::Block;
use crate::wire::address::{AF_INET, AF_INET6, AF_UNIX, Address, LONGEST};
use crate::wire::errno::{
    EACCES, EAFNOSUPPORT, EAGAIN, EALREADY, EINPROGRESS, EINVAL, EISCONN, ENOPROTOOPT, ENOTTY,
    EOPNOTSUPP, EPROTONOSUPPORT, ESOCKTNOSUPPORT, Errno,
};
use crate::wire::file::{O_CLOEXEC, O_NONBLOCK, O_RDWR};
use crate::wire::ids::{PROCESS_ID, USER_ID};

/// Kind and flags in the type of `socket`.
fn kind(word: u32) -> Result<(Kind, u32), Errno> {
    // linux/net.h
    const STREAM: u32 = 1;
    const DGRAM: u32 = 2;
    const SEQPACKET: u32 = 5;
    let flags = word & !0xf;
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let kind = match word & 0xf {
        STREAM => Kind::Stream,
        DGRAM => Kind::Datagram,
        SEQPACKET => Kind::Packet,
        _ => return Err(ESOCKTNOSUPPORT),
    };
    Ok((kind, flags))
}

/// `socket(family, type, protocol)`
pub(crate) fn socket(context: &mut Context<'_>) -> Answer {
    let Ok(family) = u16::try_from(context.uint(0)) else {
        return Err(EAFNOSUPPORT.into());
    };
    if ![AF_UNIX, AF_INET, AF_INET6].contains(&family) {
        return Err(EAFNOSUPPORT.into());
    }
    let (kind, flags) = kind(context.uint(1))?;
    let protocol = context.uint(2);
    // linux/in.h: TCP, UDP
    let natural = match (family, kind) {
        (AF_UNIX, Kind::Stream | Kind::Datagram) => 0,
        (_, Kind::Stream) => 6,
        (_, Kind::Datagram) => 17,
        (_, Kind::Packet) => return Err(ESOCKTNOSUPPORT.into()),
    };
    if protocol != 0 && protocol != natural {
        return Err(EPROTONOSUPPORT.into());
    }
    context.check_free(1)?;
    let socket = Socket::new(family, kind == Kind::Stream, natural);
    let object = Object::Socket(SocketId(context.keep(socket)?));
    context.install(object, flags | O_RDWR)
}

/// `socketpair(family, type, protocol, descriptors)`
pub(crate) fn socketpair(context: &mut Context<'_>) -> Answer {
    let (kind, flags) = kind(context.uint(1))?;
    match context.uint(0) {
        1 if context.uint(2) > 1 => return Err(EPROTONOSUPPORT.into()),
        1 => {}
        2 | 10 => return Err(EOPNOTSUPP.into()),
        _ => return Err(EAFNOSUPPORT.into()),
    }
    context.check_free(2)?;
    context.check_writable(context.word(3), 8)?;
    let [first, second] = PairEnd::make(context, kind)?;
    let first = context.install(Object::Pair(first), flags | O_RDWR)?;
    let second = context.install(Object::Pair(second), flags | O_RDWR)?;
    let both = first | second << 32;
    context.write(context.word(3), &both.to_le_bytes())?;
    Ok(0)
}

/// The address at `at`.
pub(super) fn address(context: &Context<'_>, at: u64, length: u32) -> Result<Address, Failure> {
    let length = usize::try_from(length).map_err(|_| EINVAL)?;
    if length > LONGEST {
        return Err(EINVAL.into());
    }
    let mut bytes = vec![0; length];
    context.read_into(at, &mut bytes)?;
    Ok(Address::parse(&bytes)?)
}

/// Writes an address as far as there is room, and its full length where `length_at` says.
fn give_address(
    context: &mut Context<'_>,
    found: &Address,
    at: u64,
    length_at: u64,
) -> Result<(), Failure> {
    let room = u32::from_le_bytes(context.read(length_at)?);
    if room.cast_signed() < 0 {
        return Err(EINVAL.into());
    }
    let bytes = found.encode();
    let room = usize::try_from(room).map_err(|_| EINVAL)?.min(bytes.len());
    context.write(at, &bytes[..room])?;
    let length = u32::try_from(bytes.len()).map_err(|_| EINVAL)?;
    context.write(length_at, &length.to_le_bytes())
}

/// `connect(fd, address, length)`
pub(crate) fn connect(context: &mut Context<'_>) -> Answer {
    /// In [`Attempt::done`](crate::process::block::Attempt::done): it is under way.
    const STARTED: u64 = 1;
    let Open { id, end } = open(context.state(), context.int(0))?;
    let Endpoint::Socket(socket) = end else {
        return Err(EISCONN.into());
    };
    let to = address(context, context.word(1), context.uint(2))?;
    let answer = if context.attempt.done == STARTED {
        socket.connected(context)
    } else {
        socket.connect(context, &to)
    };
    match answer {
        Ok(()) => Ok(0),
        Err(Failure::Error(error @ (EINPROGRESS | EALREADY | EAGAIN))) => {
            if context.state().descriptors.description(id)?.nonblocking() || context.timed_out() {
                return Err(error.into());
            }
            let limit = socket.get(context.state())?.options.send_limit;
            let deadline = limit.map(|limit| context.deadline(limit));
            if error == EAGAIN {
                // So many wait at a socket file that it takes no more for now.
                return Err(Block::pause(context.guest.monotonic(), deadline).into());
            }
            context.attempt.done = STARTED;
            Err(context.wait_for(id, Events::OUT, deadline))
        }
        Err(failure) => Err(failure),
    }
}

/// `bind(fd, address, length)`: only to any address and port, which says nothing.
pub(crate) fn bind(context: &mut Context<'_>) -> Answer {
    let Open { end, .. } = open(context.state(), context.int(0))?;
    let wanted = address(context, context.word(1), context.uint(2))?;
    let Endpoint::Socket(socket) = end else {
        return Err(EINVAL.into());
    };
    let family = socket.get(context.state())?.family;
    let (any, name) = match &wanted {
        Address::Internet(at) => (at.ip().is_unspecified() && at.port() == 0, at.to_string()),
        Address::Unix(path) => {
            let text = format!("unix:{}", String::from_utf8_lossy(path));
            (path.is_empty(), text)
        }
        Address::Unspecified => return Err(EAFNOSUPPORT.into()),
    };
    if wanted.family() != family {
        return Err(EAFNOSUPPORT.into());
    }
    if !any {
        context.notice(Notice::Serve {
            call: "bind",
            at: &name,
        });
        return Err(EACCES.into());
    }
    Ok(0)
}

/// `listen(fd, backlog)`: nobody can connect to a program.
pub(crate) fn listen(context: &mut Context<'_>) -> Answer {
    match open(context.state(), context.int(0))?.end {
        Endpoint::Pair(_) => Err(EINVAL.into()),
        Endpoint::Socket(socket) if !socket.get(context.state())?.stream => Err(EOPNOTSUPP.into()),
        Endpoint::Socket(_) => {
            context.notice(Notice::Serve {
                call: "listen",
                at: "",
            });
            Err(EACCES.into())
        }
    }
}

/// `accept`, `accept4`: no socket listens.
pub(crate) fn accept(context: &mut Context<'_>) -> Answer {
    open(context.state(), context.int(0))?;
    Err(EINVAL.into())
}

/// `sendto(fd, buffer, length, flags, address, length)`
pub(crate) fn sendto(context: &mut Context<'_>) -> Answer {
    let fd = context.int(0);
    open(context.state(), fd)?;
    let to = match context.word(4) {
        0 => None,
        at => Some(address(context, at, context.uint(5))?),
    };
    let length = context.word(2).min(crate::wire::user::LONGEST_TRANSFER);
    let out = Outgoing {
        parts: vec![(context.word(1), length)],
        to,
        rights: Vec::new(),
        flags: context.uint(3),
    };
    send(context, fd, &out)
}

/// `recvfrom(fd, buffer, length, flags, address, length)`
pub(crate) fn recvfrom(context: &mut Context<'_>) -> Answer {
    let length = context.word(2).min(crate::wire::user::LONGEST_TRANSFER);
    let parts = vec![(context.word(1), length)];
    let flags = context.uint(3);
    let arrived = receive(context, context.int(0), &parts, flags)?;
    drop_rights(context, &arrived.rights);
    if let (Some(from), true) = (&arrived.from, context.word(4) != 0) {
        give_address(context, from, context.word(4), context.word(5))?;
    } else if context.word(4) != 0 {
        context.write(context.word(5), &0_u32.to_le_bytes())?;
    }
    Ok(result(&arrived, flags))
}

/// The length that is told.
pub(super) fn result(arrived: &Arrived, flags: u32) -> u64 {
    if flags & MSG_TRUNC != 0 {
        arrived.length.max(arrived.count)
    } else {
        arrived.count
    }
}

/// Nobody wants these descriptors.
pub(super) fn drop_rights(context: &mut Context<'_>, rights: &[DescriptionId]) {
    for &id in rights {
        context.state_mut().release(id);
    }
}

/// `shutdown(fd, how)`
pub(crate) fn shutdown(context: &mut Context<'_>) -> Answer {
    let Open { end, .. } = open(context.state(), context.int(0))?;
    let (read, write) = match context.uint(1) {
        0 => (true, false),
        1 => (false, true),
        2 => (true, true),
        _ => return Err(EINVAL.into()),
    };
    match end {
        Endpoint::Pair(pair) => pair.shut_down(context.state_mut(), read, write)?,
        Endpoint::Socket(socket) => socket.shut_down(context.state_mut(), read, write)?,
    }
    Ok(0)
}

/// `getsockname(fd, address, length)`
pub(crate) fn getsockname(context: &mut Context<'_>) -> Answer {
    name(context, false)
}

/// `getpeername(fd, address, length)`
pub(crate) fn getpeername(context: &mut Context<'_>) -> Answer {
    name(context, true)
}

fn name(context: &mut Context<'_>, peer: bool) -> Answer {
    let found = match open(context.state(), context.int(0))?.end {
        Endpoint::Pair(_) => Address::Unix(Vec::new()),
        Endpoint::Socket(socket) => socket.address(context.state(), peer)?,
    };
    give_address(context, &found, context.word(1), context.word(2))?;
    Ok(0)
}

/// `setsockopt(fd, level, name, value, length)`
pub(crate) fn setsockopt(context: &mut Context<'_>) -> Answer {
    let Open { end, .. } = open(context.state(), context.int(0))?;
    let (level, name) = (context.uint(1), context.uint(2));
    let length = usize::try_from(context.int(4)).map_err(|_| EINVAL)?;
    let mut value = vec![0; length.min(64)];
    context.read_into(context.word(3), &mut value)?;
    match end {
        Endpoint::Pair(pair) => {
            let options = pair.options_mut(context.state_mut())?;
            options.set(level, name, &value, None)?;
        }
        Endpoint::Socket(socket) => {
            let socket = socket.get_mut(context.state_mut())?;
            let host = socket.host().cloned();
            socket.options.set(level, name, &value, host.as_deref())?;
        }
    }
    Ok(0)
}

/// `getsockopt(fd, level, name, value, length)`
pub(crate) fn getsockopt(context: &mut Context<'_>) -> Answer {
    let Open { end, .. } = open(context.state(), context.int(0))?;
    let (level, name) = (context.uint(1), context.uint(2));
    let room = u32::from_le_bytes(context.read(context.word(4))?);
    let room = usize::try_from(room.cast_signed()).map_err(|_| EINVAL)?;
    let value = option(context, end, level, name)?;
    let count = room.min(value.len());
    context.write(context.word(3), &value[..count])?;
    let count = u32::try_from(count).map_err(|_| EINVAL)?;
    context.write(context.word(4), &count.to_le_bytes())?;
    Ok(0)
}

fn option(
    context: &mut Context<'_>,
    end: Endpoint,
    level: u32,
    name: u32,
) -> Result<Vec<u8>, Failure> {
    // asm-generic/socket.h
    const TYPE: u32 = 3;
    const ERROR: u32 = 4;
    const SNDBUF: u32 = 7;
    const PEERCRED: u32 = 17;
    const ACCEPTCONN: u32 = 30;
    const PROTOCOL: u32 = 38;
    const DOMAIN: u32 = 39;
    let number = |value: u32| Ok(value.to_le_bytes().to_vec());
    let (family, kind, protocol) = match end {
        Endpoint::Pair(pair) => {
            let kind = match pair.get(context.state())?.kind() {
                Kind::Stream => 1,
                Kind::Datagram => 2,
                Kind::Packet => 5,
            };
            (AF_UNIX, kind, 0)
        }
        Endpoint::Socket(socket) => {
            let socket = socket.get(context.state())?;
            let kind = if socket.stream { 1 } else { 2 };
            (socket.family, kind, socket.protocol)
        }
    };
    match (level, name, end) {
        (SOL_SOCKET, TYPE, _) => number(kind),
        (SOL_SOCKET, DOMAIN, _) => number(u32::from(family)),
        (SOL_SOCKET, PROTOCOL, _) => number(protocol),
        (SOL_SOCKET, ACCEPTCONN, _) => number(0),
        (SOL_SOCKET, ERROR, Endpoint::Pair(pair)) => {
            let error = pair.take_error(context.state_mut())?;
            number(error.map_or(0, Errno::number))
        }
        (SOL_SOCKET, ERROR, Endpoint::Socket(socket)) => {
            let error = socket.connection(context);
            match error {
                Err(Failure::Error(EINPROGRESS | EAGAIN | crate::wire::errno::ENOTCONN))
                | Ok(()) => number(0),
                Err(Failure::Error(error)) => number(error.number()),
                Err(failure) => Err(failure),
            }
        }
        (SOL_SOCKET, PEERCRED, Endpoint::Pair(_)) => {
            let ids = [PROCESS_ID, USER_ID, USER_ID];
            Ok(ids.iter().flat_map(|id| id.to_le_bytes()).collect())
        }
        (SOL_SOCKET, PEERCRED, _) => Err(ENOPROTOOPT.into()),
        // The buffer of a pair is as large as it is.
        (SOL_SOCKET, SNDBUF, Endpoint::Pair(_)) => {
            number(u32::try_from(SEND_BUFFER).unwrap_or(u32::MAX))
        }
        (_, _, Endpoint::Pair(pair)) => Ok(pair.options(context.state())?.get(level, name)?),
        (_, _, Endpoint::Socket(socket)) => {
            Ok(socket.get(context.state())?.options.get(level, name)?)
        }
    }
}

/// Requests of `ioctl`: how many bytes wait.
pub(crate) fn ioctl(context: &mut Context<'_>, fd: i32, request: u32, argument: u64) -> Answer {
    /// asm-generic/ioctls.h
    const FIONREAD: u32 = 0x541b;
    if request != FIONREAD {
        return Err(ENOTTY.into());
    }
    let waiting = match open(context.state(), fd)?.end {
        Endpoint::Pair(pair) => pair.waiting(context.state())?,
        Endpoint::Socket(socket) => socket.waiting(context.state())?,
    };
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    context.write(argument, &waiting.to_le_bytes())?;
    Ok(0)
}
