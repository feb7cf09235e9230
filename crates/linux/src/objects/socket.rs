//! A socket that may have a host socket behind it.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::objects::options::Options;
use crate::objects::readiness::{Edges, Events};
use crate::wire::address::{AF_INET, AF_INET6};
use crate::wire::errno::{ECONNRESET, ENFILE, Errno};

/// The most host sockets of a program at a time.
const MOST_HOST: usize = 64;

/// What is behind a socket.
#[derive(Debug, Clone)]
pub(crate) enum Behind {
    /// Nothing yet.
    None,
    Open(Arc<OwnedFd>),
    /// It was open when the program was frozen.
    Broken,
}

/// A socket.
#[derive(Debug, Clone)]
pub(crate) struct Socket {
    pub(crate) family: u16,
    pub(crate) stream: bool,
    pub(crate) protocol: u32,
    pub(crate) options: Options,
    pub(crate) host: Behind,
    /// It is connected to the host's resolver.
    pub(crate) resolver: bool,
    pub(crate) edges: Edges,
}

/// A socket by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SocketId(pub(crate) usize);

impl Socket {
    pub(crate) fn new(family: u16, stream: bool, protocol: u32) -> Self {
        Self {
            family,
            stream,
            protocol,
            options: Options::default(),
            host: Behind::None,
            resolver: false,
            edges: Edges::default(),
        }
    }

    /// The host socket, if there is one.
    pub(crate) fn host(&self) -> Option<&Arc<OwnedFd>> {
        match &self.host {
            Behind::Open(host) => Some(host),
            Behind::None | Behind::Broken => None,
        }
    }

    /// True if there is a host socket.
    pub(crate) fn is_open(&self) -> bool {
        self.host().is_some()
    }

    /// What can be done with it now without waiting.
    pub(crate) fn ready(&self) -> Events {
        match &self.host {
            Behind::Open(host) => ready(host),
            Behind::None if self.stream => Events::WRITABLE | Events::HUP,
            Behind::None => Events::WRITABLE,
            Behind::Broken => Events(0x1d) | Events::READABLE | Events::WRITABLE | Events::RDHUP,
        }
    }

    /// How often something happened.
    pub(crate) fn edges(&self) -> Edges {
        self.edges
    }

    /// What to wait for in the host, beside a change of the program's own state. Events in `known`
    /// do not end the wait if they are there already.
    pub(crate) fn interest(&self, wanted: Events, known: Events) -> Option<(&Arc<OwnedFd>, u16)> {
        let host = self.host()?;
        let told = if known.is_empty() {
            Events::NONE
        } else {
            ready(host) & known
        };
        // The host's `poll` always reports these, and so would end the wait too early.
        if told.has(Events::ALWAYS) {
            return None;
        }
        let events = u16::try_from(wanted.0 & !told.0 & !Events::ALWAYS.0).ok()?;
        Some((host, events))
    }

    /// Closes the host socket for good.
    pub(crate) fn freeze(&mut self) {
        if self.is_open() {
            self.host = Behind::Broken;
            self.edges.hang_up();
        }
    }

    /// Makes the host socket, if it is not there yet.
    pub(crate) fn open(&mut self, others: usize) -> Result<Arc<OwnedFd>, Errno> {
        match &self.host {
            Behind::Open(host) => return Ok(Arc::clone(host)),
            Behind::Broken => return Err(ECONNRESET),
            Behind::None if others >= MOST_HOST => return Err(ENFILE),
            Behind::None => {}
        }
        let family = match self.family {
            AF_INET => AddressFamily::INET,
            AF_INET6 => AddressFamily::INET6,
            _ => AddressFamily::UNIX,
        };
        let kind = if self.stream {
            SocketType::STREAM
        } else {
            SocketType::DGRAM
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let host = Arc::new(rustix::net::socket_with(family, kind, flags, None)?);
        self.options.apply_all(&host);
        self.host = Behind::Open(Arc::clone(&host));
        Ok(host)
    }
}

impl SocketId {
    /// Its number as `stat` says it.
    pub(crate) fn inode(self) -> u64 {
        0x4000 + self.0 as u64
    }
}

/// What can be done with a host socket now.
pub(crate) fn ready(host: &OwnedFd) -> Events {
    let asked = Events::READABLE | Events::WRITABLE | Events::PRI | Events::RDHUP;
    let flags = PollFlags::from_bits_retain(u16::try_from(asked.0).unwrap_or(0));
    let mut list = [PollFd::new(host, flags)];
    let now = rustix::event::Timespec::default();
    match rustix::event::poll(&mut list, Some(&now)) {
        Ok(_) => Events(u32::from(list[0].revents().bits())),
        Err(_) => Events::NONE,
    }
}
