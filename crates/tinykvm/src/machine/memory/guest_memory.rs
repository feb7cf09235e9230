//! The memory of one VM by guest-physical address, and what page tables say about virtual ones.

use std::cell::Cell;

use super::answers::Answers;
use super::dirty::Tracker;
use super::edits::Edits;
use super::file_slot::FileSlot;
use super::slots::MainSlots;
use crate::PAGE_SIZE;
use crate::mem::{FileMapping, Mapping};
use crate::plan::layout::{FILES_PHYSICAL, HOST_PAGE_PHYSICAL, MAIN_PHYSICAL};
use crate::plan::page_table::{TableMemory, Translation, translate};
use crate::units::{page_down, to_usize};

/// A part of guest memory as the host may use it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Piece<'a> {
    /// Memory in place.
    Bytes(&'a [u8]),
    /// So many zeros: memory that nobody has touched.
    Zeros(usize),
    /// A file from this offset on, and so many bytes of it.
    File(&'a FileMapping, u64, usize),
}

impl Piece<'_> {
    /// Bytes in it.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Zeros(length) | Self::File(_, _, length) => *length,
        }
    }

    /// Copies it; false if a file is shorter than it was.
    pub(crate) fn read(&self, out: &mut [u8]) -> bool {
        match self {
            Self::Bytes(bytes) => out.copy_from_slice(bytes),
            Self::Zeros(_) => out.fill(0),
            Self::File(file, at, _) => return file.read(*at, out),
        }
        true
    }
}

/// Main memory and the host page of one VM.
#[derive(Debug)]
pub(crate) struct GuestMemory {
    /// Main memory: guest-physical [`MAIN_PHYSICAL`] is offset 0.
    pub(crate) main: Mapping,
    /// The page that the host writes before every call; not part of what a reset restores.
    pub(crate) host_page: Mapping,
    /// In a fork: which pages of main memory differ from the template, or may.
    pub(crate) tracker: Option<Tracker>,
    /// Guest-physical address of the top page table.
    pub(crate) root: u64,
    /// Files in slots of their own, by guest-physical address.
    pub(crate) files: Vec<FileSlot>,
    /// Which slots main memory has.
    pub(crate) slots: MainSlots,
    /// Edits of page tables.
    pub(crate) edits: Edits,
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

/// Offset in main memory of a guest-physical address.
fn offset(physical: u64) -> Option<u64> {
    physical.checked_sub(MAIN_PHYSICAL)
}

impl GuestMemory {
    /// A memory whose page tables start at `root`.
    pub(crate) fn new(main: Mapping, mut host_page: Mapping, root: u64) -> Self {
        Answers::default().publish(&mut host_page);
        Self {
            main,
            host_page,
            tracker: None,
            root,
            files: Vec::new(),
            slots: MainSlots::default(),
            edits: Edits::default(),
            walks: WalkCache::default(),
        }
    }

    /// What is at a guest-physical range.
    pub(crate) fn physical(&self, physical: u64, length: usize) -> Option<Piece<'_>> {
        if page_down(physical) == HOST_PAGE_PHYSICAL {
            let at = physical - HOST_PAGE_PHYSICAL;
            return self.host_page.bytes(at, length).map(Piece::Bytes);
        }
        if physical < FILES_PHYSICAL {
            return self.main.bytes(offset(physical)?, length).map(Piece::Bytes);
        }
        let after = self.files.partition_point(|file| file.physical <= physical);
        let file = self.files.get(after.checked_sub(1)?)?;
        let at = physical - file.physical;
        let inside = at + length as u64 <= file.file.length();
        inside.then_some(Piece::File(&file.file, at, length))
    }

    /// The bytes at a range of main memory, to be written: its pages count as dirty from now on.
    /// `None` outside main memory or when the fork's private memory is used up.
    pub(crate) fn physical_mut(&mut self, physical: u64, length: usize) -> Option<&mut [u8]> {
        let offset = offset(physical)?;
        if let Some(tracker) = &mut self.tracker {
            let pages = offset / PAGE_SIZE..(offset + length as u64).div_ceil(PAGE_SIZE);
            for page in pages {
                if !tracker.host_writes(page, &mut self.main) {
                    return None;
                }
            }
        }
        self.main.bytes_mut(offset, length)
    }

    /// As [`Self::physical_mut`], for the engine's own ends: no limit holds.
    pub(crate) fn engine_memory_mut(&mut self, physical: u64, length: usize) -> Option<&mut [u8]> {
        let offset = offset(physical)?;
        if let Some(tracker) = &mut self.tracker {
            let last = (offset + length as u64).div_ceil(PAGE_SIZE);
            (offset / PAGE_SIZE..last).for_each(|page| tracker.engine_writes(page));
        }
        self.main.bytes_mut(offset, length)
    }

    /// The translation of an address that user code may read.
    pub(crate) fn walk(&self, address: u64) -> Option<Translation> {
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
    pub(crate) fn forget_walks(&self) {
        for place in &self.walks.0 {
            place.set(None);
        }
    }
}

/// Page-table reads on shared guest memory; never writes.
pub(crate) struct Loads<'a>(pub(crate) &'a GuestMemory);

impl TableMemory for Loads<'_> {
    fn load(&self, physical: u64) -> u64 {
        offset(physical).map_or(0, |offset| self.0.main.load(offset))
    }
    fn store(&mut self, _: u64, _: u64) {}
    fn allocate(&mut self) -> Option<u64> {
        None
    }
}
