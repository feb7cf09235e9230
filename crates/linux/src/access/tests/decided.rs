//! Who decides where several could: a rule, what is made up, the host.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;

use crate::access::tests::tree::{Tree, content, try_call};
use crate::process::options::ProcessOptions;
use crate::rules::permissions::{Extent, PathRule, Permissions};
use crate::tests::Machine;
use crate::wire::errno::{EACCES, EEXIST, ELOOP, ENOENT, ENOTDIR};

fn program(permissions: Permissions) -> Machine {
    Machine::with(&ProcessOptions {
        executable: b"/bin/program".to_vec(),
        permissions: Arc::new(permissions),
        ..ProcessOptions::default()
    })
}

/// Of a path that goes on behind what was granted by name, the host says what that is.
#[test]
fn a_name_that_was_granted_is_a_directory_or_not() {
    let tree = Tree::new();
    tree.file("shelf/book", "text");
    tree.file("one", "one");
    let mut machine = tree.machine_with(|permissions, tree| {
        for name in ["shelf", "one", "later"] {
            tree.allow(permissions, &format!("/{name}"), name, Extent::Exact, true);
        }
    });
    const CREATE: u64 = 0o101;
    for (path, flags, error) in [
        // Its names, and nothing in it.
        ("/shelf/book", 0, ENOENT),
        ("/shelf/none/at/all", 0, ENOENT),
        ("/shelf/new", CREATE, EACCES),
        ("/one/below", 0, ENOTDIR),
        ("/one/new", CREATE, ENOTDIR),
        ("/one/../read/file", 0, ENOTDIR),
        ("/later/below", 0, ENOENT),
        ("/later/new", CREATE, ENOENT),
        ("/later/../read/file", 0, ENOENT),
    ] {
        assert_eq!(machine.open(path, flags), Err(error), "{path}");
    }
    assert_eq!(tree.names(&mut machine, "/shelf"), ["book"]);
    assert_eq!(content(&mut machine, "/shelf/../read/file"), b"content");
}

/// `state` is a name of its own: what has the path `/state` is something else.
#[test]
fn a_link_in_the_place_of_the_state_file_leads_nowhere() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, tree| {
        permissions
            .allow_state(&tree.path("program.state"))
            .unwrap();
        tree.allow(permissions, "/state", "read/file", Extent::Exact, true);
    });
    symlink("secret", tree.path("program.state")).unwrap();
    for flags in [0, 1, 0o102] {
        assert_eq!(machine.open("state", flags), Err(ELOOP), "{flags:o}");
    }
    assert_eq!(content(&mut machine, "/state"), b"content");
    assert_eq!(fs::read(tree.path("secret")).unwrap(), b"secret");
}

/// Unlike other rules, which take nothing away that is made up.
#[test]
fn a_link_of_the_configuration_goes_before_a_device() {
    let tree = Tree::new();
    let mut machine = tree.machine_with(|permissions, _| {
        let link = |shown: &str| PathRule {
            shown: shown.into(),
            real: "/read/file".into(),
            extent: Extent::Link,
            writable: false,
        };
        for shown in ["/dev/random", "/etc/hosts", "/proc/version"] {
            permissions.allow(&link(shown)).unwrap();
        }
    });
    for path in ["/dev/random", "/etc/hosts", "/proc/version"] {
        assert_eq!(content(&mut machine, path), b"content", "{path}");
    }
}

#[test]
fn a_rule_for_all_of_the_root_grants_no_directory_of_the_kernel() {
    let tree = Tree::new();
    for name in ["proc/version", "sys/name", "dev/name", "etc/hostname"] {
        tree.file(name, "the host's");
    }
    let mut machine = tree.machine_with(|permissions, tree| {
        tree.allow(permissions, "/", "", Extent::Tree, true);
    });
    assert_ne!(content(&mut machine, "/proc/version"), b"the host's");
    for path in ["/sys/name", "/dev/name"] {
        assert_eq!(machine.open(path, 0), Err(ENOENT), "{path}");
    }
    assert_eq!(content(&mut machine, "/etc/hostname"), b"the host's");
    assert_eq!(content(&mut machine, "/read/file"), b"content");
}

