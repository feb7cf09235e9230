//! The memory of one VM by guest-physical and guest-virtual address.

use std::cell::Cell;

use super::dirty::Tracker;
use crate::mem::Mapping;
use crate::plan::layout::{HOST_PAGE_PHYSICAL, MAIN_PHYSICAL};
use crate::plan::page_table::{TableMemory, Translation, translate};
use crate::units::{page_down, to_usize};
use crate::{BadAddress, PAGE_SIZE};

/// Main memory and the host page of one VM.
#[derive(Debug)]
pub(super) struct GuestMemory {
    /// Main memory: guest-physical [`MAIN_PHYSICAL`] is offset 0.
    pub(super) main: Mapping,
    /// The page that the host writes before every call; not part of what a reset restores.
    pub(super) host_page: Mapping,
    /// In a fork: which pages of main memory differ from the template, or may.
    pub(super) tracker: Option<Tracker>,
    /// Guest-physical address of the top page table.
    pub(super) root: u64,
    /// The last walks through the page tables.
    walks: WalkCache,
}

/// Translations by page number, so that the few pages that a call's inputs and outputs lie in
/// are looked up once. Page tables are written by the host only, which forgets them then.
#[derive(Debug, Default)]
struct WalkCache([Cell<Option<(u64, Translation)>>; 4]);

impl WalkCache {
    fn place(&self, page: u64) -> &Cell<Option<(u64, Translation)>> {
        &self.0[to_usize(page % 4)]
    }
}

/// End of the lower half of the address space, where all user mappings are.
const LOWER_HALF: u64 = 1 << 47;

/// Bytes that are written at once.
const LONGEST_PIECE: u64 = 1 << 20;

/// Offset in main memory of a guest-physical address.
fn offset(physical: u64) -> Option<u64> {
    physical.checked_sub(MAIN_PHYSICAL)
}

impl GuestMemory {
    /// A memory whose page tables start at `root`.
    pub(super) fn new(main: Mapping, host_page: Mapping, root: u64) -> Self {
        Self {
            main,
            host_page,
            tracker: None,
            root,
            walks: WalkCache::default(),
        }
    }

    /// The bytes at a guest-physical range.
    pub(super) fn physical(&self, physical: u64, length: usize) -> Option<&[u8]> {
        if page_down(physical) == HOST_PAGE_PHYSICAL {
            return self.host_page.bytes(physical - HOST_PAGE_PHYSICAL, length);
        }
        self.main.bytes(offset(physical)?, length)
    }

    /// The bytes at a range of main memory, to be written: its pages count as dirty from now on.
    /// `None` outside main memory or when the fork's private memory is used up.
    pub(super) fn physical_mut(&mut self, physical: u64, length: usize) -> Option<&mut [u8]> {
        let offset = offset(physical)?;
        if let Some(tracker) = &mut self.tracker {
            let pages = offset / PAGE_SIZE..(offset + length as u64).div_ceil(PAGE_SIZE);
            for page in pages {
                if !tracker.host_writes(page) {
                    return None;
                }
            }
        }
        self.main.bytes_mut(offset, length)
    }

    /// As [`Self::physical_mut`], for the engine's own ends: no limit holds.
    pub(super) fn engine_memory_mut(&mut self, physical: u64, length: usize) -> Option<&mut [u8]> {
        let offset = offset(physical)?;
        if let Some(tracker) = &mut self.tracker {
            let last = (offset + length as u64).div_ceil(PAGE_SIZE);
            (offset / PAGE_SIZE..last).for_each(|page| tracker.engine_writes(page));
        }
        self.main.bytes_mut(offset, length)
    }

    fn walk(&self, address: u64) -> Option<Translation> {
        let (page, offset) = (address / PAGE_SIZE, address % PAGE_SIZE);
        let place = self.walks.place(page);
        let found = match place.get() {
            Some((cached, found)) if cached == page => found,
            _ => {
                let found = translate(&Loads(self), self.root, page * PAGE_SIZE)?;
                place.set(Some((page, found)));
                found
            }
        };
        found.user.then_some(Translation {
            physical: found.physical + offset,
            ..found
        })
    }

