//! x86-64 four-level page tables (Intel SDM volume 3, 5.5), as edits on an abstract memory.

use crate::{PAGE_SIZE, Protection};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
/// Set from the start, so that no processor and no shadow page table ever has to write an entry:
/// a write would make the table's page private in every fork.
const ACCESSED_DIRTY: u64 = 1 << 5 | 1 << 6;
/// In an entry of the second level: it maps a large page itself.
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Bytes of a large page.
pub(crate) const LARGE_SIZE: u64 = 2 << 20;
/// Entries of a table.
const ENTRIES: u64 = 512;

/// Memory that holds page tables.
pub(crate) trait TableMemory {
    /// The entry at a guest-physical address.
    fn load(&self, physical: u64) -> u64;
    /// Replaces the entry at a guest-physical address.
    fn store(&mut self, physical: u64, entry: u64);
    /// A zeroed page for a new table, or `None` when memory is used up.
    fn allocate(&mut self) -> Option<u64>;
}

/// What a virtual address translates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translation {
    /// Guest-physical address.
    pub(crate) physical: u64,
    /// User-mode code may access it.
    pub(crate) user: bool,
    /// Stores are allowed.
    pub(crate) writable: bool,
}

/// Who may use a page, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Ring 0 only: the engine's own pages; all rights.
    Supervisor,
    /// User-mode code, with these rights.
    User(Protection),
}

/// The leaf entry for a page. One without any right is not present but keeps its frame.
pub(crate) fn leaf(physical: u64, access: Access) -> u64 {
    let bits = match access {
        Access::Supervisor => WRITABLE,
        Access::User(allow) if allow.is_none() => return physical & ADDRESS,
        Access::User(allow) => {
            let write = if allow.write { WRITABLE } else { 0 };
            let execute = if allow.execute { 0 } else { NO_EXECUTE };
            USER | write | execute
        }
    };
    (physical & ADDRESS) | PRESENT | ACCESSED_DIRTY | bits
}

/// The frame that a leaf entry holds, present or not.
pub(crate) fn frame_of(entry: u64) -> Option<u64> {
    Some(entry & ADDRESS).filter(|physical| *physical != 0)
}

/// True if going from one leaf entry to another takes something away, which caches of
/// translations must be told.
pub(crate) fn takes_rights(before: u64, after: u64) -> bool {
    let kept = before & after & (WRITABLE | USER) == before & (WRITABLE | USER)
        && after & NO_EXECUTE <= before & NO_EXECUTE;
    before & PRESENT != 0 && (after & PRESENT == 0 || before & ADDRESS != after & ADDRESS || !kept)
}

/// Index of `address` in the table of `level` (3 = PML4, 0 = page table).
fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * level)) & 511
}

/// The same entry for a large page.
pub(crate) fn as_large(entry: u64) -> u64 {
    entry | LARGE
}

/// True if a leaf entry allows an access of user code.
pub(crate) fn permits(entry: u64, write: bool, fetch: bool) -> bool {
    entry & (PRESENT | USER) == PRESENT | USER
        && (!write || entry & WRITABLE != 0)
        && (!fetch || entry & NO_EXECUTE == 0)
}

/// Entries that follow each other in one table, for pages of `size` bytes from `address` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The first page's address.
    pub(crate) address: u64,
    /// The first entry's guest-physical address.
    pub(crate) place: u64,
    /// How many entries.
    pub(crate) count: u64,
    /// Bytes that each one maps.
    pub(crate) size: u64,
}

impl Run {
    /// Address and place of each entry.
    pub(crate) fn entries(self) -> impl Iterator<Item = (u64, u64)> {
        (0..self.count).map(move |at| (self.address + at * self.size, self.place + at * 8))
    }
}

/// The leaf entries that there are for a page-aligned range: absent tables cost nothing. A large
/// page that lies partly in the range is there, too.
pub(crate) fn runs(memory: &impl TableMemory, root: u64, start: u64, end: u64) -> Vec<Run> {
    let mut found = Vec::new();
    let mut at = start;
    while at < end {
        let mut table = root;
        let mut level = 3;
        let run = loop {
            let place = table + index(at, level) * 8;
            let span = 1u64 << (12 + 9 * level);
            if level == 0 {
                let count = (ENTRIES - index(at, 0)).min((end - at) / PAGE_SIZE);
                break Some((at, place, count, PAGE_SIZE));
            }
            let entry = memory.load(place);
            if entry & PRESENT == 0 {
                at = (at & !(span - 1)).saturating_add(span);
                break None;
            }
            if entry & LARGE != 0 {
                break Some((at & !(LARGE_SIZE - 1), place, 1, LARGE_SIZE));
            }
            table = entry & ADDRESS;
            level -= 1;
        };
        if let Some((address, place, count, size)) = run {
            at = address + count * size;
            found.push(Run {
                address,
                place,
                count,
                size,
            });
        }
    }
    found
}

