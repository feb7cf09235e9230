//! Which page-table entries were changed, and of which of them KVM must be told.
//!
//! Rights that an edit adds are noticed at the next fault. Rights that it takes away, or another
//! page behind an address, are not: the guest itself has to write such an entry (see
//! [`Core::flush_if_stale`](crate::machine::vcpu::core::Core)).

use crate::plan::page_table;

/// Most entries that are remembered; with more, everything is forgotten at once.
const MOST: usize = 1 << 16;
/// Entries with at most this many others between them are written at once.
const GAP: u64 = 8;
/// Bytes of an entry, and of a table.
const ENTRY: u64 = 8;
const TABLE: u64 = 4096;

/// The entries that were changed, by guest-physical address.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    /// Entries that took something away.
    stale: Vec<u64>,
    /// All entries that differ from the template's, in a fork.
    changed: Vec<u64>,
    /// There were too many to remember.
    too_many: bool,
    /// Tables differ from the template's.
    any: bool,
}

/// What to tell KVM.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flush {
    /// These entries: address of the first one, and count.
    Entries(Vec<(u64, u64)>),
    /// Everything.
    All,
}

impl Edits {
    /// An entry is replaced. `forked`: it is to be put back one day.
    pub(crate) fn note(&mut self, place: u64, before: u64, after: u64, forked: bool) {
        if page_table::takes_rights(before, after) {
            self.add_stale(place);
        }
        if forked && before != after {
            self.any = true;
            if self.changed.len() < MOST {
                self.changed.push(place);
            } else {
                self.too_many = true;
            }
        }
    }

    fn add_stale(&mut self, place: u64) {
        if self.stale.len() < MOST {
            self.stale.push(place);
        } else {
            self.too_many = true;
        }
    }

    /// True if tables were changed since the last [`Self::revert`].
    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// The tables are about to be as the template's again; both functions look up an entry.
    pub(crate) fn revert(&mut self, now: impl Fn(u64) -> u64, template: impl Fn(u64) -> u64) {
        for place in std::mem::take(&mut self.changed) {
            if page_table::takes_rights(now(place), template(place)) {
                self.add_stale(place);
            }
        }
        self.any = false;
    }

    /// What KVM must be told now, if anything.
    pub(crate) fn take(&mut self) -> Option<Flush> {
        let mut stale = std::mem::take(&mut self.stale);
        if std::mem::take(&mut self.too_many) {
            return Some(Flush::All);
        }
        if stale.is_empty() {
            return None;
        }
        stale.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for place in stale {
            if let Some((first, count)) = ranges.last_mut()
                && *first / TABLE == place / TABLE
                && place <= *first + (*count + GAP) * ENTRY
            {
                *count = (*count).max((place - *first) / ENTRY + 1);
            } else {
                ranges.push((place, 1));
            }
        }
        Some(Flush::Entries(ranges))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RW: u64 = 0x1067;
    const RO: u64 = 0x1065;

    #[test]
    fn only_what_takes_rights_is_stale() {
        let mut edits = Edits::default();
        edits.note(0x5000, 0, RW, false);
        edits.note(0x5000, RO, RW, false);
        assert_eq!(edits.take(), None);
        for place in [0x5020, 0x5000, 0x5008, 0x6000, 0x5800, 0x5000] {
            edits.note(place, RW, RO, false);
        }
        let ranges = vec![(0x5000, 5), (0x5800, 1), (0x6000, 1)];
        assert_eq!(edits.take(), Some(Flush::Entries(ranges)));
        assert_eq!(edits.take(), None);
    }

    #[test]
    fn going_back_tells_what_the_fork_added() {
        let mut edits = Edits::default();
        edits.note(0x5000, 0, RW, true);
        edits.note(0x5008, RW, RO, true);
        assert!(edits.any() && edits.take().is_some());
        let template = |place| if place == 0x5000 { 0 } else { RW };
        edits.revert(|place| if place == 0x5000 { RW } else { RO }, template);
        assert_eq!(edits.take(), Some(Flush::Entries(vec![(0x5000, 1)])));
        assert!(!edits.any());
    }

    #[test]
    fn too_many_are_all() {
        let mut edits = Edits::default();
        (0..=MOST as u64).for_each(|at| edits.note(at * 8, RW, 0, false));
        assert_eq!(edits.take(), Some(Flush::All));
        assert_eq!(edits.take(), None);
    }
}
