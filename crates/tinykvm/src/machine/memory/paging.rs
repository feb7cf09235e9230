//! The pages behind the areas of an address space: page tables in guest memory, and frames given
//! out when they are touched.

use super::address_space::AddressSpace;
use super::around::FIRST_AROUND;
use super::book::{Area, Backing};
use super::editor::Editor;
use super::guest_memory::Loads;
use crate::plan::layout::{FILES_PHYSICAL, MAIN_PHYSICAL};
use crate::plan::page_table::{self, Access, LARGE_SIZE, Run, TableMemory};
use crate::units::{page_down, to_usize};
use crate::{MapError, PAGE_SIZE, Protection};

/// The same after touches that follow each other, at most.
const MOST_AROUND: u64 = 512;
/// Bits of a page fault's error code (Intel SDM volume 3, 4.7).
const FAULT_WRITE: u64 = 1 << 1;
const FAULT_FETCH: u64 = 1 << 4;
/// What a stack that grows by itself may become: Linux' default limit.
const GROWN_STACK: u64 = 8 << 20;
/// Where it stops below the next mapping (`stack_guard_gap` of Linux: 256 pages).
const GUARD_GAP: u64 = 1 << 20;

/// True for guest-physical addresses of main memory.
pub(crate) fn is_main(physical: u64) -> bool {
    (MAIN_PHYSICAL..FILES_PHYSICAL).contains(&physical)
}

/// The frame of main memory in a leaf entry.
fn main_frame(entry: u64) -> Option<u64> {
    page_table::frame_of(entry)
        .filter(|physical| is_main(*physical))
        .map(|physical| (physical - MAIN_PHYSICAL) / PAGE_SIZE)
}

