//! What a descriptor of a file allows, and what it does not: by calls on it, by its name below
//! `/proc/self/fd`, and by an empty path.

use super::*;
use crate::access::tests::matrix::calls::{CALLS, Case};
use crate::access::tests::matrix::ground::Ground;
use crate::access::tests::matrix::{AtLink, Checker, Expected, Leads, May, Thing};
use crate::access::tests::tree::{CWD, Tree, outcome};
use crate::tests::{Machine, int};
use crate::wire::errno::{EACCES, EBADF, ENOENT, ENOTDIR, EPERM};

// asm-generic/fcntl.h, linux/fcntl.h
const O_RDWR: u64 = 2;
const O_DIRECTORY: u64 = 0o200_000;
const O_PATH: u64 = 0o10_000_000;
const O_PATH_NOFOLLOW: u64 = 0o10_400_000;
const AT_EMPTY_PATH: u64 = 0x1000;

#[test]
fn by_the_descriptor_of_a_file() {
    let mut checker = Checker::new();
    for may in [May::Read, May::Write] {
        for case in CALLS.iter().filter(|case| case.thing != Thing::New) {
            // What is at such a path is a link to the thing; it can't be changed itself.
            let itself = if case.writes {
                Expected::Denied
            } else {
                Expected::Done
            };
            let expected = match case.at_link {
                // There is no descriptor for such a link.
                AtLink::Itself if case.call.starts_with("open") => Expected::Fails(EACCES),
                AtLink::Follows => case.expected(may, Leads::Inside),
                AtLink::Itself => itself,
                AtLink::Refuses(_) if case.writes => Expected::Denied,
                AtLink::Refuses(error) => Expected::Fails(error),
            };
            for flags in [0, O_PATH] {
                let label = format!("{may:?} {flags:o}");
                checker.check(case, expected, &label, |machine| {
                    let path = format!("/{}/{}", may.top(), case.thing.name());
                    let fd = machine.open(&path, flags).unwrap();
                    (CWD, format!("/proc/self/fd/{fd}").into_bytes())
                });
            }
        }
    }
}

/// A link that was opened as a place is a link still: what it leads to is decided by the grants.
#[test]
fn by_the_descriptor_of_a_link() {
    let mut checker = Checker::new();
    for may in [May::Read, May::Write] {
        let ways = [
            ("in-", Leads::Inside),
            ("absolute-", Leads::Inside),
            ("out-", Leads::Out),
            ("absolute-out-", Leads::Out),
            ("magic-", Leads::Out),
        ];
        for (way, leads) in ways {
            let follows = |case: &&Case| case.at_link == AtLink::Follows;
            for case in CALLS.iter().filter(follows) {
                let label = format!("{may:?} {way}");
                checker.check(case, case.expected(may, leads), &label, |machine| {
                    let path = format!("/{}/{way}{}", may.top(), case.thing.name());
                    let fd = machine.open(&path, O_PATH_NOFOLLOW).unwrap();
                    (CWD, format!("/proc/self/fd/{fd}").into_bytes())
                });
            }
        }
    }
}

#[test]
fn a_link_that_leads_out_shows_only_itself() {
    let ground = Ground::new();
    let mut machine = ground.tree.machine();
    let fd = machine.open("/read/out-file", O_PATH_NOFOLLOW).unwrap();
    let (empty, room) = (machine.room(1), machine.room(256));
    machine.value("newfstatat", &[fd, empty, room, AT_EMPTY_PATH]);
    assert_eq!(machine.guest.bytes(room + 24, 4), [0xff, 0xa1, 0, 0]);
    let length = machine.value("readlinkat", &[fd, empty, room, 256]);
    let target = machine
        .guest
        .bytes(room, usize::try_from(length).unwrap())
        .to_vec();
    assert_eq!(target, b"../outside/file");
    machine.fails("read", &[fd, room, 9], EBADF);
    machine.fails("openat", &[fd, empty, 0], ENOENT);
    let below = machine.guest.put_c_string("file");
    machine.fails("openat", &[fd, below, 0], ENOTDIR);
    // Of what is no link there is nothing to read.
    let file = machine.open("/read/file", O_PATH).unwrap();
    machine.fails("readlinkat", &[file, empty, room, 256], ENOENT);
    let file = machine.open("/read/file", 0).unwrap();
    machine.fails("readlinkat", &[file, empty, room, 256], ENOENT);
}

