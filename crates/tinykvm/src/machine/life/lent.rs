//! Memory that the host maps in a program's address space and comes back to in a later call: to
//! write there, or to take it away. Meanwhile the program may have unmapped it and mapped something
//! else in its place, which is the program's own. The book tells both apart.

use super::fork::Fork;
use crate::machine::memory::address_space::AddressSpace;
use crate::machine::memory::book::Area;
use crate::units::page_up;
use crate::{Guest, MapError};

impl AddressSpace {
    fn lend(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let length = end - start;
        if self.book.is_full(2) || !self.book.covers(start, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        self.changed = true;
        for (at, area) in self.book.cut(start, end) {
            self.book.insert(at, Area { lent: true, ..area });
        }
        Ok(())
    }

    /// What is left of a loan between two addresses, in pieces.
    fn lent(&self, start: u64, end: u64) -> Vec<(u64, u64)> {
        self.book
            .overlapping(start, end)
            .filter(|(_, area)| area.lent)
            .map(|(at, area)| (at.max(start), area.end.min(end)))
            .collect()
    }
}

impl Fork {
    /// Notes that a mapped range is the host's, until the program unmaps it, maps something else in
    /// its place, or moves it. A reset forgets it.
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if part of it is not mapped, or there are too many areas.
    pub fn lend(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let end = address.saturating_add(page_up(length));
        self.core.space.lend(address, end)
    }

    /// True if all of a range that was [lent](Self::lend) still is.
    #[must_use]
    pub fn is_lent(&self, address: u64, length: u64) -> bool {
        let end = address.saturating_add(page_up(length));
        self.core.space.book.covers(address, end, |area| area.lent)
    }

    /// Unmaps what is still [lent](Self::lend) of a range.
    ///
    /// # Errors
    /// As [`Guest::unmap`].
    pub fn take_back(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let end = address.saturating_add(page_up(length));
        for (start, end) in self.core.space.lent(address, end) {
            self.unmap(start, end - start)?;
        }
        Ok(())
    }
}
