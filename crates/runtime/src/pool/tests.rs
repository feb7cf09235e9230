use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::*;
use crate::sync::lock;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(20);

/// Leases and makes the item if the slot is empty.
fn lease(pool: &Pool<u32>, new: u32) -> Lease<u32> {
    let mut lease = pool.lease(LONG).expect("a slot");
    lease.item.get_or_insert_with(|| Box::new(new));
    lease
}

fn value(lease: &Lease<u32>) -> u32 {
    **lease.item.as_ref().expect("an item")
}

#[test]
fn items_are_made_lazily_and_used_again() {
    let pool = Pool::new(3, 4);
    let first = lease(&pool, 1);
    let second = lease(&pool, 2);
    pool.give_back(first);
    pool.give_back(second);
    // The slot used last comes first.
    let again = lease(&pool, 9);
    assert_eq!(value(&again), 2);
    let other = lease(&pool, 9);
    assert_eq!(value(&other), 1);
    assert_eq!(value(&lease(&pool, 3)), 3);
}

#[test]
fn slots_have_numbers() {
    let pool = Pool::new(3, 4);
    let leases: Vec<_> = (0..3).map(|number| lease(&pool, number)).collect();
    let mut numbers: Vec<_> = leases.iter().map(Lease::index).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
}

#[test]
fn a_free_slot_takes_no_place_in_the_queue() {
    let pool = Pool::new(1, 0);
    for _ in 0..2 {
        let held = lease(&pool, 1);
        let refused = pool.lease(LONG).expect_err("a queue without places");
        assert_eq!(refused, LeaseError::QueueFull { waiting: 0 });
        pool.give_back(held);
    }
}

#[test]
fn an_empty_lease_makes_its_slot_vacant() {
    let pool = Pool::new(1, 4);
    let mut held = lease(&pool, 1);
    held.item = None;
    pool.give_back(held);
    assert_eq!(value(&lease(&pool, 2)), 2);
}

#[test]
fn what_is_not_leased_between_two_sweeps_is_unused() {
    let pool = Pool::new(4, 4);
    let leases: Vec<_> = (0..3).map(|number| lease(&pool, number)).collect();
    assert!(!pool.sweep().1, "nothing was given back yet");
    let mut leases = leases.into_iter();
    pool.give_back(leases.next().unwrap());
    pool.give_back(leases.next().unwrap());
    let leased = leases.next().unwrap();
    assert_eq!(pool.sweep(), (vec![2], true));
    // The first two were used, the third is still leased.
    assert_eq!(pool.sweep(), (vec![0, 1, 2], false));
    pool.revise(2, |_| unreachable!("it is leased"));
    pool.revise(3, |_| unreachable!("it is vacant"));
    pool.revise(0, Some);
    pool.revise(1, |_| None);
    assert_eq!(
        pool.sweep(),
        (vec![0, 2], false),
        "to be looked at is no use"
    );
    pool.give_back(leased);
    assert_eq!(pool.sweep(), (vec![0], true));
    let values: Vec<_> = (0..4).map(|_| value(&lease(&pool, 9))).collect();
    assert!(values.contains(&0) && values.contains(&2) && !values.contains(&1));
}

