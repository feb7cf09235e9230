//! Who holds a VM already does not wait for another one.
//!
//! A filter keeps its VM while it waits for a backend or a client, and meanwhile the same thread may
//! want another: for the next filter in the list, or for a page that is included in the one that it
//! delivers. If everybody waited for a VM while holding one, two of them could wait for each other,
//! and one for itself. So whoever holds one gets the next at once, if need be one beside the pool's.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    /// How many VMs the filters of this thread hold, of all programs together.
    static HELD: RefCell<Option<Arc<AtomicUsize>>> = const { RefCell::new(None) };
}

/// A VM that a filter holds, until this is dropped, on whatever thread.
#[derive(Debug)]
pub(crate) struct Holding(Arc<AtomicUsize>);

impl Holding {
    /// This thread holds one more.
    pub(crate) fn begin() -> Self {
        let held = HELD.with_borrow_mut(|held| Arc::clone(held.get_or_insert_default()));
        held.fetch_add(1, Ordering::Relaxed);
        Self(held)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// True if this thread holds one.
pub(crate) fn holds_one() -> bool {
    HELD.with_borrow(|held| {
        held.as_ref()
            .is_some_and(|held| held.load(Ordering::Relaxed) > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_thread_and_ends_anywhere() {
        assert!(!holds_one());
        let (one, two) = (Holding::begin(), Holding::begin());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!holds_one());
                drop(one);
            });
        });
        assert!(holds_one());
        drop(two);
        assert!(!holds_one());
    }
}
