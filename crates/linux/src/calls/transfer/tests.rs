//! Pipes, counters, timers and memory files through their calls.

use std::time::Duration;

use crate::host::Flow;
use crate::tests::{Machine, NOWHERE, int};
use crate::wire::errno::{
    EAGAIN, EBADF, EBUSY, EFAULT, EINVAL, EMFILE, EPERM, EPIPE, ESPIPE, Errno,
};

const NONBLOCK: u64 = 0o4000;

fn pipe(machine: &mut Machine, flags: u64) -> [u64; 2] {
    let at = machine.room(8);
    machine.value("pipe2", &[at, flags]);
    let both = machine.word(at);
    [both & 0xffff_ffff, both >> 32]
}

fn write(machine: &mut Machine, fd: u64, bytes: &[u8]) -> i64 {
    let at = machine.guest.put(bytes);
    machine.call("write", &[fd, at, bytes.len() as u64])
}

fn read(machine: &mut Machine, fd: u64, length: usize) -> Result<Vec<u8>, i64> {
    let at = machine.room(length);
    let count = machine.call("read", &[fd, at, length as u64]);
    let count = usize::try_from(count).map_err(|_| count)?;
    Ok(machine.guest.bytes(at, count))
}

fn error(errno: Errno) -> i64 {
    errno.to_result().cast_signed()
}

#[test]
fn bytes_go_through_a_pipe() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine, 0);
    assert_eq!([reader, writer], [3, 4]);
    assert_eq!(write(&mut machine, writer, b"hello"), 5);
    let count = machine.room(4);
    machine.value("ioctl", &[reader, 0x541b, count]);
    assert_eq!(machine.guest.bytes(count, 4), [5, 0, 0, 0]);
    assert_eq!(read(&mut machine, reader, 3).unwrap(), b"hel");
    assert_eq!(read(&mut machine, reader, 9).unwrap(), b"lo");
    assert_eq!(write(&mut machine, reader, b"x"), error(EBADF));
    assert_eq!(read(&mut machine, writer, 1), Err(error(EBADF)));
    machine.fails("lseek", &[reader, 0, 0], ESPIPE);
    machine.fails("read", &[reader, NOWHERE, 1], EFAULT);
    machine.value("close", &[writer]);
    assert_eq!(read(&mut machine, reader, 9).unwrap(), b"");
}

#[test]
fn an_empty_pipe_is_waited_for_or_not() {
    let mut machine = Machine::new();
    let [reader, _] = pipe(&mut machine, 0);
    let at = machine.room(8);
    assert_eq!(machine.flow("read", &[reader, at, 8]), Flow::Deadlock);
    let on = machine.guest.put(&[1, 0, 0, 0]);
    machine.value("ioctl", &[reader, 0x5421, on]);
    machine.fails("read", &[reader, at, 8], EAGAIN);
    let [_, writer] = pipe(&mut machine, NONBLOCK);
    let bytes = vec![7; 100_000];
    assert_eq!(write(&mut machine, writer, &bytes), 65536);
    assert_eq!(write(&mut machine, writer, &bytes), error(EAGAIN));
    machine.fails("pipe2", &[at, 1], EINVAL);
}

#[test]
fn what_is_full_is_waited_for() {
    let mut machine = Machine::new();
    let [_, writer] = pipe(&mut machine, 0);
    let at = machine.room(100_000);
    assert_eq!(
        machine.flow("write", &[writer, at, 100_000]),
        Flow::Deadlock
    );
    let mut machine = Machine::new();
    let counter = machine.value("eventfd2", &[5, 0]);
    let most = machine.words(&[u64::MAX - 1]);
    assert_eq!(machine.flow("write", &[counter, most, 8]), Flow::Deadlock);
}

#[test]
fn a_pipe_without_reader_is_a_signal() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine, 0);
    machine.value("close", &[reader]);
    let text = machine.guest.put(b"text");
    let flow = machine.flow("write", &[writer, text, 4]);
    assert_eq!(flow, Flow::Signal { number: 13 });
    let ignore = machine.words(&[1, 0, 0, 0]);
    machine.value("rt_sigaction", &[13, ignore, 0, 8]);
    assert_eq!(write(&mut machine, writer, b"text"), error(EPIPE));
}