impl AddressSpace {
    /// Page-table editor of this space.
    pub(crate) fn editor(&mut self) -> Editor<'_> {
        Editor::new(&mut self.memory, &mut self.book.frames)
    }

    /// The entry of a page, or of the large page that it lies in, if there is a table for it.
    pub(crate) fn entry(&self, page: u64) -> Option<u64> {
        page_table::entry(&Loads(&self.memory), self.memory.root, page)
    }

    fn runs(&self, start: u64, end: u64) -> Vec<Run> {
        page_table::runs(&Loads(&self.memory), self.memory.root, start, end)
    }

    fn load(&self, place: u64) -> u64 {
        Loads(&self.memory).load(place)
    }

    /// Splits large pages that lie only partly in a range.
    fn split_ends(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let root = self.memory.root;
        for at in [start, end] {
            let split = !at.is_multiple_of(LARGE_SIZE)
                && self
                    .runs(at, at + PAGE_SIZE)
                    .first()
                    .is_some_and(|run| run.size == LARGE_SIZE);
            if split {
                page_table::make_leaf_place(&mut self.editor(), root, at)
                    .ok_or(MapError::NoMemory { length: PAGE_SIZE })?;
            }
        }
        Ok(())
    }

    /// Makes the frame behind a page read as zero.
    fn clear_frame(&mut self, frame: u64) {
        let (at, size) = (frame * PAGE_SIZE, to_usize(PAGE_SIZE));
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

    /// Makes frames read as zero: `(first, count)`.
    fn clear_frames(&mut self, runs: &[(u64, u64)]) {
        for &(first, count) in runs {
            if let Some(tracker) = &mut self.memory.tracker {
                tracker.harvest();
                // Most of a stack, say, was never written.
                let frames: Vec<u64> = (first..first + count)
                    .filter(|frame| tracker.may_be_filled(*frame))
                    .collect();
                frames.into_iter().for_each(|frame| self.clear_frame(frame));
            } else {
                // Nothing is read, so that what was never touched stays unallocated.
                let (at, size) = (first * PAGE_SIZE, to_usize(count * PAGE_SIZE));
                self.memory.main.punch(at, size);
            }
        }
    }

    /// Gives the memory of the reserve that becomes part of an area the area's rights, and zeros.
    pub(crate) fn revive(&mut self, start: u64, end: u64, allow: Protection) {
        if let Some(tracker) = &mut self.memory.tracker {
            tracker.harvest();
        }
        for run in self.runs(start, end) {
            for (_, place) in run.entries() {
                let Some(frame) = main_frame(self.load(place)) else {
                    continue;
                };
                let written = self.memory.tracker.as_ref();
                if written.is_some_and(|tracker| tracker.contains(frame)) {
                    self.clear_frame(frame);
                }
                self.store(place, MAIN_PHYSICAL + frame * PAGE_SIZE, allow);
            }
        }
    }

    fn store(&mut self, place: u64, physical: u64, allow: Protection) {
        let entry = page_table::leaf(physical, Access::User(allow));
        self.editor().store(place, entry);
    }

    /// Takes the memory away from a range. In a fork the reserve keeps its frames, without
    /// access, for the next mapping there.
    pub(crate) fn release(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        self.split_ends(start, end)?;
        let mut freed: Vec<(u64, u64)> = Vec::new();
        for run in self.runs(start, end) {
            for (page, place) in run.entries() {
                let entry = self.load(place);
                if entry == 0 {
                    continue;
                }
                match main_frame(entry) {
                    Some(frame) if self.book.in_reserve(page, page + PAGE_SIZE) => {
                        self.store(place, MAIN_PHYSICAL + frame * PAGE_SIZE, Protection::NONE);
                    }
                    Some(frame) => {
                        self.editor().store(place, 0);
                        match freed.last_mut() {
                            Some((first, count)) if *first + *count == frame => *count += 1,
                            _ => freed.push((frame, 1)),
                        }
                    }
                    None => self.editor().store(place, 0),
                }
            }
        }
        self.clear_frames(&freed);
        for (first, count) in freed {
            self.book.frames.give_back(first, count);
        }
        Ok(())
    }

    /// Sets the rights of all pages in a range that have something behind them. Pages of files
    /// that lose all rights lose their entry, too.
    pub(crate) fn set_rights(
        &mut self,
        start: u64,
        end: u64,
        allow: Protection,
    ) -> Result<(), MapError> {
        self.split_ends(start, end)?;
        for run in self.runs(start, end) {
            for (_, place) in run.entries() {
                let entry = self.load(place);
                let Some(physical) = page_table::frame_of(entry) else {
                    continue;
                };
                if is_main(physical) {
                    self.store(place, physical, allow);
                } else if allow.is_none() {
                    self.editor().store(place, 0);
                } else {
                    let read_only = Protection {
                        write: false,
                        ..allow
                    };
                    let entry = page_table::leaf(physical, Access::User(read_only));
                    let large = if run.size == LARGE_SIZE {
                        page_table::as_large(entry)
                    } else {
                        entry
                    };
                    self.editor().store(place, large);
                }
            }
        }
        Ok(())
    }

    /// Moves the memory of a range to `new`, where the same areas are. What memory of the reserve
    /// was there is given up.
    pub(crate) fn move_pages(&mut self, start: u64, end: u64, new: u64) -> Result<(), MapError> {
        self.split_ends(start, end)?;
        let none = MapError::NoMemory {
            length: end - start,
        };
        let root = self.memory.root;
        for run in self.runs(start, end) {
            for (page, place) in run.entries() {
                let entry = self.load(place);
                if entry == 0 {
                    continue;
                }
                let mut editor = self.editor();
                editor.store(place, 0);
                // Files come back when they are touched.
                if main_frame(entry).is_none() {
                    continue;
                }
                let to = page_table::make_leaf_place(&mut editor, root, page - start + new);
                let to = to.ok_or(none)?;
                let before = editor.load(to);
                editor.store(to, entry);
                if let Some(unused) = main_frame(before) {
                    self.clear_frames(&[(unused, 1)]);
                    self.book.frames.give_back(unused, 1);
                }
            }
        }
        Ok(())
    }

    /// Zeroes the memory of a range; files keep their contents.
    pub(crate) fn clear(&mut self, start: u64, end: u64) {
        let mut frames: Vec<(u64, u64)> = Vec::new();
        for run in self.runs(start, end) {
            for (_, place) in run.entries() {
                if let Some(frame) = main_frame(self.load(place)) {
                    match frames.last_mut() {
                        Some((first, count)) if *first + *count == frame => *count += 1,
                        _ => frames.push((frame, 1)),
                    }
                }
            }
        }
        self.clear_frames(&frames);
    }

    /// A page fault in user code. True if the page tables now allow the access, so that the guest
    /// can try again.
    pub(crate) fn resolve_fault(&mut self, address: u64, error_code: u64) -> bool {
        let page = page_down(address);
        let (write, fetch) = (error_code & FAULT_WRITE != 0, error_code & FAULT_FETCH != 0);
        let Some((start, area)) = self.book.find(page).or_else(|| self.grow_stack(page)) else {
            return false;
        };
        let allow = area.allow;
        if allow.is_none() || (write && !allow.write) || (fetch && !allow.execute) {
            return false;
        }
        if self
            .entry(page)
            .is_some_and(|entry| page_table::permits(entry, write, fetch))
        {
            // The tables allow it: KVM had not noticed yet, or another page's touch brought it.
            return self.around.is_new(page);
        }
        self.back(page, start, &area)
    }

    /// Extends a stack that grows down to `page`.
    fn grow_stack(&mut self, page: u64) -> Option<(u64, Area)> {
        let (start, area) = self.book.find_from(page)?;
        let below = page.checked_sub(GUARD_GAP)?;
        let fits = area.end - page <= GROWN_STACK && self.book.is_free(below, start);
        if !area.grows_down || !fits || area.allow.is_none() {
            return None;
        }
        self.changed = true;
        self.book.insert(page, Area { end: start, ..area });
        self.book.find(page)
    }

    /// Gives memory to `page` of an area and to pages around it that have none. False if there is
    /// none left for `page`.
    pub(crate) fn back(&mut self, page: u64, start: u64, area: &Area) -> bool {
        let most = if self.book.frozen() {
            FIRST_AROUND
        } else {
            MOST_AROUND
        };
        let (mut from, mut to) = self.around.next(page, start, area.end, most);
        if self.book.frames.left() < 2 * (to - from) / PAGE_SIZE + 8 {
            (from, to) = (page, page + PAGE_SIZE);
        }
        let done = self.back_range(from, to, area, u64::MAX).is_some()
            || self.back_range(page, page + PAGE_SIZE, area, 1).is_some();
        self.exhausted |= !done;
        done
    }

    /// Gives memory to at most `most` of the pages of a range that have none, in ascending order.
    /// Returns how many; `None` if memory ran out.
    pub(crate) fn back_range(&mut self, from: u64, to: u64, area: &Area, most: u64) -> Option<u64> {
        let root = self.memory.root;
        // A reset takes the frames back, as it does the entries of the tables.
        self.changed = true;
        let mut run = (0, 0);
        let mut done = 0;
        // The entry behind the last one, if it is in the same table.
        let mut next = None;
        for at in (from..to).step_by(to_usize(PAGE_SIZE)) {
            if done == most {
                break;
            }
            let known = next.take().filter(|_| !at.is_multiple_of(LARGE_SIZE));
            let entry = match known {
                Some(place) => Some(self.load(place)),
                None => self.entry(at),
            };
            if entry.is_some_and(|entry| entry != 0) {
                continue;
            }
            let mut editor = self.editor();
            let place = known.or_else(|| page_table::make_leaf_place(&mut editor, root, at));
            let physical = match area.backing {
                Backing::File { shift } => Some(at.wrapping_add(shift)),
                Backing::Memory => {
                    if run.1 == 0 {
                        let wanted = ((to - at) / PAGE_SIZE).min(most - done);
                        run = editor.take_frames(wanted).unwrap_or((0, 0));
                    }
                    (run.1 > 0).then(|| MAIN_PHYSICAL + run.0 * PAGE_SIZE)
                }
            };
            let (Some(place), Some(physical)) = (place, physical) else {
                self.book.frames.give_back(run.0, run.1);
                return None;
            };
            editor.store(place, page_table::leaf(physical, Access::User(area.allow)));
            next = Some(place + 8);
            if area.backing == Backing::Memory {
                run = (run.0 + 1, run.1 - 1);
            }
            done += 1;
        }
        self.book.frames.give_back(run.0, run.1);
        Some(done)
    }

    /// Replaces the pages of files in a range by copies, so that they can be written.
    pub(crate) fn copy_files(&mut self, start: u64, end: u64) -> Result<(), MapError> {
        let areas: Vec<_> = self
            .book
            .overlapping(start, end)
            .filter(|(_, area)| area.backing != Backing::Memory)
            .collect();
        for (at, area) in areas {
            let (from, to) = (at.max(start), area.end.min(end));
            self.copy_file(from, to, &area)?;
        }
        Ok(())
    }

    fn copy_file(&mut self, from: u64, to: u64, area: &Area) -> Result<(), MapError> {
        let none = MapError::NoMemory { length: to - from };
        let Backing::File { shift } = area.backing else {
            return Ok(());
        };
        if (to - from) / PAGE_SIZE + 8 > self.book.frames.left() {
            return Err(none);
        }
        self.split_ends(from, to)?;
        let root = self.memory.root;
        self.changed = true;
        self.book.cut(from, to);
        let copied = Area {
            end: to,
            backing: Backing::Memory,
            ..*area
        };
        self.book.insert(from, copied);
        let mut bytes = vec![0; to_usize(PAGE_SIZE)];
        for at in (from..to).step_by(to_usize(PAGE_SIZE)) {
            let piece = self.memory.physical(at.wrapping_add(shift), bytes.len());
            if !piece.is_some_and(|piece| piece.read(&mut bytes)) {
                bytes.fill(0);
            }
            let mut editor = self.editor();
            let place = page_table::make_leaf_place(&mut editor, root, at).ok_or(none)?;
            let physical = editor.allocate().ok_or(none)?;
            editor.store(place, page_table::leaf(physical, Access::User(area.allow)));
            if let Some(page) = self.memory.physical_mut(physical, bytes.len()) {
                page.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    /// Maps the large pages of a file's area, as far as its alignment allows; the rest is mapped
    /// when it is touched.
    pub(crate) fn map_large_pages(&mut self, start: u64, area: &Area) {
        let Backing::File { shift } = area.backing else {
            return;
        };
        if !shift.is_multiple_of(LARGE_SIZE) {
            return;
        }
        let root = self.memory.root;
        let first = start.next_multiple_of(LARGE_SIZE);
        let last = area.end - area.end % LARGE_SIZE;
        for at in (first..last).step_by(to_usize(LARGE_SIZE)) {
            let (physical, access) = (at.wrapping_add(shift), Access::User(area.allow));
            let mapped = page_table::map_large(&mut self.editor(), root, at, physical, access);
            if mapped.is_none() {
                return;
            }
        }
    }
}
