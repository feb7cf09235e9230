//! System calls that the guest answers itself.

use tinykvm::{Exit, Flavour, Fork, Guest, MOST_ANSWERS};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("known_answers_take_no_exit", known),
        case("answers_keep_registers_and_flags", flags),
        case("answers_are_replaced_and_outlive_a_reset", replaced),
        case("only_known_calls_are_answered", others),
    ]
}

const NUMBER: u32 = 39;
const VALUE: u64 = 0x8877_6655_4433_2211;
/// Carry, parity, adjust, zero, sign, overflow.
const ARITHMETIC: [u64; 6] = [1, 4, 0x10, 0x40, 0x80, 0x800];
const DIRECTION: u64 = 0x400;
const ALIGNMENT: u64 = 0x4_0000;
/// All flags that the program of this test sets.
const SET: u64 = 0x4_0cd5;

/// Makes one system call and returns its result, the flags behind it, and what else is not as it
/// should be: RCX, R11.
fn made(fork: &mut Fork, number: u64, flags: u64) -> [u64; 3] {
    ask(fork, "answered", &[flags | 2, number])
}

/// Every combination of the arithmetic flags.
fn combinations() -> impl Iterator<Item = u64> {
    (0..1 << ARITHMETIC.len()).map(|bits: u64| {
        let chosen = ARITHMETIC.iter().enumerate();
        chosen
            .filter(|(at, _)| bits >> at & 1 == 1)
            .map(|(_, flag)| flag)
            .sum()
    })
}

fn known() {
    let mut fork = fork();
    fork.set_answers(&[(NUMBER, VALUE)]);
    let runs = fork.vcpu_runs();
    for _ in 0..3 {
        assert_eq!(made(&mut fork, NUMBER.into(), 0)[0], VALUE);
        fork.reset().unwrap();
    }
    assert_eq!(
        fork.vcpu_runs() - runs,
        3,
        "one run for each call of the function"
    );
}

fn flags() {
    let mut fork = fork();
    fork.set_answers(&[(NUMBER, VALUE)]);
    for flags in combinations().flat_map(|flags| [flags, flags | DIRECTION, flags | ALIGNMENT]) {
        fork.begin(BUDGET);
        let asked = flags & (DIRECTION | ALIGNMENT) != 0;
        if asked && tinykvm::Engine::get().unwrap().flavour() == Flavour::Pvm {
            // The stub can't give such flags back: the host does.
            fork.prepare_call(function("answered"));
            fork.enter([flags | 2, NUMBER.into(), 0, 0, 0, 0]).unwrap();
            assert_eq!(fork.run().unwrap(), Exit::Syscall);
            fork.registers_mut().rax = VALUE;
            assert_eq!(fork.run().unwrap(), Exit::Hypercall { number: ANSWER });
            let registers = fork.registers();
            assert_eq!((registers.rdi, registers.rsi & SET), (VALUE, flags));
        } else {
            let [value, after, wrong] = made(&mut fork, NUMBER.into(), flags);
            assert_eq!((value, after & SET, wrong), (VALUE, flags, 0), "{flags:#x}");
        }
        fork.reset().unwrap();
    }
}

fn replaced() {
    let mut fork = fork();
    let all: Vec<_> = (0_u32..)
        .take(MOST_ANSWERS)
        .map(|at| (100 + at, u64::from(at)))
        .collect();
    fork.set_answers(&all);
    for (number, value) in &all {
        assert_eq!(made(&mut fork, (*number).into(), 0)[0], *value);
        fork.reset().unwrap();
    }
    fork.set_answers(&[(NUMBER, VALUE)]);
    let unknown = 38_u64.wrapping_neg();
    assert_eq!(made(&mut fork, 100, 0)[0], unknown);
    fork.reset().unwrap();
    assert_eq!(made(&mut fork, NUMBER.into(), 0)[0], VALUE);
    fork.set_answers(&[]);
    fork.reset().unwrap();
    assert_eq!(made(&mut fork, NUMBER.into(), 0)[0], unknown);
    // As many as there is room for, and no more.
    let more: Vec<_> = (0_u32..)
        .take(MOST_ANSWERS + 1)
        .map(|at| (100 + at, 5))
        .collect();
    fork.set_answers(&more);
    fork.reset().unwrap();
    assert_eq!(made(&mut fork, 100 + MOST_ANSWERS as u64, 0)[0], unknown);
}

fn others() {
    let mut fork = fork();
    fork.set_answers(&[(NUMBER, VALUE)]);
    let unknown = 38_u64.wrapping_neg();
    for number in [
        0,
        1,
        38,
        40,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        u64::MAX,
    ] {
        assert_eq!(made(&mut fork, number, 0)[0], unknown, "{number:#x}");
        fork.reset().unwrap();
    }
    // The number is the lower half of RAX.
    assert_eq!(made(&mut fork, 1 << 32 | u64::from(NUMBER), 0)[0], VALUE);
}
