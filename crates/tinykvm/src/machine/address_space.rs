//! A program's virtual address space: what is mapped, and the page tables that say so.
//!
//! While a program boots, frames are given out as it maps. The freeze maps what is left of its
//! memory ahead, as the *reserve*: behind the heap and in the arena. In a fork a plain `malloc`
//! therefore needs no page-table edit, and `munmap` of reserve memory is bookkeeping (a later
//! mapping gets zeros). Other edits work in a fork too, at the price of a flush: KVM notices on
//! its own only edits that *add* rights.

use super::book::{Area, Book, Frames};
use super::guest_memory::{GuestMemory, Loads};
use crate::plan::layout::{ARENA, ARENA_END, MAIN_PHYSICAL, USER_END, USER_START};
use crate::plan::page_table::{self, Access, TableMemory};
use crate::units::{page_down, page_up, to_usize};
use crate::{EngineError, MapError, MappedRange, PAGE_SIZE, Placement, Protection};

/// Page tables in guest memory, with frames to grow them.
#[derive(Debug)]
pub(super) struct Editor<'a> {
    memory: &'a mut GuestMemory,
    frames: &'a mut Frames,
}

impl<'a> Editor<'a> {
    /// Gives `memory` an empty top table.
    pub(super) fn with_root(
        memory: &'a mut GuestMemory,
        frames: &'a mut Frames,
    ) -> Result<Self, EngineError> {
        let mut editor = Self { memory, frames };
        let root = editor
            .allocate()
            .ok_or(EngineError::Internal("no room for page tables"))?;
        editor.memory.root = root;
        Ok(editor)
    }

    /// Guest-physical address of the top table.
    pub(super) fn root(&self) -> u64 {
        self.memory.root
    }
}

impl TableMemory for Editor<'_> {
    fn load(&self, physical: u64) -> u64 {
        Loads(self.memory).load(physical)
    }

    fn store(&mut self, physical: u64, entry: u64) {
        self.memory.forget_walks();
        if let Some(place) = self.memory.physical_mut(physical, 8) {
            place.copy_from_slice(&entry.to_le_bytes());
        }
    }

    fn allocate(&mut self) -> Option<u64> {
        self.frames
            .take(1)
            .map(|frame| MAIN_PHYSICAL + frame * PAGE_SIZE)
    }
}

/// Address space of one VM.
#[derive(Debug)]
pub(super) struct AddressSpace {
    pub(super) memory: GuestMemory,
    pub(super) book: Book,
    /// The book differs from the template's.
    pub(super) changed: bool,
    /// Page tables took back access: KVM must forget translations before the guest goes on.
    pub(super) stale: bool,
    /// Page tables differ from the template's.
    pub(super) tables_changed: bool,
}

fn check_range(address: u64, length: u64) -> Result<(u64, u64), MapError> {
    let invalid = MapError::Invalid { address, length };
    let end = address.checked_add(page_up(length)).ok_or(invalid)?;
    let inside = address >= USER_START && end <= USER_END;
    if !address.is_multiple_of(PAGE_SIZE) || length == 0 || length > USER_END || !inside {
        return Err(invalid);
    }
    Ok((address, end))
}

