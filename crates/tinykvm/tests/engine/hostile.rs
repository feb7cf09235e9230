//! What a guest may try against the host. Afterwards the host must be as well as before.

use std::time::Duration;

use tinykvm::{Exit, Flavour, Guest};
use tinykvm_testkit::harness::Case;

use super::support::*;
use super::threads::{SLICE, VECTOR_AREA, enter, thread};

pub fn cases() -> Vec<Case> {
    vec![
        case("other_ports_are_ignored", other_ports),
        case("reads_of_ports_give_zero", in_ports),
        case("forged_exceptions_are_exceptions", forged_exceptions),
        case("forged_system_calls_do_no_harm", forged_system_calls),
        case("a_return_to_nowhere_is_a_fault", return_to_nowhere),
        case("software_interrupts_are_faults", interrupts),
        case("no_other_mode_reaches_the_hosts_kernel", legacy_modes),
        case("odd_flags_do_no_harm", flags),
        case("random_switches_do_no_harm", random_switches),
        case("the_vector_area_is_the_guests_own_risk", hostile_area),
        case("forged_stops_of_threads_do_no_harm", forged),
        case(
            "denying_all_protection_keys_hurts_only_the_guest",
            protection_keys,
        ),
    ]
}

fn still_well(fork: &mut tinykvm::Fork) {
    fork.reset().unwrap();
    assert_eq!(ask(fork, "count", &[])[0], 8);
}

fn other_ports() {
    let mut fork = fork();
    for port in [0x11, 0x12, 0x60, 0x7f, 0xa0, 0xcf8, 0x3f8, 0x510, 0xfff0] {
        assert_eq!(
            ask(&mut fork, "other_port", &[port, 0xffff_ffff])[0],
            1,
            "port {port:#x}"
        );
    }
    still_well(&mut fork);
}

fn in_ports() {
    let mut fork = fork();
    for port in [0, 0x10, 0x60, 0x80, 0xcfc, 0xfffc] {
        assert_eq!(ask(&mut fork, "in_port", &[port])[0], 0, "port {port:#x}");
    }
    still_well(&mut fork);
}

fn forged_exceptions() {
    let mut fork = fork();
    for vector in [0, 6, 8, 13, 14, 31] {
        match call(&mut fork, "other_port", &[0x80 + vector, 0]) {
            Exit::Exception(exception) => assert_eq!(u64::from(exception.vector), vector),
            other => panic!("{other:x?}"),
        }
    }
    still_well(&mut fork);
}

fn forged_system_calls() {
    let mut fork = fork();
    // The port of the stub, but not from the stub.
    assert_eq!(ask(&mut fork, "other_port", &[0x10, 39])[0], 1);
    still_well(&mut fork);
    // A jump into the stubs, as system call and as the engine's own ends.
    for offset in (0..0x100).step_by(2) {
        let target = 0x7fff_ff81_0000 + offset;
        let _ = call_within(
            &mut fork,
            "jump",
            &[target, 0xdead_0000_0000_0000, 39],
            Duration::from_millis(50),
        );
        still_well(&mut fork);
    }
}

fn return_to_nowhere() {
    let mut fork = fork();
    fork.begin(BUDGET);
    fork.prepare_call(function("ask"));
    fork.enter([39, 0, 0, 0, 0, 0]).unwrap();
    assert_eq!(fork.run().unwrap(), Exit::Syscall);
    fork.registers_mut().rip = 0x8000_0000_0000;
    assert!(matches!(fork.run().unwrap(), Exit::Exception(e) if e.vector == 13));
    still_well(&mut fork);
}

fn interrupts() {
    let mut fork = fork();
    let exit = call(&mut fork, "interrupt_80", &[]);
    // A general protection fault on hardware, an invalid opcode under PVM.
    assert!(
        matches!(exit, Exit::Exception(e) if matches!(e.vector, 6 | 13)),
        "{exit:x?}"
    );
    still_well(&mut fork);
}

/// Far returns to every selector that a descriptor table may have, and system calls in the ways
/// of 32-bit code from there. The host's own process id must not come back.
fn legacy_modes() {
    let mut fork = fork();
    let host = u64::from(std::process::id());
    let budget = Duration::from_millis(100);
    for entry in ["legacy_int", "legacy_syscall", "legacy_sysenter"] {
        for selector in (0x03..0x80).step_by(8) {
            let arguments = [selector, function(entry)];
            let exit = call_within(&mut fork, "far_jump", &arguments, budget);
            if exit == (Exit::Hypercall { number: ANSWER }) {
                assert_ne!(
                    fork.registers().rdi & 0xffff_ffff,
                    host,
                    "{entry} {selector:#x}"
                );
            }
            fork.rebuild().unwrap();
            still_well(&mut fork);
        }
    }
}

fn flags() {
    let mut fork = fork();
    // Trap flag, direction, nested task, alignment check, ID; and what only ring 0 may set.
    for bit in [8, 10, 14, 18, 21, 9, 12, 13, 16, 17, 19, 20] {
        match call(&mut fork, "set_flags", &[1 << bit]) {
            Exit::Hypercall { number: ANSWER } => {}
            Exit::Exception(exception) => assert!(matches!(exception.vector, 1 | 13 | 17)),
            other => panic!("flag {bit}: {other:x?}"),
        }
        still_well(&mut fork);
    }
    let exit = call(&mut fork, "interrupts_off", &[]);
    assert!(
        matches!(exit, Exit::Hypercall { .. } | Exit::Exception(_)),
        "{exit:x?}"
    );
    still_well(&mut fork);
}

