use std::time::Duration;

use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EINVAL, EOPNOTSUPP, EPERM};

const WALL: u64 = 1_700_000_000;
const UPTIME: u64 = 1000;

#[test]
fn clocks_come_from_the_guest() {
    let mut machine = Machine::new();
    machine.guest.advance(Duration::new(2, 345_678_901));
    let time = machine.room(16);
    let own_process = int(!1 << 3 | 2);
    let own_thread = int(!0 << 3 | 4 | 2);
    let cases = [
        (WALL, vec![0, 5, 8, 11]),
        (UPTIME, vec![1, 2, 3, 4, 6, 7, 9, own_process, own_thread]),
    ];
    for (start, ids) in cases {
        for id in ids {
            machine.value("clock_gettime", &[id, time]);
            assert_eq!(machine.word(time), start + 2, "clock {id}");
            assert_eq!(machine.word(time + 8), 345_678_901);
            machine.value("clock_getres", &[id, time]);
            assert_eq!((machine.word(time), machine.word(time + 8)), (0, 1));
            machine.value("clock_getres", &[id, 0]);
        }
    }
    for id in [
        10,
        12,
        99,
        int(!2 << 3 | 2),
        int(!1 << 3 | 3),
        int(i32::MIN),
    ] {
        machine.fails("clock_gettime", &[id, time], EINVAL);
        machine.fails("clock_getres", &[id, time], EINVAL);
        machine.fails("clock_nanosleep", &[id, 0, time], EINVAL);
    }
    machine.fails("clock_settime", &[0, time], EPERM);
}

#[test]
fn older_clocks() {
    let mut machine = Machine::new();
    machine.guest.advance(Duration::new(1, 500_000_999));
    let (time, zone) = (machine.room(16), machine.words(&[!0]));
    machine.value("gettimeofday", &[time, zone]);
    assert_eq!(
        (machine.word(time), machine.word(time + 8)),
        (WALL + 1, 500_000)
    );
    assert_eq!(machine.word(zone), 0);
    machine.value("gettimeofday", &[0, 0]);
    assert_eq!(machine.value("time", &[time]), WALL + 1);
    assert_eq!(machine.word(time), WALL + 1);
    assert_eq!(machine.value("time", &[0]), WALL + 1);
}

#[test]
fn sleeping_is_up_to_the_host() {
    let mut machine = Machine::new();
    let time = machine.words(&[1, 2]);
    machine.value("nanosleep", &[time, 0]);
    assert_eq!(machine.host.slept, Duration::new(1, 2));
    machine.value("clock_nanosleep", &[1, 0, time, 0]);
    assert_eq!(machine.host.slept, Duration::new(2, 4));
    let absolute = machine.words(&[UPTIME + 5, 0]);
    machine.value("clock_nanosleep", &[1, 1, absolute, 0]);
    assert_eq!(machine.host.slept, Duration::new(7, 4));
    machine.value("clock_nanosleep", &[0, 1, absolute, 0]);
    assert_eq!(machine.host.slept, Duration::new(7, 4), "long past");
    machine.host.budget = Some(Duration::from_secs(8));
    assert_eq!(machine.flow("nanosleep", &[time, 0]), Flow::Deadline);

    machine.fails("clock_nanosleep", &[3, 0, time, 0], EOPNOTSUPP);
    machine.fails("clock_settime", &[0, time], EPERM);
    machine.fails("clock_settime", &[1, time], EINVAL);
    for bad in [[0, 1_000_000_000], [u64::MAX, 0], [0, u64::MAX]] {
        let bad = machine.words(&bad);
        machine.fails("nanosleep", &[bad, 0], EINVAL);
    }
    let forever = machine.words(&[i64::MAX.cast_unsigned(), 999_999_999]);
    assert_eq!(machine.flow("nanosleep", &[forever, 0]), Flow::Deadline);
}

#[test]
fn processor_time_starts_with_the_program() {
    let mut machine = Machine::new();
    machine.process.state_mut().started = Duration::from_secs(UPTIME);
    machine.guest.advance(Duration::from_millis(2340));
    let time = machine.room(144);
    machine.value("clock_gettime", &[2, time]);
    assert_eq!(
        (machine.word(time), machine.word(time + 8)),
        (2, 340_000_000)
    );
    assert_eq!(machine.value("times", &[time]), (UPTIME + 2) * 100 + 34);
    assert_eq!(machine.word(time), 234);
    machine.value("times", &[0]);
    machine.value("getrusage", &[0, time]);
    assert_eq!((machine.word(time), machine.word(time + 8)), (2, 340_000));
    machine.value("getrusage", &[int(-1), time]);
    assert_eq!(machine.guest.bytes(time, 144), [0; 144]);
    machine.fails("getrusage", &[2, time], EINVAL);
}
