use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;

use crate::access::synthetic::{Entry, TABLE};
use crate::access::text::Text;
use crate::process::options::ProcessOptions;
use crate::rules::permissions::{Extent, PathRule, Permissions};
use crate::tests::Machine;

#[test]
fn the_table_is_sorted() {
    assert!(TABLE.is_sorted_by(|(a, _), (b, _)| a < b));
}

fn text(machine: &mut Machine, path: &str) -> Vec<u8> {
    let name = machine.guest.put_c_string(path);
    let fd = machine.call("open", &[name, 0]);
    let fd = u64::try_from(fd).unwrap_or_else(|_| panic!("{path}: {fd}"));
    let buffer = machine.room(8192);
    let count = machine.value("read", &[fd, buffer, 8192]);
    machine.value("close", &[fd]);
    machine
        .guest
        .bytes(buffer, usize::try_from(count).unwrap())
        .to_vec()
}

#[test]
fn every_text_can_be_read_and_not_written() {
    let mut machine = Machine::new();
    for (path, entry) in TABLE {
        let name = machine.guest.put_c_string(path);
        let stat = machine.room(144);
        match entry {
            Entry::Text(Text::Empty | Text::CommandLine | Text::Environment) => {}
            Entry::Text(_) => {
                assert!(!text(&mut machine, path).is_empty(), "{path}");
                assert_eq!(machine.call("open", &[name, 1]), -13, "{path}");
                assert_eq!(machine.call("unlink", &[name]), -13, "{path}");
            }
            Entry::Device(_) => {
                let fd = machine.value("open", &[name, 2]);
                machine.value("close", &[fd]);
            }
            Entry::Link(_) | Entry::Executable | Entry::WorkingDirectory => {
                let buffer = machine.room(64);
                assert!(machine.value("readlink", &[name, buffer, 64]) > 0, "{path}");
            }
        }
        machine.value("lstat", &[name, stat]);
    }
}

