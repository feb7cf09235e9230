use crate::process::options::ProcessOptions;
use crate::tests::{Machine, int};
use crate::wire::errno::{EBADF, EINVAL, ENAMETOOLONG, ENOENT, ERANGE};
use crate::wire::record::{u32_at, u64_at};

/// `AT_FDCWD` in linux/fcntl.h.
const CWD: i32 = -100;

#[test]
fn open_descriptors_have_metadata() {
    for (terminal, mode) in [(false, 0o10200), (true, 0o20620)] {
        let options = ProcessOptions {
            terminal,
            ..ProcessOptions::default()
        };
        let mut machine = Machine::with(&options);
        let (buffer, empty) = (machine.room(144), machine.room(1));
        machine.value("fstat", &[1, buffer]);
        let first = machine.guest.bytes(buffer, 144);
        assert_eq!(u32_at(&first, 24), mode);
        assert_eq!((u32_at(&first, 28), u64_at(&first, 56)), (1000, 4096));
        machine.value("newfstatat", &[1, empty, buffer, 0x1000]);
        assert_eq!(machine.guest.bytes(buffer, 144), first);

        machine.value("fstat", &[2, buffer]);
        assert_eq!(u32_at(&machine.guest.bytes(buffer, 144), 24), 0o10200);

        let extended = machine.room(256);
        machine.value("statx", &[1, empty, 0x1000, 0x7ff, extended]);
        let extended = machine.guest.bytes(extended, 256);
        assert_eq!(u32_at(&extended, 28), mode);
        assert_eq!(u32_at(&extended, 0), 0x7ff);
    }
    let mut machine = Machine::new();
    let (buffer, empty) = (machine.room(256), machine.room(1));
    machine.fails("fstat", &[9, buffer], EBADF);
    machine.fails("newfstatat", &[9, empty, buffer, 0x1000], EBADF);
    machine.fails("newfstatat", &[1, empty, buffer, 0], ENOENT);
    machine.fails("statx", &[1, empty, 0, 0, buffer], ENOENT);
}

#[test]
fn the_program_finds_itself() {
    let mut machine = Machine::new();
    let path = machine.guest.put_c_string("/proc/self/exe");
    let buffer = machine.room(64);
    assert_eq!(machine.value("readlink", &[path, buffer, 64]), 12);
    assert_eq!(machine.guest.bytes(buffer, 13), b"/bin/program\0");
    let short = machine.room(4);
    assert_eq!(machine.value("readlinkat", &[int(CWD), path, short, 4]), 4);
    assert_eq!(machine.guest.bytes(short, 4), b"/bin");
    machine.fails("readlink", &[path, buffer, 0], EINVAL);
    machine.fails("readlink", &[path, buffer, int(-1)], EINVAL);
    let other = machine.guest.put_c_string("/proc/self/mem");
    machine.fails("readlink", &[other, buffer, 64], ENOENT);
    assert_eq!(machine.host.denied, [("readlink", b"/proc/1/mem".to_vec())]);
}

#[test]
fn paths_are_read_to_their_nul_and_no_further() {
    let mut machine = Machine::new();
    let empty = machine.guest.put_c_string("");
    machine.fails("open", &[empty, 0], ENOENT);
    let longest = machine
        .guest
        .put_c_string("x/".repeat(2048).trim_end_matches('/'));
    machine.fails("openat", &[int(CWD), longest, 0], ENOENT);
    let longer = machine.guest.put_c_string("x".repeat(4096));
    machine.fails("openat", &[int(CWD), longer, 0], ENAMETOOLONG);
    assert_eq!(machine.host.denied[0].1.len(), 4096);
}

#[test]
fn the_working_directory_is_the_root() {
    let mut machine = Machine::new();
    let buffer = machine.room(2);
    assert_eq!(machine.value("getcwd", &[buffer, 2]), 2);
    assert_eq!(machine.guest.bytes(buffer, 2), b"/\0");
    machine.fails("getcwd", &[buffer, 1], ERANGE);
}
