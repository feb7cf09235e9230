use std::time::Duration;

use tinykvm::{Guest, Protection};

use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EAGAIN, EINVAL};
use crate::wire::record::u32_at;

const HANDLER: u64 = 0x40_1000;
const STACK: u64 = 0x5000_0000;
const SIGALRM: u64 = 14;

/// A machine with a handler for SIGALRM.
fn machine() -> Machine {
    let mut machine = Machine::new();
    machine.guest.map_at(STACK, 0x4000, Protection::READ_WRITE);
    machine.guest.registers_mut().rsp = STACK + 0x4000;
    let action = machine.words(&[HANDLER, 0x4400_0000, 0x40_2000, 0]);
    machine.value("rt_sigaction", &[SIGALRM, action, 0, 8]);
    machine
}

fn slice(machine: &mut Machine) -> Flow {
    machine
        .process
        .time_slice(&mut machine.guest, &mut machine.host)
}

fn in_handler(machine: &mut Machine) -> bool {
    let is = machine.guest.registers().rip == HANDLER;
    machine.guest.registers_mut().rip = 0;
    machine.guest.registers_mut().rsp = STACK + 0x4000;
    is
}

#[test]
fn an_interval_timer_ticks_while_the_program_computes() {
    let mut machine = machine();
    let each = machine.words(&[0, 2000, 0, 5000]);
    machine.value("setitimer", &[0, each, 0]);
    assert_eq!(machine.guest.slice, Some(Duration::from_millis(5)));
    machine.guest.advance(Duration::from_millis(4));
    assert_eq!(slice(&mut machine), Flow::Continue);
    assert!(!in_handler(&mut machine));
    for _ in 0..3 {
        machine.guest.advance(Duration::from_millis(2));
        assert_eq!(slice(&mut machine), Flow::Continue);
        assert!(in_handler(&mut machine));
        assert!(machine.guest.slice.unwrap() <= Duration::from_millis(2));
    }
    let old = machine.room(32);
    machine.value("getitimer", &[0, old]);
    assert_eq!(
        (machine.word(old + 8), machine.word(old + 24)),
        (2000, 1000)
    );
    machine.value("setitimer", &[0, 0, old]);
    assert_eq!(machine.guest.slice, None);
    machine.guest.advance(Duration::from_secs(1));
    machine.value("getpid", &[]);
    assert!(!in_handler(&mut machine));
}

#[test]
fn a_timer_ends_a_wait() {
    let mut machine = machine();
    assert_eq!(machine.value("alarm", &[7]), 0);
    machine.goes_on("pause", &[]);
    assert_eq!(machine.host.slept, Duration::from_secs(7));
    assert!(in_handler(&mut machine));
    machine.value("alarm", &[9]);
    machine.guest.advance(Duration::from_millis(1200));
    assert_eq!(machine.value("alarm", &[0]), 8);
    assert_eq!(machine.value("alarm", &[0]), 0);
    assert_eq!(machine.flow("pause", &[]), Flow::Deadlock);
}

#[test]
fn an_unhandled_alarm_is_the_end() {
    let mut machine = Machine::new();
    machine.value("alarm", &[1]);
    let time = machine.words(&[5, 0]);
    assert_eq!(
        machine.flow("nanosleep", &[time, 0]),
        Flow::Signal { number: 14 }
    );
}

#[test]
fn posix_timers_count_what_nobody_took() {
    let mut machine = machine();
    let id = machine.room(4);
    // sigev_value, signo and notify (SIGEV_SIGNAL)
    let event = machine.words(&[77, SIGALRM, 0, 0, 0, 0, 0, 0]);
    machine.value("timer_create", &[1, event, id]);
    let id = u64::from(u32_at(&machine.guest.bytes(id, 4), 0));
    let often = machine.words(&[0, 1_000_000, 0, 1_000_000]);
    let set = machine.words(&[1 << (SIGALRM - 1)]);
    machine.value("rt_sigprocmask", &[0, set, 0, 8]);
    machine.value("timer_settime", &[id, 0, often, 0]);
    for _ in 0..3 {
        machine.guest.advance(Duration::from_micros(3500));
        machine.value("getpid", &[]);
    }
    let info = machine.room(128);
    assert_eq!(
        machine.value("rt_sigtimedwait", &[set, info, 0, 8]),
        SIGALRM
    );
    let info = machine.guest.bytes(info, 128);
    let told = [0, 8, 16, 20, 24].map(|at| u32_at(&info, at));
    assert_eq!(told, [14, (-2_i32).cast_unsigned(), 0, 9, 77]);
    let left = machine.room(32);
    machine.value("timer_gettime", &[id, left]);
    assert_eq!(
        (machine.word(left + 16), machine.word(left + 24)),
        (0, 500_000)
    );
    machine.value("timer_delete", &[id]);
    for call in ["timer_delete", "timer_getoverrun"] {
        machine.fails(call, &[id], EINVAL);
    }
}

#[test]
fn absolute_times_and_clocks() {
    let mut machine = machine();
    let id = machine.room(4);
    let wall = machine.guest.realtime().as_secs() + 3;
    let value = machine.words(&[0, 0, wall, 0]);
    machine.value("timer_create", &[0, 0, id]);
    machine.value("timer_settime", &[0, 1, value, 0]);
    machine.goes_on("pause", &[]);
    assert_eq!(machine.host.slept, Duration::from_secs(3));
    let past = machine.words(&[0, 0, 1, 0]);
    machine.goes_on("timer_settime", &[0, 1, past, 0]);
    machine.goes_on("pause", &[]);
    assert!(in_handler(&mut machine));
    machine.fails("timer_create", &[77, 0, id], EINVAL);
    let wrong = machine.words(&[0, 65, 0, 0, 0, 0, 0, 0]);
    machine.fails("timer_create", &[1, wrong, id], EINVAL);
    let nobody = machine.words(&[0, 10 | 4 << 32, 9, 0, 0, 0, 0, 0]);
    machine.fails("timer_create", &[1, nobody, id], EINVAL);
    for bad in [[0, 1_000_000, 0, 0], [u64::MAX, 0, 0, 0]] {
        let bad = machine.words(&bad);
        machine.fails("setitimer", &[0, bad, 0], EINVAL);
    }
    machine.fails("getitimer", &[3, id], EINVAL);
    machine.fails("getitimer", &[int(-1), id], EINVAL);
}

#[test]
fn timers_have_a_limit_and_none_expires_between_freeze_and_request() {
    let mut machine = machine();
    let id = machine.room(4);
    for _ in 0..super::MOST {
        machine.value("timer_create", &[1, 0, id]);
    }
    machine.fails("timer_create", &[1, 0, id], EAGAIN);
    let often = machine.words(&[0, 1_000_000, 2, 0]);
    machine.value("timer_settime", &[0, 0, often, 0]);
    machine.value("alarm", &[3]);
    machine.process.freeze(&machine.guest);
    machine.guest.advance(Duration::from_secs(3600));
    machine.process.begin_call(&mut machine.guest);
    machine.value("getpid", &[]);
    assert!(!in_handler(&mut machine));
    assert_eq!(machine.value("alarm", &[0]), 3);
}
