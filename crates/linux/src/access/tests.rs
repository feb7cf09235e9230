mod decided;
mod links;
mod matrix;
mod tree;

use std::fs;
use std::os::unix::fs::symlink;

use crate::access::tests::tree::{CWD, Tree, content, try_call};
use crate::process::options::ProcessOptions;
use crate::rules::paths::{is_below, normal};
use crate::rules::permissions::{Extent, PathRule, Permissions};
use crate::tests::{Machine, int};
use crate::wire::errno::{EACCES, EBADF, EBUSY, EEXIST, EINVAL, ELOOP, ENOENT, ENOTDIR};

#[test]
fn paths_are_cleaned() {
    let cases: [(&str, &str); 9] = [
        ("/", ""),
        ("//", ""),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("//a///b/./c/.", "/a/b/c"),
        ("/a/../b", "/b"),
        ("/..", ""),
        ("/../../a", "/a"),
        ("/a/b/../..", ""),
    ];
    for (raw, clean) in cases {
        assert_eq!(normal(raw.as_bytes()), clean.as_bytes(), "{raw}");
    }
    assert!(is_below(b"/a/b", b"/a") && is_below(b"/a", b""));
    assert!(!is_below(b"/ab", b"/a") && !is_below(b"/a", b"/a"));
}

#[test]
fn a_tree_does_not_match_its_neighbours() {
    let tree = Tree::new();
    tree.file("reader", "neighbour");
    let mut machine = tree.machine();
    assert_eq!(machine.open("/reader", 0), Err(ENOENT));
    assert_eq!(machine.open("/read/../reader", 0), Err(ENOENT));
    assert!(machine.open("/read/file", 0).is_ok());
}

#[test]
fn the_longest_rule_decides() {
    let tree = Tree::new();
    tree.file("write/hole", "hole");
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(
            permissions,
            "/write/hole",
            "write/hole",
            Extent::Exact,
            false,
        );
        tree.allow(permissions, "/write/else", "read", Extent::Tree, false);
    });
    assert!(machine.open("/write/hole", 0).is_ok());
    assert_eq!(machine.open("/write/hole", 1), Err(EACCES));
    assert!(machine.open("/write/other", 0o101).is_ok());
    assert_eq!(content(&mut machine, "/write/else/file"), b"content");
    // Not by a link of the program's own making either.
    symlink("hole", tree.path("write/link")).unwrap();
    assert_eq!(machine.open("/write/link", 1), Err(EACCES));
    assert_eq!(
        try_call(&mut machine, "unlink", &["/write/hole"]),
        Err(EACCES)
    );
    // A directory with other grants below it stays where it is.
    assert_eq!(
        try_call(&mut machine, "rename", &["/write", "/elsewhere"]),
        Err(EACCES)
    );
    let path = machine.guest.put_c_string("/write");
    machine.fails("rmdir", &[path], EBUSY);
}

#[test]
fn what_is_missing_does_not_exist_and_what_is_replaced_is_seen() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        let rule = tree.rule("/none", "none/at/all", Extent::Tree, true);
        assert!(permissions.allow(&rule).is_err());
        tree.allow(permissions, "/one", "one", Extent::Exact, false);
    });
    assert_eq!(machine.open("/none", 0), Err(ENOENT));
    assert_eq!(machine.open("/none/file", 0o101), Err(ENOENT));
    assert_eq!(machine.open("/one", 0), Err(ENOENT));
    tree.file("one", "first");
    assert_eq!(content(&mut machine, "/one"), b"first");
    tree.file("next", "second");
    fs::rename(tree.path("next"), tree.path("one")).unwrap();
    assert_eq!(content(&mut machine, "/one"), b"second");
    // A link that comes later is not followed: it could lead anywhere.
    fs::remove_file(tree.path("one")).unwrap();
    symlink(tree.path("secret"), tree.path("one")).unwrap();
    assert_eq!(machine.open("/one", 0), Err(ELOOP));
}

