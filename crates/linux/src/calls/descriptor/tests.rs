use crate::host::Stream;
use crate::process::options::ProcessOptions;
use crate::tests::{Machine, int};
use crate::wire::errno::{EBADF, EFAULT, EINVAL, EMFILE, ENOTDIR, ENOTTY, ESPIPE};

#[test]
fn input_is_at_its_end() {
    let mut machine = Machine::new();
    let buffer = machine.guest.put(b"kept");
    let vector = machine.words(&[buffer, 4]);
    assert_eq!(machine.value("read", &[0, buffer, 4]), 0);
    assert_eq!(machine.value("readv", &[0, vector, 1]), 0);
    assert_eq!(machine.guest.bytes(buffer, 4), b"kept");
    machine.fails("read", &[1, buffer, 4], EBADF);
    machine.fails("read", &[3, buffer, 4], EBADF);
    machine.fails("write", &[0, buffer, 4], EBADF);
}

#[test]
fn there_are_no_offsets() {
    for call in ["lseek", "pread64", "pwrite64", "preadv", "pwritev"] {
        Machine::new().fails(call, &[1, 0, 0], ESPIPE);
        Machine::new().fails(call, &[int(-1), 0, 0], EBADF);
    }
    Machine::new().fails("getdents64", &[1, 0, 0], ENOTDIR);
}

#[test]
fn close_and_duplicate() {
    let mut machine = Machine::new();
    let text = machine.guest.put(b"text");
    assert_eq!(machine.value("dup", &[1]), 3);
    assert_eq!(machine.value("dup2", &[2, 9]), 9);
    assert_eq!(machine.value("dup2", &[9, 9]), 9);
    assert_eq!(machine.value("dup3", &[1, 0, 0o2_000_000]), 0);
    assert_eq!(machine.value("fcntl", &[0, 1]), 1);
    machine.value("write", &[9, text, 2]);
    machine.value("write", &[0, text, 4]);
    assert_eq!(machine.printed(Stream::Err), b"te");
    assert_eq!(machine.printed(Stream::Out), b"text");
    machine.value("close", &[1]);
    machine.fails("close", &[1], EBADF);
    machine.fails("write", &[1, text, 4], EBADF);
    assert_eq!(machine.value("dup", &[3]), 1, "the lowest free number");

    machine.fails("dup", &[77], EBADF);
    machine.fails("dup2", &[77, 1], EBADF);
    machine.fails("dup2", &[77, 77], EBADF);
    machine.fails("dup2", &[2, 1024], EBADF);
    machine.fails("dup2", &[2, int(-1)], EBADF);
    machine.fails("dup3", &[2, 2, 0], EINVAL);
    machine.fails("dup3", &[2, 5, 1], EINVAL);
}

#[test]
fn the_table_has_a_limit() {
    let mut machine = Machine::new();
    for expected in 3..1024 {
        assert_eq!(machine.value("dup", &[1]), expected);
    }
    machine.fails("dup", &[1], EMFILE);
    machine.value("close_range", &[10, u64::from(u32::MAX), 0]);
    assert_eq!(machine.value("dup", &[1]), 10);
    let limit = machine.words(&[11, 1024]);
    machine.value("setrlimit", &[7, limit]);
    machine.fails("dup", &[1], EMFILE);
    machine.fails("fcntl", &[1, 0, 11], EINVAL);
}

#[test]
fn close_range_closes_or_marks() {
    let mut machine = Machine::new();
    machine.value("dup2", &[1, 5]);
    machine.value("close_range", &[1, 4, 4]);
    assert_eq!(machine.value("fcntl", &[2, 1]), 1);
    assert_eq!(machine.value("fcntl", &[5, 1]), 0);
    machine.value("close_range", &[2, 5, 0]);
    machine.fails("fcntl", &[5, 1], EBADF);
    assert_eq!(machine.value("fcntl", &[1, 1]), 1);
    machine.fails("close_range", &[5, 2, 0], EINVAL);
    machine.fails("close_range", &[2, 5, 1], EINVAL);
}

