//! A socket that may have a host socket behind it: connecting, sending and receiving.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrAny, SocketAddrUnix};

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::calls::network::permit::{Target, learn, permit, permit_query};
use crate::objects::socket::{Behind, Socket, SocketId, ready};
use crate::process::state::State;
use crate::wire::address::{AF_INET, AF_INET6, Address};
use crate::wire::errno::{
    EAFNOSUPPORT, EAGAIN, ECONNRESET, EDESTADDRREQ, EINPROGRESS, ENOTCONN, EPIPE, Errno,
};

/// What was received.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    pub(super) bytes: Vec<u8>,
    /// Length of the message, of which `bytes` may be a part.
    pub(super) length: usize,
    pub(super) from: Option<Address>,
}

impl SocketId {
    pub(super) fn get(self, state: &State) -> Result<&Socket, Errno> {
        state.object(self.0)
    }

    pub(super) fn get_mut(self, state: &mut State) -> Result<&mut Socket, Errno> {
        state.object_mut(self.0)
    }

    fn open(self, context: &mut Context<'_>) -> Result<Arc<OwnedFd>, Errno> {
        if let Some(host) = self.get(context.state())?.host() {
            return Ok(Arc::clone(host));
        }
        let sockets = context.state().objects.sockets.iter();
        let others = sockets.filter(|socket| socket.host().is_some()).count();
        self.get_mut(context.state_mut())?.open(others)
    }

    /// Connects; `EINPROGRESS` if that takes time.
    pub(super) fn connect(self, context: &mut Context<'_>, to: &Address) -> Result<(), Failure> {
        let socket = self.get(context.state())?;
        let (family, stream) = (socket.family, socket.stream);
        if *to == Address::Unspecified {
            if let Some(host) = socket.host() {
                rustix::net::connect_unspec(host).map_err(Errno::from)?;
            }
            self.get_mut(context.state_mut())?.resolver = false;
            return Ok(());
        }
        if to.family() != family {
            return Err(EAFNOSUPPORT.into());
        }
        // Whether it is connected already is for the host to say.
        let target = permit(context, to, stream)?;
        let host = self.open(context)?;
        let socket = self.get_mut(context.state_mut())?;
        socket.edges.hang_up();
        let answer = match &target {
            Target::Internet(address) | Target::Resolver(address) => {
                rustix::net::connect(&host, address)
            }
            Target::Unix(path) => rustix::net::connect(&host, path),
        };
        let answer = answer.map_err(Errno::from);
        if answer.is_ok() || answer == Err(EINPROGRESS) {
            socket.resolver = matches!(target, Target::Resolver(_));
        }
        Ok(answer?)
    }

    /// How a connection that took time came out; `EINPROGRESS` as long as it is not known.
    pub(super) fn connection(self, context: &mut Context<'_>) -> Result<(), Failure> {
        let socket = self.get(context.state())?;
        let host = Arc::clone(socket.host().ok_or(ENOTCONN)?);
        if ready(&host).is_empty() {
            return Err(EINPROGRESS.into());
        }
        let error = rustix::net::sockopt::socket_error(&host).map_err(Errno::from)?;
        self.get_mut(context.state_mut())?.edges.hang_up();
        Ok(error.map_err(Errno::from)?)
    }

    /// The same for a call that waited. Linux answers the first `connect` after an attempt has ended
    /// with its result, and only later ones with `EISCONN`: the first one is made here.
    pub(super) fn connected(self, context: &mut Context<'_>) -> Result<(), Failure> {
        self.connection(context)?;
        let host = self.get(context.state())?.host().ok_or(ENOTCONN)?;
        if let Ok(Some(peer)) = rustix::net::getpeername(host) {
            let _ = rustix::net::connect(host, &peer);
        }
        Ok(())
    }