#[test]
fn a_single_file_that_is_a_link_is_what_it_pointed_to() {
    let tree = Tree::new();
    tree.file("real", "real");
    symlink("real", tree.path("link")).unwrap();
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/link", "link", Extent::Exact, false);
    });
    assert_eq!(content(&mut machine, "/link"), b"real");
    fs::remove_file(tree.path("link")).unwrap();
    symlink("secret", tree.path("link")).unwrap();
    assert_eq!(content(&mut machine, "/link"), b"real");
}

#[test]
fn links_of_the_configuration_lead_on() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, _| {
        let link = |shown: &str, to: &str| PathRule {
            shown: shown.into(),
            real: to.into(),
            extent: Extent::Link,
            writable: false,
        };
        permissions.allow(&link("/short", "/read/file")).unwrap();
        permissions.allow(&link("/loop", "/loop")).unwrap();
        permissions.allow(&link("/away", "/etc/shadow")).unwrap();
        // In the place of what is made up, too.
        permissions
            .allow(&link("/dev/random", "/read/file"))
            .unwrap();
        permissions
            .allow(&link("/etc/hosts", "/read/file"))
            .unwrap();
    });
    assert_eq!(content(&mut machine, "/short"), b"content");
    assert_eq!(content(&mut machine, "/dev/random"), b"content");
    assert_eq!(content(&mut machine, "/etc/hosts"), b"content");
    assert_eq!(machine.open("/loop", 0), Err(ELOOP));
    assert_eq!(machine.open("/away", 0), Err(ENOENT));
    let (path, buffer) = (machine.guest.put_c_string("/short"), machine.room(64));
    assert_eq!(machine.value("readlink", &[path, buffer, 64]), 10);
    assert_eq!(machine.guest.bytes(buffer, 10), b"/read/file");
}

#[test]
fn all_of_the_host_is_not_its_processes() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        let rule = PathRule {
            real: "/".into(),
            ..tree.rule("/", "read", Extent::Tree, false)
        };
        permissions.allow(&rule).unwrap();
    });
    for path in ["/proc/self/comm", "/proc/1/comm"] {
        assert_eq!(content(&mut machine, path), b"program\n", "{path}");
    }
    for path in [
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/version",
        "/proc/1/maps",
    ] {
        assert!(machine.open(path, 0).is_ok(), "{path}");
    }
    let (path, buffer) = (
        machine.guest.put_c_string("/proc/self/exe"),
        machine.room(64),
    );
    assert_eq!(machine.value("readlink", &[path, buffer, 64]), 12);
    assert_eq!(machine.guest.bytes(buffer, 12), b"/bin/program");
    // Other files are the host's.
    let mut passwd = fs::read("/etc/passwd").unwrap();
    passwd.truncate(64);
    assert_eq!(content(&mut machine, "/etc/passwd"), passwd);
    // What is not made up does not exist, or is the kernel's, and not had.
    for path in [
        "/proc/1/mem",
        "/proc/1/syscall",
        "/proc/sys/kernel/core_pattern",
    ] {
        let error = machine.open(path, 0).err();
        assert!(matches!(error, Some(EACCES | ENOENT)), "{path}: {error:?}");
    }
}

#[test]
fn the_state_file_is_only_called_state() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        permissions
            .allow_state(&tree.path("program.state"))
            .unwrap();
    });
    assert_eq!(machine.open("state", 0), Err(ENOENT));
    assert!(machine.open("state", 0o102).is_ok());
    assert!(tree.path("program.state").is_file());
    for other in ["./state", "/state", "state/", "/read/state", "state.old"] {
        assert!(machine.open(other, 0o102).is_err(), "{other}");
    }
    let path = machine.guest.put_c_string("/read");
    machine.value("chdir", &[path]);
    assert!(machine.open("state", 2).is_ok());
}

