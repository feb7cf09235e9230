//! Every call with a path, by every way of naming a file, with every permission.

use super::tree::outcome;
use super::*;

/// What a program may do with the tree that a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    Nothing,
    Read,
    Write,
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// To the file in the tree.
    Inside,
    /// To the file, by a link at its end.
    Link,
    /// Out of the tree, by a link at its end.
    LinkOut,
    /// Out of the tree.
    Out,
}

/// What a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    /// Looks at what the path leads to.
    Looks,
    /// Looks at the link itself, if it is one.
    LooksAtName,
    /// Changes what the path leads to.
    Changes,
    /// Changes the name itself.
    ChangesName,
}

type Call = fn(&mut Machine, i32, u64) -> i64;

fn open(machine: &mut Machine, fd: i32, path: u64, flags: u64) -> i64 {
    machine.call("openat", &[int(fd), path, flags, 0o666])
}

fn buffer(machine: &mut Machine) -> u64 {
    machine.room(512)
}

/// Calls relative to a directory.
const CALLS: &[(&str, Does, Call)] = &[
    ("read", Does::Looks, |m, fd, p| open(m, fd, p, 0)),
    ("O_PATH", Does::Looks, |m, fd, p| {
        open(m, fd, p, 0o10_000_000)
    }),
    ("O_RDWR", Does::Changes, |m, fd, p| open(m, fd, p, 2)),
    ("O_WRONLY", Does::Changes, |m, fd, p| open(m, fd, p, 1)),
    ("O_CREAT", Does::Changes, |m, fd, p| open(m, fd, p, 0o100)),
    ("O_TRUNC", Does::Changes, |m, fd, p| open(m, fd, p, 0o1000)),
    ("O_APPEND", Does::Changes, |m, fd, p| open(m, fd, p, 0o2000)),
    ("all", Does::Changes, |m, fd, p| open(m, fd, p, 0o3102)),
    ("openat2", Does::Looks, |m, fd, p| {
        let how = m.words(&[0, 0, 0]);
        m.call("openat2", &[int(fd), p, how, 24])
    }),
    ("newfstatat", Does::Looks, |m, fd, p| {
        let to = buffer(m);
        m.call("newfstatat", &[int(fd), p, to, 0])
    }),
    ("newfstatat nofollow", Does::LooksAtName, |m, fd, p| {
        let to = buffer(m);
        m.call("newfstatat", &[int(fd), p, to, 0x100])
    }),
    ("statx", Does::Looks, |m, fd, p| {
        let to = buffer(m);
        m.call("statx", &[int(fd), p, 0, 0x7ff, to])
    }),
    ("faccessat", Does::Looks, |m, fd, p| {
        m.call("faccessat", &[int(fd), p, 4])
    }),
    ("faccessat2", Does::Looks, |m, fd, p| {
        m.call("faccessat2", &[int(fd), p, 0, 0])
    }),
    ("faccessat write", Does::Changes, |m, fd, p| {
        m.call("faccessat", &[int(fd), p, 2])
    }),
    ("fchmodat", Does::Changes, |m, fd, p| {
        m.call("fchmodat", &[int(fd), p, 0o600])
    }),
    ("fchownat", Does::Changes, |m, fd, p| {
        m.call("fchownat", &[int(fd), p, 1000, 1000, 0])
    }),
    ("utimensat", Does::Changes, |m, fd, p| {
        m.call("utimensat", &[int(fd), p, 0, 0])
    }),
    ("futimesat", Does::Changes, |m, fd, p| {
        m.call("futimesat", &[int(fd), p, 0])
    }),
    ("linkat", Does::Changes, |m, fd, p| {
        let new = m.guest.put_c_string("/write/linked");
        m.call("linkat", &[int(fd), p, int(CWD), new, 0x400])
    }),
    ("unlinkat", Does::ChangesName, |m, fd, p| {
        m.call("unlinkat", &[int(fd), p, 0])
    }),
    ("renameat", Does::ChangesName, |m, fd, p| {
        let new = m.guest.put_c_string("/write/renamed");
        m.call("renameat", &[int(fd), p, int(CWD), new])
    }),
    ("renameat2 onto", Does::ChangesName, |m, fd, p| {
        let old = m.guest.put_c_string("/write/dir/inner");
        m.call("renameat2", &[int(CWD), old, int(fd), p, 0])
    }),
];

