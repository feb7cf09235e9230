//! A number of permits, for which callers may wait a while.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

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
        let give_up = Instant::now() + patience;
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            let left = give_up.checked_duration_since(Instant::now())?;
            let waited = self.0.given_back.wait_timeout(free, left);
            (free, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Some(Permit(Arc::clone(&self.0)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        *free += 1;
        self.0.given_back.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_only_so_many() {
        let permits = Permits::new(2);
        let (first, second) = (permits.take(Duration::ZERO), permits.take(Duration::ZERO));
        assert!(first.is_some() && second.is_some());
        assert!(permits.take(Duration::from_millis(1)).is_none());
        drop(first);
        assert!(permits.take(Duration::ZERO).is_some());
    }

    #[test]
    fn who_waits_gets_one_that_is_given_back() {
        let permits = Permits::new(1);
        let held = permits.take(Duration::ZERO);
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| permits.take(Duration::from_secs(10)).is_some());
            drop(held);
            assert!(waiter.join().unwrap());
        });
    }
}
