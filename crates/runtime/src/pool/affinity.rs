//! Which slot of which pool a thread used last.
//!
//! A few words in thread-local storage, without destructor or allocation. An entry is only a hint:
//! it may be lost to another pool's, and the slot may be in use by another thread by now.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many pools a thread remembers.
const ENTRIES: usize = 8;

#[derive(Debug, Clone, Copy)]
struct Entry {
    pool: u64,
    index: usize,
}

thread_local! {
    static LAST: Cell<[Entry; ENTRIES]> = const { Cell::new([Entry { pool: 0, index: 0 }; ENTRIES]) };
}

/// An identity that no other pool has had or will have; never 0.
pub(super) fn new_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The slot that this thread used last in a pool.
pub(super) fn get(pool: u64) -> Option<usize> {
    let entries = LAST.get();
    entries
        .iter()
        .find(|entry| entry.pool == pool)
        .map(|entry| entry.index)
}

/// Remembers a slot; the pool moves to the front, and the one not used for longest is forgotten.
pub(super) fn set(pool: u64, index: usize) {
    let mut entries = LAST.get();
    if entries[0].pool == pool && entries[0].index == index {
        return;
    }
    let at = entries
        .iter()
        .position(|entry| entry.pool == pool)
        .unwrap_or(ENTRIES - 1);
    entries[..=at].rotate_right(1);
    entries[0] = Entry { pool, index };
    LAST.set(entries);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pools_used_last_are_remembered() {
        let ids: Vec<u64> = (0..=ENTRIES).map(|_| new_id()).collect();
        for (index, &id) in ids.iter().enumerate() {
            set(id, index);
        }
        assert_eq!(get(ids[0]), None);
        assert_eq!(get(ids[1]), Some(1));
        set(ids[1], 7);
        set(ids[0], 3);
        assert_eq!(get(ids[1]), Some(7));
        assert_eq!(get(ids[0]), Some(3));
        assert_eq!(get(ids[2]), None);
    }
}
