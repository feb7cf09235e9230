//! The dispatcher, the reset, and that the table is complete and in order.

use crate::host::Flow;
use crate::process::Process;
use crate::process::options::ProcessOptions;
use crate::run::table::{self, Access};
use crate::tests::{Machine, int};
use crate::wire::errno::{EBADF, ENOENT, ENOSYS};

#[test]
fn table_is_sorted_and_found_by_number() {
    assert!(table::CALLS.is_sorted_by(|a, b| a.number < b.number));
    for call in table::CALLS {
        assert_eq!(table::find(u32::from(call.number)).unwrap().name, call.name);
    }
    for number in [57, 58, 59, 511, 512, 0x10000, u32::MAX] {
        assert!(table::find(number).is_none(), "{number}");
    }
}

#[test]
fn unknown_calls_are_reported_once_per_program() {
    let mut one = Machine::new();
    let mut fork = Machine::new();
    fork.process = one.process.clone();
    for _ in 0..2 {
        for number in [57, 59, 511, 512, 0x10005, u64::from(u32::MAX)] {
            for machine in [&mut one, &mut fork] {
                assert_eq!(machine.flow_number(number, &[]), Flow::Continue);
                assert_eq!(machine.guest.result().cast_unsigned(), ENOSYS.to_result());
            }
        }
    }
    // All numbers from 512 on count as one.
    assert_eq!(one.host.unknown, [57, 59, 511, 512]);
    assert!(fork.host.unknown.is_empty());
    // Calls that C libraries only try are not worth a line.
    one.fails("rseq", &[], ENOSYS);
    assert_eq!(one.host.unknown.len(), 4);
}

#[test]
fn only_the_lower_half_of_rax_counts() {
    let mut machine = Machine::new();
    assert_eq!(machine.flow_number(39 | 7 << 32, &[]), Flow::Continue);
    assert_eq!(machine.guest.result(), 1);
}

#[test]
fn every_call_with_a_path_is_denied_and_reported() {
    let mut denied = 0;
    for call in table::CALLS {
        let Access::Path { argument } = call.access else {
            continue;
        };
        let mut machine = Machine::new();
        let path = machine.guest.put_c_string("/srv/secret");
        let arguments = machine.path_arguments(call, argument, path);
        machine.fails(call.name, &arguments, ENOENT);
        let expected = vec![(call.name, b"/srv/secret".to_vec())];
        assert_eq!(machine.host.denied, expected);
        denied += 1;
    }
    assert!(denied > 35, "{denied}");
}

#[test]
fn reset_brings_everything_back() {
    let template = Process::new(&ProcessOptions::default());
    let mut machine = Machine::new();
    machine.process = template.clone();
    let before = format!("{:?}", template.state());

    let action = machine.words(&[0x40_0000, 0x0400_0000, 0x50_0000, !0]);
    let mask = machine.words(&[1 << 9]);
    let stack = machine.words(&[0x10_0000, 0, 0x4000]);
    let name = machine.guest.put_c_string("renamed");
    let limit = machine.words(&[10, 20]);
    machine.value("rt_sigaction", &[10, action, 0, 8]);
    machine.value("rt_sigprocmask", &[0, mask, 0, 8]);
    machine.value("kill", &[1, 10]);
    machine.value("sigaltstack", &[stack, 0]);
    machine.value("prctl", &[15, name]);
    machine.value("setrlimit", &[7, limit]);
    machine.value("umask", &[0o777]);
    machine.value("dup2", &[1, 7]);
    machine.value("close", &[0]);
    machine.value("fcntl", &[1, 4, 0o4000]);
    machine.value("set_robust_list", &[0x1234, 24]);
    assert_ne!(format!("{:?}", machine.process.state()), before);
    assert_eq!(
        format!("{:?}", template.state()),
        before,
        "the template is untouched"
    );

    machine.process.reset_from(&template);
    assert_eq!(format!("{:?}", machine.process.state()), before);
    machine.fails("fcntl", &[7, 1], EBADF);
    assert_eq!(machine.value("fcntl", &[0, 1]), 0);
}

#[test]
fn calls_that_change_nothing_keep_the_state_shared() {
    let template = Process::new(&ProcessOptions::default());
    let mut machine = Machine::new();
    machine.process = template.clone();
    let text = machine.guest.put(b"hello\n");
    let set = machine.words(&[0]);
    machine.value("write", &[1, text, 6]);
    machine.value("rt_sigprocmask", &[0, set, set, 8]);
    machine.value("umask", &[0o22]);
    machine.value("brk", &[0]);
    machine.value("getpid", &[]);
    machine.call("close", &[int(-1)]);
    assert!(std::ptr::eq(machine.process.state(), template.state()));
}