#[test]
fn devices_do_what_they_are_for() {
    let mut machine = Machine::new();
    let mut open = |path: &str| {
        let name = machine.guest.put_c_string(path);
        machine.value("open", &[name, 2])
    };
    let (null, zero, full, random) = (
        open("/dev/null"),
        open("/dev/zero"),
        open("/dev/full"),
        open("/dev/urandom"),
    );
    let buffer = machine.guest.put(&[7; 64]);
    assert_eq!(machine.value("read", &[null, buffer, 64]), 0);
    assert_eq!(machine.value("write", &[null, buffer, 64]), 64);
    assert_eq!(machine.value("read", &[zero, buffer, 8]), 8);
    assert_eq!(machine.guest.bytes(buffer, 9), [0, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(machine.call("write", &[full, buffer, 1]), -28);
    assert_eq!(machine.value("read", &[random, buffer, 32]), 32);
    let first = machine.guest.bytes(buffer, 32);
    machine.value("read", &[random, buffer, 32]);
    assert_ne!(machine.guest.bytes(buffer, 32), first);
}

#[test]
fn the_program_reads_about_itself() {
    let mut machine = Machine::with(&ProcessOptions {
        arguments: vec![b"program".to_vec(), b"one".to_vec()],
        environment: vec![b"A=b".to_vec()],
        executable: b"/bin/program".to_vec(),
        memory: 64 << 20,
        ..ProcessOptions::default()
    });
    assert_eq!(text(&mut machine, "/proc/self/cmdline"), b"program\0one\0");
    assert_eq!(text(&mut machine, "/proc/1/environ"), b"A=b\0");
    assert_eq!(text(&mut machine, "/proc/self/comm"), b"program\n");
    let maps = String::from_utf8(text(&mut machine, "/proc/self/maps")).unwrap();
    assert!(
        maps.lines()
            .all(|line| line.contains(" rw-p 00000000 00:00 0")),
        "{maps}"
    );
    let memory = String::from_utf8(text(&mut machine, "/proc/meminfo")).unwrap();
    assert!(
        memory.starts_with("MemTotal:          65536 kB\n"),
        "{memory}"
    );
    let uuid = "/proc/sys/kernel/random/uuid";
    assert_ne!(text(&mut machine, uuid), text(&mut machine, uuid));
}

#[test]
fn output_by_its_names() {
    let mut machine = Machine::new();
    let bytes = machine.guest.put(b"hello");
    for path in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let name = machine.guest.put_c_string(path);
        let fd = machine.value("open", &[name, 0o2101]);
        assert_eq!(machine.value("write", &[fd, bytes, 5]), 5, "{path}");
    }
    assert_eq!(
        machine.printed(crate::host::Stream::Out),
        b"hellohellohello"
    );
    for path in [
        "/proc/self/fd/99",
        "/proc/self/fd/01",
        "/proc/self/fd/x",
        "/proc/2/maps",
    ] {
        let name = machine.guest.put_c_string(path);
        assert!(machine.call("open", &[name, 0]) < 0, "{path}");
    }
}

/// Ways to grant what is made up, by what the host has there.
#[derive(Debug, Clone, Copy)]
enum Real {
    /// The host's own, whatever that is.
    Own,
    Missing,
    File,
    Dangling,
    LeadsAway,
    Directory,
}

/// A rule about a path, or about the directory that it is in.
fn granted(path: &str, real: Real, tree: bool, writable: bool, top: &Path) -> Permissions {
    let shown = Path::new(path);
    let (shown, name) = if tree {
        (shown.parent().unwrap(), shown.file_name().unwrap())
    } else {
        (shown, std::ffi::OsStr::new("thing"))
    };
    let file = top.join(name);
    let _ = std::fs::remove_dir_all(top);
    std::fs::create_dir_all(top).unwrap();
    match real {
        Real::Own | Real::Missing => {}
        Real::File => std::fs::write(&file, "the host's").unwrap(),
        Real::Dangling => symlink("nothing", &file).unwrap(),
        Real::LeadsAway => symlink("/elsewhere/nothing", &file).unwrap(),
        Real::Directory => std::fs::create_dir(&file).unwrap(),
    }
    let place = if tree { top } else { &file };
    let rule = PathRule {
        shown: shown.to_str().unwrap().into(),
        real: match real {
            Real::Own => shown.to_owned(),
            _ => place.to_owned(),
        },
        extent: if tree { Extent::Tree } else { Extent::Exact },
        writable,
    };
    let mut permissions = Permissions::default();
    // What can't be granted is no less there.
    let _ = permissions.allow(&rule);
    permissions
}

#[test]
fn a_rule_takes_nothing_away_that_is_made_up() {
    let top = std::env::temp_dir().join(format!("tinykvm-made-up-{}", std::process::id()));
    let reals = [
        Real::Own,
        Real::Missing,
        Real::File,
        Real::Dangling,
        Real::LeadsAway,
        Real::Directory,
    ];
    let mut cases = 0;
    for &(path, entry) in TABLE {
        for real in reals {
            for (tree, writable) in [(false, false), (false, true), (true, false), (true, true)] {
                let mut machine = Machine::with(&ProcessOptions {
                    executable: b"/bin/program".to_vec(),
                    permissions: Arc::new(granted(path, real, tree, writable, &top)),
                    ..ProcessOptions::default()
                });
                let label = format!("{path} {real:?} {tree} {writable}");
                let name = machine.guest.put_c_string(path);
                let fd = machine.call("open", &[name, 0]);
                cases += 1;
                match entry {
                    Entry::Device(device) => {
                        let fd = u64::try_from(fd).expect(&label);
                        let stat = machine.room(144);
                        machine.value("fstat", &[fd, stat]);
                        let number = machine.word(stat + 40);
                        let (major, minor) = device.metadata().special;
                        assert_eq!(number, u64::from(major << 8 | minor), "{label}");
                        machine.value("open", &[name, 2]);
                    }
                    Entry::Text(_) => {
                        assert!(fd >= 0, "{label}: {fd}");
                        let file = matches!(real, Real::File);
                        let buffer = machine.room(16);
                        let count = machine.call("read", &[fd.cast_unsigned(), buffer, 16]);
                        let own = machine.guest.bytes(buffer, 10) != b"the host's";
                        let directory = matches!(real, Real::Directory);
                        assert!(own != file && (count >= 0 || directory), "{label}: {count}");
                    }
                    // Standard input and output, and what is open.
                    Entry::Link(target) if target.contains("/fd/") => {
                        let output = !target.ends_with('0');
                        let fd = machine.call("open", &[name, u64::from(output)]);
                        assert!(fd >= 0, "{label}: {fd}");
                    }
                    Entry::Link(_) | Entry::WorkingDirectory => {
                        let buffer = machine.room(64);
                        let length = machine.call("readlink", &[name, buffer, 64]);
                        assert!(length > 0, "{label}: {length}");
                    }
                    Entry::Executable => {}
                }
            }
        }
    }
    let _ = std::fs::remove_dir_all(top);
    assert_eq!(cases, TABLE.len() * 24);
}

#[test]
fn a_text_of_the_hosts_that_leads_to_something_granted_goes_first() {
    let top = std::env::temp_dir().join(format!("tinykvm-leads-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&top);
    std::fs::create_dir_all(top.join("etc")).unwrap();
    std::fs::create_dir_all(top.join("zones")).unwrap();
    std::fs::write(top.join("zones/here"), "zone").unwrap();
    std::fs::write(top.join("etc/names"), "beside").unwrap();
    symlink("/zones/here", top.join("etc/localtime")).unwrap();
    symlink("names", top.join("etc/hosts")).unwrap();
    let mut permissions = Permissions::default();
    for name in ["etc", "zones"] {
        let rule = PathRule {
            shown: format!("/{name}").into_bytes(),
            real: top.join(name),
            extent: Extent::Tree,
            writable: false,
        };
        permissions.allow(&rule).unwrap();
    }
    let mut machine = Machine::with(&ProcessOptions {
        permissions: Arc::new(permissions),
        ..ProcessOptions::default()
    });
    assert_eq!(text(&mut machine, "/etc/localtime"), b"zone");
    assert_eq!(text(&mut machine, "/etc/hosts"), b"beside");
    assert!(text(&mut machine, "/etc/passwd").starts_with(b"root:"));
    let _ = std::fs::remove_dir_all(top);
}