#[test]
fn directories_on_the_way_exist() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/opt/app/data", "read", Extent::Tree, false);
    });
    for path in ["/", "/opt", "/opt/app", "/proc", "/sys/devices", "/etc"] {
        let (path, buffer) = (machine.guest.put_c_string(path), machine.room(144));
        machine.value("stat", &[path, buffer]);
        assert_eq!(machine.guest.bytes(buffer + 24, 4), [0x6d, 0x41, 0, 0]);
        machine.value("access", &[path, 5]);
        machine.fails("access", &[path, 2], EACCES);
    }
    assert_eq!(tree.names(&mut machine, "/opt"), ["app"]);
    assert!(tree.names(&mut machine, "/").contains(&"read".to_owned()));
    assert_eq!(machine.open("/opt/other", 0), Err(ENOENT));
    assert_eq!(machine.open("/opt/app/data/../other", 0), Err(ENOENT));
}

#[test]
fn special_files_are_refused() {
    let tree = Tree::new();
    let fifo = tree.path("read/fifo");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let mut machine = tree.machine_with(|permissions, tree| {
        let rule = PathRule {
            real: "/proc".into(),
            ..tree.rule("/kernel", "read", Extent::Tree, false)
        };
        assert!(permissions.allow(&rule).is_err());
        let rule = PathRule {
            real: "/".into(),
            ..tree.rule("/all", "read", Extent::Tree, false)
        };
        permissions.allow(&rule).unwrap();
    });
    assert_eq!(machine.open("/read/fifo", 0), Err(EACCES));
    assert_eq!(machine.open("/kernel/version", 0), Err(ENOENT));
    assert_eq!(machine.open("/all/proc/self/mem", 0), Err(EACCES));
    assert_eq!(machine.open("/all/proc/version", 0), Err(EACCES));
    assert_eq!(machine.open("/all/dev/null", 0), Err(EACCES));
    assert!(machine.open("/all/etc/passwd", 0).is_ok());
}

/// As path_resolution(7) says. A FIFO on the way is looked at, and not opened: that would wait.
#[test]
fn what_a_path_leads_through_is_a_directory() {
    let tree = Tree::new();
    let fifo = tree.path("read/fifo");
    let fifo_kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, fifo_kind, rustix::fs::Mode::RWXU, 0).unwrap();
    symlink("dir", tree.path("read/to_dir")).unwrap();
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/nothing", "none/at/all", Extent::Tree, true);
    });
    for (path, error) in [
        ("/read/dir/../file", None),
        ("/read/../read/file", None),
        ("/dev/../read/file", None),
        ("/read/file/../file", Some(ENOTDIR)),
        ("/read/fifo/../file", Some(ENOTDIR)),
        ("/dev/null/../../read/file", Some(ENOTDIR)),
        ("/read/missing/../file", Some(ENOENT)),
        ("/nothing/../read/file", Some(ENOENT)),
        ("/read/file/inner", Some(ENOTDIR)),
        ("/read/fifo/inner", Some(ENOTDIR)),
        ("/read/missing/inner", Some(ENOENT)),
        ("/nothing/inner", Some(ENOENT)),
        ("/read/file/", Some(ENOTDIR)),
        ("/dev/null/", Some(ENOTDIR)),
    ] {
        assert_eq!(machine.open(path, 0).err(), error, "{path}");
    }
    symlink("../read/fifo", tree.path("write/to_fifo")).unwrap();
    for above in ["/read/fifo", "/write/to_fifo"] {
        let path = format!("{above}/new");
        assert!(try_call(&mut machine, "mkdir", &[&path]).is_err(), "{path}");
    }
    // A link is followed where a directory must be, whatever else is said.
    const NOFOLLOW: u64 = 0o400_000;
    assert_eq!(machine.open("/read/to_dir", NOFOLLOW), Err(ELOOP));
    assert!(machine.open("/read/to_dir/", NOFOLLOW).is_ok());
    assert!(machine.open("/read/dir/../to_dir/", NOFOLLOW).is_ok());
    // What was granted stays.
    assert_eq!(try_call(&mut machine, "rmdir", &["/write"]), Err(EBUSY));
    assert_eq!(try_call(&mut machine, "mkdir", &["/write"]), Err(EEXIST));
}

