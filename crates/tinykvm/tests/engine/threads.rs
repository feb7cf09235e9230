//! Contexts and vector state: what switching a program's threads takes.

use std::time::Duration;

use tinykvm::{Exit, Flavour, Fork, Guest, Placement, Protection, Registers, VectorState};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("a_context_survives_another_thread", switched),
        case("exceptions_are_resumed_elsewhere", elsewhere),
        case("exceptions_are_tried_again", tried_again),
        case("pages_come_when_they_are_touched", on_demand),
        case("a_call_that_has_not_begun_can_wait", not_begun),
        case("a_thread_does_not_skip_an_out", shared_out),
        case("vector_state_that_is_none_is_a_fault", no_vector_state),
        case("contexts_are_made_harmless", odd_contexts),
        case("threads_leave_nothing_in_the_next_call", left_behind),
        case("vector_state_from_the_host_is_reset", given_vectors),
        case("a_program_may_be_frozen_in_a_system_call", frozen_in_call),
    ]
}

pub const SLICE: Duration = Duration::from_micros(500);

pub fn enter(fork: &mut Fork, name: &str, arguments: &[u64]) {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    fork.begin(BUDGET);
    fork.prepare_call(function(name));
    fork.enter(six).unwrap();
}

/// Registers of a thread at a function, on a stack of its own.
pub fn thread(fork: &mut Fork, name: &str) -> Registers {
    let place = Placement::Anywhere;
    let stack = fork.map(place, 65536, Protection::READ_WRITE).unwrap();
    Registers {
        rip: function(name),
        rsp: stack + 65536 - 8,
        rflags: 2,
        ..Registers::default()
    }
}

/// Everything that a switch takes along.
pub fn save(fork: &mut Fork) -> (Registers, VectorState) {
    (*fork.registers(), fork.vector_state())
}

pub fn load(fork: &mut Fork, (registers, vectors): &(Registers, VectorState)) {
    fork.set_context(registers);
    fork.set_vector_state(vectors);
}

/// Bytes that differ everywhere.
fn pattern(length: u32) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from(at.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect()
}

const VECTORS: usize = 512;
const GENERAL: usize = 120;

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// Checks what the program stored behind its stop; `exact`: also RCX, R11 and the flags.
fn check_stored(fork: &Fork, expected: &[u8], rax: u64, exact: bool) {
    let stored = fork
        .read_vec(function("context_out"), VECTORS + GENERAL + 16)
        .unwrap();
    assert_eq!(stored[..VECTORS], expected[..VECTORS]);
    for (index, at) in (VECTORS..VECTORS + GENERAL).step_by(8).enumerate() {
        let wanted = match index {
            0 => rax,
            _ => word(expected, at),
        };
        if exact || (index != 2 && index != 10) {
            assert_eq!(word(&stored, at), wanted, "register {index}");
        }
    }
    if exact {
        assert_eq!(word(&stored, VECTORS + GENERAL + 8) & 0x401, 0x401);
    }
}

/// Runs the other thread up to its stop and on to its answer, as the host pleases.
fn run_other(fork: &mut Fork) {
    let other = thread(fork, "other_thread");
    fork.set_context(&other);
    assert_eq!(fork.run().unwrap(), Exit::Syscall);
    assert_eq!(fork.registers().rax, 0x222);
    assert_eq!(fork.registers().rbx, u64::MAX);
    // The legacy area's XMM0.
    assert_eq!(fork.vector_state().bytes()[160..176], [0xff; 16]);
}

