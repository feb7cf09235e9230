//! The slots and the queue; see the [module](super).
//!
//! No slot is idle or vacant while somebody waits. Whoever puts a slot down looks for waiters
//! afterwards, and whoever is about to wait says so before it looks for a slot; with a fence
//! between the two on either side, one of them sees the other. `tests/models` tries all orders.
//!
//! Locks: `queue` before a waiter's `handed`. Nothing is made or dropped while one is held.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;

use super::affinity;
use crate::sync::{
    Arc, AtomicBool, AtomicCell, AtomicUsize, Condvar, Mutex, Ordering, fence, lock, wait_while,
};

/// Why there is nothing to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum LeaseError {
    /// As many callers as may wait are waiting already.
    #[error(
        "no place in the queue: {waiting} requests wait for a VM already (see \"concurrency\", \
         \"max_queue\")"
    )]
    QueueFull {
        /// How many.
        waiting: usize,
    },
    /// Waited as long as allowed.
    #[error("no VM became free within {waited:?} (see \"concurrency\", \"max_queue_time\")")]
    TimedOut {
        /// How long.
        waited: Duration,
    },
    /// The pool is closed.
    #[error("the program was unloaded")]
    Closed,
}

/// One slot, taken out of the pool. Give it back with [`Pool::give_back`].
#[must_use = "a lease that is not given back blocks its slot for good"]
#[derive(Debug)]
pub(crate) struct Lease<T> {
    index: usize,
    /// What is in the slot; `None`: nothing yet, the holder makes it.
    pub(crate) item: Option<Box<T>>,
}

impl<T> Lease<T> {
    /// The slot's number, from 0.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

struct Slot<T> {
    /// The item, if it is idle.
    idle: AtomicCell<Option<Box<T>>>,
    /// An item exists, idle or leased, or the slot is leased for making one.
    occupied: AtomicBool,
    /// It was given back since [`Pool::sweep`] looked last.
    used: AtomicBool,
}

impl<T> Slot<T> {
    /// Nobody has the slot, and nothing is in it. An exchange, as whoever takes it makes one: so
    /// the two have one order.
    fn vacate(&self) {
        self.occupied.swap(false, Ordering::AcqRel);
    }
}

/// What a waiting caller gets.
enum Handed<T> {
    Nothing,
    Slot(Lease<T>),
    Closed,
}

pub(super) struct Waiter<T> {
    handed: Mutex<Handed<T>>,
    ready: Condvar,
}

/// See the [module](super).
pub(crate) struct Pool<T> {
    id: u64,
    slots: Box<[Slot<T>]>,
    pub(super) queue: Mutex<VecDeque<Arc<Waiter<T>>>>,
    /// The length of `queue`, plus callers that are about to join it.
    pub(super) waiting: AtomicUsize,
    queue_limit: usize,
    closed: AtomicBool,
}

impl<T> Pool<T> {
    /// A pool of at most `capacity` items, with at most `queue_limit` callers waiting.
    pub(crate) fn new(capacity: usize, queue_limit: usize) -> Self {
        let vacant = || Slot {
            idle: AtomicCell::new(None),
            occupied: AtomicBool::new(false),
            used: AtomicBool::new(false),
        };
        Self {
            id: affinity::new_id(),
            slots: (0..capacity).map(|_| vacant()).collect(),
            queue: Mutex::new(VecDeque::new()),
            waiting: AtomicUsize::new(0),
            queue_limit,
            closed: AtomicBool::new(false),
        }
    }

    /// Takes an idle item or, if there is none and there may be one more, an empty slot.
    ///
    /// # Errors
    /// See [`LeaseError`].
    pub(crate) fn lease(&self, patience: Duration) -> Result<Lease<T>, LeaseError> {
        // Whoever waits already comes first.
        if self.waiting.load(Ordering::Relaxed) == 0
            && let Some(lease) = self.try_take()
        {
            return Ok(lease);
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(LeaseError::Closed);
        }
        self.wait(patience)
    }

    /// Puts a slot back: its item becomes idle, or, if it has none any more, the slot vacant.
    pub(crate) fn give_back(&self, lease: Lease<T>) {
        let mut held = self.hand_over(lease);
        while let Some(lease) = held {
            self.put(lease);
            // Either this thread sees the waiter that came meanwhile, or the waiter sees the slot.
            fence(Ordering::SeqCst);
            if self.waiting.load(Ordering::Relaxed) == 0 {
                break;
            }
            // That waiter may be gone before it gets the slot, and another one come: so again.
            held = self.try_take().and_then(|lease| self.hand_over(lease));
        }
        if self.closed.load(Ordering::Acquire) {
            self.drop_idle();
        }
    }

