use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{ECHILD, EINVAL, ENOSYS, EPERM, ESRCH, Errno};

#[test]
fn exits_end_the_program_with_eight_bits() {
    for call in ["exit", "exit_group"] {
        for (argument, status) in [(0, 0), (3, 3), (256, 0), (int(-1), 255)] {
            assert_eq!(
                Machine::new().flow(call, &[argument]),
                Flow::Exit { status }
            );
        }
    }
}

#[test]
fn a_fork_is_another_process() {
    let mut machine = Machine::new();
    machine.process.freeze(&machine.guest);
    assert_eq!(machine.value("getpid", &[]), 1);
    let template = machine.process.clone();
    for _ in 0..2 {
        machine.process.begin_call(&mut machine.guest);
        let id = machine.value("getpid", &[]);
        assert_ne!(id, 1);
        assert_eq!(machine.value("gettid", &[]), 1, "threads stay");
        for own in [1, id] {
            assert_eq!(machine.value("kill", &[own, 0]), 0);
            assert_eq!(machine.value("tgkill", &[own, 1, 0]), 0);
            assert_eq!(machine.value("getpgid", &[own]), 1);
        }
        machine.fails("kill", &[2, 0], ESRCH);
        machine.process.reset_from(&template);
    }
}

#[test]
fn what_is_known_need_not_be_asked_for() {
    /// The calls that every thread can answer, and the one that a lonely one can.
    fn check(machine: &mut Machine, alone: bool) {
        machine.value("umask", &[0o22]);
        let known = machine.guest.answers.clone();
        assert_eq!(known.len(), if alone { 9 } else { 8 });
        assert_eq!(known.iter().any(|(number, _)| *number == 24), alone);
        for (number, value) in known {
            let flow = machine.flow_number(number.into(), &[]);
            assert_eq!(flow, Flow::Continue);
            assert_eq!(machine.guest.result().cast_unsigned(), value, "{number}");
        }
    }
    let mut machine = Machine::new();
    check(&mut machine, true);
    let second = machine.spawn();
    check(&mut machine, false);
    machine.goes_on("sched_yield", &[]);
    assert_eq!(machine.thread(), second);
    check(&mut machine, false);
    machine.goes_on("exit", &[0]);
    check(&mut machine, true);
    machine.process.freeze(&machine.guest);
    let first = machine.value("getpid", &[]);
    machine.process.begin_call(&mut machine.guest);
    let known = machine.guest.answers.clone();
    assert_ne!(known[0].1, first, "a fork is another process");
    check(&mut machine, true);
}

#[test]
fn there_is_one_process_with_one_thread() {
    let one = [
        "getpid",
        "gettid",
        "getpgrp",
        "set_tid_address",
        "getpgid",
        "getsid",
    ];
    for call in one {
        assert_eq!(Machine::new().value(call, &[0]), 1, "{call}");
    }
    assert_eq!(Machine::new().value("getppid", &[]), 0);
    assert_eq!(Machine::new().value("getpgid", &[1]), 1);
    let refused: [(&str, &[u64], Errno); 9] = [
        ("getpgid", &[2], ESRCH),
        ("getsid", &[int(-1)], ESRCH),
        ("wait4", &[int(-1), 0, 0, 0], ECHILD),
        ("waitid", &[0, 0, 0, 0, 0], ECHILD),
        ("rseq", &[0, 32, 0, 0], ENOSYS),
        ("setsid", &[], EPERM),
        ("setpgid", &[0, 0], EPERM),
        ("capget", &[0, 0], EPERM),
        ("getgroups", &[int(-1), 0], EINVAL),
    ];
    for (call, arguments, error) in refused {
        Machine::new().fails(call, arguments, error);
    }
    assert_eq!(Machine::new().value("getgroups", &[0, 0]), 0);
    assert_eq!(Machine::new().value("sched_yield", &[]), 0);
}

#[test]
fn the_robust_list_is_kept() {
    let mut machine = Machine::new();
    let (head, length) = (machine.room(8), machine.room(8));
    machine.value("set_robust_list", &[0x1234, 24]);
    machine.value("get_robust_list", &[0, head, length]);
    assert_eq!((machine.word(head), machine.word(length)), (0x1234, 24));
    machine.fails("set_robust_list", &[0x1234, 23], EINVAL);
    machine.fails("get_robust_list", &[2, head, length], ESRCH);
}

#[test]
fn there_is_one_processor() {
    let mut machine = Machine::new();
    let mask = machine.guest.put(&[0xff; 128]);
    assert_eq!(machine.value("sched_getaffinity", &[0, 128, mask]), 8);
    assert_eq!(machine.word(mask), 1);
    assert_eq!(machine.word(mask + 8), u64::MAX, "the rest is not touched");
    machine.value("sched_setaffinity", &[1, 8, mask]);
    let second = machine.words(&[2]);
    machine.fails("sched_setaffinity", &[0, 8, second], EINVAL);
    machine.fails("sched_setaffinity", &[0, 0, second], EINVAL);
    machine.fails("sched_getaffinity", &[0, 7, mask], EINVAL);
    machine.fails("sched_getaffinity", &[0, 0, mask], EINVAL);
    machine.fails("sched_getaffinity", &[2, 8, mask], ESRCH);
    let (processor, node) = (machine.words(&[!0]), machine.words(&[!0]));
    machine.value("getcpu", &[processor, node, 0]);
    assert_eq!(machine.word(processor), u64::from(u32::MAX) << 32);
    assert_eq!(machine.word(node), u64::from(u32::MAX) << 32);
    machine.value("getcpu", &[0, 0, 0]);
}

#[test]
fn scheduling_is_ordinary() {
    let mut machine = Machine::new();
    let param = machine.words(&[!0]);
    assert_eq!(machine.value("sched_getscheduler", &[0]), 0);
    machine.value("sched_getparam", &[0, param]);
    assert_eq!(machine.word(param), u64::from(u32::MAX) << 32);
    assert_eq!(machine.value("sched_get_priority_max", &[1]), 99);
    assert_eq!(machine.value("sched_get_priority_min", &[2]), 1);
    assert_eq!(machine.value("sched_get_priority_max", &[0]), 0);
    machine.fails("sched_get_priority_min", &[9], EINVAL);
    assert_eq!(machine.value("getpriority", &[0, 0]), 20);
    machine.fails("getpriority", &[3, 0], EINVAL);
}

#[test]
fn barriers_hold_by_themselves() {
    let mut machine = Machine::new();
    let known = machine.value("membarrier", &[0, 0]);
    assert_eq!(known, 1 | 8 | 16);
    for command in [1, 8, 16] {
        machine.value("membarrier", &[command, 0]);
    }
    machine.fails("membarrier", &[2, 0], EINVAL);
    machine.fails("membarrier", &[1, 1], EINVAL);
}