fn switched() {
    let mut fork = fork();
    for round in 0..3 {
        for name in [
            "context_syscall",
            "context_out_port",
            "context_fault",
            "context_spin",
        ] {
            let values = pattern(u32::try_from(VECTORS + GENERAL).unwrap());
            let slice = (name == "context_spin").then_some(SLICE);
            enter(&mut fork, name, &[]);
            fork.write(function("context_in"), &values).unwrap();
            fork.set_time_slice(slice);
            let exit = fork.run().unwrap();
            let (mut registers, vectors) = save(&mut fork);
            let mut rax = word(&values, VECTORS);
            match exit {
                Exit::Exception(e) => {
                    assert_eq!((e.vector, e.registers), (6, registers));
                    registers.rip += 2;
                }
                Exit::TimeSlice => assert_eq!(name, "context_spin"),
                Exit::Syscall => {
                    registers.rcx = word(&values, VECTORS + 16);
                    registers.r11 = word(&values, VECTORS + 80);
                    registers.rax = 5;
                    rax = 5;
                }
                Exit::Hypercall { .. } => {}
                other => panic!("{name}: {other:x?}"),
            }
            fork.set_time_slice(None);
            run_other(&mut fork);
            load(&mut fork, &(registers, vectors.clone()));
            assert_eq!(fork.vector_state(), vectors);
            fork.write(function("released"), &[1]).unwrap();
            assert_eq!(
                fork.run().unwrap(),
                Exit::Hypercall { number: ANSWER },
                "{name} {round}"
            );
            check_stored(&fork, &values, rax, name != "context_spin");
            // Without the other thread's stop in between it is the same.
            fork.reset().unwrap();
        }
    }
}

fn elsewhere() {
    let mut fork = fork();
    for (name, vector) in [
        ("fault_read", 14),
        ("fault_undefined", 6),
        ("fault_divide", 0),
        ("fault_breakpoint", 3),
    ] {
        for _ in 0..3 {
            let exit = call(&mut fork, name, &[0]);
            let Exit::Exception(exception) = exit else {
                panic!("{name}: {exit:x?}")
            };
            assert_eq!(exception.vector, vector);
            assert_eq!(*fork.registers(), exception.registers);
            let recovered = thread(&mut fork, "recovered");
            fork.set_context(&recovered);
            assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
            assert_eq!(fork.registers().rdi, 99);
            fork.reset().unwrap();
        }
    }
}

fn tried_again() {
    let mut fork = fork();
    let valid = function("constant");
    for (name, change, answer) in [
        ("fault_read", Some(valid), 5),
        ("fault_divide", Some(10), 5),
        ("fault_breakpoint", None, 8),
    ] {
        for _ in 0..3 {
            assert!(matches!(call(&mut fork, name, &[0]), Exit::Exception(_)));
            // Unchanged it faults again, except behind a breakpoint.
            if let Some(change) = change {
                assert!(matches!(fork.run().unwrap(), Exit::Exception(_)), "{name}");
                fork.registers_mut().rdi = change;
            }
            assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
            assert_eq!(fork.registers().rdi, answer, "{name}");
            fork.reset().unwrap();
        }
    }
}

fn on_demand() {
    let mut fork = fork();
    for _ in 0..3 {
        let base = 0x1_0000_0000;
        let mut exit = call(&mut fork, "pages", &[base, 10]);
        for page in 0..10 {
            let Exit::Exception(exception) = exit else {
                panic!("{exit:x?}")
            };
            assert_eq!(
                (exception.vector, exception.address),
                (14, base + page * 4096)
            );
            let place = Placement::FixedFree(base + page * 4096);
            fork.map(place, 4096, Protection::READ_WRITE).unwrap();
            fork.write(base + page * 4096, &[1]).unwrap();
            exit = fork.run().unwrap();
        }
        assert_eq!(exit, Exit::Hypercall { number: ANSWER });
        assert_eq!(fork.registers().rdi, 10);
        fork.reset().unwrap();
    }
}

/// What an earlier call left must not be seen by a thread that runs before the call's own, neither
/// with vector state of its own nor without.
fn not_begun() {
    let mut fork = fork();
    for (plant, argument, probe) in [
        ("plant_vectors", 0, "probe_vectors"),
        ("plant_segments", 0x2b, "probe_segments"),
    ] {
        let clean = ask(&mut fork, probe, &[]);
        for (resumed, own) in [(false, false), (false, true), (true, false), (true, true)] {
            fork.reset().unwrap();
            call(&mut fork, plant, &[argument]);
            fork.reset().unwrap();
            enter(&mut fork, "frozen_vector", &[]);
            if resumed {
                fork.prepare_resume();
            }
            let before = save(&mut fork);
            let other = thread(&mut fork, probe);
            fork.set_context(&other);
            if own {
                fork.set_vector_state(&before.1);
            }
            assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
            let found = fork.registers();
            assert_eq!([found.rdi, found.rsi, found.rdx], clean, "{probe}");
            load(&mut fork, &before);
            run_other(&mut fork);
            load(&mut fork, &before);
            assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
            let expected = if resumed { 0x123_4567 } else { u64::MAX };
            assert_eq!(
                fork.registers().rdi,
                expected,
                "the call has the state of the freeze"
            );
        }
        fork.reset().unwrap();
    }
}

