//! The descriptor table.
//!
//! ```text
//! descriptor (0, 1, 2, ...) ── entry: close-on-exec ──> open file description ──> Object
//!                                                       offset, status flags, count
//! ```
//!
//! Duplicates of a descriptor share a description, and with it offset and flags. Offsets are kept
//! here and not in the host's kernel: a reset of the process puts them back, and forks that share
//! a host file do not disturb each other. A description's number is never used again, so whatever
//! remembers one (an epoll set, say) cannot mistake another for it.

use std::collections::BTreeMap;

use crate::host::Stream;
use crate::objects::account;
use crate::objects::object::{DescriptionId, Object};
use crate::wire::errno::{EBADF, EMFILE, Errno};
use crate::wire::file::{O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDWR, O_WRONLY};

/// An open file description: what one `open` made, and all duplicates share.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// What it is.
    pub(crate) object: Object,
    /// Access mode and status flags, as `F_GETFL` gives them.
    pub(crate) status: u32,
    /// Where the next `read` or `write` starts, for what has a position.
    pub(crate) offset: u64,
    /// Descriptors that stand for it.
    references: u32,
}

impl Description {
    /// True if it was opened for reading.
    pub(crate) fn readable(&self) -> bool {
        self.status & (O_ACCMODE | O_PATH) != O_WRONLY && self.status & O_PATH == 0
    }

    /// True if it was opened for writing.
    pub(crate) fn writable(&self) -> bool {
        matches!(self.status & O_ACCMODE, O_WRONLY | O_RDWR) && self.status & O_PATH == 0
    }

    /// True for a place only (`O_PATH`), which most calls do not take: `EBADF`.
    pub(crate) fn is_place(&self) -> bool {
        self.status & O_PATH != 0
    }

    /// True if what is written goes to the end.
    pub(crate) fn appends(&self) -> bool {
        self.status & O_APPEND != 0
    }

    /// True if calls on it do not wait.
    pub(crate) fn nonblocking(&self) -> bool {
        self.status & O_NONBLOCK != 0
    }
}

/// A descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) description: DescriptionId,
    /// `FD_CLOEXEC`; remembered only.
    pub(crate) close_on_exec: bool,
}

/// The descriptor table.
#[derive(Debug, Clone)]
pub(crate) struct Descriptors {
    entries: Vec<Option<Entry>>,
    descriptions: BTreeMap<DescriptionId, Description>,
    /// What the host holds for the descriptions.
    charge: u64,
    next: u64,
}

impl Default for Descriptors {
    fn default() -> Self {
        let mut table = Self {
            entries: Vec::new(),
            descriptions: BTreeMap::new(),
            charge: 0,
            next: 0,
        };
        let objects = [
            (Object::Input, 0),
            (Object::Output(Stream::Out), O_WRONLY),
            (Object::Output(Stream::Err), O_WRONLY),
        ];
        for (number, (object, status)) in objects.into_iter().enumerate() {
            let description = table.add(object, status);
            table.put(number, description, false);
        }
        table
    }
}

impl Descriptors {
    /// The most that a program can have open: its hard limit, which it cannot raise.
    pub(crate) const MOST: u64 = 1024;

    /// An open descriptor.
    pub(crate) fn entry(&self, fd: i32) -> Result<Entry, Errno> {
        let index = usize::try_from(fd).map_err(|_| EBADF)?;
        self.entries.get(index).copied().flatten().ok_or(EBADF)
    }

    /// The same, to change.
    pub(crate) fn entry_mut(&mut self, fd: i32) -> Result<&mut Entry, Errno> {
        let index = usize::try_from(fd).map_err(|_| EBADF)?;
        self.entries
            .get_mut(index)
            .and_then(Option::as_mut)
            .ok_or(EBADF)
    }

    /// Which description an open descriptor stands for.
    pub(crate) fn id(&self, fd: i32) -> Result<DescriptionId, Errno> {
        Ok(self.entry(fd)?.description)
    }

    /// What an open descriptor stands for.
    pub(crate) fn get(&self, fd: i32) -> Result<&Description, Errno> {
        self.description(self.id(fd)?)
    }

    /// The same, to change.
    pub(crate) fn get_mut(&mut self, fd: i32) -> Result<&mut Description, Errno> {
        let id = self.id(fd)?;
        self.description_mut(id)
    }

    /// A description by its name; `EBADF` if it is closed.
    pub(crate) fn description(&self, id: DescriptionId) -> Result<&Description, Errno> {
        self.descriptions.get(&id).ok_or(EBADF)
    }

    /// The same, to change.
    pub(crate) fn description_mut(&mut self, id: DescriptionId) -> Result<&mut Description, Errno> {
        self.descriptions.get_mut(&id).ok_or(EBADF)
    }

    /// All descriptors in use, in their order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = usize> + '_ {
        let used = |(number, entry): (usize, &Option<Entry>)| entry.is_some().then_some(number);
        self.entries.iter().enumerate().filter_map(used)
    }

    /// A new description, which no descriptor stands for yet.
    pub(crate) fn add(&mut self, object: Object, status: u32) -> DescriptionId {
        let id = DescriptionId(self.next);
        self.next += 1;
        self.charge += account::of_object(&object);
        let description = Description {
            object,
            status,
            offset: 0,
            references: 0,
        };
        self.descriptions.insert(id, description);
        id
    }

    /// Lets a free number stand for a description.
    pub(crate) fn put(&mut self, number: usize, description: DescriptionId, close_on_exec: bool) {
        if number >= self.entries.len() {
            self.entries.resize(number + 1, None);
        }
        if let (Some(entry), Some(open)) = (
            self.entries.get_mut(number),
            self.descriptions.get_mut(&description),
        ) {
            open.references += 1;
            *entry = Some(Entry {
                description,
                close_on_exec,
            });
        }
    }

    /// Frees a number. If it was the last one, the description is given back.
    pub(crate) fn take(&mut self, fd: i32) -> Result<Option<(DescriptionId, Description)>, Errno> {
        let id = self.entry(fd)?.description;
        let index = usize::try_from(fd).map_err(|_| EBADF)?;
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = None;
        }
        Ok(self.drop_reference(id))
    }

    /// One reference less. If it was the last one, the description is given back.
    pub(crate) fn drop_reference(
        &mut self,
        id: DescriptionId,
    ) -> Option<(DescriptionId, Description)> {
        let open = self.description_mut(id).ok()?;
        open.references = open.references.saturating_sub(1);
        if open.references > 0 {
            return None;
        }
        let closed = self.descriptions.remove(&id)?;
        self.charge -= account::of_object(&closed.object);
        Some((id, closed))
    }

    /// The lowest free number that is at least `lowest` and below `limit`.
    pub(crate) fn free(&self, lowest: usize, limit: usize) -> Result<usize, Errno> {
        let mut numbers = lowest..limit;
        numbers
            .find(|&index| self.entries.get(index).is_none_or(Option::is_none))
            .ok_or(EMFILE)
    }
}

impl Descriptors {
    /// What the host holds for all open descriptions.
    pub(crate) fn charge(&self) -> u64 {
        self.charge
    }

    /// What all open descriptions stand for.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.descriptions.values().map(|open| &open.object)
    }

    /// Something beside a descriptor keeps a description open, until it is released.
    pub(crate) fn hold(&mut self, id: DescriptionId) {
        if let Ok(open) = self.description_mut(id) {
            open.references = open.references.saturating_add(1);
        }
    }
}
