use std::sync::Arc;
use std::time::Duration;

use crate::host::Flow;
use crate::process::locks::{MOST, Owner};
use crate::process::options::ProcessOptions;
use crate::rules::permissions::{Extent, PathRule, Permissions};
use crate::tests::Machine;
use crate::wire::errno::{EAGAIN, EBADF, EINVAL, ENOLCK};

const READ: u64 = 0;
const WRITE: u64 = 1;
const UNLOCK: u64 = 2;

/// Two forks of a program that has one file open.
fn forks() -> (Machine, Machine, u64) {
    frozen_forks(|_, _| {})
}

/// The same after the program did something with the file, and was frozen.
fn frozen_forks(before: impl FnOnce(&mut Machine, u64)) -> (Machine, Machine, u64) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let name = format!("tinykvm-lock-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "content").unwrap();
    let mut permissions = Permissions::default();
    let rule = PathRule {
        shown: b"/file".to_vec(),
        real: path.clone(),
        extent: Extent::Exact,
        writable: true,
    };
    permissions.allow(&rule).unwrap();
    let mut one = Machine::with(&ProcessOptions {
        permissions: Arc::new(permissions),
        ..ProcessOptions::default()
    });
    let name = one.guest.put_c_string("/file");
    let fd = one.value("open", &[name, 2]);
    before(&mut one, fd);
    one.process.freeze(&one.guest);
    let mut two = Machine::new();
    two.process = one.process.clone();
    let _ = std::fs::remove_file(path);
    (one, two, fd)
}

fn range(machine: &mut Machine, kind: u64, start: u64, length: u64) -> u64 {
    machine.words(&[kind, start, length, 0])
}

#[test]
fn record_locks_hold_between_forks_and_end_with_a_reset() {
    let (mut one, mut two, fd) = forks();
    let template = two.process.clone();
    let first = range(&mut one, WRITE, 0, 10);
    one.value("fcntl", &[fd, 6, first]);
    one.value("fcntl", &[fd, 6, first]);
    let same = range(&mut two, WRITE, 5, 1);
    two.fails("fcntl", &[fd, 6, same], EAGAIN);
    two.value("fcntl", &[fd, 5, same]);
    assert_eq!(two.word(same) & 0xffff, WRITE, "it says who is in the way");
    let other = range(&mut two, WRITE, 10, 1);
    two.value("fcntl", &[fd, 6, other]);
    one.process.reset_from(&template);
    let same = range(&mut two, READ, 5, 1);
    two.value("fcntl", &[fd, 6, same]);
    let first = range(&mut one, WRITE, 0, 10);
    one.fails("fcntl", &[fd, 6, first], EAGAIN);
    let all = range(&mut two, UNLOCK, 0, 0);
    two.value("fcntl", &[fd, 6, all]);
    one.value("fcntl", &[fd, 6, first]);
}

#[test]
fn a_program_does_not_lock_itself_out_but_descriptions_do() {
    let (mut one, _two, fd) = forks();
    let lock = range(&mut one, WRITE, 0, 1);
    one.value("fcntl", &[fd, 6, lock]);
    one.value("flock", &[fd, 2]);
    one.value("fcntl", &[fd, 7, lock]);
    // Of another owner: the description is not the program.
    one.fails("fcntl", &[fd, 37, lock], EAGAIN);
    one.value("close", &[fd]);
    one.fails("fcntl", &[fd, 6, lock], EBADF);
}

#[test]
fn whole_files() {
    let (mut one, mut two, fd) = forks();
    one.value("flock", &[fd, 2]);
    two.fails("flock", &[fd, 6], EAGAIN);
    two.fails("flock", &[fd, 5], EAGAIN);
    one.value("flock", &[fd, 1]);
    two.value("flock", &[fd, 5]);
    one.value("flock", &[fd, 8]);
    two.value("flock", &[fd, 6]);
    two.value("close", &[fd]);
    one.value("flock", &[fd, 6]);
    one.fails("flock", &[fd, 16], EINVAL);
}

#[test]
fn wrong_locks() {
    let (mut one, _two, fd) = forks();
    for words in [[3, 0, 1, 0], [3 << 16, 0, 1, 0], [0, u64::MAX, 1, 0]] {
        let at = one.words(&words);
        one.fails("fcntl", &[fd, 6, at], EINVAL);
    }
    let at = range(&mut one, READ, 0, 1);
    one.fails("fcntl", &[99, 6, at], EBADF);
}

