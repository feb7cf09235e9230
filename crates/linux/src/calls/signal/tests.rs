use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EFAULT, EINVAL, ENOMEM, EPERM, ESRCH, Errno};

const SIGHUP: u64 = 1;
const SIGABRT: u64 = 6;
const SIGUSR1: u64 = 10;
const SIGCHLD: u64 = 17;
const HANDLER: u64 = 0x40_1000;
const SA_RESTORER: u64 = 0x0400_0000;

fn action(machine: &mut Machine, handler: u64) -> u64 {
    machine.words(&[handler, SA_RESTORER, 0x40_2000, 1 << 63])
}

#[test]
fn actions_read_back_as_written() {
    let mut machine = Machine::new();
    let (new, old) = (
        machine.words(&[u64::MAX - 14, !0, 0x1234, !0]),
        machine.room(32),
    );
    for signal in [1, 32, 64] {
        machine.value("rt_sigaction", &[signal, 0, old, 8]);
        assert_eq!(machine.guest.bytes(old, 32), [0; 32]);
        machine.value("rt_sigaction", &[signal, new, 0, 8]);
        machine.value("rt_sigaction", &[signal, 0, old, 8]);
        assert_eq!(machine.word(old), u64::MAX - 14);
        assert_eq!(machine.word(old + 16), 0x1234);
        assert_eq!(
            machine.word(old + 24),
            !(1 << 8 | 1 << 18),
            "KILL and STOP are not maskable"
        );
    }
    // In one call, also with one buffer for both.
    let both = action(&mut machine, HANDLER);
    machine.value("rt_sigaction", &[1, both, both, 8]);
    assert_eq!(machine.word(both), u64::MAX - 14);

    let cases: [(&[u64], Errno); 6] = [
        (&[0, new, 0, 8], EINVAL),
        (&[65, new, 0, 8], EINVAL),
        (&[int(-1), new, 0, 8], EINVAL),
        (&[1, new, 0, 16], EINVAL),
        (&[9, new, 0, 8], EINVAL),
        (&[19, new, 0, 8], EINVAL),
    ];
    for (arguments, error) in cases {
        machine.fails("rt_sigaction", arguments, error);
    }
    machine.value("rt_sigaction", &[9, 0, old, 8]);
}

#[test]
fn the_mask_is_real() {
    let mut machine = Machine::new();
    let (set, old) = (machine.words(&[!0]), machine.room(8));
    machine.value("rt_sigprocmask", &[0, set, old, 8]);
    assert_eq!(machine.word(old), 0);
    machine.value("rt_sigprocmask", &[9, 0, old, 8]);
    assert_eq!(machine.word(old), !(1 << 8 | 1 << 18));
    let some = machine.words(&[0xf0]);
    machine.value("rt_sigprocmask", &[1, some, 0, 8]);
    machine.value("rt_sigprocmask", &[2, some, old, 8]);
    assert_eq!(machine.word(old), !(1 << 8 | 1 << 18 | 0xf0));
    machine.value("rt_sigprocmask", &[0, 0, old, 8]);
    assert_eq!(machine.word(old), 0xf0);
    machine.fails("rt_sigprocmask", &[3, some, 0, 8], EINVAL);
    machine.fails("rt_sigprocmask", &[0, some, 0, 4], EINVAL);
}

#[test]
fn default_actions() {
    for (call, arguments) in [
        ("kill", vec![1]),
        ("kill", vec![0]),
        ("tkill", vec![1]),
        ("tgkill", vec![1, 1]),
    ] {
        for signal in 1..=64_u64 {
            let mut machine = Machine::new();
            let mut arguments = arguments.clone();
            arguments.push(signal);
            let ignored = matches!(signal, 17 | 18 | 20 | 21 | 22 | 23 | 28);
            let expected = if ignored {
                Flow::Continue
            } else {
                Flow::Signal {
                    number: i32::try_from(signal).unwrap(),
                }
            };
            assert_eq!(machine.flow(call, &arguments), expected, "{call} {signal}");
        }
    }
}

#[test]
fn ignored_signals_are_dropped() {
    let mut machine = Machine::new();
    let ignore = action(&mut machine, 1);
    machine.value("rt_sigaction", &[SIGHUP, ignore, 0, 8]);
    machine.value("kill", &[1, SIGHUP]);
    let default = action(&mut machine, 0);
    machine.value("rt_sigaction", &[SIGHUP, default, 0, 8]);
    assert_eq!(machine.value("getpid", &[]), 1, "nothing was left pending");
}