/// Whatever a personality, misled by its guest, does with contexts and vector state: the engine
/// neither fails nor hangs, and the next call is well.
fn random_switches() {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    let functions = [
        "ask",
        "calls",
        "context_syscall",
        "context_fault",
        "context_spin",
        "spin_sum",
        "fault_loop",
        "interrupts_off",
        "probe_segments",
        "other_thread",
    ];
    let stubs = 0x7fff_ff81_0000;
    let mut fork = fork();
    let mut states = Vec::new();
    for _ in 0..if emulated() { 20 } else { 400 } {
        fork.begin(Duration::from_millis(5));
        let name = functions[usize::try_from(random(10)).unwrap()];
        if random(4) == 0 {
            fork.prepare_resume();
        } else {
            fork.prepare_call(function(name));
            fork.enter([random(100), random(1 << 32), random(9), 0, 0, 0])
                .unwrap();
        }
        let mut ended = false;
        for _ in 0..random(12) {
            match random(8) {
                0 => states.push((*fork.registers(), fork.vector_state())),
                1 | 2 if !states.is_empty() => {
                    let pick = random(states.len() as u64);
                    let (registers, vectors) = &states[usize::try_from(pick).unwrap()];
                    fork.set_context(registers);
                    fork.set_vector_state(vectors);
                }
                3 => {
                    let bytes: Vec<u8> = (0..random(3000))
                        .map(|_| u8::try_from(random(256)).unwrap())
                        .collect();
                    fork.set_vector_state(&tinykvm::VectorState::new(&bytes));
                }
                4 => {
                    let slice = Duration::from_micros(random(1000));
                    fork.set_time_slice(Some(slice).filter(|_| random(3) > 0));
                }
                5 => {
                    let mut odd = *fork.registers();
                    let places = [stubs + random(0x400), function(name), random(u64::MAX)];
                    odd.rip = places[usize::try_from(random(3)).unwrap()];
                    odd.rflags = random(u64::MAX);
                    odd.rsp = odd.rsp.wrapping_add(random(64));
                    fork.set_context(&odd);
                }
                _ => match fork.run().unwrap() {
                    Exit::Deadline | Exit::MemoryLimit => break,
                    Exit::Shutdown { .. } => {
                        ended = true;
                        break;
                    }
                    _ => {}
                },
            }
        }
        states.truncate(20);
        if ended || random(10) == 0 {
            fork.rebuild().unwrap();
        }
        still_well(&mut fork);
        fork.reset().unwrap();
    }
}

fn protection_keys() {
    let mut fork = fork();
    if ask(&mut fork, "has_pkru", &[])[0] == 0 {
        // A processor or KVM without protection keys: the instruction is undefined.
        assert!(matches!(call(&mut fork, "plant_pkru", &[]), Exit::Exception(e) if e.vector == 6));
        return;
    }
    let exit = call_within(&mut fork, "deny_all_keys", &[], Duration::from_millis(200));
    assert!(!matches!(exit, Exit::Syscall), "{exit:x?}");
    still_well(&mut fork);
}

fn hostile_area() {
    let mut fork = fork();
    let pvm = tinykvm::Engine::get().unwrap().flavour() == Flavour::Pvm;
    for value in [0, 0xff, 0x5a] {
        enter(&mut fork, "fill", &[VECTOR_AREA, 0x4000, value]);
        fork.set_time_slice(Some(Duration::from_secs(1)));
        let exit = fork.run().unwrap();
        if !pvm {
            assert!(
                matches!(exit, Exit::Exception(e) if e.vector == 14),
                "{exit:x?}"
            );
            fork.reset().unwrap();
            continue;
        }
        assert_eq!(exit, Exit::Syscall);
        let state = fork.vector_state();
        let target = thread(&mut fork, "recovered");
        fork.set_context(&target);
        fork.set_vector_state(&state);
        let exit = fork.run().unwrap();
        assert!(
            matches!(
                exit,
                Exit::Hypercall { number: ANSWER } | Exit::Exception(_)
            ),
            "{exit:x?}"
        );
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        fork.reset().unwrap();
    }
}

/// A jump into any of the engine's stubs, in a program that switches threads.
fn forged() {
    let mut fork = fork();
    for offset in (0..0x240).step_by(2) {
        let target = 0x7fff_ff81_0000 + offset;
        fork.begin(Duration::from_millis(20));
        fork.prepare_call(function("jump"));
        fork.enter([target, 0xdead_0000_0000_0000, 39, 0, 0, 0])
            .unwrap();
        fork.set_time_slice(Some(SLICE));
        for _ in 0..4 {
            match fork.run().unwrap() {
                Exit::Syscall | Exit::Hypercall { .. } | Exit::Exception(_) | Exit::TimeSlice => {}
                _ => break,
            }
            let state = fork.vector_state();
            fork.set_vector_state(&state);
        }
        fork.reset().unwrap();
        assert_eq!(ask(&mut fork, "count", &[])[0], 8, "after {offset:#x}");
        fork.reset().unwrap();
    }
}