    pub(super) fn send(
        self,
        context: &mut Context<'_>,
        bytes: &[u8],
        to: Option<&Address>,
    ) -> Result<usize, Failure> {
        let socket = self.get(context.state())?;
        let (family, stream) = (socket.family, socket.stream);
        if matches!(socket.host, Behind::Broken) {
            return Err(if stream { EPIPE } else { ECONNRESET }.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = match to {
            Some(to) if !stream => {
                if to.family() != family {
                    return Err(EAFNOSUPPORT.into());
                }
                let target = permit(context, to, stream)?;
                if matches!(target, Target::Resolver(_)) {
                    permit_query(context, bytes)?;
                }
                let host = self.open(context)?;
                match &target {
                    Target::Internet(to) | Target::Resolver(to) => {
                        rustix::net::sendto(&host, bytes, flags, to)
                    }
                    Target::Unix(to) => rustix::net::sendto(&host, bytes, flags, to),
                }
            }
            _ => {
                let missing = if stream { ENOTCONN } else { EDESTADDRREQ };
                let host = Arc::clone(socket.host().ok_or(missing)?);
                if socket.resolver {
                    permit_query(context, bytes)?;
                }
                rustix::net::send(&host, bytes, flags)
            }
        };
        let sent = sent.map_err(Errno::from);
        let filled = sent.is_ok_and(|sent| sent < bytes.len()) || sent == Err(EAGAIN);
        Ok(context.state_mut().attempt(self.0, |socket: &mut Socket| {
            socket.edges.output += u64::from(filled);
            sent
        })?)
    }

    pub(super) fn receive(
        self,
        context: &mut Context<'_>,
        length: usize,
        peek: bool,
    ) -> Result<Incoming, Failure> {
        let socket = self.get(context.state())?;
        let host = match &socket.host {
            Behind::Open(host) => Arc::clone(host),
            Behind::Broken => return Err(ECONNRESET.into()),
            Behind::None if socket.stream => return Err(ENOTCONN.into()),
            Behind::None => return Err(EAGAIN.into()),
        };
        let (stream, resolver) = (socket.stream, socket.resolver);
        let mut flags = RecvFlags::DONTWAIT;
        flags.set(RecvFlags::TRUNC, !stream);
        flags.set(RecvFlags::PEEK, peek);
        let mut bytes = vec![0; length];
        let found = rustix::net::recvfrom(&host, bytes.as_mut_slice(), flags);
        let found = found.map_err(Errno::from);
        let (count, full, from) = context.state_mut().attempt(self.0, |socket: &mut Socket| {
            // Whoever reads wants to hear of what comes after it.
            socket.edges.input += 1;
            found
        })?;
        bytes.truncate(count);
        let from = from.and_then(address);
        let of_resolver = match &from {
            Some(Address::Internet(from)) if !stream => {
                context.process.options().connect.is_resolver(*from)
            }
            _ => false,
        };
        if resolver || of_resolver {
            learn(context, &bytes);
        }
        Ok(Incoming {
            bytes,
            length: if stream { count } else { full },
            from,
        })
    }

    pub(super) fn shut_down(self, state: &mut State, read: bool, write: bool) -> Result<(), Errno> {
        let socket = self.get_mut(state)?;
        socket.edges.hang_up();
        let host = socket.host().ok_or(ENOTCONN)?;
        let how = match (read, write) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            _ => Shutdown::Write,
        };
        Ok(rustix::net::shutdown(host, how)?)
    }

    /// The socket's own address, or its peer's.
    pub(super) fn address(self, state: &State, peer: bool) -> Result<Address, Errno> {
        let socket = self.get(state)?;
        match (socket.host(), peer) {
            (None, true) => Err(ENOTCONN),
            (None, false) => Ok(match socket.family {
                AF_INET => Address::Internet(SocketAddr::from(([0; 4], 0))),
                AF_INET6 => Address::Internet(SocketAddr::from(([0_u16; 8], 0))),
                _ => Address::Unix(Vec::new()),
            }),
            (Some(host), true) => {
                let found = rustix::net::getpeername(host)?;
                Ok(found.and_then(address).unwrap_or(Address::Unix(Vec::new())))
            }
            (Some(host), false) => {
                let found = rustix::net::getsockname(host)?;
                Ok(address(found).unwrap_or(Address::Unix(Vec::new())))
            }
        }
    }

    pub(super) fn waiting(self, state: &State) -> Result<usize, Errno> {
        match self.get(state)?.host() {
            Some(host) => {
                let waiting = rustix::io::ioctl_fionread(host)?;
                Ok(usize::try_from(waiting).unwrap_or(usize::MAX))
            }
            None => Ok(0),
        }
    }
}

/// An address of the host in our form.
fn address(from: SocketAddrAny) -> Option<Address> {
    if let Ok(from) = SocketAddr::try_from(from.clone()) {
        return Some(Address::Internet(from));
    }
    let from = SocketAddrUnix::try_from(from).ok()?;
    let path = from.path_bytes().unwrap_or_default();
    Some(Address::Unix(path.to_vec()))
}
