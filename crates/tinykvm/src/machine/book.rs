//! The bookkeeping of an address space: which pages are mapped and which frames are left. Plain
//! values; a reset takes them over from the template.

use std::collections::BTreeMap;

use crate::Protection;
use crate::plan::layout::{ARENA, ARENA_END};

/// Page frames of main memory by number: never handed out, or given back.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    next: u64,
    end: u64,
    free: Vec<u64>,
}

impl Frames {
    /// Frames `next..end`.
    pub(super) fn new(next: u64, end: u64) -> Self {
        Self {
            next,
            end,
            free: Vec::new(),
        }
    }

    /// Takes `count` consecutive frames.
    pub(super) fn take(&mut self, count: u64) -> Option<u64> {
        if count == 1
            && let Some(frame) = self.free.pop()
        {
            return Some(frame);
        }
        let first = self.next;
        let next = first.checked_add(count).filter(|next| *next <= self.end)?;
        self.next = next;
        Some(first)
    }

    /// How many are left.
    pub(super) fn left(&self) -> u64 {
        self.end - self.next + self.free.len() as u64
    }

    pub(super) fn give_back(&mut self, frame: u64) {
        self.free.push(frame);
    }
}

/// One mapping: it starts at its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) end: u64,
    pub(super) allow: Protection,
}

/// The heap: `start..end` belongs to the program, `end..mapped` is reserve.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Heap {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) mapped: u64,
}

/// The bookkeeping, which a reset takes over from the template.
#[derive(Debug, Clone)]
pub(super) struct Book {
    pub(super) areas: BTreeMap<u64, Area>,
    pub(super) heap: Heap,
    pub(super) frames: Frames,
    /// The part of the arena that is mapped ahead; empty until the freeze.
    pub(super) reserve: (u64, u64),
    pub(super) allow_write_execute: bool,
}

impl Book {
    /// An empty book.
    pub(super) fn new(frames: Frames, allow_write_execute: bool) -> Self {
        Self {
            areas: BTreeMap::new(),
            heap: Heap::default(),
            frames,
            reserve: (0, 0),
            allow_write_execute,
        }
    }

    /// Puts the (empty) heap at `start`.
    pub(super) fn place_heap(&mut self, start: u64) {
        self.heap = Heap {
            start,
            end: start,
            mapped: start,
        };
    }

    pub(super) fn frozen(&self) -> bool {
        self.reserve.1 != 0
    }

    pub(super) fn is_free(&self, start: u64, end: u64) -> bool {
        let below = self.areas.range(..end).next_back();
        below.is_none_or(|(_, area)| area.end <= start)
            && (end <= self.heap.start || start >= self.heap.mapped)
    }

    /// The lowest free range of `length` bytes that mappings without an address may use.
    pub(super) fn find_free(&self, length: u64) -> Option<u64> {
        let (low, high) = if self.frozen() {
            self.reserve
        } else {
            (ARENA, ARENA_END)
        };
        let mut at = low;
        for (&start, area) in self.areas.range(low..high) {
            if start.checked_sub(at).is_some_and(|gap| gap >= length) {
                break;
            }
            at = at.max(area.end);
        }
        at.checked_add(length)
            .filter(|end| *end <= high)
            .map(|_| at)
    }

    pub(super) fn in_reserve(&self, start: u64, end: u64) -> bool {
        self.reserve.0 <= start && end <= self.reserve.1
    }

    /// Removes `start..end` from the areas and returns the pieces that were there.
    pub(super) fn cut(&mut self, start: u64, end: u64) -> Vec<(u64, Area)> {
        let mut pieces = Vec::new();
        let touched: Vec<u64> = self
            .areas
            .range(..end)
            .rev()
            .take_while(|(_, area)| area.end > start)
            .map(|(&at, _)| at)
            .collect();
        for at in touched {
            let Some(area) = self.areas.remove(&at) else {
                continue;
            };
            if at < start {
                self.areas.insert(at, Area { end: start, ..area });
            }
            if area.end > end {
                self.areas.insert(end, area);
            }
            pieces.push((
                at.max(start),
                Area {
                    end: area.end.min(end),
                    ..area
                },
            ));
        }
        pieces
    }
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
        assert_eq!(frames.take(2), Some(10));
        assert_eq!(frames.take(2), None);
        frames.give_back(10);
        assert_eq!(
            (frames.left(), frames.take(1), frames.take(1)),
            (2, Some(10), Some(12))
        );
        assert_eq!(frames.take(1), None);
    }

    #[test]
    fn a_cut_leaves_both_ends() {
        let mut book = book();
        let allow = Protection::READ;
        book.areas.insert(
            ARENA,
            Area {
                end: ARENA + 10 * PAGE,
                allow,
            },
        );
        let middle = (ARENA + 3 * PAGE, ARENA + 5 * PAGE);
        let pieces = book.cut(middle.0, middle.1);
        assert_eq!(
            pieces,
            [(
                middle.0,
                Area {
                    end: middle.1,
                    allow
                }
            )]
        );
        assert!(book.is_free(middle.0, middle.1));
        assert!(!book.is_free(middle.0 - 1, middle.1) && !book.is_free(middle.0, middle.1 + 1));
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
                    book.areas.insert(start, Area { end, allow: Protection::READ });
                }
            }
            let at = book.find_free(length * PAGE).unwrap();
            prop_assert!(book.is_free(at, at + length * PAGE));
            let ends: Vec<_> = book.areas.iter().map(|(start, area)| (*start, area.end)).collect();
            prop_assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "no overlaps");
        }
    }
}