    /// Page tables have changed.
    pub(super) fn forget_walks(&self) {
        for place in &self.walks.0 {
            place.set(None);
        }
    }

    /// Calls `piece` with each physically contiguous part of a user-readable virtual range.
    pub(super) fn for_each_piece<'a>(
        &'a self,
        address: u64,
        length: u64,
        mut piece: impl FnMut(&'a [u8]),
    ) -> Result<(), BadAddress> {
        let bad = BadAddress { address, length };
        let end = address
            .checked_add(length)
            .filter(|end| *end <= LOWER_HALF)
            .ok_or(bad)?;
        let mut at = address;
        let mut run: Option<(u64, u64)> = None; // physical start, length
        while at < end {
            let size = (page_down(at) + PAGE_SIZE).min(end) - at;
            let physical = self.walk(at).ok_or(bad)?.physical;
            run = match run {
                Some((start, length)) if start + length == physical => Some((start, length + size)),
                other => {
                    if let Some((start, length)) = other {
                        piece(self.physical(start, to_usize(length)).ok_or(bad)?);
                    }
                    Some((physical, size))
                }
            };
            at += size;
        }
        if let Some((start, length)) = run {
            piece(self.physical(start, to_usize(length)).ok_or(bad)?);
        }
        Ok(())
    }

    /// Calls `piece` with each physically contiguous part of a user-writable virtual range.
    pub(super) fn for_each_piece_mut(
        &mut self,
        address: u64,
        length: u64,
        mut piece: impl FnMut(&mut [u8]),
    ) -> Result<(), BadAddress> {
        let bad = BadAddress { address, length };
        let end = address
            .checked_add(length)
            .filter(|end| *end <= LOWER_HALF)
            .ok_or(bad)?;
        let mut at = address;
        while at < end {
            let first = self.walk(at).filter(|found| found.writable).ok_or(bad)?;
            let mut size = (page_down(at) + PAGE_SIZE).min(end) - at;
            while at + size < end
                && size < LONGEST_PIECE
                && self
                    .walk(at + size)
                    .is_some_and(|next| next.writable && next.physical == first.physical + size)
            {
                size = (size + PAGE_SIZE).min(end - at);
            }
            piece(
                self.physical_mut(first.physical, to_usize(size))
                    .ok_or(bad)?,
            );
            at += size;
        }
        Ok(())
    }

    /// Copies a user-readable range out.
    pub(super) fn read(&self, address: u64, out: &mut [u8]) -> Result<(), BadAddress> {
        let mut done = 0;
        self.for_each_piece(address, out.len() as u64, |piece| {
            out[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        })
    }

    /// Copies a user-readable range into a new vector.
    pub(super) fn read_vec(&self, address: u64, length: usize) -> Result<Vec<u8>, BadAddress> {
        let mut bytes = Vec::new();
        self.for_each_piece(address, length as u64, |piece| {
            // All of it at once, but only when something of it is there.
            bytes.reserve_exact(length - bytes.len());
            bytes.extend_from_slice(piece);
        })?;
        Ok(bytes)
    }

    /// Copies `data` into a user-writable range.
    pub(super) fn write(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
        let mut rest = data;
        self.for_each_piece_mut(address, data.len() as u64, |piece| {
            let (now, later) = rest.split_at(piece.len());
            piece.copy_from_slice(now);
            rest = later;
        })
    }
}

/// Page-table reads on shared guest memory; never writes.
pub(super) struct Loads<'a>(pub(super) &'a GuestMemory);

impl TableMemory for Loads<'_> {
    fn load(&self, physical: u64) -> u64 {
        offset(physical).map_or(0, |offset| self.0.main.load(offset))
    }
    fn store(&mut self, _: u64, _: u64) {}
    fn allocate(&mut self) -> Option<u64> {
        None
    }
}
