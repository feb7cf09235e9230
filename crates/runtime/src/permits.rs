//! A number of permits, for which callers may wait a while.

use std::time::Duration;

use crate::sync::{Arc, Condvar, Mutex, lock, wait_while};

#[derive(Debug)]
struct Shared {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// So many permits.
#[derive(Debug)]
pub(crate) struct Permits(Arc<Shared>);

/// One of them, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Shared>);

impl Permits {
    pub(crate) fn new(count: usize) -> Self {
        Self(Arc::new(Shared {
            free: Mutex::new(count),
            given_back: Condvar::new(),
        }))
    }

    /// Takes one; waits for it at most so long.
    pub(crate) fn take(&self, patience: Duration) -> Option<Permit> {
        let none = |free: &mut usize| *free == 0;
        let mut free = wait_while(&self.0.given_back, lock(&self.0.free), patience, none);
        *free = free.checked_sub(1)?;
        Some(Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.given_back.notify_one();
    }
}
