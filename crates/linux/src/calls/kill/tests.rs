use tinykvm::{Guest, Protection};

use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EAGAIN, EINTR, EINVAL, ESRCH, Errno};
use crate::wire::record::{u32_at, u64_at};

const HANDLER: u64 = 0x40_1000;
const SA_RESTORER: u64 = 0x0400_0000;
const SA_RESTART: u64 = 0x1000_0000;
const STACK: u64 = 0x5000_0000;

/// A machine with a stack for its first thread and one for its second, and a handler for signal 10.
fn machine(flags: u64) -> Machine {
    let mut machine = Machine::new();
    machine.guest.map_at(STACK, 0x4000, Protection::READ_WRITE);
    machine.guest.registers_mut().rsp = STACK + 0x2000;
    machine.guest.registers_mut().rip = 0x40_3000;
    let action = machine.words(&[HANDLER, flags | SA_RESTORER, 0x40_2000, 0]);
    machine.value("rt_sigaction", &[10, action, 0, 8]);
    let flags = crate::tests::THREAD;
    assert_eq!(machine.value("clone", &[flags, STACK + 0x4000, 0, 0, 0]), 2);
    machine
}

fn block(machine: &mut Machine, set: u64) {
    let set = machine.words(&[set]);
    machine.value("rt_sigprocmask", &[2, set, 0, 8]);
}

/// RAX and RIP of the interrupted code.
fn interrupted(machine: &Machine) -> (i64, u64) {
    let context = machine.guest.registers().rdx;
    let word = |index: u64| machine.word(context + 40 + 8 * index);
    (word(13).cast_signed(), word(16))
}

fn minus(error: Errno) -> i64 {
    error.to_result().cast_signed()
}

#[test]
fn a_signal_for_a_thread_waits_for_its_turn() {
    let mut machine = machine(0);
    machine.value("tgkill", &[1, 2, 10]);
    assert_ne!(machine.guest.registers().rip, HANDLER);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(
        (machine.thread(), machine.guest.registers().rip),
        (2, HANDLER)
    );
    machine.fails("tkill", &[3, 10], ESRCH);
    machine.fails("tgkill", &[2, 1, 10], ESRCH);
    machine.fails("tgkill", &[0, 1, 10], EINVAL);
    machine.fails("tkill", &[int(-1), 10], EINVAL);
    machine.fails("tkill", &[1, 65], EINVAL);
}

#[test]
fn the_program_s_signals_go_to_who_does_not_block_them() {
    let mut machine = machine(0);
    block(&mut machine, 1 << 9);
    machine.value("kill", &[1, 10]);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(
        (machine.thread(), machine.guest.registers().rip),
        (2, HANDLER)
    );
}

#[test]
fn a_signal_ends_a_wait() {
    let mut machine = machine(0);
    let time = machine.words(&[100, 0]);
    let left = machine.room(16);
    machine.goes_on("nanosleep", &[time, left]);
    machine.guest.advance(std::time::Duration::from_secs(40));
    machine.value("tkill", &[1, 10]);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(
        (machine.thread(), machine.guest.registers().rip),
        (1, HANDLER)
    );
    assert_eq!(interrupted(&machine), (minus(EINTR), 0x40_3000));
    assert_eq!(machine.word(left), 60);
}

#[test]
fn a_call_is_made_anew_if_both_want_it() {
    for (flags, timeout, again) in [
        (SA_RESTART, false, true),
        (0, false, false),
        (SA_RESTART, true, false),
    ] {
        let mut machine = machine(flags);
        let word = machine.words(&[7]);
        let time = if timeout { machine.words(&[9, 0]) } else { 0 };
        machine.goes_on("futex", &[word, 0, 7, time]);
        machine.value("tkill", &[1, 10]);
        machine.goes_on("sched_yield", &[]);
        assert_eq!(
            (machine.thread(), machine.guest.registers().rip),
            (1, HANDLER)
        );
        let expected = if again {
            (202, 0x40_3000 - 2)
        } else {
            (minus(EINTR), 0x40_3000)
        };
        assert_eq!(interrupted(&machine), expected, "{flags:#x} {timeout}");
    }
}

#[test]
fn an_unhandled_signal_of_another_thread_is_the_end() {
    let mut machine = machine(0);
    machine.goes_on("pause", &[]);
    assert_eq!(machine.flow("tkill", &[1, 15]), Flow::Continue);
    assert_eq!(
        machine.flow("sched_yield", &[]),
        Flow::Signal { number: 15 }
    );
}

#[test]
fn what_is_sent_with_a_value_is_queued() {
    let mut machine = machine(0);
    block(&mut machine, 1 << 39 | 1 << 9);
    let mut info = [0; 128];
    for value in [5, 6] {
        info[8..12].copy_from_slice(&(-1_i32).to_le_bytes());
        info[24] = value;
        let at = machine.guest.put(&info);
        machine.value("rt_sigqueueinfo", &[1, 40, at]);
        machine.value("rt_tgsigqueueinfo", &[1, 1, 10, at]);
    }
    let set = machine.words(&[1 << 39 | 1 << 9]);
    let told = machine.room(128);
    let mut take = |expected: u64, value: u64| {
        assert_eq!(
            machine.value("rt_sigtimedwait", &[set, told, 0, 8]),
            expected
        );
        let info = machine.guest.bytes(told, 128);
        assert_eq!(u32_at(&info, 0), u32::try_from(expected).unwrap());
        assert_eq!(
            (u32_at(&info, 8).cast_signed(), u64_at(&info, 24)),
            (-1, value)
        );
    };
    // Of signal 10 there is one only.
    take(10, 5);
    take(40, 5);
    take(40, 6);
    let none = machine.words(&[0, 0]);
    machine.fails("rt_sigtimedwait", &[set, told, none, 8], EAGAIN);
}

#[test]
fn the_queue_has_an_end() {
    let mut machine = machine(0);
    block(&mut machine, 3 << 39);
    let limit = machine.words(&[3, 3]);
    machine.value("setrlimit", &[11, limit]);
    let mut info = [0; 128];
    info[8..12].copy_from_slice(&(-1_i32).to_le_bytes());
    let info = machine.guest.put(&info);
    for _ in 0..3 {
        machine.value("rt_sigqueueinfo", &[1, 40, info]);
    }
    machine.fails("rt_sigqueueinfo", &[1, 40, info], EAGAIN);
    machine.fails("tkill", &[1, 40], EAGAIN);
    // This is never in vain, but one signal stands for many.
    for _ in 0..1000 {
        machine.value("kill", &[1, 41]);
    }
    assert_eq!(machine.process.state().signals.pending.len(), 3);
}
