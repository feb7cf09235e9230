//! Guest memory as the host reads and writes it, by virtual address.
//!
//! What is mapped and was never touched has no memory yet: it reads as zero, and gets memory
//! when it is written.

use super::address_space::AddressSpace;
use super::book::Backing;
use super::guest_memory::Piece;
use crate::plan::page_table;
use crate::units::{page_down, to_usize};
use crate::{BadAddress, PAGE_SIZE};

/// End of the lower half of the address space, where all user mappings are.
const LOWER_HALF: u64 = 1 << 47;
/// Bytes that are written at once.
const LONGEST_PIECE: u64 = 1 << 20;

fn checked_end(address: u64, length: u64) -> Result<u64, BadAddress> {
    address
        .checked_add(length)
        .filter(|end| *end <= LOWER_HALF)
        .ok_or(BadAddress { address, length })
}

/// Where a readable page is.
#[derive(Clone, Copy)]
enum Found {
    At(u64),
    Nowhere,
}

impl AddressSpace {
    fn find_readable(&self, address: u64) -> Option<Found> {
        if let Some(found) = self.memory.walk(address) {
            return Some(Found::At(found.physical));
        }
        let (_, area) = self.book.find(address)?;
        match area.backing {
            _ if area.allow.is_none() => None,
            Backing::Memory => Some(Found::Nowhere),
            Backing::File { shift } => Some(Found::At(address.wrapping_add(shift))),
        }
    }

    /// Calls `piece` with each contiguous part of a user-readable virtual range.
    pub(crate) fn for_each_piece<'a>(
        &'a self,
        address: u64,
        length: u64,
        mut piece: impl FnMut(Piece<'a>) -> bool,
    ) -> Result<(), BadAddress> {
        let bad = BadAddress { address, length };
        let end = checked_end(address, length)?;
        let mut put = |run: Option<(Found, u64)>| -> Option<()> {
            let done = match run {
                Some((Found::At(start), length)) => {
                    piece(self.memory.physical(start, to_usize(length))?)
                }
                Some((Found::Nowhere, length)) => piece(Piece::Zeros(to_usize(length))),
                None => true,
            };
            done.then_some(())
        };
        let mut at = address;
        let mut run: Option<(Found, u64)> = None;
        while at < end {
            let size = (page_down(at) + PAGE_SIZE).min(end) - at;
            let found = self.find_readable(at).ok_or(bad)?;
            run = match (run, found) {
                (Some((Found::At(start), length)), Found::At(next)) if start + length == next => {
                    Some((Found::At(start), length + size))
                }
                (Some((Found::Nowhere, length)), Found::Nowhere) => {
                    Some((Found::Nowhere, length + size))
                }
                (before, found) => {
                    put(before).ok_or(bad)?;
                    Some((found, size))
                }
            };
            at += size;
        }
        put(run).ok_or(bad)
    }

    /// Fails unless all of a range is readable by user code. Whole areas are looked at, not pages.
    pub(crate) fn check_readable(&self, address: u64, length: u64) -> Result<(), BadAddress> {
        let end = checked_end(address, length)?;
        let mut at = address;
        while at < end {
            at = match self.book.find(at) {
                Some((_, area)) if !area.allow.is_none() => area.end,
                _ if self.memory.walk(at).is_some() => page_down(at) + PAGE_SIZE,
                _ => return Err(BadAddress { address, length }),
            };
        }
        Ok(())
    }

    /// Copies a user-readable range out.
    pub(crate) fn read(&self, address: u64, out: &mut [u8]) -> Result<(), BadAddress> {
        let mut done = 0;
        self.for_each_piece(address, out.len() as u64, |piece| {
            let to = &mut out[done..done + piece.length()];
            done += to.len();
            piece.read(to)
        })
    }

