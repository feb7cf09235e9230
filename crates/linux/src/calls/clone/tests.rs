use tinykvm::{Guest, Segment};

use crate::host::Flow;
use crate::process::options::ProcessOptions;
use crate::tests::{Machine, NOWHERE, THREAD};
use crate::wire::errno::{E2BIG, EAGAIN, EFAULT, EINVAL, ENOSYS, EPERM, Errno};

#[test]
fn a_thread_starts_as_asked() {
    let mut machine = Machine::new();
    let (parent, child) = (machine.room(4), machine.room(4));
    machine.guest.registers_mut().rbx = 5;
    machine.guest.set_segment_base(Segment::Fs, 0x1000);
    let flags = THREAD | 0x8_0000 | 0x10_0000 | 0x20_0000 | 0x100_0000;
    let id = machine.value("clone", &[flags, 0x5000, parent, child, 0x2000]);
    assert_eq!(id, 2);
    let told = |machine: &Machine, at| machine.guest.bytes(at, 4);
    assert_eq!(
        (told(&machine, parent), told(&machine, child)),
        (vec![2, 0, 0, 0], vec![2, 0, 0, 0])
    );
    assert_eq!(machine.value("gettid", &[]), 1);
    machine.goes_on("sched_yield", &[]);
    let registers = *machine.guest.registers();
    assert_eq!(
        (registers.rax, registers.rsp, registers.rbx),
        (0, 0x5000, 5)
    );
    assert_eq!(machine.guest.segment_base(Segment::Fs), 0x2000);
    assert_eq!(machine.value("gettid", &[]), 2);
    assert_eq!(machine.value("getpid", &[]), 1);
    // Its end is told at the address of the child's number, as a futex.
    machine.goes_on("sched_yield", &[]);
    machine.goes_on("futex", &[child, 0, 2, 0]);
    machine.goes_on("exit", &[3]);
    assert_eq!((machine.thread(), machine.guest.result()), (1, 0));
    assert_eq!(told(&machine, child), [0; 4]);
    assert_eq!(machine.guest.segment_base(Segment::Fs), 0x1000);
    assert_eq!(machine.flow("exit", &[4]), Flow::Exit { status: 4 });
}

#[test]
fn clone3_says_the_same() {
    let mut machine = Machine::new();
    let child = machine.room(4);
    let flags = THREAD | 0x8_0000 | 0x100_0000;
    let mut given = [flags, 0, child, 0, 0, 0x4000, 0x1000, 0x2000, 0, 0, 0, 0];
    let arguments = machine.words(&given);
    assert_eq!(machine.value("clone3", &[arguments, 88]), 2);
    assert_eq!(machine.value("clone3", &[arguments, 96]), 3);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.guest.registers().rsp, 0x5000);
    assert_eq!(machine.guest.segment_base(Segment::Fs), 0x2000);

    machine.fails("clone3", &[arguments, 56], EINVAL);
    machine.fails("clone3", &[arguments, 4097], E2BIG);
    machine.fails("clone3", &[NOWHERE, 88], EFAULT);
    given[11] = 1;
    let arguments = machine.words(&given);
    machine.fails("clone3", &[arguments, 96], E2BIG);
    let wrong: [(usize, u64, Errno); 6] = [
        (0, flags | 0x40_0000, EINVAL),
        (0, flags | 17, EINVAL),
        (0, 1 << 40, EINVAL),
        (4, 17, EINVAL),
        (6, 0, EINVAL),
        (9, 1, EPERM),
    ];
    for (place, value, error) in wrong {
        let mut given = given;
        given[place] = value;
        let arguments = machine.words(&given);
        machine.fails("clone3", &[arguments, 88], error);
    }
}

#[test]
fn impossible_flags_and_processes() {
    let cases: [(u64, Errno); 10] = [
        (THREAD & !0x100, EINVAL),
        (THREAD & !0x800, EINVAL),
        (THREAD | 0x1000, EINVAL),
        (THREAD | 0x2000_0000, EPERM),
        (THREAD | 0x2_0000, EINVAL),
        (THREAD & !0x400, ENOSYS),
        (THREAD | 0x4000, ENOSYS),
        (17, ENOSYS),
        (0x4111, ENOSYS),
        (0x120_0011, ENOSYS),
    ];
    for (flags, error) in cases {
        Machine::new().fails("clone", &[flags, 0x5000, 0, 0, 0], error);
    }
    let tls = [THREAD | 0x8_0000, 0x5000, 0, 0, 1 << 63];
    Machine::new().fails("clone", &tls, EPERM);
}

#[test]
fn threads_have_a_limit() {
    let mut machine = Machine::with(&ProcessOptions {
        threads: 64,
        ..ProcessOptions::default()
    });
    for _ in 0..63 {
        machine.spawn();
    }
    machine.fails("clone", &[THREAD, 0x5000, 0, 0, 0], EAGAIN);
    machine.goes_on("sched_yield", &[]);
    machine.goes_on("exit", &[0]);
    machine.spawn();
    machine.fails("clone", &[THREAD, 0x5000, 0, 0, 0], EAGAIN);
}

#[test]
fn the_first_thread_may_leave_first() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    machine.goes_on("exit", &[5]);
    assert_eq!(machine.thread(), other);
    assert_eq!(machine.value("getpid", &[]), 1);
    assert_eq!(machine.flow("exit", &[6]), Flow::Exit { status: 5 });
    let mut machine = Machine::new();
    machine.spawn();
    assert_eq!(
        machine.flow("exit_group", &[0x107]),
        Flow::Exit { status: 7 }
    );
}

#[test]
fn locks_of_a_thread_that_ends_are_marked() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    // Two locks in the list, one of them somebody else's; and one under way.
    let words = machine.words(&[u64::from(other) | 1 << 31, 1, u64::from(other)]);
    let entries = machine.words(&[0, 0, 0]);
    let head = machine.words(&[entries, words.wrapping_sub(entries), entries + 16]);
    machine
        .guest
        .write(entries, &(entries + 8).to_le_bytes())
        .unwrap();
    machine
        .guest
        .write(entries + 8, &head.to_le_bytes())
        .unwrap();
    machine.goes_on("sched_yield", &[]);
    machine.value("set_robust_list", &[head, 24]);
    machine.goes_on("sched_yield", &[]);
    machine.goes_on("futex", &[words, 0, u64::from(other) | 1 << 31, 0]);
    machine.goes_on("exit", &[0]);
    assert_eq!((machine.thread(), machine.guest.result()), (1, 0), "woken");
    assert_eq!(machine.word(words), 0xc000_0000);
    assert_eq!(machine.word(words + 8), 1);
    assert_eq!(machine.word(words + 16), 0x4000_0000);
}

#[test]
fn a_list_that_runs_in_circles_ends() {
    let mut machine = Machine::new();
    machine.spawn();
    let entry = machine.room(8);
    machine.guest.write(entry, &entry.to_le_bytes()).unwrap();
    let head = machine.words(&[entry, 0, 0]);
    machine.value("set_robust_list", &[head, 24]);
    machine.goes_on("exit", &[0]);
    assert_eq!(machine.thread(), 2);
}