impl AddressSpace {
    /// Page-table editor of this space.
    pub(super) fn editor(&mut self) -> Editor<'_> {
        Editor {
            memory: &mut self.memory,
            frames: &mut self.book.frames,
        }
    }

    /// Page number of the frame behind `address`, whatever its rights, if it has one.
    fn frame(&self, address: u64) -> Option<u64> {
        let loads = Loads(&self.memory);
        let entry = loads.load(page_table::leaf_place(&loads, self.memory.root, address)?);
        page_table::frame_of(entry).map(|physical| (physical - MAIN_PHYSICAL) / PAGE_SIZE)
    }

    /// Makes the frame behind a page read as zero.
    fn clear_frame(&mut self, frame: u64) {
        let size = to_usize(PAGE_SIZE);
        let at = frame * PAGE_SIZE;
        // Looking first keeps clean pages shared with the template.
        let dirty = self
            .memory
            .main
            .bytes(at, size)
            .is_some_and(|page| page.iter().any(|b| *b != 0));
        if dirty && let Some(page) = self.memory.physical_mut(MAIN_PHYSICAL + at, size) {
            page.fill(0);
        }
    }

    /// Makes a frame of the reserve read as zero: it does so unless this fork wrote it.
    fn clear_if_dirty(&mut self, frame: u64) {
        if self
            .memory
            .tracker
            .as_ref()
            .is_some_and(|tracker| tracker.contains(frame))
        {
            self.clear_frame(frame);
        }
    }

    /// Sets the rights of one page, giving it a zeroed frame if it has none.
    fn set_page(&mut self, address: u64, allow: Protection) -> Result<(), MapError> {
        let none = MapError::NoMemory { length: PAGE_SIZE };
        let frame = match self.frame(address) {
            Some(frame) => frame,
            None if allow.is_none() => return Ok(()),
            None => self.book.frames.take(1).ok_or(none)?,
        };
        self.map_frame(address, frame, allow)
    }

    fn map_frame(&mut self, address: u64, frame: u64, allow: Protection) -> Result<(), MapError> {
        let root = self.memory.root;
        let physical = MAIN_PHYSICAL + frame * PAGE_SIZE;
        let mut editor = self.editor();
        let place = page_table::leaf_place(&editor, root, address);
        let before = place.map_or(0, |place| editor.load(place));
        let entry = page_table::leaf(physical, Access::User(allow));
        if before == entry {
            return Ok(());
        }
        page_table::map(&mut editor, root, address, physical, Access::User(allow))
            .ok_or(MapError::NoMemory { length: PAGE_SIZE })?;
        self.stale |= page_table::takes_rights(before, entry);
        self.tables_changed = true;
        Ok(())
    }

    /// Maps zeroed memory; see [`Guest::map`](crate::Guest::map).
    pub(super) fn map(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
    ) -> Result<u64, MapError> {
        if allow.write && allow.execute && !self.book.allow_write_execute {
            return Err(MapError::WriteExecute);
        }
        let full = MapError::NoMemory { length };
        let size = page_up(length);
        let address = match place {
            Placement::Fixed(address) => {
                check_range(address, length)?;
                self.unmap(address, length)?;
                address
            }
            Placement::FixedFree(address) => {
                let (start, end) = check_range(address, length)?;
                if !self.book.is_free(start, end) {
                    return Err(MapError::Occupied { address });
                }
                address
            }
            Placement::Hint(address) if self.hint_is_good(address, length) => address,
            Placement::Hint(_) | Placement::Anywhere => {
                if length == 0 {
                    return Err(MapError::Invalid { address: 0, length });
                }
                self.book.find_free(size).ok_or(full)?
            }
        };
        let end = address + size;
        let backed = self.book.in_reserve(address, end);
        if !allow.is_none() && !backed && size / PAGE_SIZE > self.book.frames.left() {
            return Err(full);
        }
        self.changed = true;
        self.book.areas.insert(address, Area { end, allow });
        if let Some(tracker) = &mut self.memory.tracker {
            tracker.harvest();
        }
        for page in (address..end).step_by(to_usize(PAGE_SIZE)) {
            if backed && let Some(frame) = self.frame(page) {
                self.clear_if_dirty(frame);
            }
            self.set_page(page, allow)?;
        }
        Ok(address)
    }

    fn hint_is_good(&self, address: u64, length: u64) -> bool {
        check_range(address, length).is_ok_and(|(start, end)| {
            self.book.is_free(start, end)
                && (!self.book.frozen() || self.book.in_reserve(start, end))
        })
    }

    /// Unmaps a range; see [`Guest::unmap`](crate::Guest::unmap).
    pub(super) fn unmap(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        for (at, area) in self.book.cut(start, end) {
            self.changed = true;
            for page in (at..area.end).step_by(to_usize(PAGE_SIZE)) {
                if self.book.in_reserve(page, page + PAGE_SIZE) {
                    self.set_page(page, Protection::READ_WRITE)?;
                } else {
                    self.release_page(page);
                }
            }
        }
        Ok(())
    }

    /// Takes the frame behind a page away from it.
    fn release_page(&mut self, address: u64) {
        let Some(frame) = self.frame(address) else {
            return;
        };
        let root = self.memory.root;
        let mut editor = self.editor();
        if let Some(place) = page_table::leaf_place(&editor, root, address) {
            let before = editor.load(place);
            editor.store(place, 0);
            self.stale |= page_table::takes_rights(before, 0);
            self.tables_changed = true;
        }
        self.clear_frame(frame);
        self.book.frames.give_back(frame);
    }

    /// Changes rights; see [`Guest::protect`](crate::Guest::protect).
    pub(super) fn protect(
        &mut self,
        address: u64,
        length: u64,
        allow: Protection,
    ) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        if allow.write && allow.execute && !self.book.allow_write_execute {
            return Err(MapError::WriteExecute);
        }
        self.check_mapped(start, end)?;
        let pieces = self.book.cut(start, end);
        self.changed = true;
        for (at, area) in pieces {
            self.book.areas.insert(
                at,
                Area {
                    end: area.end,
                    allow,
                },
            );
        }
        for page in (start..end).step_by(to_usize(PAGE_SIZE)) {
            self.set_page(page, allow)?;
        }
        Ok(())
    }

    /// Fails unless every page of a range belongs to an area or to the heap.
    fn check_mapped(&self, start: u64, end: u64) -> Result<(), MapError> {
        let heap = self.book.heap;
        let mut at = start;
        while at < end {
            let area = self
                .book
                .areas
                .range(..=at)
                .next_back()
                .map(|(_, area)| area.end);
            at = match area {
                Some(stop) if stop > at => stop,
                _ if heap.start <= at && at < page_up(heap.end) => page_up(heap.end),
                _ => {
                    return Err(MapError::NoMemory {
                        length: end - start,
                    });
                }
            };
        }
        Ok(())
    }

    /// Zeroes a range; see [`Guest::discard`](crate::Guest::discard).
    pub(super) fn discard(&mut self, address: u64, length: u64) -> Result<(), MapError> {
        let (start, end) = check_range(address, length)?;
        self.check_mapped(start, end)?;
        for page in (start..end).step_by(to_usize(PAGE_SIZE)) {
            if let Some(frame) = self.frame(page) {
                self.clear_frame(frame);
            }
        }
        Ok(())
    }

    /// A page fault in user code. True if the page tables now allow the access, so that the guest
    /// can try again.
    pub(super) fn resolve_fault(&mut self, address: u64, error_code: u64) -> bool {
        let _ = (address, error_code);
        false
    }

    /// See [`Guest::mapped`](crate::Guest::mapped).
    pub(super) fn mapped(&self, address: u64) -> Option<MappedRange> {
        let heap = self.book.heap;
        let heap = MappedRange {
            start: heap.start,
            end: page_up(heap.end),
            allow: Protection::READ_WRITE,
        };
        let areas = &self.book.areas;
        let below = areas.range(..=address).next_back();
        let area = below
            .filter(|(_, area)| area.end > address)
            .or_else(|| areas.range(address..).next())
            .map(|(start, area)| MappedRange {
                start: *start,
                end: area.end,
                allow: area.allow,
            });
        let heap = Some(heap).filter(|heap| heap.start < heap.end && heap.end > address);
        [area, heap]
            .into_iter()
            .flatten()
            .min_by_key(|range| range.start)
    }

    /// Moves the end of the heap; see [`Guest::set_heap_end`](crate::Guest::set_heap_end).
    pub(super) fn set_heap_end(&mut self, wanted: u64) -> u64 {
        let heap = self.book.heap;
        if wanted < heap.start || wanted == heap.end || wanted > ARENA {
            return heap.end;
        }
        if wanted < heap.end {
            self.clear_heap(wanted, heap.end);
        } else {
            for page in (heap.mapped..page_up(wanted)).step_by(to_usize(PAGE_SIZE)) {
                if self.book.frozen() || self.set_page(page, Protection::READ_WRITE).is_err() {
                    return heap.end;
                }
                self.book.heap.mapped = page + PAGE_SIZE;
            }
        }
        self.changed = true;
        self.book.heap.end = wanted;
        wanted
    }

    /// Zeroes the part of the heap that the program gave up, so that it gets zeros back.
    fn clear_heap(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let end = (page_down(at) + PAGE_SIZE).min(to);
            if let Some(frame) = self.frame(at) {
                let physical = MAIN_PHYSICAL + frame * PAGE_SIZE + at % PAGE_SIZE;
                if let Some(bytes) = self.memory.physical_mut(physical, to_usize(end - at)) {
                    bytes.fill(0);
                }
            }
            at = end;
        }
    }

    /// Maps all memory that is left ahead, for the forks: a quarter behind the heap, a sixteenth
    /// stays free for other mappings, the rest goes to the arena.
    pub(super) fn map_reserve(&mut self) -> Result<(), MapError> {
        let left = self.book.frames.left();
        let tables = left / 512 + 16;
        let usable = left.saturating_sub(tables + left / 16);
        let heap_pages = usable / 4;
        let heap_end = self.book.heap.mapped + heap_pages * PAGE_SIZE;
        for page in (self.book.heap.mapped..heap_end).step_by(to_usize(PAGE_SIZE)) {
            self.set_page(page, Protection::READ_WRITE)?;
        }
        self.book.heap.mapped = heap_end;
        let top = self
            .book
            .areas
            .range(ARENA..ARENA_END)
            .next_back()
            .map_or(ARENA, |(_, a)| a.end);
        let end = top + (usable - heap_pages) * PAGE_SIZE;
        for page in (top..end).step_by(to_usize(PAGE_SIZE)) {
            self.set_page(page, Protection::READ_WRITE)?;
        }
        self.book.reserve = (top, end);
        Ok(())
    }
}
