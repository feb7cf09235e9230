//! What one call leaves behind must not be there in the next. Each test plants and looks, with
//! the reset between, and first shows that without a reset it would be seen.

use tinykvm::{Exit, Fork, Guest, Placement, Protection, Segment};
use tinykvm_testkit::harness::Case;

use super::support::*;

pub fn cases() -> Vec<Case> {
    vec![
        case("globals_are_reset", globals),
        case("the_stack_is_reset", stack),
        case("memory_written_by_the_host_is_reset", host_written),
        case("vector_registers_and_control_words_are_reset", vectors),
        case("segment_registers_are_reset", segments),
        case("fs_and_gs_bases_are_reset", bases),
        case("protection_keys_are_reset", protection_keys),
        case("mappings_and_heap_are_reset", mappings),
        case("a_large_set_of_pages_is_reset_and_forgotten", large_sets),
        case("a_rebuilt_fork_is_as_new", rebuilt),
        case("general_registers_are_zero_at_entry", registers),
        case(
            "a_system_call_that_is_never_answered_is_forgotten",
            abandoned_system_call,
        ),
    ]
}

fn reset(fork: &mut Fork) {
    fork.reset().unwrap();
}

fn globals() {
    let mut fork = fork();
    for _ in 0..100 {
        assert_eq!(ask(&mut fork, "count", &[])[0], 8);
        assert_eq!(ask(&mut fork, "count", &[])[0], 9, "without a reset");
        reset(&mut fork);
    }
}

fn stack() {
    let mut fork = fork();
    ask(&mut fork, "deep_stack", &[]);
    assert_ne!(ask(&mut fork, "stack_below", &[])[0], 0, "without a reset");
    reset(&mut fork);
    assert_eq!(ask(&mut fork, "stack_below", &[])[0], 0);
}

fn host_written() {
    let mut fork = fork();
    let at = function("big") + 123_456;
    fork.write(at, b"planted!").unwrap();
    assert_ne!(ask(&mut fork, "read_at", &[at])[0], 0, "without a reset");
    reset(&mut fork);
    assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
}

fn vectors() {
    let mut fork = fork();
    let clean = ask(&mut fork, "probe_vectors", &[]);
    assert_eq!((clean[0], clean[1]), (0, 0), "{clean:x?}");
    ask(&mut fork, "plant_vectors", &[]);
    // Vector state is put back at the entry of each call, so a look in the same call shows it:
    // the planted registers are in the vCPU until then.
    reset(&mut fork);
    assert_eq!(ask(&mut fork, "probe_vectors", &[]), clean);
}

fn segments() {
    let mut fork = fork();
    let clean = ask(&mut fork, "probe_segments", &[]);
    // Null, and what a user data segment is called in our table and in Linux' own.
    for selector in [0, 0x23, 0x2b] {
        let exit = call(&mut fork, "plant_segments", &[selector]);
        assert!(
            matches!(exit, Exit::Hypercall { .. } | Exit::Exception(_)),
            "{exit:x?}"
        );
        reset(&mut fork);
        assert_eq!(
            ask(&mut fork, "probe_segments", &[]),
            clean,
            "after {selector:#x}"
        );
    }
    // Other names of a 64-bit code segment.
    for selector in [0x1b, 0x2b, 0x33] {
        call(
            &mut fork,
            "far_jump",
            &[selector, function("legacy_syscall")],
        );
        reset(&mut fork);
        assert_eq!(
            ask(&mut fork, "probe_segments", &[]),
            clean,
            "after {selector:#x}"
        );
    }
    assert_eq!(
        ask(&mut fork, "probe_gs", &[])[0],
        0,
        "the vCPU record is there"
    );
}

fn bases() {
    let mut fork = fork();
    let (fs, gs) = (
        fork.segment_base(Segment::Fs),
        fork.segment_base(Segment::Gs),
    );
    fork.set_segment_base(Segment::Fs, 0x1234_0000);
    assert_eq!(ask(&mut fork, "count", &[])[0], 8);
    assert_eq!(
        fork.segment_base(Segment::Fs),
        fs,
        "an entry restores what the host changed"
    );
    fork.set_segment_base(Segment::Fs, 0x1234_0000);
    reset(&mut fork);
    fork.begin(BUDGET);
    fork.prepare_resume();
    assert_eq!(go_on(&mut fork), Exit::Hypercall { number: ANSWER });
    assert_eq!(fork.segment_base(Segment::Fs), fs, "so does going on");
    reset(&mut fork);
    for plant in ["plant_fs", "plant_gs"] {
        match call(&mut fork, plant, &[0x1234_0000]) {
            Exit::Hypercall { number: ANSWER } => {
                let planted = (
                    fork.segment_base(Segment::Fs),
                    fork.segment_base(Segment::Gs),
                );
                assert_ne!(planted, (fs, gs), "visible before the reset");
            }
            // A processor or KVM without FSGSBASE.
            Exit::Exception(exception) => assert_eq!(exception.vector, 6),
            other => panic!("{other:x?}"),
        }
        reset(&mut fork);
        assert_eq!(ask(&mut fork, "probe_gs", &[])[0], 0);
        assert_eq!(
            (
                fork.segment_base(Segment::Fs),
                fork.segment_base(Segment::Gs)
            ),
            (fs, gs)
        );
    }
}

