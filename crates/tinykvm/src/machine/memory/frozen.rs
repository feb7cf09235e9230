//! The memory of a frozen program: what forks start from, and are put back to.

use super::book::Book;
use super::file_slot::FileSlot;
use crate::mem::{Mapping, Memfd, Sharing};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE};

/// Which pages of a template have memory: all others are zero.
#[derive(Debug)]
pub(crate) struct FilledPages(Vec<u64>);

impl FilledPages {
    /// Those of frozen memory.
    pub(crate) fn of(memory: &Memfd) -> Self {
        let mut words = vec![0; to_usize(memory.length().div_ceil(64 * PAGE_SIZE))];
        for (start, end) in memory.data(0) {
            for page in start / PAGE_SIZE..end.div_ceil(PAGE_SIZE) {
                if let Some(word) = words.get_mut(to_usize(page / 64)) {
                    *word |= 1 << (page % 64);
                }
            }
        }
        Self(words)
    }

    /// False if the page is zero.
    pub(crate) fn contains(&self, page: u64) -> bool {
        self.0
            .get(to_usize(page / 64))
            .is_none_or(|word| word >> (page % 64) & 1 != 0)
    }
}

/// Sealed memory with its address space. Nothing changes it any more.
#[derive(Debug)]
pub(crate) struct FrozenMemory {
    memfd: Memfd,
    /// The same, to copy back from.
    pub(crate) view: Mapping,
    /// Where it is not zero.
    pub(crate) filled: FilledPages,
    /// Guest-physical address of the top page table.
    pub(crate) root: u64,
    /// Files that are read in place.
    pub(crate) files: Vec<FileSlot>,
    pub(crate) book: Book,
    /// Pages that a fork may have for itself, with what the host holds for it.
    pub(crate) request_pages: u64,
}

impl FrozenMemory {
    /// Seals memory that no VM uses any more.
    pub(crate) fn seal(
        memfd: Memfd,
        root: u64,
        files: Vec<FileSlot>,
        book: Book,
        request_pages: u64,
    ) -> Result<Self, EngineError> {
        memfd.seal()?;
        Ok(Self {
            view: Mapping::of_file(&memfd, Sharing::ReadOnly)?,
            filled: FilledPages::of(&memfd),
            memfd,
            root,
            files,
            book,
            request_pages,
        })
    }

    /// A fork's own copy-on-write view.
    pub(crate) fn private_view(&self) -> Result<Mapping, EngineError> {
        Mapping::of_file(&self.memfd, Sharing::Private)
    }
}
