use std::sync::Arc;
use std::time::Duration;

use super::{MOST, Owner};
use crate::Flow;
use crate::errno::{EAGAIN, EBADF, EINVAL, ENOLCK};
use crate::tests::Machine;
use crate::{Extent, PathRule, Permissions, ProcessOptions};

const READ: u64 = 0;
const WRITE: u64 = 1;
const UNLOCK: u64 = 2;

/// Two forks of a program that has one file open.
fn forks() -> (Machine, Machine, u64) {
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
    let host = Arc::clone(locks.values().next().unwrap());
    let owner = |number: usize| Owner::Program((0, 0), number as u64);
    locks.extend((1..MOST).map(|number| (owner(number), Arc::clone(&host))));
    let lock = range(&mut one, WRITE, 0, 1);
    one.fails("fcntl", &[fd, 6, lock], ENOLCK);
    one.fails("fcntl", &[fd, 37, lock], ENOLCK);
    one.value("flock", &[fd, 1]);
    one.process.state_mut().locks.0.remove(&owner(7));
    one.value("fcntl", &[fd, 6, lock]);
    one.fails("fcntl", &[fd, 37, lock], ENOLCK);
}