fn shared_out() {
    let mut fork = fork();
    let mut one = thread(&mut fork, "shared_out");
    let mut other = one;
    (one.rax, other.rax) = (0x71, 0x72);
    fork.begin(BUDGET);
    fork.prepare_call(function("count"));
    fork.enter([0; 6]).unwrap();
    for thread in [one, other, one] {
        fork.set_context(&thread);
        let number = u32::try_from(thread.rax).unwrap();
        assert_eq!(fork.run().unwrap(), Exit::Hypercall { number });
    }
    assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
    assert_eq!(fork.registers().rdi, 0x71);
}

fn no_vector_state() {
    let mut fork = fork();
    enter(&mut fork, "context_syscall", &[]);
    assert_eq!(fork.run().unwrap(), Exit::Syscall);
    let good = fork.vector_state();
    let mut header = good.bytes().to_vec();
    header[520..528].fill(0xff); // XCOMP_BV
    let mut mxcsr = good.bytes().to_vec();
    mxcsr[24..28].fill(0xff);
    let wanted = thread(&mut fork, "recovered");
    for bad in [header, mxcsr] {
        fork.set_context(&wanted);
        fork.set_vector_state(&VectorState::new(&bad));
        let exit = fork.run().unwrap();
        let Exit::Exception(exception) = exit else {
            panic!("{exit:x?}")
        };
        assert_eq!(
            (exception.vector, exception.registers.rip),
            (13, wanted.rip)
        );
        assert_eq!(exception.registers.rsp, wanted.rsp);
        let state = fork.vector_state();
        assert_eq!(state.bytes().len(), good.bytes().len());
        fork.set_vector_state(&good);
        fork.set_context(&wanted);
        assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
        assert_eq!(fork.registers().rdi, 99);
    }
    // Too short is the initial state, too long is cut.
    for length in [0, 1, 511, 600, 20_000] {
        let mut bytes = good.bytes().to_vec();
        bytes.resize(length, 0);
        fork.set_vector_state(&VectorState::new(&bytes));
        fork.set_context(&wanted);
        let exit = go_on(&mut fork);
        assert!(matches!(
            exit,
            Exit::Hypercall { number: ANSWER } | Exit::Exception(_)
        ));
    }
}

fn odd_contexts() {
    let mut fork = fork();
    let good = thread(&mut fork, "recovered");
    for stop in ["context_syscall", "context_fault", "context_out_port"] {
        enter(&mut fork, stop, &[]);
        fork.run().unwrap();
        for rip in [1 << 47, u64::MAX, 1 << 63, (1 << 47) + 4096] {
            fork.set_context(&Registers { rip, ..good });
            let exit = fork.run().unwrap();
            assert!(matches!(exit, Exit::Exception(e) if e.vector == 13 && e.registers.rip == rip));
        }
        for flag in 0..64 {
            let rflags = 2 | 1 << flag;
            fork.set_context(&Registers { rflags, ..good });
            let exit = go_on(&mut fork);
            assert_eq!(exit, Exit::Hypercall { number: ANSWER }, "flag {flag}");
            assert_eq!(fork.registers().rdi, 99);
        }
        for rsp in [0, 1 << 47, 1 << 63, u64::MAX, 0x7fff_ff80_6800] {
            let push = Registers {
                rsp,
                rip: function("fault_push"),
                ..good
            };
            fork.set_context(&push);
            let exit = fork.run().unwrap();
            assert!(
                matches!(exit, Exit::Exception(e) if matches!(e.vector, 12..=14)),
                "{exit:x?}"
            );
            assert_eq!(fork.registers().rsp, rsp);
        }
        fork.set_context(&good);
        assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        fork.reset().unwrap();
    }
}

