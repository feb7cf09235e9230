//! The bookkeeping of an address space: which pages are mapped and which frames are left. Plain
//! values; a reset takes them over from the template.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::Protection;
use crate::plan::layout::{ARENA, ARENA_END, LOW_ARENA, WINDOW, WINDOW_END};

/// Most areas of an address space: Linux' default `vm.max_map_count`.
pub(crate) const MAX_AREAS: usize = 65530;

/// Page frames of main memory by number: never handed out, or given back. What is left reads as
/// zero.
#[derive(Debug, Clone)]
pub(crate) struct Frames {
    next: u64,
    end: u64,
    /// What was given back: first frame and count.
    free: Vec<(u64, u64)>,
    free_count: u64,
    /// So many stay here for what the host holds beside the guest's memory.
    held: u64,
}

impl Frames {
    /// The first frame that was never handed out.
    pub(crate) fn first_unused(&self) -> u64 {
        self.next
    }

    /// Frames `next..end`.
    pub(crate) fn new(next: u64, end: u64) -> Self {
        Self {
            next,
            end,
            free: Vec::new(),
            free_count: 0,
            held: 0,
        }
    }

    /// So many frames stay here. False, and nothing changes, if there are not so many.
    pub(crate) fn hold(&mut self, count: u64) -> bool {
        let fits = count <= self.unused();
        if fits {
            self.held = count;
        }
        fits
    }

    /// As [`Self::hold`], of what can't be refused: more than there are is all of them.
    pub(crate) fn holds(&mut self, count: u64) {
        self.held = count;
    }

    fn unused(&self) -> u64 {
        self.end - self.next + self.free_count
    }

    /// Takes one frame.
    pub(crate) fn take(&mut self) -> Option<u64> {
        if self.left() == 0 {
            return None;
        }
        if let Some((first, count)) = self.free.pop() {
            self.free_count -= 1;
            if count > 1 {
                self.free.push((first, count - 1));
            }
            return Some(first + count - 1);
        }
        let frame = self.next;
        self.next = frame.checked_add(1).filter(|next| *next <= self.end)?;
        Some(frame)
    }

    /// Takes up to `count` frames that follow each other: the first, and how many.
    pub(crate) fn take_run(&mut self, count: u64) -> Option<(u64, u64)> {
        let count = count.min(self.left());
        if count == 0 {
            return None;
        }
        let fresh = count.min(self.end - self.next);
        if fresh > 0 {
            self.next += fresh;
            return Some((self.next - fresh, fresh));
        }
        let (first, free) = self.free.pop()?;
        let taken = count.min(free);
        self.free_count -= taken;
        if free > taken {
            self.free.push((first, free - taken));
        }
        Some((first + free - taken, taken))
    }

    /// How many are left.
    pub(crate) fn left(&self) -> u64 {
        self.unused().saturating_sub(self.held)
    }

    /// Takes back `count` frames from `first` on, which read as zero.
    pub(crate) fn give_back(&mut self, first: u64, count: u64) {
        if count == 0 {
            return;
        }
        self.free_count += count;
        if let Some((last, length)) = self.free.last_mut()
            && *last + *length == first
        {
            *length += count;
            return;
        }
        self.free.push((first, count));
    }
}

/// What is behind an area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backing {
    /// Frames of main memory, given out at the first touch.
    Memory,
    /// A file in a memory slot of its own, read-only: what to add to a virtual address.
    File { shift: u64 },
}

/// One mapping: it starts at its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) end: u64,
    pub(crate) allow: Protection,
    pub(crate) backing: Backing,
    /// It is, or once was, writable: it may not become executable.
    pub(crate) written: bool,
    /// Zero in every fork.
    pub(crate) wipe: bool,
    /// It grows towards lower addresses when what lies just below is touched.
    pub(crate) grows_down: bool,
    /// The host has mapped it for itself: what the program maps in its place is not.
    pub(crate) lent: bool,
}

impl Area {
    /// Ordinary memory up to `end`.
    pub(crate) fn memory(end: u64, allow: Protection) -> Self {
        Self {
            end,
            allow,
            backing: Backing::Memory,
            written: allow.write,
            wipe: false,
            grows_down: false,
            lent: false,
        }
    }

    /// The same with other rights.
    pub(crate) fn with(self, allow: Protection) -> Self {
        Self {
            allow,
            written: self.written || allow.write,
            ..self
        }
    }