fn protection_keys() {
    let mut fork = fork();
    let Exit::Hypercall { .. } = call(&mut fork, "probe_pkru", &[]) else {
        return; // No protection keys here: nothing to plant.
    };
    let clean = fork.registers().rdi;
    ask(&mut fork, "plant_pkru", &[]);
    reset(&mut fork);
    assert_eq!(ask(&mut fork, "probe_pkru", &[])[0], clean);
}

fn mappings() {
    let mut fork = fork();
    let heap = fork.set_heap_end(0);
    let at = fork
        .map(Placement::Anywhere, 8192, Protection::READ_WRITE)
        .unwrap();
    fork.set_heap_end(heap + 8192);
    ask(&mut fork, "write_at", &[at]);
    ask(&mut fork, "write_at", &[heap]);
    reset(&mut fork);
    assert_eq!(fork.set_heap_end(0), heap);
    assert_eq!(fork.set_heap_end(heap + 8192), heap + 8192);
    assert_eq!(ask(&mut fork, "read_at", &[heap])[0], 0);
    let again = fork
        .map(Placement::Anywhere, 8192, Protection::READ_WRITE)
        .unwrap();
    assert_eq!(again, at);
    assert_eq!(ask(&mut fork, "read_at", &[at])[0], 0);
}

fn large_sets() {
    let mut fork = fork();
    let mut dropped = 0;
    for _ in 0..40 {
        assert_eq!(ask(&mut fork, "touch", &[1500])[0], 1500);
        dropped += u32::from(fork.reset().unwrap().dropped);
        assert_eq!(ask(&mut fork, "dirty_sum", &[1500])[0], 0);
        dropped += u32::from(fork.reset().unwrap().dropped);
    }
    assert!(dropped >= 1, "the set shrinks");
    for _ in 0..40 {
        ask(&mut fork, "count", &[]);
        fork.reset().unwrap();
    }
    ask(&mut fork, "count", &[]);
    assert!(fork.reset().unwrap().pages < 1600);
}

fn rebuilt() {
    let mut fork = fork();
    let clean = ask(&mut fork, "probe_vectors", &[]);
    fork.reset().unwrap();
    let loops = std::time::Duration::from_millis(5);
    for round in 0..5 {
        for name in [
            "undefined",
            "overflow",
            "leaf_fault",
            "halt",
            "forever",
            "non_canonical",
        ] {
            ask(&mut fork, "count", &[]);
            ask(&mut fork, "plant_vectors", &[]);
            let at = fork
                .map(Placement::Anywhere, 8192, Protection::READ_WRITE)
                .unwrap();
            fork.protect(at, 4096, Protection::NONE).unwrap();
            let exit = call_within(&mut fork, name, &[], loops);
            assert!(
                matches!(exit, Exit::Exception(_) | Exit::Deadline),
                "{name}: {exit:x?}"
            );
            fork.rebuild().unwrap();
            assert_eq!(fork.private_bytes(), 0);
            assert_eq!(
                ask(&mut fork, "count", &[])[0],
                8,
                "after {name}, round {round}"
            );
            fork.reset().unwrap();
            assert_eq!(ask(&mut fork, "probe_vectors", &[]), clean);
            let again = fork
                .map(Placement::Anywhere, 8192, Protection::READ_WRITE)
                .unwrap();
            assert_eq!(again, at);
            ask(&mut fork, "write_at", &[at]);
            fork.reset().unwrap();
        }
    }
}

fn registers() {
    let mut fork = fork();
    ask(&mut fork, "kept_registers", &[]);
    reset(&mut fork);
    fork.begin(BUDGET);
    fork.prepare_call(function("twice"));
    fork.enter([1, 0, 0, 0, 0, 0]).unwrap();
    fork.run().unwrap();
    let r = fork.registers();
    assert_eq!(
        (r.rbx, r.rbp, r.r12, r.r13, r.r14, r.r15),
        (0, 0, 0, 0, 0, 0)
    );
    assert_eq!((r.rsi, r.rdx, r.rcx, r.r8, r.r9, r.r11), (0, 0, 0, 0, 0, 0));
}

fn abandoned_system_call() {
    let mut fork = fork();
    for _ in 0..3 {
        fork.begin(BUDGET);
        fork.prepare_call(function("ask"));
        fork.enter([231, 0, 0, 0, 0, 0]).unwrap();
        assert_eq!(fork.run().unwrap(), Exit::Syscall);
        reset(&mut fork);
        // The way back from one would overwrite two arguments.
        assert_eq!(ask(&mut fork, "sum", &[1, 2, 3, 4, 5, 6])[0], 654_321);
        reset(&mut fork);
    }
}
