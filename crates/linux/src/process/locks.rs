//! Locks on files that a program has: `flock`, and record locks by `fcntl`.
//!
//! They are real locks of the host, so they hold between forks, programs and other processes.
//! Each owner has a descriptor of its own on the file, which the host's kernel takes for the owner
//! of the lock: the program for classic record locks, an open file description for the others. It
//! lies in the state of the process, so a reset gives up what a request had locked.
//!
//! Forks are owners of their own, too: what was locked at the freeze is given up then, and each
//! fork opens its descriptors anew when it first locks something.

mod ranges;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::objects::file::HostFile;
use crate::objects::object::DescriptionId;
use crate::process::locks::ranges::Ranges;

/// Who owns a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// The program, of a file: device and number.
    Program((u32, u32), u64),
    /// An open file description, for record locks.
    Description(DescriptionId),
    /// An open file description, for `flock`.
    Whole(DescriptionId),
}

/// What an owner has.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Its descriptor on the file.
    pub(crate) file: Arc<OwnedFd>,
    /// That is open for writing, too.
    pub(crate) writable: bool,
    /// The records that it has locked.
    pub(crate) ranges: Ranges,
}

/// The locks of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks(pub(crate) BTreeMap<Owner, Held>);

/// The most owners, and the most records that they have locked together.
pub(crate) const MOST: usize = 1024;

impl Locks {
    /// Gives up what a description had, and what the program had on its file.
    pub(crate) fn closed(&mut self, id: DescriptionId, file: &HostFile) {
        if self.0.is_empty() {
            return;
        }
        self.0.remove(&Owner::Description(id));
        self.0.remove(&Owner::Whole(id));
        self.closed_one(file);
    }

    /// Gives up what the program had on a file of which it closes any descriptor, as POSIX says.
    pub(crate) fn closed_one(&mut self, file: &HostFile) {
        if !self.0.is_empty()
            && let Ok(found) = file.metadata()
        {
            self.0.remove(&Owner::Program(found.device, found.inode));
        }
    }

    /// True if nothing is locked, nor was.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many records are locked.
    pub(crate) fn records(&self) -> usize {
        self.0.values().map(|held| held.ranges.count()).sum()
    }
}
