//! What a guest may try against the host. Afterwards the host must be as well as before.

use tinykvm::{Exit, Guest};
use tinykvm_testkit::harness::Case;

use super::support::*;

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
            std::time::Duration::from_millis(50),
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
    let budget = std::time::Duration::from_millis(100);
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

fn protection_keys() {
    let mut fork = fork();
    if ask(&mut fork, "has_pkru", &[])[0] == 0 {
        // A processor or KVM without protection keys: the instruction is undefined.
        assert!(matches!(call(&mut fork, "plant_pkru", &[]), Exit::Exception(e) if e.vector == 6));
        return;
    }
    let exit = call_within(
        &mut fork,
        "deny_all_keys",
        &[],
        std::time::Duration::from_millis(200),
    );
    assert!(!matches!(exit, Exit::Syscall), "{exit:x?}");
    still_well(&mut fork);
}