    /// Copies a user-readable range into a new vector.
    pub(crate) fn read_vec(&self, address: u64, length: usize) -> Result<Vec<u8>, BadAddress> {
        let mut bytes = Vec::new();
        // Memory is taken only when all of it is there.
        self.check_readable(address, length as u64)?;
        bytes.reserve_exact(length);
        self.for_each_piece(address, length as u64, |piece| match piece {
            Piece::Bytes(piece) => {
                bytes.extend_from_slice(piece);
                true
            }
            other => {
                let start = bytes.len();
                bytes.resize(start + other.length(), 0);
                other.read(&mut bytes[start..])
            }
        })?;
        Ok(bytes)
    }

    /// Copies `data` into a user-writable range.
    pub(crate) fn write(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
        let mut rest = data;
        self.for_each_piece_mut(address, data.len() as u64, false, |piece| {
            let (now, later) = rest.split_at(piece.len());
            piece.copy_from_slice(now);
            rest = later;
        })
    }

    /// Makes the program's random bytes fresh, where it still has them and may write them.
    pub(crate) fn write_random(&mut self, fresh: &[u8]) {
        if let Some(place) = self.book.random
            && let Some(found) = self.memory.walk(place)
            && found.writable
            && let Some(bytes) = self.memory.physical_mut(found.physical, fresh.len())
        {
            bytes.copy_from_slice(fresh);
        }
    }

    /// Copies `data` into a mapped range, whatever user code may do there.
    pub(crate) fn populate(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
        let mut rest = data;
        self.for_each_piece_mut(address, data.len() as u64, true, |piece| {
            let (now, later) = rest.split_at(piece.len());
            piece.copy_from_slice(now);
            rest = later;
        })
    }

    /// Calls `piece` with each contiguous part of a virtual range that is user-writable, or mapped
    /// at all (`any`).
    pub(crate) fn for_each_piece_mut(
        &mut self,
        address: u64,
        length: u64,
        any: bool,
        mut piece: impl FnMut(&mut [u8]),
    ) -> Result<(), BadAddress> {
        let bad = BadAddress { address, length };
        let end = checked_end(address, length)?;
        let mut at = address;
        while at < end {
            let first = self.find_writable(at, any).ok_or(bad)?;
            let mut size = (page_down(at) + PAGE_SIZE).min(end) - at;
            while at + size < end
                && size < LONGEST_PIECE
                && self.find_writable(at + size, any) == Some(first + size)
            {
                size = (size + PAGE_SIZE).min(end - at);
            }
            piece(self.memory.physical_mut(first, to_usize(size)).ok_or(bad)?);
            at += size;
        }
        Ok(())
    }

    /// The contiguous beginning of a user-writable range, in place.
    pub(crate) fn first_piece_mut(
        &mut self,
        address: u64,
        length: u64,
    ) -> Result<&mut [u8], BadAddress> {
        let bad = BadAddress { address, length };
        let end = checked_end(address, length)?;
        let first = self.find_writable(address, false).ok_or(bad)?;
        let mut size = (page_down(address) + PAGE_SIZE).min(end) - address;
        while address + size < end
            && self.find_writable(address + size, false) == Some(first + size)
        {
            size = (size + PAGE_SIZE).min(end - address);
        }
        self.memory.physical_mut(first, to_usize(size)).ok_or(bad)
    }

    /// The guest-physical address to write to, with memory behind it from now on.
    fn find_writable(&mut self, address: u64, any: bool) -> Option<u64> {
        if let Some(found) = self.memory.walk(address)
            && found.writable
        {
            return Some(found.physical);
        }
        let (start, area) = self.book.find(address)?;
        if !(any || area.allow.write) || area.backing != Backing::Memory {
            return None;
        }
        let page = page_down(address);
        let physical = match self.frame_behind(page) {
            Some(physical) => physical,
            None => {
                self.back(page, start, &area).then_some(())?;
                self.frame_behind(page)?
            }
        };
        Some(physical + address % PAGE_SIZE)
    }

    /// The guest-physical page of main memory behind a page, whatever its rights.
    fn frame_behind(&self, page: u64) -> Option<u64> {
        let entry = self.entry(page)?;
        page_table::frame_of(entry).filter(|physical| super::paging::is_main(*physical))
    }
}