/// Whoever waits at a FIFO on the host does not hear of a program that may not open it, and the
/// program not of him.
#[test]
fn a_refused_fifo_is_not_opened() {
    let tree = Tree::new();
    let fifo = tree.path("write/fifo");
    let fifo_kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, fifo_kind, rustix::fs::Mode::RWXU, 0).unwrap();
    let mut machine = tree.machine();
    // Nobody at the other end, then a reader: the answers are the same, with all flags.
    let flags = [0, 1, 2, 0o4000, 0o4001, 0o102, 0o2001, 0o1001];
    let answers = |machine: &mut Machine| {
        assert_eq!(try_call(machine, "truncate", &["/write/fifo"]), Err(EINVAL));
        flags.map(|flags| machine.open("/write/fifo", flags))
    };
    assert_eq!(answers(&mut machine), flags.map(|_| Err(EACCES)));
    let reading = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
    let reader = rustix::fs::open(&fifo, reading, rustix::fs::Mode::empty()).unwrap();
    assert_eq!(answers(&mut machine), flags.map(|_| Err(EACCES)));
    // A reader whose writer has gone finds the end; one that never had a writer has no event.
    let mut polled = [rustix::event::PollFd::new(
        &reader,
        rustix::event::PollFlags::IN,
    )];
    let now = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    rustix::event::poll(&mut polled, Some(&now)).unwrap();
    let heard = polled[0].revents();
    assert!(!heard.contains(rustix::event::PollFlags::HUP), "{heard:?}");
}

#[test]
fn files_of_the_kernel_are_not_changed() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        let rule = PathRule {
            real: "/".into(),
            ..tree.rule("/all", "read", Extent::Tree, true)
        };
        permissions.allow(&rule).unwrap();
    });
    let comm = machine.guest.put_c_string("/all/proc/self/comm");
    let times = machine.room(32);
    for (call, arguments) in [
        ("truncate", vec![comm, 0]),
        ("chmod", vec![comm, 0o600]),
        ("utimes", vec![comm, times]),
        ("open", vec![comm, 1]),
        ("unlink", vec![comm]),
        ("access", vec![comm, 2]),
    ] {
        machine.fails(call, &arguments, EACCES);
    }
    let new = machine.guest.put_c_string("/all/sys/kernel/new");
    machine.fails("mkdir", &[new, 0o777], EACCES);
    // Once for each path: `self` is followed, or is not.
    assert_eq!(machine.host.denied.len(), 3);
    // A place may be looked at, but not be changed either.
    let place = machine.value("open", &[comm, 0o10_000_000]);
    let empty = machine.room(1);
    machine.fails("utimensat", &[place, empty, times, 0x1000], EACCES);
    machine.fails("fchmodat2", &[place, empty, 0o600, 0x1000], EACCES);
}

#[test]
fn access_asks_about_the_file_and_not_about_the_link() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    for link in ["/read/in", "/read/absolute"] {
        let path = machine.guest.put_c_string(link);
        machine.value("access", &[path, 4]);
        machine.fails("access", &[path, 1], EACCES);
        machine.fails("faccessat", &[int(CWD), path, 1], EACCES);
        machine.value("faccessat2", &[int(CWD), path, 1, 0x100]);
    }
}

#[test]
fn an_audit_keeps_to_the_programs_own_proc() {
    let mut machine = Machine::with(&ProcessOptions {
        executable: b"/bin/program".to_vec(),
        permissions: std::sync::Arc::new(Permissions::audit().unwrap()),
        ..ProcessOptions::default()
    });
    // Not what process 1 of the host has as descriptor 1.
    let out = machine.open("/dev/stdout", 1).unwrap();
    let text = machine.guest.put(b"text");
    machine.value("write", &[out, text, 4]);
    assert_eq!(machine.printed(crate::host::Stream::Out), b"text");
    assert_eq!(machine.open("/proc/1/mem", 0), Err(ENOENT));
}

