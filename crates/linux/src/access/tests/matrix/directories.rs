//! Paths relative to a directory, which a program has in several ways.

use crate::access::tests::matrix::calls::CALLS;
use crate::access::tests::matrix::{Checker, Expected, Leads, May, ground};
use crate::access::tests::tree::{CWD, try_call};
use crate::tests::{Machine, int};
use crate::wire::errno::{EBADF, ENAMETOOLONG, ENOTDIR};

/// Ways from `/T/dir`; letters as in the ways that are absolute.
const WAYS: &[(&[u8], Leads)] = &[
    (b"X", Leads::Inside),
    (b"./X", Leads::Inside),
    (b"../X", Leads::Inside),
    (b"../sub/X", Leads::Inside),
    (b"../dir/../L", Leads::Inside),
    (b"../\xff\xfe\x01\n X", Leads::Inside),
    (b"../absolute-sub/X", Leads::Inside),
    (b"../in-X", Leads::Link),
    (b"../absolute-X", Leads::Link),
    (b"../out-X", Leads::LinkOut),
    (b"../magic-X", Leads::LinkOut),
    (b"../gone/X", Leads::Out),
    (b"../gone/../X", Leads::Out),
    (b"../../outside/X", Leads::Out),
    (b"../../../../../../../../outside/X", Leads::Out),
    (b"../1L", Leads::Fails(ENAMETOOLONG)),
    (b"X\0/../../../outside/X", Leads::Inside),
];

/// How a program comes to a directory that paths are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// `open` with these flags, and the descriptor.
    Descriptor(u64),
    /// The same, and the path `/proc/self/fd/N/...`.
    Proc(u64),
    Chdir,
    /// `fchdir` to what was opened with these flags.
    Fchdir(u64),
}

const O_DIRECTORY: u64 = 0o200_000;
const O_PATH: u64 = 0o10_000_000;

const STARTS: [Start; 6] = [
    Start::Descriptor(O_DIRECTORY),
    Start::Descriptor(O_PATH),
    Start::Proc(O_DIRECTORY),
    Start::Proc(O_PATH),
    Start::Chdir,
    Start::Fchdir(O_PATH),
];

/// Goes to a directory; gives the descriptor to name, and what goes in front of a path.
fn go(machine: &mut Machine, start: Start, directory: &str) -> (i32, Vec<u8>) {
    let open = |machine: &mut Machine, flags| {
        let fd = machine.open(directory, flags).unwrap();
        i32::try_from(fd).unwrap()
    };
    match start {
        Start::Descriptor(flags) => (open(machine, flags), Vec::new()),
        Start::Proc(flags) => {
            let fd = open(machine, flags);
            (CWD, format!("/proc/self/fd/{fd}/").into_bytes())
        }
        Start::Chdir => {
            try_call(machine, "chdir", &[directory]).unwrap();
            (CWD, Vec::new())
        }
        Start::Fchdir(flags) => {
            let fd = open(machine, flags);
            machine.value("fchdir", &[int(fd)]);
            (CWD, Vec::new())
        }
    }
}

#[test]
fn relative_to_directories() {
    let mut checker = Checker::new();
    for may in [May::Read, May::Write] {
        for start in STARTS {
            for &(way, leads) in WAYS {
                for case in CALLS {
                    let by_descriptor = matches!(start, Start::Descriptor(_));
                    if by_descriptor && !case.has_directory() {
                        continue;
                    }
                    let path = ground::path(way, may.top(), case.thing.name());
                    let label = format!("{may:?} {start:?} {}", way.escape_ascii());
                    let expected = case.expected(may, leads);
                    checker.check(case, expected, &label, |machine| {
                        let directory = format!("/{}/dir", may.top());
                        let (fd, front) = go(machine, start, &directory);
                        (fd, [front, path].concat())
                    });
                }
            }
        }
    }
    assert!(checker.cases > 15_000, "{}", checker.cases);
}

#[test]
fn relative_to_what_leads_to_grants() {
    let mut checker = Checker::new();
    for may in May::ALL {
        for start in STARTS {
            for case in CALLS {
                if matches!(start, Start::Descriptor(_)) && !case.has_directory() {
                    continue;
                }
                for front in ["", "../", "proc/self/root/", "proc/self/cwd/../"] {
                    let path = format!("{front}{}/{}", may.top(), case.thing.name());
                    let label = format!("{may:?} {start:?} {path}");
                    let expected = case.expected(may, Leads::Inside);
                    checker.check(case, expected, &label, |machine| {
                        let (fd, front) = go(machine, start, "/");
                        (fd, [front, path.into_bytes()].concat())
                    });
                }
            }
        }
    }
}

#[test]
fn only_directories_are_directories() {
    for flags in [0, O_PATH] {
        for case in CALLS.iter().filter(|case| case.has_directory()) {
            let mut checker = Checker::new();
            let fails = Expected::Fails(ENOTDIR);
            checker.check(case, fails, "by a file", |machine| {
                let fd = machine.open("/write/file", flags).unwrap();
                (i32::try_from(fd).unwrap(), b"../file".to_vec())
            });
            let fails = Expected::Fails(EBADF);
            checker.check(case, fails, "by nothing", |_| (77, b"file".to_vec()));
        }
    }
}
