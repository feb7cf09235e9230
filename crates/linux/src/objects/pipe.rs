//! Pipes: what is written at one end waits in pages to be read at the other.

use std::collections::VecDeque;

use crate::objects::metadata::Metadata;
use crate::objects::readiness::{Edges, Events};
use crate::objects::slab::shrink;
use crate::wire::errno::{EAGAIN, EBUSY, EINVAL, EPERM, EPIPE, Errno};
use crate::wire::file::S_IFIFO;

/// A write of up to this many bytes is taken whole or not at all (`PIPE_BUF` in linux/limits.h);
/// and the size of a page of the buffer.
pub(crate) const PAGE: usize = 4096;
/// Pages of a new pipe (`PIPE_DEF_BUFFERS` in linux/pipe_fs_i.h).
const DEFAULT_PAGES: usize = 16;
/// The most bytes that a pipe can be made to hold (`/proc/sys/fs/pipe-max-size`).
const MOST: usize = 1 << 20;

/// A page of the buffer, filled from the front and emptied from there.
#[derive(Debug, Clone)]
struct Page {
    bytes: Vec<u8>,
    start: usize,
    /// Written as a packet: read alone, and what a read leaves of it is dropped.
    packet: bool,
}

/// Both ends of a pipe.
#[derive(Debug, Clone)]
pub(crate) struct Pipe {
    pages: VecDeque<Page>,
    /// How many pages there may be.
    capacity: usize,
    reader: bool,
    writer: bool,
    edges: Edges,
}

impl Default for Pipe {
    fn default() -> Self {
        Self {
            pages: VecDeque::new(),
            capacity: DEFAULT_PAGES,
            reader: true,
            writer: true,
            edges: Edges::default(),
        }
    }
}

impl Pipe {
    /// Takes up to `length` bytes out. 0 means that nothing will ever come any more.
    ///
    /// # Errors
    /// `EAGAIN` if nothing is there now.
    pub(crate) fn read(&mut self, length: usize) -> Result<Vec<u8>, Errno> {
        if self.pages.is_empty() && self.writer && length > 0 {
            return Err(EAGAIN);
        }
        let was_full = self.is_full();
        let mut out = Vec::with_capacity(length.min(self.len()));
        while let Some(page) = self.pages.front_mut() {
            if out.len() == length {
                break;
            }
            let rest = page.bytes.get(page.start..).unwrap_or_default();
            let count = rest.len().min(length - out.len());
            out.extend_from_slice(&rest[..count]);
            page.start += count;
            let packet = page.packet;
            if packet || page.start == page.bytes.len() {
                self.pages.pop_front();
            }
            if packet {
                break;
            }
        }
        shrink(&mut self.pages);
        if was_full && !self.is_full() {
            self.edges.output += 1;
        }
        Ok(out)
    }

    /// Puts bytes in, as many as there is room for, and says how many; up to [`PAGE`] bytes go in
    /// whole. With `packets` no two writes are read together.
    ///
    /// # Errors
    /// `EPIPE` without a reader, `EAGAIN` without room.
    pub(crate) fn write(&mut self, bytes: &[u8], packets: bool) -> Result<usize, Errno> {
        if !self.reader {
            return Err(EPIPE);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut done = 0;
        // As in Linux, what does not fill pages is added to the last page if it fits in whole.
        let odd = bytes.len() % PAGE;
        if let Some(last) = self.pages.back_mut()
            && odd > 0
            && !last.packet
            && !packets
            && last.bytes.len() + odd <= PAGE
        {
            // Not twice as much, as a vector grows by itself.
            if last.bytes.capacity() - last.bytes.len() < odd {
                last.bytes.reserve_exact(PAGE - last.bytes.len());
            }
            last.bytes.extend_from_slice(&bytes[..odd]);
            done = odd;
        }
        while done < bytes.len() && !self.is_full() {
            let count = (bytes.len() - done).min(PAGE);
            self.pages.push_back(Page {
                bytes: bytes[done..done + count].to_vec(),
                start: 0,
                packet: packets,
            });
            done += count;
        }
        if done == 0 {
            return Err(EAGAIN);
        }
        self.edges.input += 1;
        Ok(done)
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        let of_page = |page: &Page| page.bytes.len() - page.start;
        self.pages.iter().map(of_page).sum()
    }

    /// How many pages of memory wait.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    fn is_full(&self) -> bool {
        self.pages.len() >= self.capacity
    }

    /// How many bytes the pipe can hold.
    pub(crate) fn capacity(&self) -> usize {
        self.capacity * PAGE
    }

    /// Changes how many bytes the pipe can hold, and returns what it is then.
    ///
    /// # Errors
    /// `EINVAL`, `EPERM` (beyond what is allowed), `EBUSY` (more is in it).
    pub(crate) fn set_capacity(&mut self, bytes: u32) -> Result<usize, Errno> {
        let bytes = usize::try_from(bytes).map_err(|_| EINVAL)?.max(PAGE);
        if bytes > 1 << 31 {
            return Err(EINVAL);
        }
        let bytes = bytes.next_power_of_two();
        if bytes > MOST {
            return Err(EPERM);
        }
        if self.pages.len() > bytes / PAGE {
            return Err(EBUSY);
        }
        let was_full = self.is_full();
        self.capacity = bytes / PAGE;
        if was_full && !self.is_full() {
            self.edges.output += 1;
        }
        Ok(self.capacity())
    }

    /// Closes an end; true if that was the last one.
    pub(crate) fn close(&mut self, writer: bool) -> bool {
        if writer {
            self.writer = false;
        } else {
            self.reader = false;
        }
        self.edges.hang_up();
        !self.reader && !self.writer
    }

    /// What can be done at an end.
    pub(crate) fn ready(&self, writer: bool) -> Events {
        let mut events = Events::NONE;
        if writer {
            events.set(Events::WRITABLE, !self.is_full());
            events.set(Events::ERR, !self.reader);
        } else {
            events.set(Events::READABLE, !self.pages.is_empty());
            events.set(Events::HUP, !self.writer);
        }
        events
    }

    /// How often something happened at an end.
    pub(crate) fn edges(&self, writer: bool) -> Edges {
        self.edges.of_end(writer)
    }
}

/// One end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PipeEnd {
    /// The pipe.
    pub(crate) number: usize,
    /// The end that is written to.
    pub(crate) writer: bool,
}

impl PipeEnd {
    /// What `stat` says.
    pub(crate) fn metadata(self) -> Metadata {
        Metadata {
            inode: 0x1000 + self.number as u64,
            ..Metadata::own(S_IFIFO | 0o600)
        }
    }
}

#[cfg(test)]
mod tests;
