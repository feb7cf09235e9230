//! Forks beside those of the pool: for who holds one already, and therefore must not wait.
//!
//! How many there can be at a time is bounded by how many bodies are being filtered, times how many
//! filters one of them has in its list and in the pages that it includes. A few stay for the next.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::instance::Worker;

/// See the [module documentation](self).
pub(crate) struct Spares {
    /// Those that wait for the next; `None` once they are not wanted any more.
    idle: Mutex<Option<Vec<Worker>>>,
    /// The fewest that were idle since [`Self::tidy`] looked last: so many are not needed.
    fewest: AtomicUsize,
    most: usize,
    next_index: AtomicU32,
}

impl Spares {
    /// Keeps up to `most`; their numbers begin with `first_index`.
    pub(crate) fn new(first_index: u32, most: usize) -> Self {
        Self {
            idle: Mutex::new(Some(Vec::new())),
            fewest: AtomicUsize::new(0),
            most,
            next_index: AtomicU32::new(first_index),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<Worker>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that was kept.
    pub(crate) fn take(&self) -> Option<Box<Worker>> {
        let mut idle = self.idle();
        let idle = idle.as_mut()?;
        let worker = idle.pop();
        self.fewest.fetch_min(idle.len(), Ordering::Relaxed);
        worker.map(Box::new)
    }

    /// The number of a new one.
    pub(crate) fn index(&self) -> u32 {
        self.next_index.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps one, as at the freeze, for the next, or drops it.
    pub(crate) fn give_back(&self, worker: Box<Worker>) {
        let mut idle = self.idle();
        match idle.as_mut() {
            Some(idle) if idle.len() < self.most => idle.push(*worker),
            // Ending a VM takes a while, in which the others need not wait.
            _ => {
                drop(idle);
                drop(worker);
            }
        }
    }

    /// Drops those that nobody needed since this was called before.
    pub(crate) fn tidy(&self) {
        let mut guard = self.idle();
        let Some(idle) = guard.as_mut() else {
            return;
        };
        let unused = self.fewest.load(Ordering::Relaxed).min(idle.len());
        let dropped = idle.split_off(idle.len() - unused);
        self.fewest.store(idle.len(), Ordering::Relaxed);
        drop(guard);
        drop(dropped);
    }

    /// Keeps none any more.
    pub(crate) fn close(&self) {
        let idle = self.idle().take();
        drop(idle);
    }
}
