//! Pairs of connected Unix sockets (`socketpair`).

use std::collections::VecDeque;

use crate::objects::options::Options;
use crate::objects::readiness::{Edges, Events};
use crate::objects::slab::shrink;
use crate::wire::errno::{EAGAIN, ECONNREFUSED, ECONNRESET, EMSGSIZE, EPIPE, Errno};

/// How much one side may have under way (`/proc/sys/net/core/wmem_default`).
pub(crate) const SEND_BUFFER: usize = 212_992;
/// How many pairs may have that much; further ones have [`SMALL_BUFFER`].
pub(crate) const MOST_LARGE: usize = 32;
/// What one side of a pair beyond that may have under way.
const SMALL_BUFFER: usize = 16 * 1024;
/// What a message costs beside its bytes: Linux counts its own structures, too.
const OVERHEAD: usize = 768;
/// What a descriptor that goes along costs: Linux counts none.
const PASSED: usize = 32;
/// A stream is cut into pieces of this size, as Linux does.
const PIECE: usize = 32 * 1024;

/// How a socket keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `SOCK_STREAM`: bytes without borders.
    Stream,
    /// `SOCK_DGRAM`: messages.
    Datagram,
    /// `SOCK_SEQPACKET`: messages on a connection.
    Packet,
}

/// Which of the two sockets.
pub(crate) type Side = usize;

/// What was sent with one call.
#[derive(Debug, Clone)]
struct Message<R> {
    bytes: Vec<u8>,
    start: usize,
    /// Descriptors that go along.
    rights: Vec<R>,
    /// What the descriptors took when it was sent.
    passed: usize,
}

/// One of the two sockets.
#[derive(Debug, Clone)]
struct End<R> {
    /// What it has received and not yet read.
    queue: VecDeque<Message<R>>,
    /// What `queue` counts for.
    charge: usize,
    /// What the descriptors in it take.
    passed: usize,
    open: bool,
    read_shut: bool,
    write_shut: bool,
    error: Option<Errno>,
    edges: Edges,
    options: Options,
}

/// Both sockets of a pair; `R` is a descriptor under way.
#[derive(Debug, Clone)]
pub(crate) struct Pair<R> {
    kind: Kind,
    ends: [End<R>; 2],
    buffer: usize,
}

/// What a call received.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<R> {
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// The descriptors that came with them.
    pub(crate) rights: Vec<R>,
    /// How long the message was, if it had borders.
    pub(crate) length: usize,
}

impl<R: Clone> Pair<R> {
    /// Two connected sockets, with less room if there are many.
    pub(crate) fn new(kind: Kind, crowded: bool) -> Self {
        let end = || End {
            queue: VecDeque::new(),
            charge: 0,
            passed: 0,
            open: true,
            read_shut: false,
            write_shut: false,
            error: None,
            edges: Edges::default(),
            options: Options::default(),
        };
        Self {
            kind,
            ends: [end(), end()],
            buffer: if crowded { SMALL_BUFFER } else { SEND_BUFFER },
        }
    }

    /// What waits at both sides, with what messages and descriptors cost.
    pub(crate) fn queued(&self) -> u64 {
        let both = self.ends.iter();
        both.map(|end| (end.charge + end.passed) as u64).sum()
    }

    /// What sending so many bytes and descriptors can cost at most.
    pub(crate) fn cost(&self, length: usize, rights: usize) -> u64 {
        let length = length.min(self.buffer + PIECE);
        (length + length.div_ceil(PIECE).max(1) * OVERHEAD + rights * PASSED) as u64
    }

    /// What kind of sockets these are.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// What was set for a side.
    pub(crate) fn options(&self, side: Side) -> &Options {
        &self.ends[side & 1].options
    }

    /// The same, to change.
    pub(crate) fn options_mut(&mut self, side: Side) -> &mut Options {
        &mut self.ends[side & 1].options
    }

    /// The pending error, which is then forgotten (`SO_ERROR`).
    pub(crate) fn take_error(&mut self, side: Side) -> Option<Errno> {
        self.ends[side & 1].error.take()
    }

    /// Sends bytes, of a stream as many as there is room for, and says how many.
    ///
    /// # Errors
    /// `EAGAIN` without room, `EPIPE` or `ECONNREFUSED` without a peer, `EMSGSIZE`.
    pub(crate) fn send(&mut self, side: Side, bytes: &[u8], rights: &[R]) -> Result<usize, Errno> {
        let stream = self.kind == Kind::Stream;
        let buffer = self.buffer;
        if stream && self.ends[side & 1].write_shut {
            return Err(EPIPE);
        }
        if let Some(error) = self.take_error(side) {
            return Err(error);
        }
        let [own, peer] = self.both(side);
        if own.write_shut || peer.read_shut || (stream && !peer.open) {
            return Err(EPIPE);
        }
        if !peer.open {
            return Err(ECONNREFUSED);
        }
        if stream && bytes.is_empty() {
            return Ok(0);
        }
        if !stream && bytes.len() > buffer - 32 {
            return Err(EMSGSIZE);
        }
        let mut done = 0;
        let mut rights = rights.to_vec();
        while peer.charge < buffer {
            let count = if stream {
                (bytes.len() - done).min(PIECE)
            } else {
                bytes.len()
            };
            let passed = rights.len() * PASSED;
            peer.charge += count + OVERHEAD;
            peer.passed += passed;
            peer.queue.push_back(Message {
                bytes: bytes[done..done + count].to_vec(),
                start: 0,
                rights: std::mem::take(&mut rights),
                passed,
            });
            peer.edges.input += 1;
            done += count;
            if done == bytes.len() {
                return Ok(done);
            }
        }
        if done == 0 { Err(EAGAIN) } else { Ok(done) }
    }

