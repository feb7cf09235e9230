//! A program's virtual address space: what is mapped, area by area. The pages behind are in
//! [`paging`](super::paging).
//!
//! An area costs nothing until it is touched: reservations of terabytes are book-keeping only.
//! The freeze gives memory ahead to what is mapped and untouched, and keeps more of it mapped, as
//! the *reserve*, behind the heap and in the arena. In a fork a plain `malloc` therefore needs no
//! page-table edit. Other edits work in a fork too; taking rights away costs a flush.

use super::around::Around;
use super::book::{Area, Backing, Book, is_for_users};
use super::guest_memory::GuestMemory;
use crate::plan::layout::{STACK_SIZE, USER_END, USER_START};
use crate::units::page_up;
use crate::{Advice, MapError, MappedRange, PAGE_SIZE, Placement, Protection};

/// Address space of one VM.
#[derive(Debug)]
pub(crate) struct AddressSpace {
    pub(crate) memory: GuestMemory,
    pub(crate) book: Book,
    /// The book differs from the template's.
    pub(crate) changed: bool,
    /// A page that was touched found no memory left.
    pub(crate) exhausted: bool,
    /// Where memory was given out last.
    pub(crate) around: Around,
}

fn check_range(address: u64, length: u64) -> Result<(u64, u64), MapError> {
    let invalid = MapError::Invalid { address, length };
    let end = address.checked_add(page_up(length)).ok_or(invalid)?;
    let inside = address >= USER_START && end <= USER_END && is_for_users(address, end);
    if !address.is_multiple_of(PAGE_SIZE) || length == 0 || length > USER_END || !inside {
        return Err(invalid);
    }
    Ok((address, end))
}

impl AddressSpace {
    pub(crate) fn new(memory: GuestMemory, book: Book) -> Self {
        Self {
            memory,
            book,
            changed: false,
            exhausted: false,
            around: Around::default(),
        }
    }

    /// Fails if rights are asked for that only a program with a JIT compiler may have.
    fn check_rights(&self, allow: Protection) -> Result<(), MapError> {
        if allow.write && allow.execute && !self.book.allow_write_execute {
            return Err(MapError::WriteExecute);
        }
        Ok(())
    }

    /// Fails if so many bytes could never be touched.
    fn check_room(&self, length: u64) -> Result<(), MapError> {
        if length / PAGE_SIZE > self.book.frames.left() {
            return Err(MapError::NoMemory { length });
        }
        Ok(())
    }

    /// Fails if an operation that adds two areas would pass the limit on their number.
    fn check_count(&self, length: u64) -> Result<(), MapError> {
        if self.book.is_full(2) {
            return Err(MapError::NoMemory { length });
        }
        Ok(())
    }

    /// Maps zeroed memory; see [`Guest::map`](crate::Guest::map). `reserve`: it need not fit.
    pub(crate) fn map(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
        reserve: bool,
    ) -> Result<u64, MapError> {
        self.check_rights(allow)?;
        self.check_count(length)?;
        let ahead = allow == Protection::READ_WRITE && !reserve;
        let address = self.choose(place, length, ahead)?;
        let end = address + page_up(length);
        if !allow.is_none() && !reserve && !self.book.in_reserve(address, end) {
            self.check_room(end - address)?;
        }
        self.add(address, Area::memory(end, allow))?;
        Ok(address)
    }

    /// The place of a new mapping. `Fixed` is checked only.
    pub(crate) fn choose(
        &self,
        place: Placement,
        length: u64,
        ahead: bool,
    ) -> Result<u64, MapError> {
        match place {
            Placement::Fixed(address) => Ok(check_range(address, length)?.0),
            Placement::FixedFree(address) => {
                let (start, end) = check_range(address, length)?;
                if self.book.is_free(start, end) {
                    Ok(start)
                } else {
                    Err(MapError::Occupied { address })
                }
            }
            Placement::Hint(address)
                if check_range(address, length)
                    .is_ok_and(|(start, end)| self.book.is_free(start, end)) =>
            {
                Ok(address)
            }
            Placement::Low => {
                let found = self.book.find_free_in(page_up(length), Placement::LOW);
                found
                    .filter(|_| length > 0)
                    .ok_or(MapError::NoMemory { length })
            }
            Placement::Hint(_) | Placement::Anywhere => {
                if length == 0 {
                    return Err(MapError::Invalid { address: 0, length });
                }
                let size = page_up(length);
                let found = if ahead {
                    self.book.find_free(size, true)
                } else {
                    None
                };
                found
                    .or_else(|| self.book.find_free(size, false))
                    .ok_or(MapError::NoMemory { length })
            }
        }
    }

    /// Adds an area, in the place of what is there.
    pub(crate) fn add(&mut self, start: u64, area: Area) -> Result<(), MapError> {
        self.unmap(start, area.end - start)?;
        self.changed = true;
        self.book.insert(start, area);
        if self.book.frozen() {
            self.revive(start, area.end, area.allow);
        }
        Ok(())
    }

    /// Unmaps a range; see [`Guest::unmap`](crate::Guest::unmap).
    pub(crate) fn unmap(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        let inside = |(at, area): (u64, Area)| at < start && end < area.end;
        if self.book.find(start).is_some_and(inside) {
            self.check_count(length)?;
        }
        self.book.give_up(start, end);
        for (at, area) in self.book.cut(start, end) {
            self.changed = true;
            self.release(at, area.end)?;
        }
        Ok(())
    }

