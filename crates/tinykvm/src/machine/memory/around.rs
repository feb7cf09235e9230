//! How much memory a touched page brings with it.

use crate::PAGE_SIZE;

/// Pages that get memory at the first touch of one of them.
pub(crate) const FIRST_AROUND: u64 = 16;
/// Faults in a row on a page whose tables allow the access, before it is believed.
const MOST_SPURIOUS: u32 = 100;

/// Where memory was given out last, and how much: touches that follow each other get more and
/// more of it at once.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Around {
    start: u64,
    end: u64,
    pages: u64,
    /// The last page whose tables allowed the access that faulted, and how often in a row.
    spurious: (u64, u32),
}

impl Around {
    /// The pages that get memory together with `page`, which lies in `start..end`.
    pub(crate) fn next(&mut self, page: u64, start: u64, end: u64, most: u64) -> (u64, u64) {
        let doubled = (self.pages * 2).clamp(FIRST_AROUND, most.max(FIRST_AROUND));
        let size = doubled * PAGE_SIZE;
        let (from, to, pages) = if page == self.end {
            (page, page.saturating_add(size), doubled)
        } else if page + PAGE_SIZE == self.start {
            (
                (page + PAGE_SIZE).saturating_sub(size),
                page + PAGE_SIZE,
                doubled,
            )
        } else {
            let size = FIRST_AROUND * PAGE_SIZE;
            (page - page % size, page - page % size + size, FIRST_AROUND)
        };
        *self = Self {
            start: from.max(start),
            end: to.min(end),
            pages,
            spurious: self.spurious,
        };
        (self.start, self.end)
    }

    /// False if the same page faulted again and again although its tables allow it.
    pub(crate) fn is_new(&mut self, page: u64) -> bool {
        let count = if self.spurious.0 == page {
            self.spurious.1 + 1
        } else {
            0
        };
        self.spurious = (page, count);
        count < MOST_SPURIOUS
    }
}