    fn continues(&self, other: &Self) -> bool {
        *other
            == Self {
                end: other.end,
                ..*self
            }
    }
}

/// The heap: where it starts, and where the program said that it ends.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Heap {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// The bookkeeping, which a reset takes over from the template.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    areas: BTreeMap<u64, Area>,
    pub(crate) heap: Heap,
    pub(crate) frames: Frames,
    /// The parts of the heap and of the arena that have memory ahead; empty until the freeze.
    pub(crate) reserves: [(u64, u64); 2],
    pub(crate) allow_write_execute: bool,
    /// Where each call finds fresh random bytes, as long as the program keeps that memory.
    pub(crate) random: Option<u64>,
}

impl Book {
    /// An empty book.
    pub(crate) fn new(frames: Frames, allow_write_execute: bool) -> Self {
        Self {
            areas: BTreeMap::new(),
            heap: Heap::default(),
            frames,
            reserves: [(0, 0); 2],
            allow_write_execute,
            random: None,
        }
    }

    /// The memory of a range is given up, or goes elsewhere: no random bytes are written there
    /// any more.
    pub(crate) fn give_up(&mut self, start: u64, end: u64) {
        self.random = self.random.filter(|place| !(start..end).contains(place));
    }

    /// Puts the (empty) heap at `start`.
    pub(crate) fn place_heap(&mut self, start: u64) {
        self.heap = Heap { start, end: start };
    }

    pub(crate) fn frozen(&self) -> bool {
        self.reserves[1].1 != 0
    }

    /// All areas, by address.
    pub(crate) fn areas(&self) -> impl DoubleEndedIterator<Item = (u64, Area)> + '_ {
        self.areas.iter().map(|(start, area)| (*start, *area))
    }

    /// The area that contains `address`, or else the next one above it.
    pub(crate) fn find_from(&self, address: u64) -> Option<(u64, Area)> {
        self.overlapping(address, u64::MAX).next()
    }

    /// The area that contains `address`.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, Area)> {
        self.find_from(address)
            .filter(|(start, _)| *start <= address)
    }

    /// The areas that have a part in `start..end`.
    pub(crate) fn overlapping(
        &self,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = (u64, Area)> + '_ {
        let below = self.areas.range(..start).next_back();
        below
            .filter(|(_, area)| area.end > start)
            .into_iter()
            .chain(self.areas.range(start..end.max(start)))
            .map(|(start, area)| (*start, *area))
    }

    pub(crate) fn is_free(&self, start: u64, end: u64) -> bool {
        self.overlapping(start, end).next().is_none()
    }

    /// True if every byte of `start..end` is in an area that `accept` accepts.
    pub(crate) fn covers(&self, start: u64, end: u64, accept: impl Fn(&Area) -> bool) -> bool {
        let mut at = start;
        for (from, area) in self.overlapping(start, end) {
            if from > at || !accept(&area) {
                return false;
            }
            at = area.end;
        }
        at >= end
    }

    /// True if `more` areas would be too many.
    pub(crate) fn is_full(&self, more: usize) -> bool {
        self.areas.len() + more > MAX_AREAS
    }

    /// The lowest free range of `length` bytes that mappings without an address may use: in the
    /// reserve (`ahead`) or outside of it.
    pub(crate) fn find_free(&self, length: u64, ahead: bool) -> Option<u64> {
        let [_, (low, high)] = self.reserves;
        if ahead {
            return self.find_free_in(length, low..high);
        }
        self.find_free_in(length, high.max(ARENA)..ARENA_END)
            .or_else(|| self.find_free_in(length, LOW_ARENA..WINDOW))
    }

    /// The lowest free range of `length` bytes between two addresses.
    pub(crate) fn find_free_in(&self, length: u64, within: Range<u64>) -> Option<u64> {
        let (low, high) = (within.start, within.end);
        let mut at = low;
        for (start, area) in self.overlapping(low, high) {
            if start.checked_sub(at).is_some_and(|gap| gap >= length) {
                break;
            }
            at = at.max(area.end);
        }
        at.checked_add(length)
            .filter(|end| *end <= high)
            .map(|_| at)
    }

    /// True if all of the range has memory ahead.
    pub(crate) fn in_reserve(&self, start: u64, end: u64) -> bool {
        self.reserves
            .iter()
            .any(|(low, high)| *low <= start && end <= *high)
    }

    /// Adds an area where nothing is; neighbours of the same kind become one.
    pub(crate) fn insert(&mut self, start: u64, area: Area) {
        let (mut start, mut area) = (start, area);
        if let Some((&below, found)) = self.areas.range(..start).next_back()
            && found.end == start
            && found.continues(&area)
        {
            start = below;
        }
        if let Some(above) = self.areas.get(&area.end).copied()
            && above.continues(&area)
        {
            self.areas.remove(&area.end);
            area.end = above.end;
        }
        self.areas.insert(start, area);
    }

    /// Removes `start..end` from the areas and returns the pieces that were there.
    pub(crate) fn cut(&mut self, start: u64, end: u64) -> Vec<(u64, Area)> {
        let touched: Vec<_> = self.overlapping(start, end).collect();
        let mut pieces = Vec::with_capacity(touched.len());
        for (at, area) in touched {
            self.areas.remove(&at);
            if at < start {
                self.areas.insert(at, Area { end: start, ..area });
            }
            if area.end > end {
                self.areas.insert(end, area);
            }
            let end = area.end.min(end);
            pieces.push((at.max(start), Area { end, ..area }));
        }
        pieces
    }
}