#[test]
fn who_waits_for_a_lock_waits_until_the_deadline() {
    const BUDGET: Duration = Duration::from_millis(40);
    let (mut one, mut two, fd) = forks();
    let lock = range(&mut one, WRITE, 0, 10);
    one.value("fcntl", &[fd, 6, lock]);
    one.value("flock", &[fd, 2]);
    let lock = range(&mut two, WRITE, 5, 1);
    // F_SETLKW, F_OFD_SETLKW, flock for all and for one.
    for (call, arguments) in [
        ("fcntl", [fd, 7, lock]),
        ("fcntl", [fd, 38, lock]),
        ("flock", [fd, 1, 0]),
        ("flock", [fd, 2, 0]),
    ] {
        let template = two.process.clone();
        two.host.slept = Duration::ZERO;
        two.host.budget = Some(BUDGET);
        assert_eq!(two.flow(call, &arguments), Flow::Deadline, "{arguments:?}");
        assert!(two.host.slept >= BUDGET, "{:?}", two.host.slept);
        two.host.budget = None;
        two.process.reset_from(&template);
        // The reset took nothing that was not had: the lock can be asked for by the other one.
        one.value("flock", &[fd, 6]);
        one.value("fcntl", &[fd, 6, lock]);
    }
    one.value("close", &[fd]);
    two.value("fcntl", &[fd, 7, lock]);
    two.value("flock", &[fd, 2]);
}

#[test]
fn the_number_of_locks_is_bounded() {
    let (mut one, _two, fd) = forks();
    one.value("flock", &[fd, 2]);
    let locks = &mut one.process.state_mut().locks.0;
    let held = locks.values().next().unwrap().clone();
    let owner = |number: usize| Owner::Program((0, 0), number as u64);
    locks.extend((1..MOST).map(|number| (owner(number), held.clone())));
    let lock = range(&mut one, WRITE, 0, 1);
    one.fails("fcntl", &[fd, 6, lock], ENOLCK);
    one.fails("fcntl", &[fd, 37, lock], ENOLCK);
    one.value("flock", &[fd, 1]);
    one.process.state_mut().locks.0.remove(&owner(7));
    one.value("fcntl", &[fd, 6, lock]);
    one.fails("fcntl", &[fd, 37, lock], ENOLCK);
}

/// Commands by which a file can be locked: set, ask, and what they are called.
const KINDS: [(&str, u64); 3] = [("record", 6), ("description", 37), ("whole", 0)];

fn lock(machine: &mut Machine, fd: u64, command: u64, kind: u64) -> i64 {
    if command == 0 {
        let operation = [1, 2, 8][usize::try_from(kind).unwrap()];
        return machine.call("flock", &[fd, operation | 4]);
    }
    let at = range(machine, kind, 3, 5);
    machine.call("fcntl", &[fd, command, at])
}

#[test]
fn forks_do_not_share_locks_from_before_the_freeze() {
    let busy = EAGAIN.to_result().cast_signed();
    for (name, command) in KINDS {
        for kept in [false, true] {
            for kind in [READ, WRITE] {
                let (mut one, mut two, fd) = frozen_forks(|machine, fd| {
                    assert_eq!(lock(machine, fd, command, kind), 0);
                    if !kept {
                        assert_eq!(lock(machine, fd, command, UNLOCK), 0);
                    }
                });
                let template = one.process.clone();
                let label = format!("{name} {kept} {kind}");
                for _ in 0..2 {
                    assert_eq!(lock(&mut one, fd, command, WRITE), 0, "{label}");
                    assert_eq!(lock(&mut two, fd, command, WRITE), busy, "{label}");
                    assert_eq!(lock(&mut two, fd, command, READ), busy, "{label}");
                    assert_eq!(lock(&mut one, fd, command, UNLOCK), 0, "{label}");
                    assert_eq!(lock(&mut two, fd, command, READ), 0, "{label}");
                    assert_eq!(lock(&mut one, fd, command, READ), 0, "{label}");
                    assert_eq!(lock(&mut one, fd, command, WRITE), busy, "{label}");
                    one.process.reset_from(&template);
                    two.process.reset_from(&template);
                }
            }
        }
    }
}

/// The protocol of SQLite (os_unix.c): shared, reserved, pending, exclusive.
#[test]
fn a_database_has_one_writer_among_forks() {
    const PENDING: u64 = 0x4000_0000;
    const RESERVED: u64 = PENDING + 1;
    const SHARED: u64 = PENDING + 2;
    let take = |machine: &mut Machine, fd: u64, kind: u64, start: u64, length: u64| {
        let at = range(machine, kind, start, length);
        machine.call("fcntl", &[fd, 6, at])
    };
    let busy = EAGAIN.to_result().cast_signed();
    let reads = |machine: &mut Machine, fd: u64| {
        let pending = take(machine, fd, READ, PENDING, 1);
        let shared = take(machine, fd, READ, SHARED, 510);
        if pending == 0 {
            take(machine, fd, UNLOCK, PENDING, 1);
        }
        pending.min(shared)
    };
    // The program read the database before it was frozen.
    let (mut one, mut two, fd) = frozen_forks(|machine, fd| {
        assert_eq!(reads(machine, fd), 0);
        assert_eq!(take(machine, fd, UNLOCK, 0, 0), 0);
    });
    assert_eq!(reads(&mut one, fd), 0);
    assert_eq!(reads(&mut two, fd), 0);
    assert_eq!(take(&mut one, fd, WRITE, RESERVED, 1), 0);
    assert_eq!(take(&mut two, fd, WRITE, RESERVED, 1), busy);
    assert_eq!(take(&mut one, fd, WRITE, PENDING, 1), 0);
    assert_eq!(
        take(&mut one, fd, WRITE, SHARED, 510),
        busy,
        "one reads yet"
    );
    assert_eq!(take(&mut two, fd, UNLOCK, 0, 0), 0);
    assert_eq!(take(&mut one, fd, WRITE, SHARED, 510), 0);
    assert_eq!(reads(&mut two, fd), busy);
    assert_eq!(take(&mut one, fd, UNLOCK, 0, 0), 0);
    assert_eq!(reads(&mut two, fd), 0);
}

