//! Memory that is given ahead at the freeze, so that forks need no page-table edit.

use super::address_space::AddressSpace;
use super::book::{Area, Backing};
use crate::plan::layout::{ARENA_END, LOW_ARENA};
use crate::units::page_up;
use crate::{MapError, PAGE_SIZE, Protection};

/// Small pages of files that are mapped ahead at the freeze, at most.
const FILE_PAGES_AHEAD: u64 = 1 << 16;
/// The least that is the most to be given ahead, in pages; what a fork may change counts so many
/// times, for it is not known where that will be.
const PAGES_AHEAD: u64 = 1 << 18;
const CHANGES_AHEAD: u64 = 4;

/// The most pages that are given ahead for forks that may change `changes` pages: what is given
/// ahead is written to page tables one by one, and a fork can use only so much of it.
pub(crate) fn most_pages(changes: u64) -> u64 {
    changes.saturating_mul(CHANGES_AHEAD).max(PAGES_AHEAD)
}

impl AddressSpace {
    /// Gives memory ahead, for the forks: first to what is mapped and untouched, up to half of
    /// what is left; then to the reserve. A sixteenth stays free for other mappings. `most`: pages for
    /// either.
    pub(crate) fn map_ahead(&mut self, most: u64) -> Result<(), MapError> {
        self.back_untouched(most);
        let left = self.book.frames.left();
        let tables = left / 512 + 16;
        let usable = left.saturating_sub(tables + left / 16).min(most);
        let heap = page_up(self.book.heap.end);
        let room = self
            .book
            .find_from(heap)
            .map_or(LOW_ARENA, |(start, _)| start);
        let wanted = usable / 4 * PAGE_SIZE;
        let heap = (heap, heap + wanted.min(room.saturating_sub(heap)));
        let size = usable * PAGE_SIZE - (heap.1 - heap.0);
        let arena = self.book.find_free(size, false);
        let arena = arena.map_or((ARENA_END, ARENA_END), |start| (start, start + size));
        for (start, end) in [heap, arena] {
            let area = Area::memory(end, Protection::READ_WRITE);
            self.back_range(start, end, &area, u64::MAX)
                .ok_or(MapError::NoMemory {
                    length: end - start,
                })?;
        }
        self.book.reserves = [heap, arena];
        Ok(())
    }

    /// Gives memory to what is mapped and was never touched: small areas first, and as much to
    /// each of the others as there is.
    fn back_untouched(&mut self, most: u64) {
        let mut areas: Vec<_> = self
            .book
            .areas()
            .filter(|(_, area)| !area.allow.is_none())
            .collect();
        areas.sort_by_key(|(start, area)| area.end - start);
        let mut budget = most.min(self.book.frames.left() / 2);
        let mut file_budget = FILE_PAGES_AHEAD;
        for (index, &(start, area)) in areas.iter().enumerate() {
            let share = budget / (areas.len() - index) as u64;
            let pages = (area.end - start) / PAGE_SIZE;
            let (most, from) = match area.backing {
                Backing::Memory => (if pages <= budget / 2 { pages } else { share }, &mut budget),
                Backing::File { .. } => (file_budget, &mut file_budget),
            };
            // A range as long as what may be given out, behind what was touched.
            let end = area
                .end
                .min(start.saturating_add((pages.min(1 << 24)) * PAGE_SIZE));
            match self.back_range(start, end, &area, most) {
                Some(done) => *from -= done.min(*from),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_ahead_goes_by_what_a_fork_may_change() {
        assert_eq!(most_pages(0), PAGES_AHEAD);
        assert_eq!(most_pages(PAGES_AHEAD / CHANGES_AHEAD), PAGES_AHEAD);
        assert_eq!(most_pages(PAGES_AHEAD), 4 * PAGES_AHEAD);
        assert_eq!(most_pages(u64::MAX), u64::MAX);
    }
}
