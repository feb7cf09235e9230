use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use super::*;

const LONG: Duration = Duration::from_secs(3600);
/// How long to wait for what has to come.
const SOON: Duration = Duration::from_secs(20);

fn turns(most: usize, longest: Duration) -> Arc<Turns> {
    Arc::new(Turns::new(most, longest))
}

fn start() -> Arc<Start> {
    Arc::new(Start::new().expect("a pipe"))
}

/// Waits for a turn in a thread, which says whether it got one and then keeps it.
fn wait(turns: &Arc<Turns>, start: &Arc<Start>) -> Receiver<bool> {
    let (tell, told) = channel();
    let (turns, start) = (Arc::clone(turns), Arc::clone(start));
    let before = lock(&turns.queue).last;
    let shared = Arc::clone(&turns);
    thread::spawn(move || {
        let turn = shared.take(&start);
        let _ = tell.send(turn.is_some());
        // Kept for ever.
        let _ = std::mem::ManuallyDrop::new(turn);
    });
    while lock(&turns.queue).last == before {
        thread::yield_now();
    }
    told
}

#[test]
fn starts_take_turns_in_order() {
    let turns = turns(2, LONG);
    let (one, two) = (turns.take(&start()), turns.take(&start()));
    let third = wait(&turns, &start());
    let fourth = wait(&turns, &start());
    assert!(third.try_recv().is_err() && fourth.try_recv().is_err());
    drop(two);
    assert_eq!(third.recv_timeout(SOON), Ok(true));
    assert!(fourth.try_recv().is_err());
    drop(one);
    assert_eq!(fourth.recv_timeout(SOON), Ok(true));
}

#[test]
fn a_start_that_is_called_off_leaves_the_queue_at_once() {
    let turns = turns(1, LONG);
    let held = turns.take(&start());
    let off = start();
    let (first, second) = (wait(&turns, &off), wait(&turns, &start()));
    off.call_off();
    // The shared turns are told; these are the test's own.
    turns.look_again();
    assert_eq!(first.recv_timeout(SOON), Ok(false));
    assert!(second.try_recv().is_err());
    drop(held);
    assert_eq!(second.recv_timeout(SOON), Ok(true));
    assert!(turns.take(&off).is_none());
}

#[test]
fn a_turn_that_takes_long_does_not_keep_the_next_from_beginning() {
    let turns = turns(1, Duration::from_millis(50));
    let _held = turns.take(&start());
    let next = wait(&turns, &start());
    assert_eq!(next.recv_timeout(SOON), Ok(true));
}

#[test]
fn a_start_that_sleeps_gives_its_turn_up() {
    let turns = turns(1, LONG);
    let (sleeper, other) = (start(), start());
    let _held = turns.take(&sleeper);
    let next = wait(&turns, &other);
    sleeper.sleep_in(&turns, LONGEST_SLEEP / 2);
    sleeper.sleep_in(&turns, LONGEST_SLEEP / 2);
    assert!(next.try_recv().is_err(), "a little sleep is nothing");
    sleeper.sleep_in(&turns, Duration::from_nanos(1));
    assert_eq!(next.recv_timeout(SOON), Ok(true));
    // It does not take the other one's.
    sleeper.sleep_in(&turns, Duration::from_nanos(1));
    assert_eq!(lock(&turns.queue).running.len(), 1);
}

#[test]
fn sleep_ends_when_the_start_is_called_off() {
    let start = start();
    let begun = Instant::now();
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| start.sleep(LONG));
        start.call_off();
        assert!(sleeper.join().is_ok());
    });
    start.sleep(LONG);
    assert!(start.is_off() && begun.elapsed() < SOON);
}
