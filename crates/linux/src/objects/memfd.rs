//! `memfd_create`: files that exist in memory only.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::objects::metadata::Metadata;
use crate::wire::errno::{EFBIG, EINVAL, ENOSPC, EOPNOTSUPP, EPERM, Errno};
use crate::wire::file::S_IFREG;

const PAGE: u64 = 4096;
/// The largest size, holes and all.
const LARGEST: u64 = 1 << 40;

/// What may no longer be done with a file (`F_SEAL_*` in linux/fcntl.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seals(pub(crate) u32);

impl Seals {
    pub(crate) const NONE: Self = Self(0);
    /// No further seals.
    pub(crate) const SEAL: Self = Self(1);
    const SHRINK: Self = Self(2);
    const GROW: Self = Self(4);
    const WRITE: Self = Self(8);
    const FUTURE_WRITE: Self = Self(0x10);
    const ALL: u32 = 0x3f;

    fn has(self, seal: Self) -> bool {
        self.0 & seal.0 != 0
    }
}

/// A page of a file.
#[derive(Debug, Clone)]
struct Page {
    bytes: Arc<Vec<u8>>,
    /// It was written after the freeze: forks share what was there by then.
    own: bool,
}

/// A file in memory; pages that were never written are holes.
#[derive(Debug, Clone)]
pub(crate) struct MemoryFile {
    pages: BTreeMap<u64, Page>,
    /// How many pages are not shared.
    own: u64,
    size: u64,
    seals: Seals,
}

impl MemoryFile {
    /// An empty file.
    pub(crate) fn new(seals: Seals) -> Self {
        Self {
            pages: BTreeMap::new(),
            own: 0,
            size: 0,
            seals,
        }
    }

    /// Its length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How many pages of memory it takes.
    pub(crate) fn pages(&self) -> u64 {
        self.pages.len() as u64
    }

    /// How many of them are not shared with the freeze.
    pub(crate) fn own_pages(&self) -> u64 {
        self.own
    }

    /// From now on copies share the pages that are there.
    pub(crate) fn freeze(&mut self) {
        self.own = 0;
        self.pages.values_mut().for_each(|page| page.own = false);
    }

    /// How many pages of memory a write would add.
    pub(crate) fn growth(&self, offset: u64, length: usize) -> u64 {
        let end = offset.saturating_add(length as u64).min(LARGEST);
        let (first, last) = (offset / PAGE, end.div_ceil(PAGE));
        let there = self.pages.range(first..last.max(first));
        let own = there.filter(|(_, page)| page.own).count();
        last.saturating_sub(first).saturating_sub(own as u64)
    }

    /// The bytes of a page that is there, or is made, to change.
    fn page_mut(&mut self, page: u64) -> &mut Vec<u8> {
        let place = self.pages.entry(page).or_insert_with(empty_page);
        self.own += u64::from(!place.own);
        place.own = true;
        Arc::make_mut(&mut place.bytes)
    }

    /// How many bytes of memory it takes.
    pub(crate) fn used(&self) -> u64 {
        self.pages.len() as u64 * PAGE
    }

    /// What may no longer be done.
    pub(crate) fn seals(&self) -> Seals {
        self.seals
    }

    /// Forbids something for good.
    ///
    /// # Errors
    /// `EINVAL` for an unknown seal, `EPERM` if there may be no further ones.
    pub(crate) fn seal(&mut self, seals: u32) -> Result<(), Errno> {
        if seals & !Seals::ALL != 0 {
            return Err(EINVAL);
        }
        if self.seals.has(Seals::SEAL) {
            return Err(EPERM);
        }
        self.seals.0 |= seals;
        Ok(())
    }

