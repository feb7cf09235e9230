//! Time slices: the preemption of a program's threads.

use std::time::{Duration, Instant};

use tinykvm::{Exit, Fork, Guest};
use tinykvm_testkit::harness::Case;

use super::support::*;
use super::threads::{SLICE, enter, load, save, thread};

pub fn cases() -> Vec<Case> {
    vec![
        case("threads_are_preempted_and_compute_right", preempted),
        case("a_slice_ends_over_system_calls", over_calls),
        case("a_slice_ends_while_the_host_works", over_host_work),
        case("a_fault_of_one_thread_is_not_anothers", own_faults),
        case("a_slice_ends_in_time_after_a_pause", after_a_pause),
        case("a_deadline_ends_a_sliced_call", sliced_deadline),
        case("a_program_that_boots_is_preempted", while_booting),
        case("slices_are_as_at_the_freeze", frozen_slices),
    ]
}

/// Two threads that compute the same, switched at each slice. Returns the number of slices.
fn race(fork: &mut Fork, steps: u64) -> u32 {
    fork.begin(BUDGET * 6);
    fork.prepare_call(function("spin_sum"));
    fork.enter([steps, 0, 0, 0, 0, 0]).unwrap();
    let first = save(fork);
    let mut other = thread(fork, "spin_sum");
    other.rdi = steps;
    let mut waiting = vec![(other, first.1.clone())];
    load(fork, &first);
    fork.set_time_slice(Some(SLICE));
    let mut slices = 0;
    loop {
        match fork.run().unwrap() {
            Exit::TimeSlice => {
                slices += 1;
                waiting.insert(0, save(fork));
            }
            Exit::Hypercall { number: ANSWER } => {
                let registers = fork.registers();
                assert_eq!(
                    (registers.rdi, registers.rsi, registers.rdx),
                    (steps, (1..=steps).fold(0, u64::wrapping_add), 0)
                );
            }
            other => panic!("{other:x?}"),
        }
        match waiting.pop() {
            Some(next) => load(fork, &next),
            None => return slices,
        }
    }
}

fn preempted() {
    let mut fork = fork();
    let mut steps = 1 << 16;
    // As many steps as take long enough here.
    let wanted = if emulated() { 20 } else { 1000 };
    loop {
        let slices = race(&mut fork, steps);
        fork.reset().unwrap();
        if slices >= wanted {
            break;
        }
        steps *= if slices > wanted / 4 { 2 } else { 4 };
    }
    assert_eq!(ask(&mut fork, "count", &[])[0], 8);
}

/// A program that mostly makes system calls is preempted all the same.
fn over_calls() {
    let mut fork = fork();
    enter(&mut fork, "calls", &[1_000_000]);
    fork.set_time_slice(Some(Duration::from_millis(5)));
    let mut calls = 0;
    let mut slices = 0;
    while slices < 3 {
        match fork.run().unwrap() {
            Exit::Syscall => calls += 1,
            Exit::TimeSlice => slices += 1,
            other => panic!("{other:x?}"),
        }
    }
    assert!(calls > 3, "{calls}");
}

fn sliced_deadline() {
    let mut fork = fork();
    for budget in [0, 100, 500, 1000, 5000] {
        fork.begin(Duration::from_micros(budget));
        fork.prepare_call(function("forever"));
        fork.enter([0; 6]).unwrap();
        fork.set_time_slice(Some(SLICE));
        let start = Instant::now();
        loop {
            match fork.run().unwrap() {
                Exit::TimeSlice => {}
                Exit::Deadline => break,
                other => panic!("{other:x?}"),
            }
            assert!(start.elapsed() < BUDGET, "{budget}");
        }
        fork.rebuild().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        fork.reset().unwrap();
    }
}

fn over_host_work() {
    let mut fork = fork();
    enter(&mut fork, "calls", &[10]);
    fork.set_time_slice(Some(BUDGET));
    assert_eq!(fork.run().unwrap(), Exit::Syscall);
    fork.set_time_slice(Some(Duration::from_millis(20)));
    let exit = fork.run().unwrap();
    if exit == Exit::Syscall {
        std::thread::sleep(Duration::from_millis(25));
        let (runs, registers) = (fork.vcpu_runs(), *fork.registers());
        assert_eq!(fork.run().unwrap(), Exit::TimeSlice);
        assert_eq!(fork.vcpu_runs(), runs);
        assert_eq!(fork.registers().rip, registers.rip);
    }
    fork.set_time_slice(None);
    assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
    assert_eq!(fork.registers().rdi, 10);
}

/// KVM may hold an exception that it did not deliver yet when a slice ends.
fn own_faults() {
    let mut fork = fork();
    enter(&mut fork, "forever", &[]);
    let mut waiting = save(&mut fork);
    let faulting = thread(&mut fork, "fault_loop");
    fork.set_context(&faulting);
    let mut faults = true;
    fork.set_time_slice(Some(SLICE));
    let mut slices = if emulated() { 40 } else { 800 };
    while slices > 0 {
        match fork.run().unwrap() {
            Exit::Exception(exception) => {
                assert!(faults, "{exception}");
                fork.registers_mut().rip += 2;
            }
            Exit::TimeSlice => {
                let now = save(&mut fork);
                load(&mut fork, &waiting);
                waiting = now;
                faults = !faults;
                slices -= 1;
            }
            other => panic!("{other:x?}"),
        }
    }
}

/// The watchdog does not wake up for the slices of programs that have none for a while.
fn after_a_pause() {
    let mut fork = fork();
    for _ in 0..3 {
        enter(&mut fork, "forever", &[]);
        fork.set_time_slice(Some(SLICE));
        let start = Instant::now();
        assert_eq!(fork.run().unwrap(), Exit::TimeSlice);
        assert!(start.elapsed() < BUDGET / 10, "{:?}", start.elapsed());
        fork.reset().unwrap();
        std::thread::sleep(SLICE * 300);
    }
}

fn while_booting() {
    let mut boot = boot(tinykvm::Limits::default());
    boot.start(function("forever"), boot.loaded().stack_top - 8);
    boot.set_time_slice(Some(SLICE));
    let budget = SLICE * 400;
    for _ in 0..3 {
        assert_eq!(boot.run(budget).unwrap(), Exit::TimeSlice);
        assert_eq!(boot.registers().rip, function("forever"));
    }
    boot.set_time_slice(None);
    assert_eq!(boot.run(SLICE * 10).unwrap(), Exit::Deadline);
}

fn frozen_slices() {
    let mut boot = boot(tinykvm::Limits::default());
    boot.set_time_slice(Some(SLICE));
    let template = std::sync::Arc::new(boot.freeze().unwrap());
    let mut fork = template.fork().unwrap();
    for _ in 0..3 {
        enter(&mut fork, "forever", &[]);
        assert_eq!(fork.run().unwrap(), Exit::TimeSlice);
        assert_eq!(fork.run().unwrap(), Exit::TimeSlice);
        fork.set_time_slice(None);
        fork.reset().unwrap();
    }
}
