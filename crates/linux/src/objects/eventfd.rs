//! `eventfd`: a counter to wait for.

use crate::objects::readiness::{Edges, Events};
use crate::wire::errno::{EAGAIN, EINVAL, Errno};

/// The counter never gets there.
const OVERFLOW: u64 = u64::MAX;

/// The counter behind an `eventfd`.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    count: u64,
    /// `EFD_SEMAPHORE`: a read takes one.
    semaphore: bool,
    edges: Edges,
}

impl Counter {
    /// A counter that starts at `count`.
    pub(crate) fn new(count: u32, semaphore: bool) -> Self {
        Self {
            count: u64::from(count),
            semaphore,
            edges: Edges::default(),
        }
    }

    /// Takes everything, or one.
    ///
    /// # Errors
    /// `EAGAIN` at 0.
    pub(crate) fn read(&mut self) -> Result<u64, Errno> {
        if self.count == 0 {
            return Err(EAGAIN);
        }
        let taken = if self.semaphore { 1 } else { self.count };
        self.count -= taken;
        self.edges.output += 1;
        Ok(taken)
    }

    /// Adds.
    ///
    /// # Errors
    /// `EINVAL` for a number that never fits, `EAGAIN` for one that does not fit now.
    pub(crate) fn write(&mut self, value: u64) -> Result<(), Errno> {
        if value == OVERFLOW {
            return Err(EINVAL);
        }
        if OVERFLOW - self.count <= value {
            return Err(EAGAIN);
        }
        self.count += value;
        self.edges.input += 1;
        Ok(())
    }

    /// What can be done.
    pub(crate) fn ready(&self) -> Events {
        let mut events = Events::NONE;
        events.set(Events::IN, self.count > 0);
        events.set(Events::OUT, self.count < OVERFLOW - 1);
        events
    }

    /// How often something happened.
    pub(crate) fn edges(&self) -> Edges {
        self.edges
    }
}

/// A counter by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CounterId(pub(crate) usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_gives_all() {
        let mut counter = Counter::new(3, false);
        counter.write(4).unwrap();
        assert_eq!((counter.read(), counter.read()), (Ok(7), Err(EAGAIN)));
        assert_eq!(counter.ready(), Events::OUT);
        assert_eq!(
            counter.edges(),
            Edges {
                input: 1,
                output: 1
            }
        );
    }

    #[test]
    fn a_semaphore_gives_one() {
        let mut counter = Counter::new(2, true);
        assert_eq!(
            [(); 3].map(|()| counter.read()),
            [Ok(1), Ok(1), Err(EAGAIN)]
        );
    }

    #[test]
    fn never_overflows() {
        let mut counter = Counter::new(0, false);
        assert_eq!(counter.write(u64::MAX), Err(EINVAL));
        assert_eq!(counter.write(u64::MAX - 1), Ok(()));
        assert_eq!(counter.write(1), Err(EAGAIN));
        assert_eq!(counter.write(0), Ok(()));
        assert_eq!(counter.ready(), Events::IN);
        assert_eq!(counter.read(), Ok(u64::MAX - 1));
    }
}
