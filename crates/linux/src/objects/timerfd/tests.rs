use std::time::Duration;

use crate::objects::timerfd::{Now, Timer};
use crate::wire::errno::EAGAIN;

fn at(monotonic: u64) -> Now {
    Now {
        monotonic: Duration::from_secs(monotonic),
        realtime: Duration::from_secs(1_000_000 + monotonic),
        resumed: Duration::ZERO,
    }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn expires_once() {
    let mut timer = Timer::new(false);
    assert_eq!(timer.read(at(5)), Err(EAGAIN), "not set");
    timer.set(seconds(10), false, Duration::ZERO, at(5));
    assert_eq!(timer.get(at(8)), (seconds(7), Duration::ZERO));
    assert_eq!(timer.next(at(8)), Some(seconds(15)));
    assert_eq!(timer.read(at(14)), Err(EAGAIN));
    assert_eq!(timer.get(at(16)), (Duration::ZERO, Duration::ZERO));
    assert!(timer.is_ready(at(15)));
    assert_eq!(timer.read(at(100)), Ok(1));
    assert_eq!(
        (timer.read(at(101)), timer.next(at(101))),
        (Err(EAGAIN), None)
    );
}

#[test]
fn expires_again_and_again() {
    let mut timer = Timer::new(false);
    timer.set(seconds(3), false, seconds(2), at(10));
    assert_eq!(timer.read(at(18)), Ok(3), "at 13, 15 and 17");
    assert_eq!(timer.get(at(18)), (seconds(1), seconds(2)));
    assert_eq!(
        (timer.read(at(18)), timer.read(at(19))),
        (Err(EAGAIN), Ok(1))
    );
    timer.set(Duration::ZERO, false, seconds(2), at(20));
    assert_eq!(
        (timer.read(at(99)), timer.get(at(99)).0),
        (Err(EAGAIN), Duration::ZERO)
    );
}

#[test]
fn goes_by_its_clock() {
    let mut timer = Timer::new(false);
    timer.set(seconds(7), true, Duration::ZERO, at(5));
    assert!(!timer.is_ready(at(6)) && timer.is_ready(at(7)));
    let mut timer = Timer::new(true);
    timer.set(seconds(1_000_007), true, seconds(1), at(5));
    assert!(!timer.is_ready(at(6)) && timer.is_ready(at(7)));
    assert_eq!(timer.next(at(5)), Some(seconds(7)));
    assert_eq!(timer.read(at(9)), Ok(3));
    timer.set(seconds(1), false, Duration::ZERO, at(5));
    assert!(timer.is_ready(at(6)));
}

#[test]
fn what_passed_before_the_call_counts_once() {
    for absolute in [false, true] {
        let mut timer = Timer::new(absolute);
        let first = if absolute {
            seconds(1_000_006)
        } else {
            seconds(1)
        };
        timer.set(first, absolute, seconds(1), at(5));
        let later = Now {
            resumed: seconds(1000),
            ..at(1000)
        };
        assert!(timer.is_ready(later));
        assert_eq!(timer.clone().read(later), Ok(1), "not 995");
        let later = Now {
            monotonic: seconds(1003),
            realtime: seconds(1_001_003),
            ..later
        };
        assert_eq!(timer.read(later), Ok(4));
        assert_eq!(timer.next(later), Some(seconds(1004)));
    }
}

#[test]
fn an_expiration_is_an_edge() {
    let mut timer = Timer::new(false);
    timer.set(seconds(1), false, seconds(1), at(0));
    let edges = timer.edges(at(0));
    assert_eq!(timer.edges(at(2)), edges + 2);
    timer.read(at(2)).unwrap();
    assert!(timer.edges(at(3)) > edges + 1);
}

#[test]
fn extreme_times_are_no_trouble() {
    let mut timer = Timer::new(false);
    timer.set(Duration::MAX, false, Duration::MAX, at(5));
    assert_eq!(
        (timer.is_ready(at(6)), timer.next(at(6))),
        (false, Some(Duration::MAX))
    );
    timer.set(
        Duration::from_nanos(1),
        true,
        Duration::from_nanos(1),
        at(0),
    );
    let late = Now {
        monotonic: Duration::MAX,
        realtime: Duration::MAX,
        resumed: Duration::ZERO,
    };
    assert_eq!(timer.read(late), Ok(u64::MAX));
    assert!(timer.edges(late) > 0);
}