const HOST_PAGE_SWITCH: u64 = 0x7fff_ff82_0000 + 1024;
pub const VECTOR_AREA: u64 = 0x7fff_ff81_8000;

fn left_behind() {
    let mut fork = fork();
    let pvm = tinykvm::Engine::get().unwrap().flavour() == Flavour::Pvm;
    for rebuilt in [false, true] {
        enter(&mut fork, "context_syscall", &[]);
        let values = pattern(u32::try_from(VECTORS + GENERAL).unwrap());
        fork.write(function("context_in"), &values).unwrap();
        fork.set_time_slice(Some(BUDGET));
        assert_eq!(fork.run().unwrap(), Exit::Syscall);
        let one = save(&mut fork);
        run_other(&mut fork);
        load(&mut fork, &one);
        assert_eq!(fork.run().unwrap(), Exit::Hypercall { number: ANSWER });
        if pvm {
            assert_ne!(ask(&mut fork, "or_of", &[HOST_PAGE_SWITCH, 5])[0], 0);
            assert_ne!(ask(&mut fork, "or_of", &[VECTOR_AREA, 512])[0], 0);
        }
        fork.set_time_slice(Some(SLICE));
        if rebuilt {
            fork.rebuild().unwrap();
        } else {
            fork.reset().unwrap();
        }
        let (ioctls, runs) = (tinykvm::ioctl_count(), fork.vcpu_runs());
        assert_eq!(ask(&mut fork, "or_of", &[HOST_PAGE_SWITCH, 5])[0], 0);
        if pvm {
            assert_eq!(ask(&mut fork, "or_of", &[VECTOR_AREA, 512])[0], 0);
        }
        assert_eq!(fork.vcpu_runs() - runs, tinykvm::ioctl_count() - ioctls);
        fork.reset().unwrap();
        // Before a call begins, what the vCPU has is the last one's.
        let frozen = fork.vector_state();
        ask(&mut fork, "plant_vectors", &[]);
        fork.reset().unwrap();
        assert_eq!(fork.vector_state(), frozen);
        // No slice, however long it takes.
        let exit = call_within(&mut fork, "forever", &[], SLICE * 20);
        assert_eq!(exit, Exit::Deadline);
        fork.rebuild().unwrap();
    }
}

fn given_vectors() {
    if tinykvm::Engine::get().unwrap().flavour() != Flavour::Pvm {
        return; // There is no such area.
    }
    for reset in [false, true] {
        // A page that an earlier call read may be in the set to copy back already.
        let mut fork = fork();
        enter(&mut fork, "count", &[]);
        let state = fork.vector_state();
        fork.set_vector_state(&state);
        if reset {
            fork.reset().unwrap();
        }
        let found = ask(&mut fork, "or_of", &[VECTOR_AREA, 512])[0];
        assert_eq!(found == 0, reset, "{found:#x}");
    }
}

fn frozen_in_call() {
    let options = tinykvm::BootOptions {
        image: image(),
        interpreter: None,
        limits: tinykvm::Limits::default(),
        vdso: None,
    };
    let mut boot = tinykvm::Booting::new(tinykvm::Engine::get().unwrap(), &options).unwrap();
    boot.start(function("context_syscall"), boot.loaded().stack_top - 8);
    let values = pattern(u32::try_from(VECTORS + GENERAL).unwrap());
    boot.write(function("context_in"), &values).unwrap();
    assert_eq!(boot.run(BUDGET).unwrap(), Exit::Syscall);
    boot.registers_mut().rax = 5;
    let template = std::sync::Arc::new(boot.freeze().unwrap());
    let mut fork = template.fork().unwrap();
    for _ in 0..3 {
        fork.begin(BUDGET);
        fork.prepare_resume();
        assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
        check_stored(&fork, &values, 5, false);
        fork.reset().unwrap();
        let segments = ask(&mut fork, "probe_segments", &[]);
        assert_eq!(segments[1] & 3, 3, "ring 3");
        fork.reset().unwrap();
    }
}