    /// Receives up to `length` bytes: of a stream from as many messages as it takes, else one
    /// message, cut off. Nothing from a connection means its end. With `peek` all stays.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there; an error that waits.
    pub(crate) fn receive(
        &mut self,
        side: Side,
        length: usize,
        peek: bool,
    ) -> Result<Received<R>, Errno> {
        let (kind, buffer) = (self.kind, self.buffer);
        let [own, peer] = self.both(side);
        let mut found = Received {
            bytes: Vec::new(),
            rights: Vec::new(),
            length: 0,
        };
        if own.queue.is_empty() {
            if let Some(error) = own.error.take() {
                return Err(error);
            }
            let ended = own.read_shut || (kind != Kind::Datagram && !peer.open) || peer.write_shut;
            if ended || (length == 0 && kind == Kind::Stream) {
                return Ok(found);
            }
            return Err(EAGAIN);
        }
        let was_writable = own.has_room(buffer);
        if kind == Kind::Stream {
            own.take_stream(length, peek, &mut found);
        } else if let Some(message) = own.queue.front() {
            let count = length.min(message.bytes.len());
            found.bytes.extend_from_slice(&message.bytes[..count]);
            found.rights.clone_from(&message.rights);
            found.length = message.bytes.len();
            if !peek {
                own.drop_first();
            }
        }
        if !was_writable && own.has_room(buffer) {
            peer.edges.output += 1;
        }
        Ok(found)
    }

    /// How many bytes wait (`FIONREAD`): for messages, of the first.
    pub(crate) fn waiting(&self, side: Side) -> usize {
        let of = |message: &Message<R>| message.bytes.len() - message.start;
        let queue = &self.ends[side & 1].queue;
        match self.kind {
            Kind::Stream => queue.iter().map(of).sum(),
            Kind::Datagram | Kind::Packet => queue.front().map_or(0, of),
        }
    }

    /// `shutdown`.
    pub(crate) fn shut_down(&mut self, side: Side, read: bool, write: bool) {
        let connected = self.kind != Kind::Datagram;
        let [own, peer] = self.both(side);
        own.read_shut |= read;
        own.write_shut |= write;
        if connected {
            peer.read_shut |= write;
            peer.write_shut |= read;
        }
        own.edges.hang_up();
        peer.edges.hang_up();
    }

    /// Closes a socket and returns the descriptors that nobody will receive now; true if that
    /// was the last of the two.
    pub(crate) fn close(&mut self, side: Side) -> (Vec<R>, bool) {
        let connected = self.kind != Kind::Datagram;
        let [own, peer] = self.both(side);
        own.open = false;
        if connected {
            peer.read_shut = true;
            peer.write_shut = true;
            if !own.queue.is_empty() {
                peer.error = Some(ECONNRESET);
            }
        }
        peer.edges.hang_up();
        (own.charge, own.passed) = (0, 0);
        let queue = std::mem::take(&mut own.queue);
        let lost = queue.into_iter().flat_map(|message| message.rights);
        (lost.collect(), !peer.open)
    }

    /// What can be done at a side.
    pub(crate) fn ready(&self, side: Side) -> Events {
        let [own, peer] = [&self.ends[side & 1], &self.ends[!side & 1]];
        let mut events = Events::NONE;
        events.set(Events::ERR, own.error.is_some());
        events.set(Events::READABLE, !own.queue.is_empty() || own.read_shut);
        events.set(Events::RDHUP, own.read_shut);
        events.set(Events::HUP, own.read_shut && own.write_shut);
        events.set(
            Events::WRITABLE | Events::WRBAND,
            peer.has_room(self.buffer),
        );
        events
    }

    /// How often something happened at a side.
    pub(crate) fn edges(&self, side: Side) -> Edges {
        self.ends[side & 1].edges
    }

    /// The socket itself, and its peer.
    fn both(&mut self, side: Side) -> [&mut End<R>; 2] {
        let [first, second] = &mut self.ends;
        if side & 1 == 0 {
            [first, second]
        } else {
            [second, first]
        }
    }
}

impl<R: Clone> End<R> {
    /// True if the peer is told that it can send: a quarter of the buffer is in use at most.
    fn has_room(&self, buffer: usize) -> bool {
        self.charge * 4 <= buffer
    }

    /// The first message was read.
    fn drop_first(&mut self) {
        if let Some(message) = self.queue.pop_front() {
            self.charge -= message.bytes.len() + OVERHEAD;
            self.passed -= message.passed;
        }
        shrink(&mut self.queue);
    }

    /// Takes bytes of a stream; descriptors end what one call gets.
    fn take_stream(&mut self, length: usize, peek: bool, found: &mut Received<R>) {
        let mut index = 0;
        while let Some(message) = self.queue.get_mut(index) {
            if found.bytes.len() == length
                || (!message.rights.is_empty() && !found.bytes.is_empty())
            {
                break;
            }
            let rest = message.bytes.get(message.start..).unwrap_or_default();
            let count = rest.len().min(length - found.bytes.len());
            found.bytes.extend_from_slice(&rest[..count]);
            if found.rights.is_empty() {
                found.rights.clone_from(&message.rights);
            }
            let stop = !message.rights.is_empty();
            if peek {
                index += 1;
            } else {
                message.rights.clear();
                message.start += count;
                if message.start == message.bytes.len() {
                    self.drop_first();
                }
            }
            if stop {
                break;
            }
        }
        found.length = found.bytes.len();
    }
}

/// One of two connected sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PairEnd {
    /// The pair.
    pub(crate) number: usize,
    pub(crate) side: usize,
}

impl PairEnd {
    /// Its number as `stat` says it.
    pub(crate) fn inode(self) -> u64 {
        0x3000 + 2 * self.number as u64 + self.side as u64
    }
}

#[cfg(test)]
mod tests;