/// The entry that maps, or would map, the page at `address`: of a page or of a large page. `None`
/// if a table on the way is absent.
pub(crate) fn entry(memory: &impl TableMemory, root: u64, address: u64) -> Option<u64> {
    let mut table = root;
    for level in (1..4).rev() {
        let entry = memory.load(table + index(address, level) * 8);
        if entry & PRESENT == 0 {
            return None;
        }
        if entry & LARGE != 0 {
            return Some(entry);
        }
        table = entry & ADDRESS;
    }
    Some(memory.load(table + index(address, 0) * 8))
}

/// The place of the entry of `level` for `address`; adds tables where needed, and splits a large
/// page. `None` if no page for a table is left.
fn make_place(memory: &mut impl TableMemory, root: u64, address: u64, level: u32) -> Option<u64> {
    let mut table = root;
    for above in (level + 1..4).rev() {
        let place = table + index(address, above) * 8;
        let mut entry = memory.load(place);
        if entry & PRESENT == 0 {
            entry = memory.allocate()? | PRESENT | WRITABLE | USER | ACCESSED_DIRTY;
            memory.store(place, entry);
        } else if entry & LARGE != 0 {
            let pages = memory.allocate()?;
            for at in 0..ENTRIES {
                memory.store(pages + at * 8, (entry & !LARGE) + at * PAGE_SIZE);
            }
            entry = pages | PRESENT | WRITABLE | USER | ACCESSED_DIRTY;
            memory.store(place, entry);
        }
        table = entry & ADDRESS;
    }
    Some(table + index(address, level) * 8)
}

/// The place of the leaf entry for the page at `address`; adds tables where needed. `None` if no
/// page for a table is left.
pub(crate) fn make_leaf_place(
    memory: &mut impl TableMemory,
    root: u64,
    address: u64,
) -> Option<u64> {
    make_place(memory, root, address, 0)
}

/// Maps the page at `address`, adding tables where needed. Returns the entry that was there
/// before (0 if none), or `None` if no page for a table is left.
pub(crate) fn map(
    memory: &mut impl TableMemory,
    root: u64,
    address: u64,
    physical: u64,
    access: Access,
) -> Option<u64> {
    let place = make_leaf_place(memory, root, address)?;
    let before = memory.load(place);
    memory.store(place, leaf(physical, access));
    Some(before)
}

/// Maps the large page at `address`, where nothing is mapped yet. `None` if that is not so, or if
/// no page for a table is left.
pub(crate) fn map_large(
    memory: &mut impl TableMemory,
    root: u64,
    address: u64,
    physical: u64,
    access: Access,
) -> Option<()> {
    let place = make_place(memory, root, address, 1)?;
    if memory.load(place) != 0 {
        return None;
    }
    memory.store(place, leaf(physical, access) | LARGE);
    Some(())
}