/// Calls that take a path only.
const PLAIN: &[(&str, Does, Call)] = &[
    ("open", Does::Looks, |m, _, p| m.call("open", &[p, 0])),
    ("creat", Does::Changes, |m, _, p| {
        m.call("creat", &[p, 0o666])
    }),
    ("stat", Does::Looks, |m, _, p| {
        let to = buffer(m);
        m.call("stat", &[p, to])
    }),
    ("lstat", Does::LooksAtName, |m, _, p| {
        let to = buffer(m);
        m.call("lstat", &[p, to])
    }),
    ("statfs", Does::Looks, |m, _, p| {
        let to = buffer(m);
        m.call("statfs", &[p, to])
    }),
    ("access", Does::Looks, |m, _, p| m.call("access", &[p, 4])),
    ("truncate", Does::Changes, |m, _, p| {
        m.call("truncate", &[p, 3])
    }),
    ("chmod", Does::Changes, |m, _, p| {
        m.call("chmod", &[p, 0o640])
    }),
    ("chown", Does::Changes, |m, _, p| {
        m.call("chown", &[p, 1000, 1000])
    }),
    ("lchown", Does::ChangesName, |m, _, p| {
        m.call("lchown", &[p, 1000, 1000])
    }),
    ("utime", Does::Changes, |m, _, p| m.call("utime", &[p, 0])),
    ("utimes", Does::Changes, |m, _, p| m.call("utimes", &[p, 0])),
    ("unlink", Does::ChangesName, |m, _, p| {
        m.call("unlink", &[p])
    }),
    ("rename", Does::ChangesName, |m, _, p| {
        let new = m.guest.put_c_string("/write/renamed");
        m.call("rename", &[p, new])
    }),
];

/// Ways to name a file, with `T` for the tree.
const WAYS: &[(&str, Leads)] = &[
    ("/T/file", Leads::Inside),
    ("//T//./file", Leads::Inside),
    ("/T/dir/../file", Leads::Inside),
    ("/../T/file", Leads::Inside),
    ("/T/in", Leads::Link),
    ("/T/absolute", Leads::Link),
    ("/proc/self/root/T/file", Leads::Inside),
    ("/proc/self/cwd/T/file", Leads::Inside),
    ("/proc/thread-self/root/T/dir/../in", Leads::Link),
    ("/T/out", Leads::LinkOut),
    ("/T/absolute_out", Leads::LinkOut),
    ("/T/magic", Leads::LinkOut),
    ("/T/../secret", Leads::Out),
    ("/T/dir/../../secret", Leads::Out),
    ("/proc/self/root/secret", Leads::Out),
    ("/T/../../../../../../etc/shadow", Leads::Out),
];

/// What must come of it: an error, or anything but a denial.
fn denied(may: May, leads: Leads, does: Does) -> bool {
    let at_name = matches!(does, Does::LooksAtName | Does::ChangesName);
    match leads {
        Leads::Out => return true,
        Leads::LinkOut if !at_name => return true,
        _ => {}
    }
    match does {
        Does::Looks | Does::LooksAtName => may == May::Nothing,
        Does::Changes | Does::ChangesName => may != May::Write,
    }
}

