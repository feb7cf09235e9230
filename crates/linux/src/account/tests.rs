use crate::errno::{EAGAIN, ENOMEM, Errno};
use crate::tests::{Machine, int};

/// What a program may have: of that the guest uses nothing here.
const LIMIT: u64 = 4 << 20;
/// Beyond that nothing is held: one piece that was being added.
const MOST: u64 = LIMIT;

/// Calls that make the host hold something, over and over; each takes a machine and what the last
/// round left.
type Grow = fn(&mut Machine, &mut Vec<u64>, u64) -> i64;

fn pipe(machine: &mut Machine) -> [u64; 2] {
    let ends = machine.room(8);
    let result = machine.call("pipe2", &[ends, 0o4000]);
    if result < 0 {
        return [result.cast_unsigned(); 2];
    }
    let both = machine.word(ends);
    [both & 0xffff_ffff, both >> 32]
}

fn writes(machine: &mut Machine, fd: u64, length: usize) -> i64 {
    let block = machine.guest.put(&vec![1; length]);
    let mut last = 1;
    while last > 0 {
        last = machine.call("write", &[fd, block, length as u64]);
    }
    last
}

const KINDS: &[(&str, Grow)] = &[
    ("memory files", |machine, kept, round| {
        if kept.is_empty() {
            let name = machine.guest.put_c_string("a");
            kept.push(machine.value("memfd_create", &[name, 0]));
        }
        let block = machine.guest.put(&[1; 8192]);
        machine.call("pwrite64", &[kept[0], block, 8192, round * 1_000_000])
    }),
    ("pipes", |machine, _, _| {
        let [_, writer] = pipe(machine);
        if writer.cast_signed() < 0 {
            return writer.cast_signed();
        }
        machine.call("fcntl", &[writer, 1031, 1 << 20]);
        match writes(machine, writer, 65536) {
            last if Errno::from_result(last) == EAGAIN => 0,
            last => last,
        }
    }),
    ("packets in pipes", |machine, _, _| {
        let ends = machine.room(8);
        let result = machine.call("pipe2", &[ends, 0o44000]);
        if result < 0 {
            return result;
        }
        match writes(machine, machine.word(ends) >> 32, 1) {
            last if Errno::from_result(last) == EAGAIN => 0,
            last => last,
        }
    }),
    ("socket pairs", |machine, _, round| {
        let ends = machine.room(8);
        // Streams, datagrams, sequenced packets.
        let kind = [1, 2, 5][usize::try_from(round % 3).unwrap()] | 0o4000;
        let result = machine.call("socketpair", &[1, kind, 0, ends]);
        if result < 0 {
            return result;
        }
        let length = if kind & 7 == 1 { 65536 } else { 100 };
        match writes(machine, machine.word(ends) & 0xffff_ffff, length) {
            last if Errno::from_result(last) == EAGAIN => 0,
            last => last,
        }
    }),
    ("sets of events", |machine, kept, round| {
        if round == 0 {
            for _ in 0..300 {
                kept.push(machine.value("eventfd2", &[0, 0]));
            }
        }
        let set = machine.call("epoll_create1", &[0]);
        if set < 0 {
            return set;
        }
        let event = machine.room(12);
        for fd in kept.clone() {
            let added = machine.call("epoll_ctl", &[set.cast_unsigned(), 1, fd, event]);
            if added < 0 {
                return added;
            }
        }
        0
    }),
    ("texts", |machine, _, _| {
        let path = machine.guest.put_c_string("/proc/self/maps");
        machine.call("openat", &[int(-100), path, 0])
    }),
    ("descriptors", |machine, _, _| {
        machine.call("eventfd2", &[0, 0])
    }),
];

#[test]
fn nothing_that_the_host_holds_passes_the_limit() {
    for (kind, grow) in KINDS {
        let mut machine = Machine::new();
        machine.guest.set_memory_left(LIMIT);
        let template = machine.process.clone();
        let before = machine.process.state().held();
        let (mut kept, mut last) = (Vec::new(), 0);
        for round in 0..20_000 {
            last = grow(&mut machine, &mut kept, round);
            let held = machine.process.state().held();
            assert!(held <= MOST, "{kind}: {held}");
            if last < 0 {
                break;
            }
        }
        assert!(last < 0, "{kind} have no end");
        let few = ["sets of events", "texts", "descriptors"].contains(kind);
        if !few {
            assert_eq!(Errno::from_result(last), ENOMEM, "{kind}");
            // It says so once, and the limit is used.
            let told = machine.host.told.iter();
            let told = told.filter(|(line, _)| line.starts_with("NoMemory"));
            assert_eq!(told.count(), 1, "{kind}");
            assert!(machine.process.state().held() > LIMIT / 2, "{kind}");
        }
        machine.process.reset_from(&template);
        assert_eq!(machine.process.state().held(), before, "{kind}");
    }
}

#[test]
fn closing_gives_back() {
    let mut machine = Machine::new();
    machine.guest.set_memory_left(LIMIT);
    let before = machine.process.state().held();
    for _ in 0..100 {
        let [reader, writer] = pipe(&mut machine);
        machine.call("fcntl", &[writer, 1031, 1 << 20]);
        assert_eq!(
            Errno::from_result(writes(&mut machine, writer, 65536)),
            EAGAIN
        );
        machine.value("close", &[reader]);
        machine.value("close", &[writer]);
        assert_eq!(machine.process.state().held(), before);
    }
}

#[test]
fn what_was_held_at_the_freeze_is_not_paid_again() {
    let mut machine = Machine::new();
    machine.guest.set_memory_left(LIMIT);
    let name = machine.guest.put_c_string("a");
    let file = machine.value("memfd_create", &[name, 0]);
    let block = machine.guest.put(&vec![1; 1 << 20]);
    for _ in 0..3 {
        machine.value("write", &[file, block, 1 << 20]);
    }
    machine.process.freeze(&machine.guest);
    for _ in 0..3 {
        machine.value("write", &[file, block, 1 << 20]);
    }
    let mut last = 1;
    while last > 0 {
        last = machine.call("write", &[file, block, 1 << 20]);
    }
    assert_eq!(Errno::from_result(last), ENOMEM);
    let held = machine.process.state().held();
    assert!(held < 2 * LIMIT, "{held}");
}
