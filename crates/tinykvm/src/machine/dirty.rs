//! Which pages of a fork may differ from its template.
//!
//! Guest writes are named by the dirty ring, host writes by [`Tracker::host_writes`]. A page
//! that was named stays in the set, writable without a fault, and is copied back at every reset;
//! a warm request thus takes no page fault and logs nothing. The set shrinks by
//! [`Tracker::forget`].

use std::sync::Arc;

use super::core::MAIN_SLOT;
use crate::kvm::DirtyRing;
use crate::mem::{Mapping, Memfd};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE};

/// Which pages of a template have memory: all others are zero.
#[derive(Debug)]
pub(super) struct FilledPages(Vec<u64>);

impl FilledPages {
    /// Those of frozen memory.
    pub(super) fn of(memory: &Memfd) -> Self {
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

    fn contains(&self, page: u64) -> bool {
        self.0
            .get(to_usize(page / 64))
            .is_none_or(|word| word >> (page % 64) & 1 != 0)
    }
}

/// The set of pages to copy back.
#[derive(Debug)]
pub(super) struct Tracker {
    ring: DirtyRing,
    present: Vec<u64>,
    pages: Vec<u64>,
    /// Private pages that the fork may have.
    limit: usize,
    /// The limit stopped a write since the last reset.
    exceeded: bool,
    /// The set has pages of earlier requests.
    carried: bool,
    filled: Arc<FilledPages>,
}

impl Tracker {
    /// A tracker for a memory of `total` pages of which at most `limit` may become private.
    /// `filled` says where the template may be other than zero.
    pub(super) fn new(ring: DirtyRing, total: u64, limit: u64, filled: Arc<FilledPages>) -> Self {
        Self {
            ring,
            present: vec![0; to_usize(total.div_ceil(64))],
            pages: Vec::new(),
            limit: to_usize(limit),
            exceeded: false,
            carried: false,
            filled,
        }
    }

    /// False if the page is zero for certain; known without reading it. Say [`Self::harvest`] first.
    pub(super) fn may_be_filled(&self, page: u64) -> bool {
        self.contains(page) || self.filled.contains(page)
    }

    /// Ring entries for a fork that may have `limit` private pages: a power of two not above it,
    /// so that the ring fills up before the limit is passed and the limit is exact.
    pub(super) fn ring_entries(limit: u64) -> u32 {
        let capped = u32::try_from(limit.clamp(256, 16384)).unwrap_or(256);
        1 << (31 - capped.leading_zeros())
    }

    fn insert(&mut self, page: u64) {
        let (word, bit) = (to_usize(page / 64), 1 << (page % 64));
        if let Some(present) = self.present.get_mut(word)
            && *present & bit == 0
        {
            *present |= bit;
            self.pages.push(page);
        }
    }

    /// True if the page may differ from the template.
    pub(super) fn contains(&self, page: u64) -> bool {
        self.present
            .get(to_usize(page / 64))
            .is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    /// Takes in what the ring has named since the last time. No system call.
    pub(super) fn harvest(&mut self) {
        while let Some((slot, page)) = self.ring.next() {
            if slot == MAIN_SLOT {
                self.insert(page);
            }
        }
    }

    /// The host is about to write this page. False if that would pass the limit. (While pages of
    /// earlier requests are in the set the guest's own stop at the limit has to do.)
    pub(super) fn host_writes(&mut self, page: u64) -> bool {
        if self.contains(page) {
            return true;
        }
        self.harvest();
        if self.pages.len() >= self.limit && !self.carried {
            self.exceeded = true;
            return false;
        }
        self.insert(page);
        true
    }

    /// The host is about to write this page for the engine's own ends, whatever the limit is.
    pub(super) fn engine_writes(&mut self, page: u64) {
        self.insert(page);
    }

    /// The pages in the set.
    pub(super) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// Private pages that the fork may have.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// True if the host could not write because of the limit; cleared by [`Self::settle`].
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// A reset is done: the limit starts anew.
    pub(super) fn settle(&mut self) {
        self.exceeded = false;
        self.carried = !self.pages.is_empty();
    }

    /// The ring is full: makes room so that the guest can go on, as far as the limit allows.
    /// False if the guest has used up its private memory.
    ///
    /// Only as many entries are recycled as the guest has pages left, so that it stops again
    /// exactly at the limit. Pages of earlier requests that equal the template do not count; to
    /// notice their next write every entry must be recycled, so in that case the guest may pass
    /// the limit by what the ring holds before it stops; [`Self::is_over_limit`] then tells.
    pub(super) fn make_room(
        &mut self,
        main: &Mapping,
        template: &Mapping,
    ) -> Result<bool, EngineError> {
        self.harvest();
        if self.pages.len() < self.limit {
            let left = self.limit - self.pages.len();
            self.ring.recycle(u32::try_from(left).unwrap_or(u32::MAX))?;
            return Ok(true);
        }
        if self.carried {
            self.keep_only_changed(main, template);
        }
        self.exceeded = self.pages.len() >= self.limit;
        if !self.exceeded {
            self.ring.recycle(u32::MAX)?;
        }
        Ok(!self.exceeded)
    }

    /// True if the guest has more private pages than it may have, which the ring alone cannot
    /// tell while pages of earlier requests are in the set: those count if they changed again.
    pub(super) fn is_over_limit(&mut self, main: &Mapping, template: &Mapping) -> bool {
        self.harvest();
        if self.pages.len() > self.limit {
            let changed = self
                .pages
                .iter()
                .filter(|&&page| differs(page, main, template))
                .count();
            self.exceeded |= changed > self.limit;
        }
        self.exceeded
    }

    fn keep_only_changed(&mut self, main: &Mapping, template: &Mapping) {
        let mut kept = std::mem::take(&mut self.pages);
        kept.retain(|&page| {
            let changed = differs(page, main, template);
            if !changed && let Some(word) = self.present.get_mut(to_usize(page / 64)) {
                *word &= !(1 << (page % 64));
            }
            changed
        });
        self.pages = kept;
    }

    /// Empties the set; the caller has dropped every private page. All pages are logged anew.
    pub(super) fn forget(&mut self) -> Result<(), EngineError> {
        self.harvest();
        for page in self.pages.drain(..) {
            if let Some(word) = self.present.get_mut(to_usize(page / 64)) {
                *word = 0;
            }
        }
        self.ring.recycle(u32::MAX)
    }
}

/// True if a page is not as it is in the template.
fn differs(page: u64, main: &Mapping, template: &Mapping) -> bool {
    let (at, size) = (page * PAGE_SIZE, to_usize(PAGE_SIZE));
    main.bytes(at, size) != template.bytes(at, size)
}