#[test]
fn openat2_keeps_its_promises() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    let directory = machine.open("/read", 0).unwrap();
    let mut try_resolve = |path: &str, resolve: u64| {
        let path = machine.guest.put_c_string(path);
        let how = machine.words(&[0, 0, resolve]);
        let result = machine.call("openat2", &[directory, path, how, 24]);
        if result < 0 { Err(-result) } else { Ok(()) }
    };
    assert_eq!(try_resolve("file", 8), Ok(()));
    assert_eq!(try_resolve("dir/../file", 8), Ok(()));
    assert_eq!(try_resolve("../read/file", 8), Err(18));
    assert_eq!(try_resolve("/read/file", 8), Err(18));
    assert_eq!(try_resolve("in", 4), Err(40));
    assert_eq!(try_resolve("file", 4), Ok(()));
    assert_eq!(try_resolve("file", 0x40), Err(22));
}

#[test]
fn rename_and_link_need_both_ends() {
    let tree = Tree::new();
    tree.file("second/mine", "mine");
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/second", "second", Extent::Tree, true);
    });
    let mut both = |call: &str, old: &str, new: &str| try_call(&mut machine, call, &[old, new]);
    for call in ["rename", "link"] {
        assert_eq!(both(call, "/read/file", "/write/new"), Err(EACCES));
        assert_eq!(both(call, "/write/file", "/read/new"), Err(EACCES));
        assert_eq!(both(call, "/write/file", "/nowhere"), Err(EACCES));
        assert_eq!(both(call, "/nowhere", "/write/new"), Err(ENOENT));
        assert_eq!(both(call, "/write/file", "/nowhere/new"), Err(ENOENT));
        assert_eq!(both(call, "/write/file", "/write/../secret"), Err(EACCES));
    }
    assert_eq!(both("link", "/write/file", "/second/linked"), Ok(0));
    assert_eq!(both("rename", "/second/mine", "/write/mine"), Ok(0));
    assert_eq!(fs::read(tree.path("write/mine")).unwrap(), b"mine");
    assert_eq!(both("link", "/write/mine", "/write/file"), Err(EEXIST));
}

#[test]
fn links_are_made_only_where_they_stay_inside() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    let mut link = |to: &str, at: &str| try_call(&mut machine, "symlink", &[to, at]);
    assert_eq!(link("file", "/write/one"), Ok(0));
    assert_eq!(link("../file", "/write/dir/two"), Ok(0));
    assert_eq!(link("dir/inner", "/write/three"), Ok(0));
    for out in [
        "../secret",
        "/etc/passwd",
        "dir/../../secret",
        "dir/..",
        "..",
    ] {
        assert_eq!(link(out, "/write/four"), Err(EACCES), "{out}");
    }
    assert_eq!(link("../../secret", "/write/dir/five"), Err(EACCES));
    assert_eq!(link("file", "/read/six"), Err(EACCES));
}

#[test]
fn a_reset_closes_and_puts_back_offsets_and_directory() {
    let tree = Tree::new();
    let mut machine = tree.machine();
    let early = machine.open("/read/file", 0).unwrap();
    let buffer = machine.room(16);
    assert_eq!(machine.value("read", &[early, buffer, 3]), 3);
    let template = machine.process.clone();
    let before = tree.open_host_descriptors();
    for _ in 0..3 {
        let mut late = Vec::new();
        for path in ["/read/file", "/write/file", "/read/dir"] {
            late.push(machine.open(path, 0).unwrap());
        }
        assert!(tree.open_host_descriptors() >= before + 3);
        assert_eq!(machine.value("read", &[early, buffer, 9]), 4);
        assert_eq!(machine.guest.bytes(buffer, 4), b"tent");
        let path = machine.guest.put_c_string("/read/dir");
        machine.value("chdir", &[path]);
        machine.process.reset_from(&template);
        assert_eq!(tree.open_host_descriptors(), before);
        machine.fails("fstat", &[late[0], buffer], EBADF);
        assert_eq!(machine.value("getcwd", &[buffer, 16]), 2);
    }
    // A fork reads from where the template was, whatever others do.
    let mut fork = tree.machine();
    fork.process = template.clone();
    let other = fork.room(16);
    assert_eq!(fork.value("read", &[early, other, 2]), 2);
    assert_eq!(machine.value("read", &[early, buffer, 2]), 2);
    assert_eq!(machine.guest.bytes(buffer, 2), b"te");
}