    /// Changes rights; see [`Guest::protect`](crate::Guest::protect).
    pub(crate) fn protect(
        &mut self,
        address: u64,
        length: u64,
        allow: Protection,
    ) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        self.check_rights(allow)?;
        self.check_count(length)?;
        let none = MapError::NoMemory { length };
        if !self.book.covers(start, end, |_| true) {
            return Err(none);
        }
        let jit = self.book.allow_write_execute;
        if allow.execute && !jit && !self.book.covers(start, end, |area| !area.written) {
            return Err(MapError::WriteExecute);
        }
        let accessible = |area: &Area| !area.allow.is_none();
        // A thread's stack becomes accessible as a whole, and is hardly touched. In a fork most of
        // what is left is in the reserve, so that there would soon be no room for one.
        let more_than_stack = end - start > STACK_SIZE;
        if !allow.is_none() && more_than_stack && !self.book.covers(start, end, accessible) {
            self.check_room(end - start)?;
        }
        if allow.write {
            self.copy_files(start, end)?;
        }
        self.changed = true;
        for (at, area) in self.book.cut(start, end) {
            self.book.insert(at, area.with(allow));
        }
        self.set_rights(start, end, allow)
    }

    /// Zeroes a range; see [`Guest::discard`](crate::Guest::discard).
    pub(crate) fn discard(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        if !self.book.covers(start, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        self.clear(start, end);
        Ok(())
    }

    /// See [`Guest::advise`](crate::Guest::advise).
    pub(crate) fn advise(
        &mut self,
        address: u64,
        length: u64,
        advice: Advice,
    ) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        self.check_count(length)?;
        if !self.book.covers(start, end, |_| true) {
            return Err(MapError::NoMemory { length });
        }
        let harmless = |area: &Area| !area.allow.execute || self.book.allow_write_execute;
        if advice == Advice::Written && !self.book.covers(start, end, harmless) {
            return Err(MapError::WriteExecute);
        }
        self.changed = true;
        for (at, area) in self.book.cut(start, end) {
            let area = match advice {
                Advice::Written => Area {
                    written: true,
                    ..area
                },
                Advice::WipeOnFork => Area { wipe: true, ..area },
                Advice::KeepOnFork => Area {
                    wipe: false,
                    ..area
                },
                Advice::GrowsDown => Area {
                    grows_down: true,
                    ..area
                },
            };
            self.book.insert(at, area);
        }
        Ok(())
    }

    /// Moves memory; see [`Guest::remap`](crate::Guest::remap).
    pub(crate) fn remap(
        &mut self,
        old: u64,
        old_length: u64,
        place: Placement,
        length: u64,
        keep: bool,
    ) -> Result<u64, MapError> {
        let (start, end) = check_range(old, old_length)?;
        self.check_count(length)?;
        if !self.book.covers(start, end, |_| true) {
            return Err(MapError::NoMemory { length: old_length });
        }
        let new = self.choose(place, length, false)?;
        let (new_end, moved) = (new + page_up(length), (end - start).min(page_up(length)));
        if new < end && start < new_end {
            return Err(MapError::Invalid {
                address: new,
                length,
            });
        }
        self.check_room((new_end - new).saturating_sub(moved))?;
        self.unmap(new, new_end - new)?;
        if start + moved < end {
            self.unmap(start + moved, end - (start + moved))?;
        }
        self.changed = true;
        self.book.give_up(start, start + moved);
        let pieces = self.book.cut(start, start + moved);
        let mut last = None;
        for (at, area) in pieces {
            let backing = match area.backing {
                Backing::Memory => Backing::Memory,
                Backing::File { shift } => Backing::File {
                    shift: shift.wrapping_add(start).wrapping_sub(new),
                },
            };
            let (to, to_end) = (at - start + new, area.end - start + new);
            let there = Area {
                end: to_end,
                backing,
                lent: false,
                ..area
            };
            self.book.insert(to, there);
            self.revive(to, to_end, area.allow);
            if keep {
                self.book.insert(at, area);
            }
            last = Some(area);
        }
        if let Some(area) = last
            && new + moved < new_end
        {
            let added = Area {
                end: new_end,
                backing: Backing::Memory,
                lent: false,
                ..area
            };
            self.book.insert(new + moved, added);
            self.revive(new + moved, new_end, area.allow);
        }
        self.move_pages(start, start + moved, new)?;
        Ok(new)
    }

    /// See [`Guest::mapped`](crate::Guest::mapped).
    pub(crate) fn mapped(&self, address: u64) -> Option<MappedRange> {
        self.book
            .find_from(address)
            .map(|(start, area)| MappedRange {
                start,
                end: area.end,
                allow: area.allow,
                written: area.written,
            })
    }

    /// Moves the end of the heap; see [`Guest::set_heap_end`](crate::Guest::set_heap_end).
    pub(crate) fn set_heap_end(&mut self, wanted: u64) -> u64 {
        let heap = self.book.heap;
        if wanted < heap.start || self.move_heap_end(page_up(heap.end), wanted).is_err() {
            return heap.end;
        }
        self.changed = true;
        self.book.heap.end = wanted;
        wanted
    }

    fn move_heap_end(&mut self, old: u64, wanted: u64) -> Result<(), MapError> {
        let new = page_up(wanted);
        if new < old {
            return self.unmap(new, old - new);
        }
        if new > old {
            let place = Placement::FixedFree(old);
            self.map(place, new - old, Protection::READ_WRITE, false)?;
        }
        Ok(())
    }

    /// Zeroes what is to be zero in every fork.
    pub(crate) fn wipe(&mut self) {
        let ranges: Vec<_> = self
            .book
            .areas()
            .filter(|(_, area)| area.wipe && area.backing == Backing::Memory)
            .map(|(start, area)| (start, area.end))
            .collect();
        for (start, end) in ranges {
            self.clear(start, end);
        }
    }
}
