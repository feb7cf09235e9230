use std::time::Duration;

use crate::Flow;
use crate::errno::EINVAL;
use crate::tests::{Machine, int};

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
