use std::time::Duration;

use tinykvm::{Guest, Protection};

use crate::host::Flow;
use crate::tests::Machine;
use crate::wire::errno::{EAGAIN, EINTR, EINVAL};

const HANDLER: u64 = 0x40_1000;
const STACK: u64 = 0x5000_0000;

fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.guest.map_at(STACK, 0x4000, Protection::READ_WRITE);
    machine.guest.registers_mut().rsp = STACK + 0x4000;
    let action = machine.words(&[HANDLER, 0x0400_0000, 0x40_2000, 0]);
    machine.value("rt_sigaction", &[10, action, 0, 8]);
    machine
}

fn block(machine: &mut Machine, set: u64) {
    let set = machine.words(&[set]);
    machine.value("rt_sigprocmask", &[2, set, 0, 8]);
}

#[test]
fn suspending_swaps_the_mask_for_the_wait() {
    let mut machine = machine();
    block(&mut machine, 1 << 9);
    machine.value("kill", &[1, 10]);
    let mask = machine.words(&[1 << 11]);
    machine.goes_on("rt_sigsuspend", &[mask, 8]);
    assert_eq!(machine.guest.registers().rip, HANDLER);
    let inside = machine.process.state().thread().signals.blocked;
    assert_eq!(
        inside,
        1 << 11 | 1 << 9,
        "of the wait, and the signal's own"
    );
    let context = machine.guest.registers().rdx;
    assert_eq!(
        machine.word(context + 296),
        1 << 9,
        "goes back to the old one"
    );
    assert_eq!(machine.word(context + 40 + 8 * 13), EINTR.to_result());
    machine.fails("rt_sigsuspend", &[mask, 4], EINVAL);
}

#[test]
fn a_mask_of_a_poll_ends_with_it() {
    let mut machine = machine();
    block(&mut machine, 1 << 9);
    let (mask, time) = (machine.words(&[0]), machine.words(&[0, 1]));
    assert_eq!(machine.value("ppoll", &[0, 0, time, mask, 8]), 0);
    assert_eq!(machine.process.state().thread().signals.blocked, 1 << 9);
    machine.value("kill", &[1, 10]);
    machine.goes_on("ppoll", &[0, 0, 0, mask, 8]);
    assert_eq!(machine.guest.registers().rip, HANDLER);
}

#[test]
fn nothing_to_wait_for_is_a_deadlock() {
    assert_eq!(machine().flow("pause", &[]), Flow::Deadlock);
    let set = machine().words(&[1 << 9]);
    let mut machine = machine();
    machine.words(&[1 << 9]);
    assert_eq!(
        machine.flow("rt_sigtimedwait", &[set, 0, 0, 8]),
        Flow::Deadlock
    );
}

#[test]
fn a_signal_of_the_set_is_taken_when_it_comes() {
    let mut machine = machine();
    block(&mut machine, 1 << 9);
    machine.value("clone", &[crate::tests::THREAD, STACK + 0x1000, 0, 0, 0]);
    let set = machine.words(&[1 << 9]);
    machine.goes_on("rt_sigtimedwait", &[set, 0, 0, 8]);
    assert_eq!(machine.thread(), 2);
    machine.value("kill", &[1, 10]);
    machine.goes_on("sched_yield", &[]);
    assert_eq!((machine.thread(), machine.guest.result()), (1, 10));
}

#[test]
fn a_timeout_is_kept() {
    let mut machine = machine();
    let (set, time) = (machine.words(&[1 << 9]), machine.words(&[3, 0]));
    machine.fails("rt_sigtimedwait", &[set, 0, time, 8], EAGAIN);
    assert_eq!(machine.host.slept, Duration::from_secs(3));
}
