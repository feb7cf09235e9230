use super::*;
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
    let mut machine = Machine::with(&crate::ProcessOptions {
        arguments: vec![b"program".to_vec(), b"one".to_vec()],
        environment: vec![b"A=b".to_vec()],
        executable: b"/bin/program".to_vec(),
        memory: 64 << 20,
        ..crate::ProcessOptions::default()
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
    assert_eq!(machine.printed(crate::Stream::Out), b"hellohellohello");
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
