use std::io::{Write, pipe};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tinykvm::{Guest, Segment, VectorState};

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::host::Flow;
use crate::process::block::{Attempt, Block, HostPoll};
use crate::run::table::{Access, Call};
use crate::tests::Machine;

/// `POLLIN` in asm-generic/poll.h.
const POLLIN: u16 = 1;

/// A call that has an answer when it is made again.
pub(super) static LATER: Call = Call {
    number: 500,
    name: "later",
    handler: later,
    access: Access::None,
};

fn later(context: &mut Context<'_>) -> Answer {
    Ok(if context.timed_out() { 70 } else { 7 })
}

/// Parks the current thread in [`LATER`].
fn park(machine: &mut Machine, block: Block) -> Flow {
    let Machine {
        guest,
        process,
        host,
    } = machine;
    let attempt = Attempt {
        deadline: block.until,
        ..Attempt::default()
    };
    let answer = Err(Failure::Block(block));
    let turn = process.conclude(guest, &LATER, attempt, 0, answer);
    process.proceed(guest, host, turn.unwrap())
}

fn reader() -> (Block, std::io::PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let host = vec![HostPoll {
        descriptor: Arc::new(OwnedFd::from(reader)),
        events: POLLIN,
    }];
    let block = Block {
        host,
        ..Block::event(None)
    };
    (block, writer)
}

#[test]
fn while_nobody_can_run_the_host_waits() {
    let mut machine = Machine::new();
    let until = Duration::from_secs(1007);
    assert_eq!(park(&mut machine, Block::sleep(until)), Flow::Continue);
    assert_eq!(machine.guest.result(), 70);
    assert_eq!(machine.host.slept, Duration::from_secs(7));
    machine.host.budget = Some(Duration::from_secs(10));
    assert_eq!(park(&mut machine, Block::sleep(until)), Flow::Deadline);
    assert_eq!(
        park(&mut Machine::new(), Block::event(None)),
        Flow::Deadlock
    );
}

#[test]
fn host_descriptors_are_waited_for_within_the_budget() {
    let mut machine = Machine::new();
    let (mut block, mut writer) = reader();
    machine.guest.left = Duration::from_millis(5);
    assert_eq!(park(&mut machine, block.clone()), Flow::Deadline);
    machine.guest.left = Duration::from_secs(60);
    block.until = Some(Duration::from_secs(1000));
    assert_eq!(park(&mut machine, block.clone()), Flow::Continue);
    assert_eq!(machine.guest.result(), 70);
    block.until = None;
    writer.write_all(b"!").unwrap();
    assert_eq!(park(&mut machine, block.clone()), Flow::Continue);
    assert_eq!(machine.guest.result(), 7);
    machine.host.budget = Some(Duration::ZERO);
    machine.host.slept = Duration::from_secs(1);
    let (block, _writer) = reader();
    assert_eq!(park(&mut machine, block), Flow::Deadline);
}

#[test]
fn a_host_descriptor_wakes_while_others_run() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    let (block, mut writer) = reader();
    assert_eq!(park(&mut machine, block), Flow::Continue);
    assert_eq!(machine.thread(), other);
    assert_eq!(
        machine.guest.slice,
        Some(crate::run::scheduler::SLICE),
        "to look again"
    );
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), other);
    writer.write_all(b"!").unwrap();
    machine.goes_on("sched_yield", &[]);
    assert_eq!((machine.thread(), machine.guest.result()), (1, 7));
}

#[test]
fn turns_are_first_come_first_served() {
    let mut machine = Machine::new();
    let (second, third) = (machine.spawn(), machine.spawn());
    assert_eq!(machine.thread(), 1, "a new thread waits for its turn");
    let mut order = Vec::new();
    for _ in 0..6 {
        machine.goes_on("sched_yield", &[]);
        order.push(machine.thread());
    }
    assert_eq!(order, [second, third, 1, second, third, 1]);
}