/// True if user code may map the range: it does not touch the engine's window.
pub(crate) fn is_for_users(start: u64, end: u64) -> bool {
    end <= WINDOW || start >= WINDOW_END
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: u64 = 4096;

    fn book() -> Book {
        Book::new(Frames::new(0, 100), false)
    }

    #[test]
    fn frames_come_back_and_run_out() {
        let mut frames = Frames::new(10, 13);
        assert_eq!(frames.take_run(2), Some((10, 2)));
        assert_eq!(frames.take_run(2), Some((12, 1)), "what is left");
        assert_eq!(frames.take(), None);
        frames.give_back(10, 1);
        frames.give_back(11, 1);
        assert_eq!((frames.left(), frames.take_run(5)), (2, Some((10, 2))));
        frames.give_back(12, 1);
        assert_eq!(
            (frames.take(), frames.take(), frames.left()),
            (Some(12), None, 0)
        );
    }

    #[test]
    fn a_cut_leaves_both_ends() {
        let mut book = book();
        let allow = Protection::READ;
        book.insert(ARENA, Area::memory(ARENA + 10 * PAGE, allow));
        let middle = (ARENA + 3 * PAGE, ARENA + 5 * PAGE);
        let pieces = book.cut(middle.0, middle.1);
        assert_eq!(pieces, [(middle.0, Area::memory(middle.1, allow))]);
        assert!(book.is_free(middle.0, middle.1));
        assert!(!book.is_free(middle.0 - 1, middle.1) && !book.is_free(middle.0, middle.1 + 1));
        assert_eq!(book.areas().count(), 2);
        book.insert(middle.0, Area::memory(middle.1, allow));
        assert_eq!(book.areas().count(), 1, "neighbours of a kind are one");
        book.cut(middle.0, middle.1);
        book.insert(middle.0, Area::memory(middle.1, Protection::NONE));
        assert_eq!(book.areas().count(), 3);
        assert!(book.covers(ARENA, ARENA + 10 * PAGE, |_| true));
        assert!(!book.covers(ARENA, ARENA + 10 * PAGE, |area| !area.allow.is_none()));
        assert!(!book.covers(ARENA, ARENA + 11 * PAGE, |_| true));
    }

    proptest! {
        #[test]
        fn what_is_found_free_is_free(
            cuts in proptest::collection::vec((0u64..60, 1u64..20), 0..30),
            length in 1u64..30,
        ) {
            let mut book = book();
            for (index, (start, pages)) in cuts.into_iter().enumerate() {
                let (start, end) = (ARENA + start * PAGE, ARENA + (start + pages) * PAGE);
                book.cut(start, end);
                if index % 3 > 0 {
                    book.insert(start, Area::memory(end, Protection::READ));
                }
            }
            let at = book.find_free(length * PAGE, false).unwrap();
            prop_assert!(book.is_free(at, at + length * PAGE));
            let ends: Vec<_> = book.areas().map(|(start, area)| (start, area.end)).collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no overlaps");
        }
    }
}
