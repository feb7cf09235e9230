//! The pool and the permits under all orders of their threads' steps, with the memory model of
//! the language: loom runs each model again and again, once for every order. A thread that sleeps
//! and is never woken is a deadlock, which fails the model.
//!
//! The files of `src` are compiled here once more, with loom's types instead of the system's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic fails the model"
)]

mod pool;
mod sync;

#[path = "../../src/permits.rs"]
mod permits;

use std::time::Duration;

use loom::sync::Arc;
use loom::thread;

use crate::permits::Permits;
use crate::pool::{Lease, LeaseError, Pool};

/// Waits until it is woken.
const PATIENT: Duration = Duration::MAX;
/// Gives up at any time.
const IMPATIENT: Duration = Duration::ZERO;

/// Every order in which threads are stopped at most twice in all for the sake of another one. More,
/// which takes minutes: `LOOM_MAX_PREEMPTIONS=3`.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(model);
}

type Shared = Arc<Pool<u32>>;

/// A pool with that many slots, all of them leased by the caller.
fn leased(slots: usize) -> (Shared, Vec<Lease<u32>>) {
    let pool = Arc::new(Pool::new(slots, 8));
    let lease = |number: usize| {
        let mut lease = pool.lease(IMPATIENT).expect("a vacant slot");
        lease.item = Some(Box::new(u32::try_from(number).unwrap()));
        lease
    };
    let leases = (0..slots).map(lease).collect();
    (pool, leases)
}

/// A request: leases a slot, and gives it back.
fn request(pool: &Shared, patience: Duration) -> thread::JoinHandle<Result<(), LeaseError>> {
    let pool = Arc::clone(pool);
    thread::spawn(move || {
        let lease = pool.lease(patience)?;
        pool.give_back(lease);
        Ok(())
    })
}

/// Nobody waits, and all slots can be leased.
fn is_at_rest(pool: &Shared, slots: usize) {
    let leases: Vec<_> = (0..slots).map(|_| pool.lease(IMPATIENT)).collect();
    assert!(
        leases.iter().all(Result::is_ok),
        "a slot was lost: {leases:?}"
    );
    assert!(pool.lease(IMPATIENT).is_err(), "a slot is there twice");
}

#[test]
fn a_slot_never_idles_while_somebody_waits() {
    check(|| {
        let (pool, mut leases) = leased(1);
        let patient = request(&pool, PATIENT);
        let impatient = request(&pool, IMPATIENT);
        pool.give_back(leases.remove(0));
        assert_eq!(patient.join().unwrap(), Ok(()));
        let _ = impatient.join().unwrap();
        is_at_rest(&pool, 1);
    });
}

#[test]
fn two_slots_and_two_who_wait() {
    check(|| {
        let (pool, mut leases) = leased(2);
        let one = request(&pool, PATIENT);
        let two = request(&pool, PATIENT);
        pool.give_back(leases.remove(1));
        pool.give_back(leases.remove(0));
        assert_eq!(one.join().unwrap(), Ok(()));
        assert_eq!(two.join().unwrap(), Ok(()));
        is_at_rest(&pool, 2);
    });
}

#[test]
fn a_slot_whose_item_is_lost_is_handed_on() {
    check(|| {
        let (pool, mut leases) = leased(1);
        let patient = request(&pool, PATIENT);
        let impatient = request(&pool, IMPATIENT);
        let mut lease = leases.remove(0);
        lease.item = None;
        pool.give_back(lease);
        assert_eq!(patient.join().unwrap(), Ok(()));
        let _ = impatient.join().unwrap();
        is_at_rest(&pool, 1);
    });
}

#[test]
fn who_revises_a_slot_takes_it_from_nobody() {
    check(|| {
        let (pool, mut leases) = leased(1);
        let revised = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || {
                let _ = pool.sweep();
                pool.revise(0, |_| None);
            })
        };
        let patient = request(&pool, PATIENT);
        pool.give_back(leases.remove(0));
        assert_eq!(patient.join().unwrap(), Ok(()));
        revised.join().unwrap();
        is_at_rest(&pool, 1);
    });
}

#[test]
fn closing_turns_everybody_away_and_drops_every_item() {
    check(|| {
        let item = std::sync::Arc::new(());
        let pool = Arc::new(Pool::new(1, 8));
        let mut lease = pool.lease(IMPATIENT).expect("a vacant slot");
        lease.item = Some(Box::new(std::sync::Arc::clone(&item)));
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || match pool.lease(PATIENT) {
                Ok(lease) => pool.give_back(lease),
                Err(error) => assert_eq!(error, LeaseError::Closed),
            })
        };
        let closer = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.close())
        };
        pool.give_back(lease);
        waiter.join().unwrap();
        closer.join().unwrap();
        assert_eq!(std::sync::Arc::strong_count(&item), 1, "an item is left");
        let late = pool.lease(PATIENT).map(|_| ());
        assert_eq!(late, Err(LeaseError::Closed));
    });
}

#[test]
fn there_are_only_so_many_permits() {
    check(|| {
        let permits = Permits::new(2);
        let (first, second) = (permits.take(IMPATIENT), permits.take(IMPATIENT));
        assert!(first.is_some() && second.is_some());
        assert!(permits.take(IMPATIENT).is_none());
        drop(first);
        assert!(permits.take(IMPATIENT).is_some());
    });
}

#[test]
fn a_permit_that_is_given_back_wakes_who_waits() {
    check(|| {
        let permits = Arc::new(Permits::new(1));
        let held = permits.take(IMPATIENT).expect("the only one");
        let take = |patience| {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.take(patience).is_some())
        };
        let (one, two) = (take(PATIENT), take(PATIENT));
        let impatient = take(IMPATIENT);
        drop(held);
        assert!(one.join().unwrap() && two.join().unwrap());
        let _ = impatient.join().unwrap();
        assert!(permits.take(IMPATIENT).is_some());
    });
}
