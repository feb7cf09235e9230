//! System calls whose result is known before they are made: number and result are in the host
//! page, where the guest's stub of system calls looks first. Such a call costs a microsecond under
//! PVM and some tens of nanoseconds on hardware, an exit to the host twenty times as much. The
//! guest can read that page, and not write it.

use crate::arch::x86_64::stubs::MOST_ANSWERS;
use crate::mem::Mapping;
use crate::plan::layout::{HOST_PAGE_NUMBERS, HOST_PAGE_VALUES};

/// A number that the stub never looks for.
const NONE: u32 = u32::MAX;

/// What the host page says.
#[derive(Debug)]
pub(crate) struct Answers([(u32, u64); MOST_ANSWERS]);

impl Default for Answers {
    fn default() -> Self {
        Self([(NONE, 0); MOST_ANSWERS])
    }
}

impl Answers {
    /// Makes a host page say these, the first [`MOST_ANSWERS`] of them. Costs a comparison if it
    /// does.
    pub(crate) fn set(&mut self, answers: &[(u32, u64)], page: &mut Mapping) {
        let given = &answers[..answers.len().min(MOST_ANSWERS)];
        let (start, rest) = self.0.split_at(given.len());
        if start == given && rest.iter().all(|(number, _)| *number == NONE) {
            return;
        }
        *self = Self::default();
        self.0[..given.len()].copy_from_slice(given);
        self.publish(page);
    }

    /// Writes all of them into a host page.
    pub(crate) fn publish(&self, page: &mut Mapping) {
        let numbers = self.0.map(|(number, _)| number.to_le_bytes());
        let values = self.0.map(|(_, value)| value.to_le_bytes());
        put(page, HOST_PAGE_NUMBERS, numbers.as_flattened());
        put(page, HOST_PAGE_VALUES, values.as_flattened());
    }
}

fn put(page: &mut Mapping, at: u64, bytes: &[u8]) {
    if let Some(place) = page.bytes_mut(at, bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PAGE_SIZE;
    use crate::plan::layout::{HOST_PAGE_TARGET, HOST_PAGE_VCPU_RECORD};
    use crate::units::to_usize;

    #[test]
    fn answers_lie_between_their_neighbours_in_the_host_page() {
        let mut page = Mapping::anonymous(to_usize(PAGE_SIZE)).unwrap();
        Answers([(1, u64::MAX); MOST_ANSWERS]).publish(&mut page);
        let bytes = page.bytes(0, to_usize(PAGE_SIZE)).unwrap();
        let (start, end) = (HOST_PAGE_TARGET + 32, HOST_PAGE_VCPU_RECORD);
        assert!(bytes[..to_usize(start)].iter().all(|byte| *byte == 0));
        assert!(bytes[to_usize(end)..].iter().all(|byte| *byte == 0));
        let numbers = HOST_PAGE_NUMBERS + 4 * MOST_ANSWERS as u64;
        assert!(numbers <= HOST_PAGE_VALUES);
        assert!(HOST_PAGE_VALUES + 8 * MOST_ANSWERS as u64 <= end);
        assert_eq!(
            bytes[to_usize(HOST_PAGE_VALUES)..][..8 * MOST_ANSWERS],
            [0xff; 8 * MOST_ANSWERS]
        );
    }
}