#[test]
fn pipes_have_a_size_and_so_have_all_together() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine, NONBLOCK);
    assert_eq!(machine.value("fcntl", &[reader, 1032]), 65536);
    assert_eq!(machine.value("fcntl", &[writer, 1031, 5000]), 8192);
    write(&mut machine, writer, &[0; 8192]);
    machine.fails("fcntl", &[writer, 1031, 4096], EBUSY);
    machine.fails("fcntl", &[writer, 1031, 2 << 20], EPERM);
    for _ in 0..15 {
        let [reader, _] = pipe(&mut machine, 0);
        machine.value("fcntl", &[reader, 1031, 1 << 20]);
    }
    let [reader, _] = pipe(&mut machine, 0);
    machine.fails("fcntl", &[reader, 1031, 1 << 20], EPERM);
    for _ in 0..30 {
        pipe(&mut machine, 0);
    }
    let [reader, _] = pipe(&mut machine, 0);
    assert_eq!(machine.value("fcntl", &[reader, 1032]), 8192);
    let at = machine.room(8);
    while machine.call("pipe", &[at]) == 0 {}
    machine.fails("pipe", &[at], EMFILE);
}

#[test]
fn counters_count() {
    let mut machine = Machine::new();
    let counter = machine.value("eventfd2", &[3, NONBLOCK]);
    assert_eq!(write(&mut machine, counter, &4_u64.to_le_bytes()), 8);
    assert_eq!(
        read(&mut machine, counter, 16).unwrap(),
        7_u64.to_le_bytes()
    );
    assert_eq!(read(&mut machine, counter, 8), Err(error(EAGAIN)));
    assert_eq!(read(&mut machine, counter, 7), Err(error(EINVAL)));
    assert_eq!(write(&mut machine, counter, &[1; 7]), error(EINVAL));
    let semaphore = machine.value("eventfd2", &[2, 1]);
    for _ in 0..2 {
        assert_eq!(
            read(&mut machine, semaphore, 8).unwrap(),
            1_u64.to_le_bytes()
        );
    }
    let at = machine.room(8);
    assert_eq!(machine.flow("read", &[semaphore, at, 8]), Flow::Deadlock);
    machine.fails("eventfd2", &[0, 2], EINVAL);
}

#[test]
fn timers_expire() {
    let mut machine = Machine::new();
    let timer = machine.value("timerfd_create", &[1, NONBLOCK]);
    assert_eq!(read(&mut machine, timer, 8), Err(error(EAGAIN)));
    let old = machine.words(&[9; 4]);
    let new = machine.words(&[2, 0, 1, 500]);
    machine.value("timerfd_settime", &[timer, 0, new, old]);
    assert_eq!(machine.guest.bytes(old, 32), [0; 32]);
    let now = machine.words(&[9; 4]);
    machine.value("timerfd_gettime", &[timer, now]);
    assert_eq!(
        [0, 8, 16, 24].map(|at| machine.word(now + at)),
        [2, 0, 1, 500]
    );
    machine.guest.advance(Duration::from_secs(4));
    assert_eq!(read(&mut machine, timer, 8).unwrap(), 2_u64.to_le_bytes());
    assert_eq!(write(&mut machine, timer, &[1; 8]), error(EINVAL));

    machine.fails("timerfd_gettime", &[timer, NOWHERE], EFAULT);
    machine.fails("timerfd_settime", &[timer, 0, new, NOWHERE], EFAULT);
    machine.fails("timerfd_settime", &[1, 0, new, 0], EINVAL);
    machine.fails("timerfd_settime", &[timer, 4, new, 0], EINVAL);
    let bad = machine.words(&[0, 0, 0, 1_000_000_000]);
    machine.fails("timerfd_settime", &[timer, 0, bad, 0], EINVAL);
    machine.fails("timerfd_create", &[2, 0], EINVAL);
    machine.fails("timerfd_create", &[1, 1], EINVAL);
}