    /// Which slots have items that nobody gave back since this was called before, and whether others
    /// were given back.
    pub(crate) fn sweep(&self) -> (Vec<usize>, bool) {
        let mut others = false;
        let mut is_unused = |slot: &Slot<T>| {
            let used = slot.used.swap(false, Ordering::Relaxed);
            others |= used;
            slot.occupied.load(Ordering::Relaxed) && !used
        };
        let unused = (0..self.slots.len()).filter(|&index| is_unused(&self.slots[index]));
        (unused.collect(), others)
    }

    /// Takes the item of a slot, if it is idle, for `keep` to look at: the slot is vacant afterwards
    /// if it returns nothing. That counts for no use.
    pub(crate) fn revise(&self, index: usize, keep: impl FnOnce(Box<T>) -> Option<Box<T>>) {
        let slot = &self.slots[index];
        let Some(item) = slot.idle.take() else {
            return;
        };
        let item = keep(item);
        self.give_back(Lease { index, item });
        slot.used.store(false, Ordering::Relaxed);
    }

    /// Drops every idle item and turns away everyone who waits or comes later. Leased items are
    /// dropped when they are given back.
    pub(crate) fn close(&self) {
        let mut queue = lock(&self.queue);
        self.closed.store(true, Ordering::Release);
        for waiter in queue.drain(..) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            *lock(&waiter.handed) = Handed::Closed;
            waiter.ready.notify_one();
        }
        drop(queue);
        fence(Ordering::SeqCst);
        self.drop_idle();
    }

    fn drop_idle(&self) {
        for slot in &self.slots {
            if slot.idle.take().is_some() {
                slot.vacate();
            }
        }
    }

    fn try_take(&self) -> Option<Lease<T>> {
        if self.closed.load(Ordering::Acquire) {
            return None;
        }
        let preferred = affinity::get(self.id).filter(|&index| index < self.slots.len());
        let others = 0..self.slots.len();
        for index in preferred.into_iter().chain(others.clone()) {
            // A plain load first: an exchange would take the cache line from its user.
            let slot = &self.slots[index];
            if slot.occupied.load(Ordering::Relaxed)
                && let Some(item) = slot.idle.take()
            {
                affinity::set(self.id, index);
                let item = Some(item);
                return Some(Lease { index, item });
            }
        }
        for index in others {
            let slot = &self.slots[index];
            if !slot.occupied.load(Ordering::Relaxed) && !slot.occupied.swap(true, Ordering::AcqRel)
            {
                affinity::set(self.id, index);
                return Some(Lease { index, item: None });
            }
        }
        None
    }

    fn put(&self, lease: Lease<T>) {
        let slot = &self.slots[lease.index];
        slot.used.store(true, Ordering::Relaxed);
        match lease.item {
            Some(item) => slot.idle.store(Some(item)),
            None => slot.vacate(),
        }
    }

    /// Gives a slot to the caller who waits longest; returns it if nobody does.
    fn hand_over(&self, lease: Lease<T>) -> Option<Lease<T>> {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return Some(lease);
        }
        // The queue stays locked until the slot is handed over: whoever finds itself out of the
        // queue has got its slot.
        let mut queue = lock(&self.queue);
        let Some(waiter) = queue.pop_front() else {
            return Some(lease);
        };
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        *lock(&waiter.handed) = Handed::Slot(lease);
        waiter.ready.notify_one();
        None
    }

    fn wait(&self, patience: Duration) -> Result<Lease<T>, LeaseError> {
        let waiter = {
            let mut queue = lock(&self.queue);
            if self.closed.load(Ordering::Acquire) {
                return Err(LeaseError::Closed);
            }
            let waiting = queue.len();
            if waiting >= self.queue_limit {
                return Err(LeaseError::QueueFull { waiting });
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            // Pairs with the fence in `give_back`.
            fence(Ordering::SeqCst);
            if waiting == 0
                && let Some(lease) = self.try_take()
            {
                self.waiting.fetch_sub(1, Ordering::Relaxed);
                return Ok(lease);
            }
            let waiter = Arc::new(Waiter {
                handed: Mutex::new(Handed::Nothing),
                ready: Condvar::new(),
            });
            queue.push_back(Arc::clone(&waiter));
            waiter
        };
        let nothing = |handed: &mut Handed<T>| matches!(handed, Handed::Nothing);
        drop(wait_while(
            &waiter.ready,
            lock(&waiter.handed),
            patience,
            nothing,
        ));
        self.leave_queue(&waiter);
        let handed = std::mem::replace(&mut *lock(&waiter.handed), Handed::Nothing);
        match handed {
            Handed::Slot(lease) => {
                affinity::set(self.id, lease.index);
                Ok(lease)
            }
            Handed::Closed => Err(LeaseError::Closed),
            Handed::Nothing => Err(LeaseError::TimedOut { waited: patience }),
        }
    }

    /// Takes a waiter out of the queue, after which nothing is handed to it any more.
    fn leave_queue(&self, waiter: &Arc<Waiter<T>>) {
        let mut queue = lock(&self.queue);
        if let Some(at) = queue.iter().position(|other| Arc::ptr_eq(other, waiter)) {
            queue.remove(at);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
