use std::time::Duration;

use tinykvm::{Guest, Protection, Segment};

use crate::host::Flow;
use crate::tests::{Machine, int};
use crate::wire::errno::{EFAULT, EINVAL, EPERM, ESRCH};
use crate::wire::record::{u32_at, u64_at};

#[test]
fn names() {
    let mut machine = Machine::new();
    let at = machine.room(390);
    machine.value("uname", &[at]);
    let bytes = machine.guest.bytes(at, 390);
    let fields: Vec<String> = bytes
        .chunks(65)
        .map(|field| {
            String::from_utf8_lossy(field)
                .trim_end_matches('\0')
                .to_owned()
        })
        .collect();
    assert_eq!(
        fields,
        ["Linux", "tinykvm", "6.1.0", "#1 SMP", "x86_64", "(none)"]
    );
}

#[test]
fn limits_can_be_lowered_and_not_raised() {
    let mut machine = Machine::new();
    let old = machine.room(16);
    let cases = [
        (3, 8 << 20, u64::MAX),
        (7, 1024, 1024),
        (9, u64::MAX, u64::MAX),
        (4, 0, 0),
    ];
    for (resource, current, maximum) in cases {
        machine.value("prlimit64", &[0, resource, 0, old]);
        assert_eq!(
            (machine.word(old), machine.word(old + 8)),
            (current, maximum)
        );
        machine.value("getrlimit", &[resource, old]);
        assert_eq!(
            (machine.word(old), machine.word(old + 8)),
            (current, maximum)
        );
    }
    let (low, high, odd) = (
        machine.words(&[10, 100]),
        machine.words(&[10, 1000]),
        machine.words(&[2, 1]),
    );
    machine.value("prlimit64", &[1, 7, low, old]);
    assert_eq!(machine.word(old), 1024);
    machine.value("prlimit64", &[1, 7, 0, old]);
    assert_eq!((machine.word(old), machine.word(old + 8)), (10, 100));
    machine.fails("setrlimit", &[7, high], EPERM);
    machine.fails("setrlimit", &[7, odd], EINVAL);
    machine.fails("setrlimit", &[7, 0], EFAULT);
    machine.fails("getrlimit", &[7, 0], EFAULT);
    machine.fails("getrlimit", &[16, old], EINVAL);
    machine.fails("prlimit64", &[2, 7, 0, old], ESRCH);
}

#[test]
fn users_are_consistent() {
    let mut machine = Machine::new();
    for call in ["getuid", "geteuid", "getgid", "getegid"] {
        assert_eq!(machine.value(call, &[]), 1000);
    }
    let ids = machine.room(12);
    for call in ["getresuid", "getresgid"] {
        machine.value(call, &[ids, ids + 4, ids + 8]);
        let bytes = machine.guest.bytes(ids, 12);
        assert_eq!([0, 4, 8].map(|at| u32_at(&bytes, at)), [1000; 3]);
    }
    assert_eq!(machine.value("umask", &[0o7777]), 0o022);
    assert_eq!(machine.value("umask", &[0]), 0o777);
}

#[test]
fn sysinfo_tells_the_memory() {
    let mut machine = Machine::new();
    let at = machine.room(112);
    machine.value("sysinfo", &[at]);
    let bytes = machine.guest.bytes(at, 112);
    assert_eq!((u64_at(&bytes, 0), u64_at(&bytes, 32)), (1000, 64 << 20));
    assert_eq!(u32_at(&bytes, 104), 1);
}

#[test]
fn segment_bases_are_64_bits() {
    let mut machine = Machine::new();
    let (base, word) = (0x7fff_ffff_e000, machine.room(8));
    for (set, get, segment) in [(0x1002, 0x1003, Segment::Fs), (0x1001, 0x1004, Segment::Gs)] {
        machine.value("arch_prctl", &[set, base]);
        assert_eq!(machine.guest.segment_base(segment), base);
        machine.value("arch_prctl", &[get, word]);
        assert_eq!(machine.word(word), base);
        for bad in [0x7fff_ffff_f000, 1 << 47, 1 << 63, u64::MAX] {
            machine.fails("arch_prctl", &[set, bad], EPERM);
        }
    }
    machine.fails("arch_prctl", &[0x3001, word], EINVAL);
}

#[test]
fn the_thread_has_a_name() {
    let mut machine = Machine::new();
    let name = machine.room(16);
    machine.value("prctl", &[16, name]);
    assert_eq!(machine.guest.bytes(name, 16), b"program\0\0\0\0\0\0\0\0\0");
    // Fifteen bytes count, and the memory may end there.
    let long = machine.guest.put(b"0123456789abcde");
    machine.value("prctl", &[15, long]);
    machine.value("prctl", &[16, name]);
    assert_eq!(machine.guest.bytes(name, 16), b"0123456789abcde\0");
    let short = machine.guest.put_c_string("x");
    machine.value("prctl", &[15, short]);
    machine.value("prctl", &[16, name]);
    assert_eq!(
        machine.guest.bytes(name, 16),
        b"x\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    );
    machine.fails("prctl", &[4, 0], EINVAL);
    machine.fails("prctl", &[int(-1)], EINVAL);
}

#[test]
fn randomness_is_fresh_and_as_long_as_asked() {
    let mut machine = Machine::new();
    for length in [1_u16, 32, 256, 257, 40_000] {
        let at = machine.room(length.into());
        assert_eq!(
            machine.value("getrandom", &[at, length.into(), 0]),
            u64::from(length)
        );
        let first = machine.guest.bytes(at, length.into());
        machine.value("getrandom", &[at, length.into(), 1]);
        assert!(length < 32 || machine.guest.bytes(at, length.into()) != first);
        assert!(length < 32 || first.iter().any(|&byte| byte != 0));
    }
    let at = machine.room(100);
    machine.fails("getrandom", &[at, 100, 8], EINVAL);
    machine.fails("getrandom", &[at, 100, 6], EINVAL);
    machine.fails("getrandom", &[at, 101, 0], EFAULT);
    assert_eq!(machine.value("getrandom", &[at, 0, 4]), 0);
    // Beyond the first piece, what was delivered counts.
    let long = machine.room(16384);
    assert_eq!(machine.value("getrandom", &[long, 20_000, 0]), 16384);
}

#[test]
fn endless_randomness_ends_at_the_deadline() {
    let mut machine = Machine::new();
    machine
        .guest
        .map_at(0x3000_0000, 1 << 29, Protection::READ_WRITE);
    machine.host.budget = Some(Duration::ZERO);
    machine.host.slept = Duration::from_nanos(1);
    assert_eq!(
        machine.flow("getrandom", &[0x3000_0000, 1 << 29, 0]),
        Flow::Deadline
    );
}
