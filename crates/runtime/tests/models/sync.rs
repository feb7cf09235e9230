//! Stands in for `src/sync.rs`: the same names, with loom behind them.

use std::sync::PoisonError;
use std::time::Duration;

pub(crate) use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time does not pass in a model: who has any waits for ever, so that a wakeup which never comes
/// is found; who has none gives up when the others have gone on for any number of steps.
pub(crate) fn wait_while<'a, T>(
    changed: &Condvar,
    mut guard: MutexGuard<'a, T>,
    patience: Duration,
    mut condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    while condition(&mut guard) && !patience.is_zero() {
        guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
    }
    guard
}

/// A cell that is swapped at once, with the orders that crossbeam's has: `Acquire` and `Release`.
pub(crate) struct AtomicCell<T> {
    full: AtomicBool,
    content: Mutex<T>,
}

impl<T> AtomicCell<Option<T>> {
    pub(crate) fn new(content: Option<T>) -> Self {
        Self {
            full: AtomicBool::new(content.is_some()),
            content: Mutex::new(content),
        }
    }

    /// Only the owner of a slot stores, into an empty one. Crossbeam swaps here, too.
    pub(crate) fn store(&self, content: Option<T>) {
        let before = std::mem::replace(&mut *lock(&self.content), content);
        assert!(before.is_none(), "an item was stored over another");
        self.full.swap(true, Ordering::AcqRel);
    }

    pub(crate) fn take(&self) -> Option<T> {
        if self.full.swap(false, Ordering::AcqRel) {
            lock(&self.content).take()
        } else {
            None
        }
    }
}
