use crate::tests::{Machine, int};
use crate::wire::errno::{EAGAIN, ENOMEM, Errno};

/// What a program may have: of that the guest uses nothing here.
const LIMIT: u64 = 4 << 20;
/// Calls that make the host hold something, over and over; each takes a machine and what the last
/// round left.
type Grow = fn(&mut Machine, &mut Vec<u64>, u64) -> i64;

/// What is held, which is known without a look at everything, and is what that finds.
fn held(machine: &Machine) -> u64 {
    let (kept, counted) = machine.process.held();
    assert_eq!(kept, counted);
    kept
}

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
        let before = held(&machine);
        let (mut kept, mut last) = (Vec::new(), 0);
        for round in 0..20_000 {
            last = grow(&mut machine, &mut kept, round);
            let held = held(&machine);
            assert!(held <= LIMIT, "{kind}: {held}");
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
            assert!(held(&machine) > LIMIT / 2, "{kind}");
        }
        machine.process.reset_from(&template);
        assert_eq!(held(&machine), before, "{kind}");
    }
}

#[test]
fn closing_gives_back() {
    let mut machine = Machine::new();
    machine.guest.set_memory_left(LIMIT);
    let before = held(&machine);
    for _ in 0..100 {
        let [reader, writer] = pipe(&mut machine);
        machine.call("fcntl", &[writer, 1031, 1 << 20]);
        assert_eq!(
            Errno::from_result(writes(&mut machine, writer, 65536)),
            EAGAIN
        );
        machine.value("close", &[reader]);
        machine.value("close", &[writer]);
        assert_eq!(held(&machine), before);
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
    let held = held(&machine);
    assert!((LIMIT / 2..=LIMIT).contains(&held), "{held}");
}

/// What was there at the freeze is shared until it is changed: then there is a copy, which counts.
#[test]
fn copies_of_what_was_held_at_the_freeze_count() {
    const PIPE: u64 = 1 << 20;
    let mut machine = Machine::new();
    machine.guest.set_memory_left(3 << 20);
    let name = machine.guest.put_c_string("a");
    let file = machine.value("memfd_create", &[name, 0]);
    let block = machine.guest.put(&vec![1; 1 << 20]);
    machine.value("write", &[file, block, 1 << 20]);
    let [reader, writer] = pipe(&mut machine);
    machine.value("fcntl", &[writer, 1031, PIPE]);
    machine.value("write", &[writer, block, PIPE]);
    machine.process.freeze(&machine.guest);
    let template = machine.process.clone();
    assert_eq!(held(&machine), 0);
    // What is only looked at stays shared.
    machine.value("pread64", &[file, block, 4096, 0]);
    machine.value("fcntl", &[writer, 1032]);
    assert_eq!(held(&machine), 0);
    // Of a file single pages are copied, of all else the whole.
    machine.value("pwrite64", &[file, block, 8192, 4096]);
    let of_file = held(&machine);
    assert!((8192..65536).contains(&of_file), "{of_file}");
    machine.value("pwrite64", &[file, block, 8192, 4096]);
    assert_eq!(held(&machine), of_file, "they are copied once");
    machine.value("read", &[reader, block, 4096]);
    assert!(
        held(&machine) >= of_file + PIPE - 4096,
        "{}",
        held(&machine)
    );
    // And the copies leave room for as much less.
    let last = machine.call("pwrite64", &[file, block, PIPE, 0]);
    assert_eq!(last, 1 << 20);
    let last = machine.call("pwrite64", &[file, block, PIPE, PIPE]);
    assert!(last < 1 << 20, "{last}");
    machine.value("ftruncate", &[file, 0]);
    machine.value("close", &[reader]);
    machine.value("close", &[writer]);
    assert!(held(&machine) < 4096, "{}", held(&machine));
    machine.process.reset_from(&template);
    assert_eq!(held(&machine), 0);
}

/// Room that a queue had once is not kept, nor are bytes that a page does not have.
#[test]
fn descriptors_under_way_count() {
    let mut machine = Machine::new();
    let ends = machine.room(8);
    machine.value("socketpair", &[1, 2 | 0o4000, 0, ends]);
    let (one, other) = (machine.word(ends) & 0xffff_ffff, machine.word(ends) >> 32);
    let before = held(&machine);
    // 253 descriptors with a byte: more than four times what the byte costs.
    let control: Vec<u8> = [(16 + 253 * 4) as u64, 1 | 1 << 32]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .chain((0..253).flat_map(|_| u32::try_from(one).unwrap().to_le_bytes()))
        .collect();
    let control_at = machine.guest.put(&control);
    let byte = machine.guest.put(b"x");
    let vector: Vec<u8> = [byte, 1]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let vector = machine.guest.put(&vector);
    let header: Vec<u8> = [0, 0, vector, 1, control_at, control.len() as u64, 0]
        .iter()
        .flat_map(|word: &u64| word.to_le_bytes())
        .collect();
    let header = machine.guest.put(&header);
    machine.value("sendmsg", &[one, header, 0]);
    assert!(held(&machine) >= before + 253 * 8, "{}", held(&machine));
    let room = machine.room(16);
    machine.value("read", &[other, room, 16]);
    assert_eq!(held(&machine), before);
}