#[test]
fn a_descriptor_for_reading_is_no_hindrance_to_write_locks() {
    let (mut one, mut two, fd) = forks();
    // By its number, since its name is gone.
    let path = format!("/proc/self/fd/{fd}");
    let path = one.guest.put_c_string(&path);
    let reads = one.call("open", &[path, 0]);
    // Gone from the host, too: then there is no second way to open it.
    assert!(reads < 0);
    let same = one.value("dup", &[fd]);
    let part = range(&mut one, READ, 0, 10);
    one.value("fcntl", &[same, 6, part]);
    let part = range(&mut one, WRITE, 0, 10);
    one.value("fcntl", &[fd, 6, part]);
    let other = range(&mut two, READ, 5, 1);
    two.fails("fcntl", &[fd, 6, other], EAGAIN);
    // Closing any of its descriptors gives up what the program had.
    one.value("close", &[same]);
    two.value("fcntl", &[fd, 6, other]);
}

/// One file by two rules: to be read, and to be written.
#[test]
fn a_file_by_two_rules_has_one_set_of_locks() {
    let path = std::env::temp_dir().join(format!("tinykvm-lock-rules-{}", std::process::id()));
    std::fs::write(&path, "content").unwrap();
    let mut permissions = Permissions::default();
    for (shown, writable) in [(b"/reads", false), (b"/write", true)] {
        let rule = PathRule {
            shown: shown.to_vec(),
            real: path.clone(),
            extent: Extent::Exact,
            writable,
        };
        permissions.allow(&rule).unwrap();
    }
    let mut one = Machine::with(&ProcessOptions {
        permissions: Arc::new(permissions),
        ..ProcessOptions::default()
    });
    let mut two = Machine::new();
    two.process = one.process.clone();
    let open = |machine: &mut Machine, path: &str, flags: u64| {
        let path = machine.guest.put_c_string(path);
        machine.value("open", &[path, flags])
    };
    let (reads, writes) = (open(&mut one, "/reads", 0), open(&mut one, "/write", 2));
    let other = open(&mut two, "/write", 2);
    let place = open(&mut one, "/write", 0o10_000_000);
    let _ = std::fs::remove_file(path);
    for (start, length) in [(0, 10), (20, 5)] {
        let part = range(&mut one, READ, start, length);
        one.value("fcntl", &[reads, 6, part]);
    }
    let part = range(&mut one, WRITE, 0, 5);
    one.fails("fcntl", &[reads, 6, part], EBADF);
    one.value("fcntl", &[writes, 6, part]);
    for (kind, start, free) in [
        (READ, 0, false),
        (READ, 5, true),
        (WRITE, 5, false),
        (WRITE, 10, true),
        (WRITE, 24, false),
    ] {
        let part = range(&mut two, kind, start, 1);
        let result = two.call("fcntl", &[other, 6, part]);
        assert_eq!(result == 0, free, "{kind} {start}");
        two.value("fcntl", &[other, 5, part]);
    }
    // Its own are not in its way.
    let part = range(&mut one, WRITE, 5, 5);
    two.process = one.process.clone();
    one.value("fcntl", &[writes, 5, part]);
    assert_eq!(one.word(part) & 0xffff, UNLOCK);
    // A place is no file to lock.
    for command in [5, 6, 7, 36, 37, 38] {
        one.fails("fcntl", &[place, command, part], EBADF);
    }
    one.fails("flock", &[place, 2], EBADF);
    one.fails("lseek", &[place, 0, 0], EBADF);
    one.fails("mmap", &[0, 4096, 1, 2, place, 0], EBADF);
}

#[test]
fn the_number_of_records_is_bounded() {
    let (mut one, _two, fd) = forks();
    for number in 0..MOST as u64 {
        let part = range(&mut one, WRITE, 2 * number, 1);
        one.value("fcntl", &[fd, 6, part]);
    }
    let part = range(&mut one, WRITE, 2 * MOST as u64, 1);
    one.fails("fcntl", &[fd, 6, part], ENOLCK);
    one.fails("fcntl", &[fd, 37, part], ENOLCK);
    let all = range(&mut one, WRITE, 0, 2 * MOST as u64);
    one.value("fcntl", &[fd, 6, all]);
    one.value("fcntl", &[fd, 6, part]);
}
