//! Which pages of a fork may differ from its template.
//!
//! Guest writes are named by the dirty ring, host writes by [`Tracker::host_writes`]. A page
//! that was named stays in the set, writable without a fault, and is copied back at every reset;
//! a warm request thus takes no page fault and logs nothing. The set shrinks by
//! [`Tracker::forget`].

use std::sync::Arc;

use super::frozen::FrozenMemory;
use super::slots::MainSlots;
use crate::kvm::DirtyRing;
use crate::mem::Mapping;
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE};

/// The set of pages to copy back.
#[derive(Debug)]
pub(crate) struct Tracker {
    ring: DirtyRing,
    /// What the ring's slots are.
    pub(crate) slots: MainSlots,
    frozen: Arc<FrozenMemory>,
    present: Vec<u64>,
    pages: Vec<u64>,
    /// Private pages that the fork may have, and the host hold for it.
    limit: usize,
    /// What the host holds for it, in pages.
    held: usize,
    /// The limit stopped a write since the last reset.
    exceeded: bool,
    /// The set has pages of earlier requests.
    carried: bool,
    /// Pages were taken out of the set: before the next run all are to be logged anew.
    stale: bool,
}

impl Tracker {
    /// A tracker for a fork whose memory was `frozen` and has `slots`.
    pub(crate) fn new(ring: DirtyRing, slots: MainSlots, frozen: Arc<FrozenMemory>) -> Self {
        Self {
            ring,
            slots,
            present: Vec::new(),
            pages: Vec::new(),
            limit: to_usize(frozen.request_pages),
            held: 0,
            exceeded: false,
            carried: false,
            stale: false,
            frozen,
        }
    }

    /// False if the page is zero for certain; known without reading it. Say [`Self::harvest`] first.
    pub(crate) fn may_be_filled(&self, page: u64) -> bool {
        self.contains(page) || self.frozen.filled.contains(page)
    }

    /// Ring entries for a fork that may have `limit` private pages: a power of two not above it,
    /// so that the ring fills up before the limit is passed and the limit is exact.
    pub(crate) fn ring_entries(limit: u64) -> u32 {
        let capped = u32::try_from(limit.clamp(256, 16384)).unwrap_or(256);
        1 << (31 - capped.leading_zeros())
    }

    fn insert(&mut self, page: u64) {
        let (word, bit) = (to_usize(page / 64), 1 << (page % 64));
        if word >= self.present.len() {
            self.present.resize(word + 1, 0);
        }
        if let Some(present) = self.present.get_mut(word)
            && *present & bit == 0
        {
            *present |= bit;
            self.pages.push(page);
        }
    }

    /// True if the page may differ from the template.
    pub(crate) fn contains(&self, page: u64) -> bool {
        self.present
            .get(to_usize(page / 64))
            .is_some_and(|word| word >> (page % 64) & 1 != 0)
    }

    /// Takes in what the ring has named since the last time. No system call.
    pub(crate) fn harvest(&mut self) {
        while let Some((slot, page)) = self.ring.next() {
            if let Some(page) = self.slots.page(slot, page) {
                self.insert(page);
            }
        }
    }

    /// The host is about to write this page. False if that would pass the limit.
    pub(crate) fn host_writes(&mut self, page: u64, main: &mut Mapping) -> bool {
        if self.contains(page) {
            return true;
        }
        self.harvest();
        if !self.has_room(1, main) {
            self.exceeded = true;
            return false;
        }
        self.insert(page);
        true
    }

    /// The host holds so many bytes for the guest. False if they do not fit beside its pages and a
    /// sixty-fourth of the limit; then nothing has changed.
    pub(crate) fn hold(&mut self, bytes: u64, main: &mut Mapping) -> bool {
        let before = std::mem::replace(&mut self.held, to_pages(bytes));
        if self.held <= before {
            return true;
        }
        self.harvest();
        // Whoever is refused has pages left to say so.
        let fits = self.has_room((self.limit / 64).max(16), main);
        if !fits {
            self.held = before;
        }
        fits
    }

    /// The host holds so many bytes for the guest, whether they fit or not.
    pub(crate) fn holds(&mut self, bytes: u64) {
        self.held = to_pages(bytes);
    }

    /// What the host holds for the guest, in pages.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// True if the guest may have so many pages more than are in the set. What earlier requests
    /// left in it goes before that is denied.
    fn has_room(&mut self, more: usize, main: &mut Mapping) -> bool {
        let fits = |tracker: &Self| {
            let all = tracker.pages.len().saturating_add(tracker.held);
            all.saturating_add(more) <= tracker.limit
        };
        if !fits(self) && self.carried {
            self.drop_unchanged(main);
        }
        fits(self)
    }

