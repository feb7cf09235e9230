//! What the host holds for a program, as bytes: files in memory, pipes, socket pairs, events,
//! descriptors, queued signals.
//!
//! It counts together with the guest's own memory: something grows only if what it then takes fits
//! beside that into the limit (`ENOMEM`). What was held at the freeze counted while booting, and a
//! fork does not pay for it again. There are no books to keep, and so none that could be wrong: what
//! is there is looked at, and a close, a drop or a reset gives back by taking it away. Fixed sizes
//! are not below what a thing takes, with its place in lists and the allocator's part.

use crate::context::Context;
use crate::errno::{ENOMEM, Errno};
use crate::notice::Notice;
use crate::object::Object;
use crate::process::State;

/// Something of a kind of which there are 1024 at most.
const OBJECT: u64 = 512;
/// It, and the descriptions of its two ends.
pub(crate) const NEW_OBJECT: u64 = OBJECT + 2 * DESCRIPTION;
/// An entry of a set of events.
pub(crate) const WATCH: u64 = 256;
/// A page of a file in memory, or of a pipe.
const PAGE: u64 = 4096 + 128;
/// A queued signal.
pub(crate) const SIGNAL: u64 = 128;
/// An open description, or a host socket beside the buffers that the host's kernel has for it.
const DESCRIPTION: u64 = 256;
/// A thread that does not run, with its vector state.
const THREAD: u64 = 4096;

impl State {
    /// What the host holds for the program.
    pub(crate) fn held(&self) -> u64 {
        let objects = &self.objects;
        let pipes = objects.pipes.iter().map(|pipe| pipe.pages() * PAGE);
        let pairs = objects.pairs.iter().map(|pair| pair.charge());
        let files = objects.memory_files.iter().map(|file| file.pages() * PAGE);
        let sets = objects.sets.iter().map(|set| set.len() as u64 * WATCH);
        let plain = objects.counters.iter().count()
            + objects.timers.iter().count()
            + objects.signal_sets.iter().count()
            + objects.sockets.iter().count();
        let open = self.descriptors.objects().map(of_object);
        let things = pipes.chain(pairs).chain(files).chain(sets);
        things.map(|bytes| bytes + OBJECT).sum::<u64>()
            + plain as u64 * OBJECT
            + open.sum::<u64>()
            + self.queued_signals() as u64 * SIGNAL
            + self.threads.count() as u64 * THREAD
    }
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

impl Context<'_> {
    /// Fails with `ENOMEM` unless the host may hold `more` bytes for the program. To be asked
    /// before something grows; tells the host when it does not.
    pub(crate) fn check_memory(&mut self, more: u64) -> Result<(), Errno> {
        let state = self.state();
        let held = state.held().saturating_add(more);
        if held.saturating_sub(state.held_at_freeze()) <= self.guest.memory_left() {
            return Ok(());
        }
        let call = self.call.name;
        let request = self.process.forked;
        self.notice(Notice::NoMemory { call, request });
        Err(ENOMEM)
    }
}

#[cfg(test)]
mod tests;