    /// Reads up to `length` bytes at `offset`; fewer at the end.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut out = vec![0; length.min(left)];
        let mut done = 0;
        while done < out.len() {
            let (page, within, count) = piece(offset + done as u64, out.len() - done);
            if let Some(page) = self.pages.get(&page) {
                out[done..done + count].copy_from_slice(&page.bytes[within..within + count]);
            }
            done += count;
        }
        out
    }

    /// Writes bytes at `offset`. The file may use up to `most` bytes of memory.
    ///
    /// # Errors
    /// `EPERM` if it is sealed, `EFBIG`, `ENOSPC`.
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8], most: u64) -> Result<usize, Errno> {
        if self.seals.has(Seals::WRITE) || self.seals.has(Seals::FUTURE_WRITE) {
            return Err(EPERM);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = offset.checked_add(bytes.len() as u64);
        let end = end.filter(|&end| end <= LARGEST).ok_or(EFBIG)?;
        if end > self.size && self.seals.has(Seals::GROW) {
            return Err(EPERM);
        }
        let mut done = 0;
        while done < bytes.len() {
            let (page, within, count) = piece(offset + done as u64, bytes.len() - done);
            if !self.pages.contains_key(&page) && self.used() + PAGE > most {
                break;
            }
            let place = self.page_mut(page);
            place[within..within + count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        if done == 0 {
            return Err(ENOSPC);
        }
        self.size = self.size.max(offset + done as u64);
        Ok(done)
    }

    /// Makes the file shorter, or longer by a hole.
    ///
    /// # Errors
    /// `EPERM` if it is sealed, `EFBIG`.
    pub(crate) fn resize(&mut self, size: u64) -> Result<(), Errno> {
        if size > LARGEST {
            return Err(EFBIG);
        }
        let forbidden = if size < self.size {
            Seals::SHRINK
        } else {
            Seals::GROW
        };
        if size != self.size && self.seals.has(forbidden) {
            return Err(EPERM);
        }
        let cut = self.pages.split_off(&size.div_ceil(PAGE));
        self.own -= cut.values().filter(|page| page.own).count() as u64;
        let (page, within, _) = piece(size, 0);
        if within > 0 && self.pages.contains_key(&page) {
            self.page_mut(page)[within..].fill(0);
        }
        self.size = size;
        Ok(())
    }

    /// `fallocate`: makes a hole, or makes the file longer.
    ///
    /// # Errors
    /// `EPERM` if it is sealed, `EFBIG`, `EOPNOTSUPP` for what is not known.
    pub(crate) fn allocate(&mut self, mode: u32, offset: u64, length: u64) -> Result<(), Errno> {
        // linux/falloc.h
        const KEEP_SIZE: u32 = 1;
        const PUNCH_HOLE: u32 = 2;
        let end = offset.checked_add(length).filter(|&end| end <= LARGEST);
        let end = end.ok_or(EFBIG)?;
        match mode {
            0 if end > self.size => self.resize(end),
            0 | KEEP_SIZE => Ok(()),
            3 if self.seals.has(Seals::WRITE) || self.seals.has(Seals::FUTURE_WRITE) => Err(EPERM),
            3 => {
                debug_assert_eq!(mode, KEEP_SIZE | PUNCH_HOLE);
                self.zero(offset, end.min(self.size));
                Ok(())
            }
            _ => Err(EOPNOTSUPP),
        }
    }

    fn zero(&mut self, start: u64, end: u64) {
        // A hole may lie behind the end of the file.
        if start >= end {
            return;
        }
        let touched = start / PAGE..end.div_ceil(PAGE);
        let pages: Vec<u64> = self.pages.range(touched).map(|(&page, _)| page).collect();
        for page in pages {
            let first = start.max(page * PAGE) - page * PAGE;
            let last = end.min((page + 1) * PAGE) - page * PAGE;
            if (first, last) == (0, PAGE) {
                let removed = self.pages.remove(&page);
                self.own -= u64::from(removed.is_some_and(|page| page.own));
            } else if let (Ok(first), Ok(last)) = (usize::try_from(first), usize::try_from(last)) {
                self.page_mut(page)[first..last].fill(0);
            }
        }
    }
}

fn empty_page() -> Page {
    let (_, _, whole) = piece(0, usize::MAX);
    Page {
        bytes: Arc::new(vec![0; whole]),
        own: false,
    }
}

/// The page of an offset, where in it, and how many bytes of it are meant.
fn piece(offset: u64, length: usize) -> (u64, usize, usize) {
    let within = usize::try_from(offset % PAGE).unwrap_or(0);
    let rest = usize::try_from(PAGE).unwrap_or(0) - within;
    (offset / PAGE, within, rest.min(length))
}

/// A file by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryFileId(pub(crate) usize);

impl MemoryFileId {
    /// What `stat` says.
    pub(crate) fn metadata(self, file: &MemoryFile) -> Metadata {
        Metadata {
            inode: 0x2000 + self.0 as u64,
            links: 0,
            size: file.size(),
            blocks: file.used() / 512,
            ..Metadata::own(S_IFREG | 0o777)
        }
    }
}

#[cfg(test)]
mod tests;