#[test]
fn waiting_is_bounded_in_time_and_number() {
    let pool = Pool::new(1, 1);
    let held = lease(&pool, 1);
    assert_eq!(
        pool.lease(SHORT).expect_err("no slot"),
        LeaseError::TimedOut { waited: SHORT }
    );
    thread::scope(|scope| {
        let waiter = scope.spawn(|| lease(&pool, 9));
        while pool.waiting.load(Ordering::Relaxed) == 0 {
            thread::yield_now();
        }
        assert_eq!(
            pool.lease(LONG).expect_err("a full queue"),
            LeaseError::QueueFull { waiting: 1 }
        );
        pool.give_back(held);
        let got = waiter.join().expect("no panic");
        assert_eq!(value(&got), 1);
        pool.give_back(got);
    });
    assert_eq!(pool.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn waiters_are_served_in_order_and_get_vacant_slots_too() {
    let pool = Pool::new(1, 8);
    let order = Mutex::new(Vec::new());
    let mut held = lease(&pool, 0);
    thread::scope(|scope| {
        for number in 0..4 {
            let (pool, order) = (&pool, &order);
            scope.spawn(move || {
                let mut got = pool.lease(LONG).expect("a slot");
                lock(order).push(number);
                got.item = (number % 2 == 0).then(|| Box::new(number));
                pool.give_back(got);
            });
            while pool.waiting.load(Ordering::Relaxed) <= number as usize {
                thread::yield_now();
            }
        }
        held.item = None;
        pool.give_back(held);
    });
    assert_eq!(*lock(&order), [0, 1, 2, 3]);
}

#[test]
fn closing_drops_idle_items_and_turns_waiters_away() {
    let pool = Arc::new(Pool::new(2, 4));
    let tracked = Arc::new(());
    let mut first = pool.lease(LONG).expect("a slot");
    first.item = Some(Box::new(Arc::clone(&tracked)));
    let mut second = pool.lease(LONG).expect("a slot");
    second.item = Some(Box::new(Arc::clone(&tracked)));
    let waiter = {
        let pool = Arc::clone(&pool);
        thread::spawn(move || pool.lease(LONG).map(|_| ()).expect_err("closed"))
    };
    while pool.waiting.load(Ordering::Relaxed) == 0 {
        thread::yield_now();
    }
    // One idle item would go to the waiter, so close first.
    pool.close();
    assert_eq!(waiter.join().expect("no panic"), LeaseError::Closed);
    pool.give_back(first);
    assert_eq!(Arc::strong_count(&tracked), 2);
    pool.give_back(second);
    assert_eq!(Arc::strong_count(&tracked), 1);
    assert_eq!(pool.lease(LONG).map(|_| ()), Err(LeaseError::Closed));
}

/// Many threads, few slots, short patience: an item is never with two of them, never more than the
/// capacity exist, and none is lost.
#[test]
fn stress() {
    const CAPACITY: usize = 3;
    let pool = Pool::new(CAPACITY, 64);
    let existing = AtomicU32::new(0);
    let most = AtomicU32::new(0);
    let timeouts = AtomicU32::new(0);
    thread::scope(|scope| {
        for thread_number in 0..8_u32 {
            let (pool, existing, most, timeouts) = (&pool, &existing, &most, &timeouts);
            scope.spawn(move || {
                for round in 0..3000_u32 {
                    let patience = Duration::from_micros(u64::from(round % 7) * 20);
                    let Ok(mut lease) = pool.lease(patience) else {
                        timeouts.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    if lease.item.is_none() {
                        let now = existing.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(now, Ordering::SeqCst);
                        lease.item = Some(Box::new(AtomicU32::new(0)));
                    }
                    let users = lease.item.as_ref().expect("an item");
                    assert_eq!(users.fetch_add(1, Ordering::SeqCst), 0);
                    if round % 16 == 0 {
                        thread::yield_now();
                    }
                    users.fetch_sub(1, Ordering::SeqCst);
                    if (round + thread_number).is_multiple_of(50) {
                        existing.fetch_sub(1, Ordering::SeqCst);
                        lease.item = None;
                    }
                    pool.give_back(lease);
                }
            });
        }
    });
    assert_eq!(pool.waiting.load(Ordering::SeqCst), 0);
    assert!(lock(&pool.queue).is_empty());
    let most = most.load(Ordering::SeqCst) as usize;
    assert!((1..=CAPACITY).contains(&most), "{most} items existed");
    // Nothing was lost: all slots can be leased at once.
    let all: Vec<_> = (0..CAPACITY).map(|_| pool.lease(SHORT)).collect();
    assert!(all.iter().all(Result::is_ok));
    let items = all.iter().flatten().filter(|lease| lease.item.is_some());
    assert_eq!(items.count(), existing.load(Ordering::SeqCst) as usize);
}
