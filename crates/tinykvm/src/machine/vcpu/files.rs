//! Files that guests read in place: a read-only memory slot each, without logging. Those of a
//! program are in all of its forks, and a reset leaves them alone; those of a request end with it.

use std::os::fd::BorrowedFd;

use super::core::Core;
use crate::kvm::SlotKind;
use crate::machine::memory::book::{Area, Backing};
use crate::machine::memory::file_slot::FileSlot;
use crate::mem::{FileKey, FileMapping};
use crate::plan::layout::{FILES_PHYSICAL, FILES_PHYSICAL_END, FIRST_FILE_SLOT, MOST_FILES};
use crate::plan::page_table::LARGE_SIZE;
use crate::units::page_up;
use crate::{EngineError, MapError, PAGE_SIZE, Placement, Protection};

/// Smaller files are read into memory: a slot costs each new fork some time.
const SMALLEST_FILE: u64 = LARGE_SIZE;
/// Most slots that a request adds, and bytes in them. Its reset takes them away outside of the
/// request's time, and the host's kernel may need memory for each page of a slot.
const MOST_FILES_OF_REQUEST: usize = 16;
const MOST_BYTES_OF_REQUEST: u64 = 16 << 30;

impl Core {
    /// See [`Guest::map_file`](crate::Guest::map_file).
    pub(crate) fn map_file(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<Option<u64>, MapError> {
        let size = page_up(length);
        let suits = size >= SMALLEST_FILE && !allow.write && !allow.is_none();
        if !suits || !offset.is_multiple_of(PAGE_SIZE) {
            return Ok(None);
        }
        // A file that can't be mapped can be read.
        let Some((physical, there)) = self.slot_for(file, offset, size) else {
            return Ok(None);
        };
        let address = self.place_file(place, size, offset)?;
        let shift = physical.wrapping_sub(address);
        // What lies behind the file's end is memory.
        let whole = Area::memory(address + size, allow);
        self.space.add(address, whole)?;
        let area = Area {
            backing: Backing::File { shift },
            ..Area::memory(address + there, allow)
        };
        self.space.add(address, area)?;
        self.space.map_large_pages(address, &area);
        Ok(Some(address))
    }

    /// Where a part of a file is, guest-physical, and how much of it there is: in a slot that
    /// there is already, or a new one.
    fn slot_for(&mut self, file: BorrowedFd<'_>, offset: u64, size: u64) -> Option<(u64, u64)> {
        let files = &self.space.memory.files;
        let wanted = FileKey::of(file)?;
        let there = page_up(wanted.length.checked_sub(offset)?).min(size);
        let found = files.iter().find_map(|slot| {
            let place = slot.file.place_of(&wanted, offset, there)?;
            Some((slot.physical + place, there))
        });
        if found.is_some() {
            return found;
        }
        if there < SMALLEST_FILE || !self.may_add_file(there) {
            return None;
        }
        let (slot, physical) = self.next_slot(there, offset)?;
        // Where the host or KVM refuses a mapping or a slot (ENOMEM, say), nothing was added: the file is
        // read into memory instead, where what is missing then is told.
        let found = FileSlot {
            slot,
            physical,
            file: FileMapping::new(file, offset, there, self.frozen.is_none()).ok()?,
        };
        self.add_file(&found).ok()?;
        Some((physical, there))
    }

    /// True unless this is a fork and its request has added as much as it may.
    fn may_add_file(&self, length: u64) -> bool {
        let added = self.files_of_request();
        let bytes: u64 = added.iter().map(|slot| slot.file.length()).sum();
        self.frozen.is_none()
            || added.len() < MOST_FILES_OF_REQUEST
                && bytes.saturating_add(length) <= MOST_BYTES_OF_REQUEST
    }

    /// The files that a fork has and its template has not.
    fn files_of_request(&self) -> &[FileSlot] {
        let files = &self.space.memory.files;
        let frozen = self.frozen.as_ref();
        let kept = frozen.map_or(files.len(), |frozen| frozen.files.len());
        files.get(kept..).unwrap_or_default()
    }

    /// Takes the files of a request away from a fork whose page tables do not name them any more.
    /// True if there were any: KVM has then forgotten all translations.
    pub(crate) fn drop_files_of_request(&mut self) -> Result<bool, EngineError> {
        for file in self.files_of_request() {
            self.vm
                .remove_memory(file.slot, file.physical, file.file.mapping())?;
        }
        // Mappings end after the slots that show them.
        let count = self.files_of_request().len();
        let files = &mut self.space.memory.files;
        files.truncate(files.len() - count);
        Ok(count > 0)
    }

    /// Number and guest-physical address of the next slot. In a large page it lies as the file
    /// does.
    fn next_slot(&self, size: u64, offset: u64) -> Option<(u32, u64)> {
        let files = &self.space.memory.files;
        if files.len() >= MOST_FILES {
            return None;
        }
        let (slot, end) = files
            .last()
            .map_or((FIRST_FILE_SLOT, FILES_PHYSICAL), |last| {
                (last.slot + 1, last.physical + last.file.length())
            });
        let physical = end.next_multiple_of(LARGE_SIZE) + offset % LARGE_SIZE;
        let fits = physical.checked_add(size)? <= FILES_PHYSICAL_END;
        fits.then_some((slot, physical))
    }

    fn place_file(&self, place: Placement, size: u64, offset: u64) -> Result<u64, MapError> {
        if let Placement::Anywhere | Placement::Hint(0) | Placement::Low = place
            && let Ok(start) = self.space.choose(place, size + LARGE_SIZE, false)
        {
            let beyond = offset % LARGE_SIZE;
            let aligned = start - start % LARGE_SIZE + beyond;
            return Ok(if aligned < start {
                aligned + LARGE_SIZE
            } else {
                aligned
            });
        }
        self.space.choose(place, size, false)
    }

    /// Gives the guest a file, which `files` lists from now on.
    pub(crate) fn add_file(&mut self, file: &FileSlot) -> Result<(), EngineError> {
        let mapping = file.file.mapping();
        self.vm
            .add_memory(file.slot, file.physical, mapping, SlotKind::ReadOnly)?;
        self.space.memory.files.push(file.clone());
        Ok(())
    }

    /// The files that some area still shows.
    pub(crate) fn files_in_use(&self) -> Vec<FileSlot> {
        let shown = |file: &&FileSlot| {
            let range = file.physical..file.physical + file.file.length();
            self.space
                .book
                .areas()
                .any(|(start, area)| match area.backing {
                    Backing::File { shift } => range.contains(&start.wrapping_add(shift)),
                    Backing::Memory => false,
                })
        };
        self.space
            .memory
            .files
            .iter()
            .filter(shown)
            .cloned()
            .collect()
    }
}
