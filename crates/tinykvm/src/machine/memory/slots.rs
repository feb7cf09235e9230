//! Memory slots of main memory: they cover what the guest was given, and grow with it.
//!
//! A slot costs the host's kernel memory and time for each page of its size, whether the page is
//! used or not (under shadow paging some 10 bytes). So a VM of a program that may have 16 GB and
//! uses 5 MB starts with a small slot. Where the guest is given frames behind the last one, the
//! next slot doubles what is covered: each takes the kernel a grace period, and there are few.

use crate::EngineError;
use crate::PAGE_SIZE;
use crate::kvm::{SlotKind, Vm};
use crate::mem::Mapping;
use crate::plan::layout::{MAIN_PHYSICAL, MAIN_SLOT, MORE_MAIN_SLOT};
use crate::plan::page_table::LARGE_SIZE;
use crate::units::to_usize;

/// Frames that the first slot has beyond those that are given out already, in bytes.
const SPARE: u64 = 4 << 20;

/// The slots, by where in main memory they start and end.
#[derive(Debug, Default, Clone)]
pub(crate) struct MainSlots {
    /// Ends, in bytes of main memory: each slot starts where the one before it ends.
    ends: Vec<u64>,
}

impl MainSlots {
    /// Bytes of main memory that the guest can reach.
    pub(crate) fn covered(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The page of main memory that a page of a slot is; `None` for other slots.
    pub(crate) fn page(&self, slot: u32, page: u64) -> Option<u64> {
        if slot == MAIN_SLOT {
            return Some(page);
        }
        let number = to_usize(u64::from(slot.checked_sub(MORE_MAIN_SLOT)?));
        let (_, starts) = self.ends.split_last()?;
        Some(starts.get(number)? / PAGE_SIZE + page)
    }

    /// Where the next slot ends, so that `needed` bytes of `length` are covered.
    fn next_end(&self, needed: u64, length: u64) -> u64 {
        let grown = self.covered().saturating_mul(2);
        let wanted = needed.saturating_add(SPARE).max(grown);
        wanted.next_multiple_of(LARGE_SIZE).min(length)
    }

    /// Gives the guest main memory up to `needed` bytes, and some more.
    pub(crate) fn cover(
        &mut self,
        vm: &Vm,
        main: &Mapping,
        kind: SlotKind,
        needed: u64,
    ) -> Result<(), EngineError> {
        let start = self.covered();
        let end = self.next_end(needed, main.length() as u64);
        if end < needed {
            return Err(EngineError::Internal("a frame behind main memory"));
        }
        let slot = match u32::try_from(self.ends.len()).unwrap_or(u32::MAX) {
            0 => MAIN_SLOT,
            number => MORE_MAIN_SLOT + number - 1,
        };
        vm.add_part(slot, MAIN_PHYSICAL, main, start..end, kind)?;
        self.ends.push(end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn slots_double_up_to_the_end_of_memory() {
        let length = 1000 * MIB + 12345 * PAGE_SIZE;
        let mut slots = MainSlots::default();
        let mut ends = Vec::new();
        while slots.covered() < length {
            let needed = slots.covered() + PAGE_SIZE;
            let end = slots.next_end(needed, length);
            assert!(end >= needed && (end == length || end.is_multiple_of(LARGE_SIZE)));
            slots.ends.push(end);
            ends.push(end);
        }
        assert_eq!(ends[0], 6 * MIB);
        assert!(ends.len() < 12, "{ends:?}");
        // Much at once is one slot.
        assert_eq!(MainSlots::default().next_end(500 * MIB, length), 504 * MIB);
        assert_eq!(MainSlots::default().next_end(length, length), length);
    }

    #[test]
    fn pages_of_slots_are_pages_of_main_memory() {
        let slots = MainSlots {
            ends: vec![4 * MIB, 8 * MIB, 16 * MIB],
        };
        assert_eq!(slots.page(MAIN_SLOT, 7), Some(7));
        assert_eq!(slots.page(MORE_MAIN_SLOT, 0), Some(4 * MIB / PAGE_SIZE));
        assert_eq!(
            slots.page(MORE_MAIN_SLOT + 1, 5),
            Some(8 * MIB / PAGE_SIZE + 5)
        );
        for other in [1, 2, 3, MORE_MAIN_SLOT - 1, MORE_MAIN_SLOT + 2, u32::MAX] {
            assert_eq!(slots.page(other, 0), None, "{other}");
        }
    }
}