#[test]
fn fcntl_keeps_flags() {
    let mut machine = Machine::new();
    assert_eq!(machine.value("fcntl", &[0, 3]), 0);
    assert_eq!(machine.value("fcntl", &[1, 3]), 1);
    machine.value("fcntl", &[1, 4, 0o4001]);
    assert_eq!(machine.value("fcntl", &[1, 3]), 0o4001);
    machine.value("fcntl", &[1, 2, 1]);
    assert_eq!(machine.value("fcntl", &[1, 1]), 1);
    assert_eq!(machine.value("fcntl", &[1, 0, 10]), 10);
    assert_eq!(
        machine.value("fcntl", &[10, 1]),
        0,
        "a copy starts without it"
    );
    assert_eq!(machine.value("fcntl", &[1, 1030, 10]), 11);
    assert_eq!(machine.value("fcntl", &[11, 1]), 1);
    machine.fails("fcntl", &[1, 0, 5000], EINVAL);
    machine.fails("fcntl", &[1, 99], EINVAL);
    machine.fails("fcntl", &[3, 1], EBADF);
}

#[test]
fn locks_are_those_of_one_process() {
    let mut machine = Machine::new();
    // l_type, l_whence
    let lock = |machine: &mut Machine, kind: u16, whence: u16| {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&kind.to_le_bytes());
        bytes[2..4].copy_from_slice(&whence.to_le_bytes());
        machine.guest.put(&bytes)
    };
    let (read, write, none) = (
        lock(&mut machine, 0, 0),
        lock(&mut machine, 1, 0),
        lock(&mut machine, 2, 1),
    );
    for command in [6, 7, 37, 38] {
        assert_eq!(machine.value("fcntl", &[0, command, read]), 0);
        assert_eq!(machine.value("fcntl", &[1, command, write]), 0);
        assert_eq!(machine.value("fcntl", &[1, command, none]), 0);
        machine.fails("fcntl", &[1, command, read], EBADF);
        machine.fails("fcntl", &[0, command, write], EBADF);
        machine.fails("fcntl", &[0, command, 1], EFAULT);
    }
    assert_eq!(machine.value("fcntl", &[1, 5, write]), 0);
    assert_eq!(machine.guest.bytes(write, 2), [2, 0], "nobody has a lock");
    let bad = [lock(&mut machine, 3, 0), lock(&mut machine, 0, 3)];
    for bad in bad {
        machine.fails("fcntl", &[0, 6, bad], EINVAL);
    }
}

#[test]
fn ioctl_without_and_with_a_terminal() {
    let mut machine = Machine::new();
    let buffer = machine.room(64);
    for request in [0x5401, 0x5402, 0x5413, 0x540f, 0x1234] {
        machine.fails("ioctl", &[1, request, buffer], ENOTTY);
    }
    machine.fails("ioctl", &[5, 0x5401, buffer], EBADF);
    machine.value("ioctl", &[0, 0x541b, buffer]);
    machine.value("ioctl", &[1, 0x5451, 0]);
    assert_eq!(machine.value("fcntl", &[1, 1]), 1);
    machine.value("ioctl", &[1, 0x5450, 0]);
    assert_eq!(machine.value("fcntl", &[1, 1]), 0);
    let yes = machine.words(&[1]);
    machine.value("ioctl", &[1, 0x5421, yes]);
    assert_eq!(machine.value("fcntl", &[1, 3]), 0o4001);
    machine.value("ioctl", &[1, 0x5421, buffer]);
    assert_eq!(machine.value("fcntl", &[1, 3]), 1);

    let terminal = ProcessOptions {
        terminal: true,
        ..ProcessOptions::default()
    };
    let mut machine = Machine::with(&terminal);
    let buffer = machine.room(36);
    // Standard error is none: what is coloured there would be so in a log.
    for request in [0x5401, 0x5402, 0x5413, 0x540f] {
        machine.value("ioctl", &[0, request, buffer]);
        machine.fails("ioctl", &[2, request, buffer], ENOTTY);
    }
    machine.value("ioctl", &[1, 0x5401, buffer]);
    assert_ne!(machine.guest.bytes(buffer, 36), [0; 36]);
    machine.value("ioctl", &[1, 0x5402, buffer]);
    machine.value("ioctl", &[1, 0x5413, buffer]);
    assert_eq!(machine.guest.bytes(buffer, 8), [24, 0, 80, 0, 0, 0, 0, 0]);
    machine.fails("ioctl", &[1, 0x1234, buffer], ENOTTY);
}
