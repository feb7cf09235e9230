//! What the host holds for a program, as bytes: files in memory, pipes, socket pairs, events,
//! descriptors, queued signals.
//!
//! It counts together with the guest's own memory, as one sum, which the guest keeps: something
//! grows only if what it then takes fits beside that into the limit (`ENOMEM`), and the guest's
//! memory grows only as far as it fits beside this. What was held at the freeze counted while
//! booting; a fork pays for it only where it changes it, and so has a copy. The sum is kept where
//! things are kept, so that a write costs the same whatever else there is; a look at everything
//! gives the same, which the fuzzer checks. Fixed sizes are not below what a thing takes, with its
//! place in lists and the allocator's part.

use crate::objects::epoll::Set;
use crate::objects::eventfd::Counter;
use crate::objects::memfd::MemoryFile;
use crate::objects::object::Object;
use crate::objects::pair::Pair;
use crate::objects::pipe::Pipe;
use crate::objects::signalfd::SignalSet;
use crate::objects::slab::Charged;
use crate::objects::socket::Socket;
use crate::objects::timerfd::Timer;

/// Something of a kind of which there are 1024 at most.
const OBJECT: u64 = 512;
/// It, and the descriptions of its two ends.
pub(crate) const NEW_OBJECT: u64 = 4 * OBJECT + 2 * DESCRIPTION;
/// An entry of a set of events.
pub(crate) const WATCH: u64 = 256;
/// A page of a file in memory, or of a pipe.
const PAGE: u64 = 4096 + 128;
/// The place of a page in its file, of which each copy of the file has its own.
const NODE: u64 = 32;
/// A queued signal.
pub(crate) const SIGNAL: u64 = 128;
/// An open description, or a host socket beside the buffers that the host's kernel has for it.
const DESCRIPTION: u64 = 256;
/// A thread that does not run, with its vector state.
pub(crate) const THREAD: u64 = 4096;

impl Charged for Pipe {
    fn charge(&self) -> u64 {
        2 * OBJECT + self.pages() * PAGE
    }
}

impl<R: Clone> Charged for Pair<R> {
    fn charge(&self) -> u64 {
        4 * OBJECT + self.queued()
    }
}

impl Charged for MemoryFile {
    fn charge(&self) -> u64 {
        OBJECT + self.pages() * NODE + self.own_pages() * PAGE
    }
}

impl<D: Copy + Ord> Charged for Set<D> {
    fn charge(&self) -> u64 {
        OBJECT + self.len() as u64 * WATCH
    }
}

macro_rules! plain {
    ($($kind:ty),*) => {
        $(impl Charged for $kind {
            fn charge(&self) -> u64 {
                OBJECT
            }
        })*
    };
}

plain!(Counter, Timer, SignalSet, Socket);

/// What so many pages of a file in memory hold.
pub(crate) fn pages(count: u64) -> u64 {
    count.saturating_mul(PAGE + NODE)
}

/// What an open description holds beside the object that it stands for.
pub(crate) fn of_object(object: &Object) -> u64 {
    let more = match object {
        Object::Text(text) => text.bytes.capacity() + text.path.capacity(),
        Object::Directory(directory) => directory.held(),
        Object::File(file) => file.path().len(),
        _ => 0,
    };
    DESCRIPTION + more as u64
}
