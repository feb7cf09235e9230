use crate::host::Flow;
use crate::tests::{Machine, NOWHERE, int};
use crate::wire::errno::{EBADF, EEXIST, EFAULT, EINVAL, ELOOP, ENOENT, ENOSPC, EPERM};

const ADD: u64 = 1;
const DEL: u64 = 2;
const MOD: u64 = 3;
const IN: u32 = 1;
const OUT: u32 = 4;
const HUP: u32 = 0x10;
const EDGE: u32 = 1 << 31;

fn control(
    machine: &mut Machine,
    set: u64,
    operation: u64,
    fd: u64,
    events: u32,
    data: u64,
) -> i64 {
    let record = [&events.to_le_bytes()[..], &data.to_le_bytes()].concat();
    let at = machine.guest.put(&record);
    machine.call("epoll_ctl", &[set, operation, fd, at])
}

/// Events and data that are reported at once.
fn reported(machine: &mut Machine, set: u64) -> Vec<(u32, u64)> {
    let at = machine.room(120);
    let count = machine.value("epoll_wait", &[set, at, 10, 0]);
    let bytes = machine
        .guest
        .bytes(at, usize::try_from(count).unwrap() * 12);
    let event = |record: &[u8]| {
        let (events, data) = record.split_at(4);
        let events = u32::from_le_bytes(events.try_into().unwrap());
        (events, u64::from_le_bytes(data.try_into().unwrap()))
    };
    bytes.chunks(12).map(event).collect()
}

fn pipe(machine: &mut Machine) -> [u64; 2] {
    let at = machine.room(8);
    machine.value("pipe", &[at]);
    let both = machine.word(at);
    [both & 0xffff_ffff, both >> 32]
}

#[test]
fn a_pipe_is_watched_until_it_is_closed() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine);
    let set = machine.value("epoll_create1", &[0]);
    assert_eq!(control(&mut machine, set, ADD, reader, IN, 77), 0);
    assert_eq!(control(&mut machine, set, ADD, writer, OUT | EDGE, 78), 0);
    assert_eq!(reported(&mut machine, set), [(OUT, 78)]);
    assert_eq!(reported(&mut machine, set), []);
    let text = machine.guest.put(b"text");
    machine.value("write", &[writer, text, 4]);
    assert_eq!(reported(&mut machine, set), [(IN, 77)]);
    assert_eq!(control(&mut machine, set, MOD, reader, 0, 79), 0);
    assert_eq!(reported(&mut machine, set), []);
    machine.value("close", &[writer]);
    assert_eq!(reported(&mut machine, set), [(HUP, 79)]);
    // A duplicate keeps the description, and with it the watch.
    let copy = machine.value("dup", &[reader]);
    machine.value("close", &[reader]);
    assert_eq!(reported(&mut machine, set), [(HUP, 79)]);
    machine.value("close", &[copy]);
    assert_eq!(reported(&mut machine, set), []);
    assert_eq!(
        machine
            .process
            .state()
            .objects
            .sets
            .iter()
            .map(crate::objects::epoll::Set::len)
            .sum::<usize>(),
        0
    );
}

#[test]
fn a_wait_that_nothing_ends_is_a_deadlock() {
    let mut machine = Machine::new();
    let [reader, _] = pipe(&mut machine);
    let set = machine.value("epoll_create", &[1]);
    control(&mut machine, set, ADD, reader, IN, 0);
    let at = machine.room(12);
    assert_eq!(
        machine.flow("epoll_wait", &[set, at, 1, int(-1)]),
        Flow::Deadlock
    );
    assert_eq!(machine.value("epoll_wait", &[set, at, 1, 20]), 0);
    assert_eq!(machine.host.slept.as_millis(), 20);
    let time = machine.words(&[1, 0]);
    assert_eq!(machine.value("epoll_pwait2", &[set, at, 1, time, 0, 8]), 0);
    assert_eq!(machine.host.slept.as_millis(), 1020);
}

#[test]
fn arguments_are_checked() {
    let mut machine = Machine::new();
    let [reader, _] = pipe(&mut machine);
    let set = machine.value("epoll_create1", &[0o2_000_000]);
    machine.fails("epoll_create", &[0], EINVAL);
    machine.fails("epoll_create1", &[1], EINVAL);
    let error = |machine: &mut Machine, operation, fd, events| {
        control(machine, set, operation, fd, events, 0).cast_unsigned()
    };
    assert_eq!(
        error(&mut machine, ADD, set, IN),
        EINVAL.to_result(),
        "itself"
    );
    assert_eq!(error(&mut machine, ADD, 99, IN), EBADF.to_result());
    assert_eq!(error(&mut machine, MOD, reader, IN), ENOENT.to_result());
    assert_eq!(error(&mut machine, DEL, reader, IN), ENOENT.to_result());
    assert_eq!(error(&mut machine, 9, reader, IN), EINVAL.to_result());
    assert_eq!(error(&mut machine, ADD, reader, IN), 0);
    assert_eq!(error(&mut machine, ADD, reader, IN), EEXIST.to_result());
    let name = machine.guest.put_c_string("name");
    let file = machine.value("memfd_create", &[name, 0]);
    assert_eq!(error(&mut machine, ADD, file, IN), EPERM.to_result());
    let at = machine.room(12);
    machine.fails("epoll_wait", &[set, at, 0, 0], EINVAL);
    machine.fails("epoll_wait", &[set, at, int(-1), 0], EINVAL);
    machine.fails("epoll_wait", &[reader, at, 1, 0], EINVAL);
    machine.fails("epoll_wait", &[set, u64::MAX, 1, 0], EFAULT);
}