#[test]
fn an_audit_hears_of_what_no_rule_names() {
    // All of the host's but `/dev`, `/proc` and `/sys` can be had.
    let tree = Tree::below(&std::env::temp_dir());
    tree.file("read/file", "content");
    tree.file("write/file", "content");
    let mut permissions = Permissions::audit().unwrap();
    tree.allow(&mut permissions, "/mine", "read", Extent::Tree, true);
    let mut machine = program(permissions);
    let path = |name: &str| -> String { tree.path(name).to_str().unwrap().to_owned() };
    assert_eq!(content(&mut machine, &path("read/file")), b"content");
    assert_eq!(content(&mut machine, "/mine/file"), b"content");
    assert!(machine.open("/mine/file", 1).is_ok());
    assert_eq!(
        try_call(&mut machine, "unlink", &[&path("write/file")]),
        Ok(0)
    );
    assert!(!tree.path("write/file").exists());
    let used: Vec<_> = machine.host.used.drain(..).collect();
    // To look what it is before it is opened is use, too.
    let reads = used.iter().filter(|(call, ..)| *call == "open");
    assert!(reads.clone().count() > 0);
    for (_, used, write) in reads {
        assert_eq!(
            (PathBuf::from(path("read/file")), false),
            (as_path(used), *write)
        );
    }
    let changes: Vec<_> = used.iter().filter(|(call, ..)| *call == "unlink").collect();
    assert!(!changes.is_empty());
    for (_, used, write) in changes {
        assert_eq!(
            (PathBuf::from(path("write/file")), true),
            (as_path(used), *write)
        );
    }
    // What is made up is the program's own, and no news.
    assert!(content(&mut machine, "/proc/self/comm").starts_with(b"program"));
    assert!(machine.host.used.is_empty());
}

fn as_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap())
}

/// To create what is made up and takes writes is to open it, by whatever name: programs have their
/// logs as links to standard output.
#[test]
fn links_lead_to_devices_for_those_who_write() {
    let tree = Tree::new();
    for top in ["read", "write"] {
        symlink("/dev/null", tree.path(&format!("{top}/null"))).unwrap();
        symlink("/dev/stdout", tree.path(&format!("{top}/log"))).unwrap();
    }
    symlink("/proc/version", tree.path("write/version")).unwrap();
    let mut machine = tree.machine();
    const CREATE: u64 = 0o100;
    for path in ["/dev/null", "/read/null", "/write/null"] {
        for flags in [0, 1, 2, CREATE, CREATE | 1, CREATE | 2, 0o1101, 0o2101] {
            let opened = machine.open(path, flags);
            assert!(opened.is_ok(), "{path} {flags:o}: {opened:?}");
        }
    }
    let line = machine.guest.put(b"line");
    for path in ["/dev/stdout", "/proc/self/fd/1", "/read/log", "/write/log"] {
        for flags in [1, CREATE | 1, 0o2101] {
            let fd = machine.open(path, flags).expect(path);
            machine.value("write", &[fd, line, 4]);
            machine.value("close", &[fd]);
        }
    }
    let printed = machine.printed(crate::host::Stream::Out);
    assert_eq!(printed, b"line".repeat(12));
    assert!(machine.host.denied.is_empty(), "{:?}", machine.host.denied);
    // What takes no writes is not there to be created.
    for path in ["/proc/version", "/write/version"] {
        for flags in [1, CREATE, CREATE | 1] {
            assert_eq!(machine.open(path, flags), Err(EACCES), "{path} {flags:o}");
        }
    }
    // The links themselves are files as others.
    assert_eq!(try_call(&mut machine, "unlink", &["/write/log"]), Ok(0));
}

/// A name that can't be made since it is there: the program is told so, also where a link leads to
/// what is made up.
#[test]
fn what_is_made_up_exists_by_a_link_to_it() {
    let tree = Tree::new();
    symlink("/proc", tree.path("write/kernel")).unwrap();
    let mut machine = tree.machine();
    for path in [
        "/write/kernel",
        "/write/kernel/.",
        "/write/kernel/self",
        "/proc/.",
    ] {
        let made = try_call(&mut machine, "mkdir", &[path]);
        assert_eq!(made, Err(EEXIST), "{path}");
    }
    assert!(machine.host.denied.is_empty(), "{:?}", machine.host.denied);
}