    /// The host is about to write this page for the engine's own ends, whatever the limit is.
    pub(crate) fn engine_writes(&mut self, page: u64) {
        self.insert(page);
    }

    /// The pages in the set.
    pub(crate) fn pages(&self) -> &[u64] {
        &self.pages
    }

    /// Private pages that the fork may have.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// True if the host could not write because of the limit; cleared by [`Self::settle`].
    pub(crate) fn exceeded(&self) -> bool {
        self.exceeded
    }

    /// A reset is done: the limit starts anew.
    pub(crate) fn settle(&mut self) {
        self.exceeded = false;
        self.held = 0;
        self.carried = !self.pages.is_empty();
    }

    /// The ring is full: makes room so that the guest can go on, as far as the limit allows.
    /// False if the guest has used up its private memory.
    ///
    /// Only as many entries are recycled as the guest has pages left, so that it stops again
    /// exactly at the limit.
    pub(crate) fn make_room(&mut self, main: &mut Mapping) -> Result<bool, EngineError> {
        self.harvest();
        self.exceeded = !self.has_room(1, main);
        if self.exceeded {
            return Ok(false);
        }
        if self.stale {
            self.log_anew()?;
        } else {
            let left = self.limit - self.held - self.pages.len();
            self.ring.recycle(u32::try_from(left).unwrap_or(u32::MAX))?;
        }
        Ok(true)
    }

    /// The guest is about to run. True if the ring has more room than the guest, by more than may
    /// be passed over: then it has to be looked at now and then. That is so if the host has written
    /// much of the guest's memory, or holds much for it, neither of which takes an entry of the
    /// ring; and where pages of earlier requests went out of the set.
    pub(crate) fn prepare_run(&mut self) -> Result<bool, EngineError> {
        if self.stale {
            self.log_anew()?;
        }
        let free = to_usize(u64::from(self.ring.free()));
        let used = self.pages.len().saturating_add(self.held);
        let room = self.limit.saturating_sub(used);
        Ok(free > room.saturating_add(self.slack()))
    }

    /// Pages by which the limit may be passed before anybody looks.
    fn slack(&self) -> usize {
        (self.limit / 16).max(64)
    }

    /// True if the guest has more private pages than it may have, which the ring alone can't tell
    /// where it has more room than the guest.
    pub(crate) fn is_over_limit(&mut self, main: &mut Mapping) -> bool {
        self.harvest();
        self.exceeded |= !self.has_room(0, main);
        self.exceeded
    }

    /// Takes the pages out of the set, and out of memory, that are as in the template: those of
    /// earlier requests. Their next write will be logged.
    fn drop_unchanged(&mut self, main: &mut Mapping) {
        self.carried = false;
        self.stale = true;
        let pages = std::mem::take(&mut self.pages);
        let view = &self.frozen.view;
        let (changed, mut same): (Vec<u64>, Vec<u64>) = pages
            .into_iter()
            .partition(|&page| differs(page, main, view));
        self.pages = changed;
        same.sort_unstable();
        for run in same.chunk_by(|&one, &next| next == one + 1) {
            let (Some(first), length) = (run.first(), run.len() * to_usize(PAGE_SIZE)) else {
                continue;
            };
            // What the kernel keeps counts on.
            if main.drop_private_pages(first * PAGE_SIZE, length).is_err() {
                self.pages.extend_from_slice(run);
                continue;
            }
            for page in run {
                if let Some(word) = self.present.get_mut(to_usize(page / 64)) {
                    *word &= !(1 << (page % 64));
                }
            }
        }
    }

    fn log_anew(&mut self) -> Result<(), EngineError> {
        self.stale = false;
        self.ring.recycle(u32::MAX)
    }

    /// Empties the set; the caller has dropped every private page. All pages are logged anew.
    pub(crate) fn forget(&mut self) -> Result<(), EngineError> {
        self.harvest();
        for page in self.pages.drain(..) {
            if let Some(word) = self.present.get_mut(to_usize(page / 64)) {
                *word = 0;
            }
        }
        self.log_anew()
    }
}

fn to_pages(bytes: u64) -> usize {
    to_usize(bytes.div_ceil(PAGE_SIZE))
}

/// True if a page is not as it is in the template.
fn differs(page: u64, main: &Mapping, template: &Mapping) -> bool {
    let (at, size) = (page * PAGE_SIZE, to_usize(PAGE_SIZE));
    main.bytes(at, size) != template.bytes(at, size)
}