#[test]
fn events_are_not_lost_in_bad_memory() {
    let mut machine = Machine::new();
    let [_, writer] = pipe(&mut machine);
    let set = machine.value("epoll_create1", &[0]);
    control(&mut machine, set, ADD, writer, OUT | EDGE, 5);
    machine.fails("epoll_wait", &[set, NOWHERE, 1, 0], EFAULT);
    assert_eq!(reported(&mut machine, set), [(OUT, 5)]);
}

#[test]
fn sets_lie_in_sets_but_not_in_themselves() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine);
    let sets: Vec<u64> = (0..6)
        .map(|_| machine.value("epoll_create1", &[0]))
        .collect();
    control(&mut machine, sets[0], ADD, reader, IN, 1);
    for index in 1..5 {
        assert_eq!(
            control(&mut machine, sets[index], ADD, sets[index - 1], IN, 2),
            0
        );
    }
    let deep = control(&mut machine, sets[5], ADD, sets[4], IN, 2);
    assert_eq!(deep.cast_unsigned(), ELOOP.to_result());
    let around = control(&mut machine, sets[0], ADD, sets[3], IN, 2);
    assert_eq!(around.cast_unsigned(), ELOOP.to_result());
    assert_eq!(reported(&mut machine, sets[4]), []);
    let text = machine.guest.put(b"x");
    machine.value("write", &[writer, text, 1]);
    assert_eq!(reported(&mut machine, sets[4]), [(IN, 2)]);
}

#[test]
fn reports_leave_the_template_alone() {
    let mut machine = Machine::new();
    let [_, writer] = pipe(&mut machine);
    let set = machine.value("epoll_create1", &[0]);
    control(&mut machine, set, ADD, writer, OUT | EDGE, 5);
    let template = machine.process.clone();
    for _ in 0..3 {
        assert_eq!(reported(&mut machine, set), [(OUT, 5)]);
        assert_eq!(reported(&mut machine, set), []);
        machine.process.reset_from(&template);
    }
}

#[test]
fn the_number_of_things_watched_is_bounded() {
    let mut machine = Machine::new();
    let counter = machine.value("eventfd2", &[1, 0]);
    let copies: Vec<_> = (0..900).map(|_| machine.value("dup", &[counter])).collect();
    let sets: Vec<_> = (0..10)
        .map(|_| machine.value("epoll_create1", &[0]))
        .collect();
    let mut added = 0;
    let mut all = sets
        .iter()
        .flat_map(|&set| copies.iter().map(move |&copy| (set, copy)));
    let (set, copy) = loop {
        let (set, copy) = all.next().expect("there is a limit");
        match control(&mut machine, set, ADD, copy, IN, copy) {
            0 => added += 1,
            found => {
                assert_eq!(found, ENOSPC.to_result().cast_signed());
                break (set, copy);
            }
        }
    };
    assert_eq!(added, crate::calls::epoll::MOST_ITEMS);
    // What is there goes on, and makes room.
    assert_eq!(reported(&mut machine, sets[0]).len(), 10);
    assert_eq!(control(&mut machine, sets[0], MOD, copies[0], 0, 0), 0);
    assert_eq!(control(&mut machine, sets[0], DEL, copies[0], 0, 0), 0);
    assert_eq!(control(&mut machine, set, ADD, copy, IN, 0), 0);
    machine.value("close", &[sets[1]]);
    assert_eq!(control(&mut machine, sets[0], ADD, copies[0], IN, 0), 0);
}

#[test]
fn the_number_of_sets_in_sets_is_bounded() {
    let mut machine = Machine::new();
    let outer = machine.value("epoll_create1", &[0]);
    let sets: Vec<_> = (0..=crate::calls::epoll::MOST_NESTED)
        .map(|_| machine.value("epoll_create1", &[0]))
        .collect();
    let (last, first) = sets.split_last().unwrap();
    for &set in first {
        assert_eq!(control(&mut machine, outer, ADD, set, IN, set), 0);
    }
    let found = control(&mut machine, outer, ADD, *last, IN, 0);
    assert_eq!(found, ENOSPC.to_result().cast_signed());
    machine.value("close", &[first[0]]);
    assert_eq!(control(&mut machine, outer, ADD, *last, IN, 0), 0);
}