fn trees() -> [(May, &'static str); 3] {
    [
        (May::Nothing, "none"),
        (May::Read, "read"),
        (May::Write, "write"),
    ]
}

fn check(name: &str, way: &str, may: May, leads: Leads, does: Does, found: i64, machine: &Machine) {
    let case = format!("{name} {way} {may:?}");
    let found = outcome(found);
    if denied(may, leads, does) {
        assert_eq!(found, Err(EACCES), "{case}");
        assert_eq!(machine.host.denied.len(), 1, "{case}: told once");
    } else {
        assert!(found.is_ok(), "{case}: {found:?}");
        assert!(machine.host.denied.is_empty(), "{case}");
    }
}

#[test]
fn every_call_by_every_way_with_every_permission() {
    let mut cases = 0;
    for (may, top) in trees() {
        for &(way, leads) in WAYS {
            for &(name, does, call) in CALLS.iter().chain(PLAIN) {
                let tree = Tree::new();
                let mut machine = tree.machine();
                let path = machine.guest.put_c_string(way.replace('T', top));
                let found = call(&mut machine, CWD, path);
                check(name, way, may, leads, does, found, &machine);
                let secret = fs::read(tree.path("secret")).unwrap();
                assert_eq!(secret, b"secret", "{name} {way}");
                cases += 1;
            }
        }
    }
    assert!(cases > 1500, "{cases}");
}

#[test]
fn relative_to_directories() {
    for (may, top) in [(May::Read, "read"), (May::Write, "write")] {
        for &(name, does, call) in CALLS {
            let ways = [
                ("../file", Leads::Inside),
                ("inner", Leads::Inside),
                ("../in", Leads::Link),
                ("../out", Leads::LinkOut),
                ("../../secret", Leads::Out),
                ("../../../../../../../../etc/shadow", Leads::Out),
            ];
            for (way, leads) in ways {
                // Moving a file onto itself does nothing.
                if (name, way) == ("renameat2 onto", "inner") {
                    continue;
                }
                for by_directory in [true, false] {
                    let tree = Tree::new();
                    let mut machine = tree.machine();
                    let directory = format!("/{top}/dir");
                    let fd = if by_directory {
                        i32::try_from(machine.open(&directory, 0o200_000).unwrap()).unwrap()
                    } else {
                        let path = machine.guest.put_c_string(&directory);
                        machine.value("chdir", &[path]);
                        CWD
                    };
                    let path = machine.guest.put_c_string(way);
                    let found = call(&mut machine, fd, path);
                    check(name, way, may, leads, does, found, &machine);
                }
            }
        }
    }
}

#[test]
fn by_the_descriptor_of_a_file() {
    for (may, top) in [(May::Read, "read"), (May::Write, "write")] {
        for &(name, does, call) in CALLS.iter().chain(PLAIN) {
            if matches!(does, Does::ChangesName | Does::LooksAtName) {
                continue;
            }
            for flags in [0, 0o10_000_000] {
                let tree = Tree::new();
                let mut machine = tree.machine();
                let fd = machine.open(&format!("/{top}/file"), flags).unwrap();
                let way = format!("/proc/self/fd/{fd}");
                let path = machine.guest.put_c_string(&way);
                let found = call(&mut machine, CWD, path);
                check(name, &way, may, Leads::Inside, does, found, &machine);
            }
        }
    }
}

#[test]
fn odd_names() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    let name = b"/write/\xff\xfe\x01 name\0ignored";
    let path = machine.guest.put(name);
    let fd = machine.value("open", &[path, 0o101]);
    machine.value("close", &[fd]);
    assert!(
        tree.names(&mut machine, "/write")
            .iter()
            .any(|name| name.ends_with(" name"))
    );
    let long = "x".repeat(256);
    for path in [
        format!("/write/{long}"),
        format!("/write/{}", "x/".repeat(2040)),
    ] {
        let found = machine.open(&path, 0o101);
        assert!(matches!(found, Err(error) if error != EACCES), "{found:?}");
    }
    let fine = "y".repeat(255);
    assert!(machine.open(&format!("/write/{fine}"), 0o101).is_ok());
    assert_eq!(machine.open("/write/file/", 0), Err(ENOTDIR));
    assert_eq!(machine.open("/write/file/.", 0), Err(ENOTDIR));
    assert_eq!(machine.open("/read/self", 0), Err(ELOOP));
    assert_eq!(machine.open("/read/nothing", 0), Err(ENOENT));
    assert_eq!(machine.open("/read/nothing/at/all", 0), Err(ENOENT));
    assert_eq!(machine.open("/read/file/below", 0), Err(ENOTDIR));
}

#[test]
fn what_is_open_for_reading_is_not_written() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    let fd = machine.open("/read/file", 0).unwrap();
    let text = machine.guest.put(b"text");
    machine.fails("write", &[fd, text, 4], EBADF);
    machine.fails("pwrite64", &[fd, text, 4, 0], EBADF);
    assert!(machine.call("ftruncate", &[fd, 0]) < 0);
    assert!(machine.call("fallocate", &[fd, 0, 0, 9]) < 0);
    machine.fails("fchmod", &[fd, 0o777], EACCES);
    machine.fails("fchown", &[fd, 1000, 1000], EACCES);
    let empty = machine.room(1);
    assert!(machine.call("utimensat", &[fd, 0, 0, 0]) < 0);
    assert!(machine.call("utimensat", &[fd, empty, 0, 0x1000]) < 0);
    let place = machine.open("/write/file", 0o10_000_002).unwrap();
    machine.fails("write", &[place, text, 4], EBADF);
    machine.fails("read", &[place, empty, 1], EBADF);
    assert!(machine.call("ftruncate", &[place, 0]) < 0);
    assert_eq!(fs::read(tree.path("read/file")).unwrap(), b"content");
    assert_eq!(fs::read(tree.path("write/file")).unwrap(), b"content");
}