#[test]
fn a_timer_of_the_template_fires_once_in_a_call() {
    let mut machine = Machine::new();
    let timer = machine.value("timerfd_create", &[1, NONBLOCK]);
    let new = machine.words(&[1, 0, 1, 0]);
    machine.value("timerfd_settime", &[timer, 0, new, 0]);
    machine.process.freeze(&machine.guest);
    let template = machine.process.clone();
    for _ in 0..3 {
        machine.guest.advance(Duration::from_secs(1000));
        machine.process.begin();
        assert_eq!(read(&mut machine, timer, 8).unwrap(), 1_u64.to_le_bytes());
        assert_eq!(read(&mut machine, timer, 8), Err(error(EAGAIN)));
        machine.guest.advance(Duration::from_secs(2));
        assert_eq!(read(&mut machine, timer, 8).unwrap(), 2_u64.to_le_bytes());
        machine.process.reset_from(&template);
    }
}

#[test]
fn signals_can_be_read() {
    let mut machine = Machine::new();
    let set = machine.words(&[1 << 9]);
    machine.value("rt_sigprocmask", &[0, set, 0, 8]);
    let fd = machine.value("signalfd4", &[u64::MAX, set, 8, NONBLOCK]);
    assert_eq!(read(&mut machine, fd, 128), Err(error(EAGAIN)));
    machine.value("kill", &[0, 10]);
    let poll = machine
        .guest
        .put(&[u8::try_from(fd).unwrap(), 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(machine.value("poll", &[poll, 1, 0]), 1);
    assert_eq!(read(&mut machine, fd, 127), Err(error(EINVAL)));
    let found = read(&mut machine, fd, 300).unwrap();
    assert_eq!((found.len(), &found[..4]), (128, &[10, 0, 0, 0][..]));
    assert_eq!(read(&mut machine, fd, 128), Err(error(EAGAIN)));
    machine.fails("signalfd", &[1, set, 8], EINVAL);
    machine.fails("signalfd", &[u64::MAX, set, 4], EINVAL);
}

#[test]
fn memory_files_have_contents_and_seals() {
    let mut machine = Machine::new();
    let name = machine.guest.put_c_string("name");
    let file = machine.value("memfd_create", &[name, 2]);
    assert_eq!(write(&mut machine, file, b"contents"), 8);
    let at = machine.room(16);
    assert_eq!(machine.value("pread64", &[file, at, 16, 3]), 5);
    assert_eq!(machine.guest.bytes(at, 5), *b"tents");
    assert_eq!(machine.value("lseek", &[file, 0, 2]), 8);
    let stat = machine.room(144);
    machine.value("fstat", &[file, stat]);
    assert_eq!(machine.word(stat + 48), 8);
    assert_eq!(machine.value("fcntl", &[file, 1034]), 0);
    machine.value("fcntl", &[file, 1033, 8]);
    assert_eq!(write(&mut machine, file, b"x"), error(EPERM));
    let sealed = machine.value("memfd_create", &[name, 0]);
    machine.fails("fcntl", &[sealed, 1033, 8], EPERM);
    machine.fails("memfd_create", &[name, 4], EINVAL);
    let long = machine.guest.put_c_string("x".repeat(250));
    machine.fails("memfd_create", &[long, 0], EINVAL);
}

#[test]
fn a_reset_brings_everything_back() {
    let mut machine = Machine::new();
    let [reader, writer] = pipe(&mut machine, NONBLOCK);
    write(&mut machine, writer, b"kept");
    let counter = machine.value("eventfd2", &[5, 0]);
    let name = machine.guest.put_c_string("name");
    let file = machine.value("memfd_create", &[name, 0]);
    write(&mut machine, file, b"kept");
    let template = machine.process.clone();
    for _ in 0..3 {
        assert_eq!(read(&mut machine, reader, 9).unwrap(), b"kept");
        write(&mut machine, writer, b"other");
        assert_eq!(read(&mut machine, counter, 8).unwrap(), 5_u64.to_le_bytes());
        machine.value("lseek", &[file, 0, 0]);
        assert_eq!(read(&mut machine, file, 9).unwrap(), b"kept");
        machine.value("pwrite64", &[file, name, 2, 0]);
        assert_eq!(machine.value("eventfd2", &[0, 0]), file + 1);
        machine.value("close", &[reader]);
        machine.process.reset_from(&template);
    }
    assert_eq!(machine.call("read", &[file + 1, name, 1]), error(EBADF));
    assert_eq!(machine.value("poll", &[0, 0, int(0)]), 0);
}