#[test]
fn blocked_signals_wait() {
    let mut machine = Machine::new();
    let (set, found) = (
        machine.words(&[1 << (SIGUSR1 - 1) | 1 << (SIGCHLD - 1)]),
        machine.room(8),
    );
    machine.value("rt_sigprocmask", &[0, set, 0, 8]);
    machine.value("kill", &[1, SIGUSR1]);
    machine.value("kill", &[1, SIGCHLD]);
    machine.value("rt_sigpending", &[found, 8]);
    assert_eq!(machine.word(found), 1 << (SIGUSR1 - 1) | 1 << (SIGCHLD - 1));
    machine.fails("rt_sigpending", &[found, 9], EINVAL);
    machine.value("rt_sigpending", &[0, 0]);
    // Blocking does not help against SIGKILL.
    assert_eq!(
        machine.flow("rt_sigprocmask", &[1, set, 0, 8]),
        Flow::Signal { number: 10 }
    );
    let mut machine = Machine::new();
    let all = machine.words(&[!0]);
    machine.value("rt_sigprocmask", &[0, all, 0, 8]);
    assert_eq!(machine.flow("kill", &[1, 9]), Flow::Signal { number: 9 });
}

#[test]
fn ignoring_forgets_what_is_pending() {
    let mut machine = Machine::new();
    let (set, ignore) = (machine.words(&[!0]), action(&mut machine, 1));
    machine.value("rt_sigprocmask", &[0, set, 0, 8]);
    machine.value("kill", &[1, SIGABRT]);
    machine.value("rt_sigaction", &[SIGABRT, ignore, 0, 8]);
    machine.value("rt_sigprocmask", &[1, set, 0, 8]);
}

#[test]
fn targets_and_numbers_are_checked() {
    let cases: [(&str, &[u64], Errno); 12] = [
        ("kill", &[2, 6], ESRCH),
        ("kill", &[int(-1), 6], ESRCH),
        ("kill", &[int(-2), 6], ESRCH),
        ("kill", &[1, 65], EINVAL),
        ("kill", &[1, int(-1)], EINVAL),
        ("tkill", &[2, 6], ESRCH),
        ("tkill", &[0, 6], EINVAL),
        ("tkill", &[1, 65], EINVAL),
        ("tgkill", &[2, 1, 6], ESRCH),
        ("tgkill", &[1, 2, 6], ESRCH),
        ("tgkill", &[0, 1, 6], EINVAL),
        ("tgkill", &[1, int(-1), 6], EINVAL),
    ];
    for (call, arguments, error) in cases {
        Machine::new().fails(call, arguments, error);
    }
    Machine::new().value("kill", &[1, 0]);
    Machine::new().value("tgkill", &[1, 1, 0]);
}

#[test]
fn the_alternate_stack_reads_back() {
    let mut machine = Machine::new();
    let (old, new) = (machine.room(24), machine.words(&[0x10_0000, 0, 0x2000]));
    machine.value("sigaltstack", &[0, old]);
    assert_eq!(machine.word(old + 8), 2, "disabled at first");
    machine.value("sigaltstack", &[new, 0]);
    machine.value("sigaltstack", &[0, old]);
    assert_eq!(
        [
            machine.word(old),
            machine.word(old + 8),
            machine.word(old + 16)
        ],
        [0x10_0000, 0, 0x2000]
    );
    // On it, it says so and cannot be changed.
    tinykvm::Guest::registers_mut(&mut machine.guest).rsp = 0x10_1000;
    machine.value("sigaltstack", &[0, old]);
    assert_eq!(machine.word(old + 8), 1);
    machine.fails("sigaltstack", &[new, 0], EPERM);
    tinykvm::Guest::registers_mut(&mut machine.guest).rsp = 0;

    let cases: [([u64; 3], Errno); 3] = [
        ([0x10_0000, 0, 2047], ENOMEM),
        ([0x10_0000, 4, 0x2000], EINVAL),
        ([u64::MAX - 10, 0, 0x2000], EFAULT),
    ];
    for (words, error) in cases {
        let bad = machine.words(&words);
        machine.fails("sigaltstack", &[bad, 0], error);
    }
    let off = machine.words(&[0, 2, 0]);
    machine.value("sigaltstack", &[off, old]);
    assert_eq!(machine.word(old + 16), 0x2000);
    machine.value("sigaltstack", &[0, old]);
    assert_eq!(machine.word(old + 8), 2);
}
