use std::time::Duration;

use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EBADF, EINVAL};

/// An array of `struct pollfd` from `(fd, events)`.
fn records(machine: &mut Machine, wanted: &[(i32, u16)]) -> u64 {
    let mut bytes = Vec::new();
    for (fd, events) in wanted {
        bytes.extend_from_slice(&fd.to_le_bytes());
        bytes.extend_from_slice(&events.to_le_bytes());
        bytes.extend_from_slice(&[0xff; 2]);
    }
    machine.guest.put(&bytes)
}

/// What was found, per record.
fn found(machine: &Machine, at: u64, count: usize) -> Vec<u16> {
    let bytes = machine.guest.bytes(at, count * 8);
    bytes
        .chunks(8)
        .map(|record| u16::from_le_bytes([record[6], record[7]]))
        .collect()
}

#[test]
fn the_check_at_the_start_of_a_rust_program_finds_nothing() {
    let mut machine = Machine::new();
    let at = records(&mut machine, &[(0, 0), (1, 0), (2, 0)]);
    assert_eq!(machine.value("poll", &[at, 3, 0]), 0);
    assert_eq!(found(&machine, at, 3), [0; 3]);
}

#[test]
fn every_record_is_answered() {
    let mut machine = Machine::new();
    let wanted = [(0, 0xff), (1, 0xff), (7, 1), (-1, 0xff), (2, 1), (2, 0x104)];
    let at = records(&mut machine, &wanted);
    for (call, arguments) in [("poll", [at, 6, int(-1)]), ("ppoll", [at, 6, 0])] {
        assert_eq!(machine.value(call, &arguments), 4);
        assert_eq!(found(&machine, at, 6), [0x41, 0x04, 0x20, 0, 0, 0x104]);
    }
    machine.value("close", &[1]);
    assert_eq!(machine.value("poll", &[at, 2, 0]), 2);
    assert_eq!(found(&machine, at, 2), [0x41, 0x20]);
}

#[test]
fn waiting_costs_the_budget_or_ends() {
    let mut machine = Machine::new();
    let at = records(&mut machine, &[(1, 1)]);
    assert_eq!(machine.value("poll", &[at, 1, 250]), 0);
    assert_eq!(machine.host.slept, Duration::from_millis(250));
    assert_eq!(machine.value("poll", &[0, 0, 50]), 0);
    assert_eq!(machine.host.slept, Duration::from_millis(300));
    assert_eq!(machine.flow("poll", &[at, 1, int(-1)]), Flow::Deadlock);
    assert_eq!(machine.flow("ppoll", &[at, 1, 0]), Flow::Deadlock);

    let time = machine.words(&[1, 5]);
    let mask = machine.words(&[0]);
    assert_eq!(machine.value("ppoll", &[at, 1, time, mask, 8]), 0);
    assert_eq!(machine.host.slept, Duration::new(1, 300_000_005));
    assert_eq!(
        (machine.word(time), machine.word(time + 8)),
        (0, 0),
        "no time is left"
    );
    machine.host.budget = Some(Duration::ZERO);
    assert_eq!(machine.flow("poll", &[at, 1, 1]), Flow::Deadline);
}

#[test]
fn counts_and_times_are_checked() {
    let mut machine = Machine::new();
    let at = records(&mut machine, &[(1, 1)]);
    let bad = machine.words(&[0, 1_000_000_000]);
    machine.fails("poll", &[at, 1025, 0], EINVAL);
    machine.fails("ppoll", &[at, u64::from(u32::MAX), 0], EINVAL);
    machine.fails("ppoll", &[at, 1, bad], EINVAL);
    machine.fails("ppoll", &[at, 1, 0, at, 4], EINVAL);
}

#[test]
fn hundreds_of_descriptors_are_looked_at() {
    const COUNT: i32 = 300;
    let mut machine = Machine::new();
    let fds: Vec<_> = (0..COUNT)
        .map(|_| i32::try_from(machine.value("eventfd2", &[0, 0])).unwrap())
        .collect();
    let one = machine.words(&[1]);
    let ready = [0, 63, 64, 255, 256, 299];
    for index in ready {
        let fd = fds[index].unsigned_abs().into();
        machine.value("write", &[fd, one, 8]);
    }
    let wanted: Vec<_> = fds.iter().map(|&fd| (fd, 1)).collect();
    let at = records(&mut machine, &wanted);
    let count = u64::from(COUNT.unsigned_abs());
    assert_eq!(machine.value("poll", &[at, count, int(-1)]), 6);
    let expected: Vec<_> = (0..wanted.len())
        .map(|index| u16::from(ready.contains(&index)))
        .collect();
    assert_eq!(found(&machine, at, wanted.len()), expected);
    // The same by select.
    let mut bits = [0; 16];
    for &fd in &fds {
        let fd = fd.unsigned_abs();
        bits[fd as usize / 64] |= 1 << (fd % 64);
    }
    let set = machine.words(&bits);
    let last = fds[fds.len() - 1].unsigned_abs();
    let width = u64::from(last) + 1;
    assert_eq!(machine.value("select", &[width, set, 0, 0, 0]), 6);
    let mut left = [0; 16];
    for index in ready {
        let fd = fds[index].unsigned_abs();
        left[fd as usize / 64] |= 1 << (fd % 64);
    }
    for (word, bits) in (0..width.div_ceil(64)).zip(left) {
        assert_eq!(machine.word(set + word * 8), bits, "word {word}");
    }

    // With none ready the call waits; the last one is as good as the first.
    for index in ready {
        let fd = fds[index].unsigned_abs().into();
        machine.value("read", &[fd, one, 8]);
    }
    assert_eq!(machine.value("poll", &[at, count, 10]), 0);
    assert_eq!(machine.flow("poll", &[at, count, int(-1)]), Flow::Deadlock);
    let mut machine = Machine::new();
    let set = machine.words(&[u64::MAX; 16]);
    machine.fails("select", &[1024, set, 0, 0, 0], EBADF);
}