/// Translates a canonical lower-half address; `None` if it is not mapped.
pub(crate) fn translate(memory: &impl TableMemory, root: u64, address: u64) -> Option<Translation> {
    if address >> 47 != 0 {
        return None;
    }
    let mut table = root;
    let mut level = 3;
    let (entry, size) = loop {
        let entry = memory.load(table + index(address, level) * 8);
        if entry & PRESENT == 0 {
            return None;
        }
        if level == 0 {
            break (entry, PAGE_SIZE);
        }
        if entry & LARGE != 0 {
            break (entry, LARGE_SIZE);
        }
        table = entry & ADDRESS;
        level -= 1;
    };
    Some(Translation {
        physical: (entry & ADDRESS) + address % size,
        user: entry & USER != 0,
        writable: entry & WRITABLE != 0,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Tables in a plain vector.
    struct Fake {
        words: Vec<u64>,
        pages: u64,
    }

    impl Fake {
        fn new(pages: u64) -> Self {
            Self {
                words: vec![0; 512],
                pages,
            }
        }
    }

    impl TableMemory for Fake {
        fn load(&self, physical: u64) -> u64 {
            self.words[usize::try_from(physical / 8).unwrap()]
        }
        fn store(&mut self, physical: u64, entry: u64) {
            self.words[usize::try_from(physical / 8).unwrap()] = entry;
        }
        fn allocate(&mut self) -> Option<u64> {
            let at = self.words.len() as u64 * 8;
            self.pages = self.pages.checked_sub(1)?;
            self.words.extend([0; 512]);
            Some(at)
        }
    }

    #[test]
    fn unmapped_and_upper_half_addresses_do_not_translate() {
        let mut memory = Fake::new(8);
        assert_eq!(translate(&memory, 0, 0x1000), None);
        map(
            &mut memory,
            0,
            0x1000,
            0x5000,
            Access::User(Protection::READ),
        )
        .unwrap();
        assert_eq!(translate(&memory, 0, 0x2000), None);
        assert_eq!(translate(&memory, 0, 0xffff_8000_0000_1000), None);
        assert_eq!(translate(&memory, 0, 0x8000_0000_1000), None);
    }

    #[test]
    fn no_access_is_an_absent_entry() {
        let mut memory = Fake::new(8);
        map(
            &mut memory,
            0,
            0x1000,
            0x5000,
            Access::User(Protection::READ_WRITE),
        )
        .unwrap();
        let before = map(
            &mut memory,
            0,
            0x1000,
            0x5000,
            Access::User(Protection::NONE),
        )
        .unwrap();
        assert_ne!(before, 0);
        assert_eq!(translate(&memory, 0, 0x1000), None);
    }

    #[test]
    fn running_out_of_tables_is_reported() {
        let mut memory = Fake::new(2);
        assert_eq!(
            map(&mut memory, 0, 0x1000, 0x5000, Access::Supervisor),
            None
        );
    }

    #[test]
    fn a_large_page_translates_and_splits() {
        let mut memory = Fake::new(8);
        let read = Access::User(Protection::READ);
        map_large(&mut memory, 0, 0x4020_0000, 0x60_0000, read).unwrap();
        let at = |memory: &Fake, address| translate(memory, 0, address).map(|to| to.physical);
        assert_eq!(at(&memory, 0x403f_f123), Some(0x7f_f123));
        assert_eq!(at(&memory, 0x4040_0000), None);
        let all = runs(&memory, 0, 0, 1 << 47);
        assert_eq!((all.len(), all[0].size, all[0].count), (1, LARGE_SIZE, 1));
        map(&mut memory, 0, 0x4020_5000, 0x9000, read).unwrap();
        assert_eq!(at(&memory, 0x4020_5001), Some(0x9001));
        assert_eq!(at(&memory, 0x403f_f123), Some(0x7f_f123));
        assert!(!translate(&memory, 0, 0x4020_0000).unwrap().writable);
    }

    #[test]
    fn runs_skip_what_is_absent() {
        let mut memory = Fake::new(20);
        let read = Access::User(Protection::READ);
        for address in [0x1f_f000, 0x20_0000, 0x7000_0000_0000] {
            map(&mut memory, 0, address, 0x5000, read).unwrap();
        }
        let found = runs(&memory, 0, 0x1f_e000, 1 << 47);
        let shape: Vec<_> = found.iter().map(|run| (run.address, run.count)).collect();
        assert_eq!(
            shape,
            [(0x1f_e000, 2), (0x20_0000, 512), (0x7000_0000_0000, 512)]
        );
        assert!(runs(&memory, 0, 0x40_0000, 0x6000_0000_0000).is_empty());
    }

    proptest! {
        #[test]
        fn what_was_mapped_translates(
            pages in proptest::collection::btree_map(0u64..1 << 35, 0u64..1 << 28, 1..40),
            write: bool,
            offset in 0u64..4096,
        ) {
            let mut memory = Fake::new(1000);
            let allow = Protection { read: true, write, execute: false };
            for (&page, &frame) in &pages {
                map(&mut memory, 0, page << 12, frame << 12, Access::User(allow)).unwrap();
            }
            for (&page, &frame) in &pages {
                let found = translate(&memory, 0, (page << 12) + offset).unwrap();
                prop_assert_eq!(found.physical, (frame << 12) + offset);
                prop_assert_eq!((found.user, found.writable), (true, write));
            }
        }
    }
}