/// Calls with an empty path are about the descriptor: those that look always work, and those that
/// change something need the right to write, however it was opened.
#[test]
fn an_empty_path_is_the_descriptor() {
    for (path, flags, may) in [
        ("/read/file", 0, May::Read),
        ("/read/file", O_PATH, May::Read),
        ("/read/dir", O_DIRECTORY, May::Read),
        ("/read/dir", O_PATH, May::Read),
        ("/write/file", 0, May::Write),
        ("/write/file", O_RDWR, May::Write),
        ("/write/file", O_PATH, May::Write),
        ("/write/dir", O_DIRECTORY, May::Write),
        ("/write/dir", O_PATH, May::Write),
    ] {
        let ground = Ground::new();
        let mut machine = ground.tree.machine();
        let fd = machine.open(path, flags).unwrap();
        let (empty, room) = (machine.room(1), machine.room(256));
        let new = machine.guest.put_c_string("/write/beside");
        machine.value("newfstatat", &[fd, empty, room, AT_EMPTY_PATH]);
        machine.value("statx", &[fd, empty, AT_EMPTY_PATH, 0x7ff, room]);
        machine.value("faccessat2", &[fd, empty, 4, AT_EMPTY_PATH]);
        // No second name for something that is only open: it could be without a name.
        let link = [fd, empty, int(CWD), new, AT_EMPTY_PATH];
        machine.fails("linkat", &link, ENOENT);
        machine.fails("linkat", &[fd, empty, int(CWD), new, 0], ENOENT);
        machine.fails("fchownat", &[fd, empty, 1000, 1000, 0], ENOENT);
        machine.fails("fchmodat2", &[fd, empty, 0o604, 0], ENOENT);
        machine.fails("utimensat", &[fd, empty, 0, 0], ENOENT);
        assert!(machine.host.denied.is_empty());
        let denials = changes_by_descriptor(&mut machine, fd, flags == O_PATH, may);
        // Each path is told once.
        let told = usize::from(denials > 0);
        assert_eq!(machine.host.denied.len(), told, "{path} {flags:o}");
        assert_eq!(
            ground.changes(),
            (may == May::Write, false),
            "{path} {flags:o}"
        );
    }
}

/// Tries all calls that change what is open; gives how many are denied.
fn changes_by_descriptor(machine: &mut Machine, fd: u64, place: bool, may: May) -> usize {
    let (empty, times) = (machine.room(1), machine.room(32));
    // What needs a file that is open, and not only a place.
    let plain: [(&str, &[u64]); 3] = [
        ("fchmod", &[fd, 0o704]),
        ("fchown", &[fd, 1000, 1000]),
        ("utimensat", &[fd, 0, times, 0]),
    ];
    let by_path: [(&str, &[u64]); 4] = [
        ("fchownat", &[fd, empty, 1000, 1000, AT_EMPTY_PATH]),
        ("fchownat", &[fd, empty, u64::MAX, u64::MAX, AT_EMPTY_PATH]),
        ("fchmodat2", &[fd, empty, 0o705, AT_EMPTY_PATH]),
        ("utimensat", &[fd, empty, times, AT_EMPTY_PATH]),
    ];
    let mut denials = 0;
    let calls = plain.iter().map(|call| (call, place));
    for ((call, arguments), refused) in calls.chain(by_path.iter().map(|call| (call, false))) {
        let found = outcome(machine.call(call, arguments));
        let expected = match may {
            _ if refused => Err(EBADF),
            May::Write => Ok(0),
            _ => Err(EACCES),
        };
        denials += usize::from(expected == Err(EACCES));
        assert_eq!(found, expected, "{call} {arguments:x?}");
    }
    if may == May::Write {
        let gives = [fd, empty, 0, 0, AT_EMPTY_PATH];
        machine.fails("fchownat", &gives, EPERM);
    }
    denials
}

#[test]
fn what_is_open_for_reading_is_not_written() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    for top in ["read", "write"] {
        let fd = machine.open(&format!("/{top}/file"), 0).unwrap();
        let text = machine.guest.put(b"text");
        machine.fails("write", &[fd, text, 4], EBADF);
        machine.fails("pwrite64", &[fd, text, 4, 0], EBADF);
        assert!(machine.call("ftruncate", &[fd, 0]) < 0);
        assert!(machine.call("fallocate", &[fd, 0, 0, 9]) < 0);
    }
    let (text, empty) = (machine.guest.put(b"text"), machine.room(1));
    let place = machine.open("/write/file", O_PATH | O_RDWR).unwrap();
    machine.fails("write", &[place, text, 4], EBADF);
    machine.fails("read", &[place, empty, 1], EBADF);
    assert!(machine.call("ftruncate", &[place, 0]) < 0);
    assert_eq!(fs::read(tree.path("read/file")).unwrap(), b"content");
    assert_eq!(fs::read(tree.path("write/file")).unwrap(), b"content");
}