#[test]
fn a_switch_keeps_registers_tls_and_vectors() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    let vectors = |byte| VectorState::new(&[byte; 576]);
    machine.guest.set_segment_base(Segment::Fs, 0x1000);
    machine.guest.set_vector_state(&vectors(1));
    machine.guest.registers_mut().rbx = 11;
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), other);
    let registers = *machine.guest.registers();
    assert_eq!((registers.rax, registers.rbx), (0, 0));
    assert_eq!(machine.guest.segment_base(Segment::Fs), 0);
    assert_eq!(machine.guest.vector_state(), vectors(0));
    machine.guest.set_segment_base(Segment::Fs, 0x2000);
    machine.guest.set_vector_state(&vectors(2));
    machine.guest.registers_mut().rbx = 22;
    let parked = *machine.guest.registers();
    // In the middle of its code: every register counts.
    machine.guest.advance(crate::run::scheduler::SLICE);
    let Machine {
        guest,
        process,
        host,
    } = &mut machine;
    assert_eq!(process.time_slice(guest, host), Flow::Continue);
    assert_eq!(machine.thread(), 1);
    assert_eq!(machine.guest.registers().rbx, 11);
    assert_eq!(machine.guest.segment_base(Segment::Fs), 0x1000);
    assert_eq!(machine.guest.vector_state(), vectors(1));
    machine.goes_on("sched_yield", &[]);
    assert_eq!(*machine.guest.registers(), parked);
    assert_eq!(machine.guest.vector_state(), vectors(2));
}

#[test]
fn slices_are_for_those_who_share() {
    let mut machine = Machine::new();
    machine.value("getpid", &[]);
    assert_eq!(machine.guest.slice, None);
    let other = machine.spawn();
    assert_eq!(machine.guest.slice, Some(crate::run::scheduler::SLICE));
    machine.guest.advance(Duration::from_millis(1));
    machine.value("getpid", &[]);
    assert_eq!(
        machine.guest.slice,
        Some(crate::run::scheduler::SLICE * 3 / 4)
    );
    // Calls do not prolong it.
    machine.guest.advance(Duration::from_millis(3));
    machine.goes_on("getpid", &[]);
    assert_eq!(machine.thread(), other);
    machine.goes_on("exit", &[0]);
    assert_eq!((machine.thread(), machine.guest.slice), (1, None));
    // A sleeper is woken in time although somebody computes.
    machine.spawn();
    let time = machine.words(&[0, 700_000]);
    machine.goes_on("nanosleep", &[time, 0]);
    assert_eq!(machine.guest.slice, Some(Duration::from_micros(700)));
    machine.guest.advance(Duration::from_micros(700));
    let Machine {
        guest,
        process,
        host,
    } = &mut machine;
    assert_eq!(process.time_slice(guest, host), Flow::Continue);
    assert_eq!((machine.thread(), machine.host.slept), (1, Duration::ZERO));
}

#[test]
fn a_change_makes_waiting_calls_again() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    assert_eq!(park(&mut machine, Block::event(None)), Flow::Continue);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), other);
    machine.process.state_mut().changed();
    machine.goes_on("sched_yield", &[]);
    assert_eq!((machine.thread(), machine.guest.result()), (1, 7));
    assert_eq!(
        park(&mut machine, Block::sleep(Duration::from_secs(2000))),
        Flow::Continue
    );
    machine.process.state_mut().changed();
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), other, "this one waits for its time only");
}

#[test]
fn a_request_finds_its_thread() {
    let mut machine = Machine::new();
    let other = machine.spawn();
    machine.process.freeze(&machine.guest);
    let template = machine.process.clone();
    machine.guest.advance(Duration::from_secs(60));
    for _ in 0..2 {
        machine.process.reset_from(&template);
        machine.process.begin_call(&mut machine.guest);
        assert_eq!(
            (machine.thread(), machine.guest.slice),
            (1, Some(crate::run::scheduler::SLICE))
        );
        machine.goes_on("sched_yield", &[]);
        assert_eq!(machine.thread(), other);
    }
    // The state is kept: the thread that answered goes on after the next one's turn.
    machine.process.begin_call(&mut machine.guest);
    assert_eq!(machine.thread(), 1);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), other);
    // It failed: the error callback is called in the thread of requests, and it does not run again.
    machine.process.failed();
    machine.process.begin_call(&mut machine.guest);
    assert_eq!(machine.thread(), 1);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), 1);
}

#[test]
fn no_time_passes_between_freeze_and_request() {
    let mut machine = Machine::new();
    machine.spawn();
    let time = machine.words(&[5, 0]);
    machine.goes_on("nanosleep", &[time, 0]);
    machine.process.freeze(&machine.guest);
    machine.guest.advance(Duration::from_secs(3600));
    machine.process.begin_call(&mut machine.guest);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), 2, "the sleeper sleeps on");
    machine.guest.advance(Duration::from_secs(5));
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), 1);
}

#[test]
fn a_call_after_a_deadline_is_a_new_one() {
    let mut machine = Machine::new();
    machine.host.budget = Some(Duration::ZERO);
    let time = machine.words(&[5, 0]);
    assert_eq!(machine.flow("nanosleep", &[time, 0]), Flow::Deadline);
    assert_eq!(machine.value("getpid", &[]), 1);
}
