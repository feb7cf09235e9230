use tinykvm::{Advice, Guest, Protection};
use tinykvm_testkit::FakeGuest;

use crate::tests::{Machine, NOWHERE, int};
use crate::wire::errno::{EACCES, EBADF, EEXIST, EFAULT, EINVAL, ENODEV, ENOMEM, EPERM, Errno};

const PAGE: u64 = 4096;
const RW: u64 = 3;
const ANON: u64 = 0x22;
const FIXED: u64 = ANON | 0x10;
const NOREPLACE: u64 = ANON | 0x10_0000;

/// An anonymous read-write mapping.
fn mapped(machine: &mut Machine, pages: u64) -> u64 {
    machine.value("mmap", &[0, pages * PAGE, RW, ANON, int(-1), 0])
}

#[test]
fn heap_grows_and_shrinks() {
    let mut machine = Machine::new();
    let start = machine.value("brk", &[0]);
    assert_eq!(machine.value("brk", &[start + 5000]), start + 5000);
    machine.guest.write(start + 4999, b"x").unwrap();
    assert_eq!(
        machine.value("brk", &[u64::MAX]),
        start + 5000,
        "impossible: stays"
    );
    assert_eq!(machine.value("brk", &[start]), start);
    assert!(machine.guest.write(start, b"x").is_err());
}

#[test]
fn mmap_gives_zeroed_memory_with_the_protection() {
    let cases = [
        (0, Protection::NONE),
        (1, Protection::READ),
        (2, Protection::READ_WRITE),
        (3, Protection::READ_WRITE),
        (4, Protection::READ_EXECUTE),
        (5, Protection::READ_EXECUTE),
    ];
    for (prot, expected) in cases {
        let mut machine = Machine::new();
        // MAP_SHARED, MAP_NORESERVE, MAP_STACK, MAP_POPULATE change nothing.
        for flags in [ANON, 0x21, ANON | 0x4000, ANON | 0x2_0000, ANON | 0x8000] {
            let at = machine.value("mmap", &[0, 100, prot, flags, int(-1), 0]);
            assert_eq!(machine.guest.protection(at), Some(expected), "{prot}");
            assert_eq!(machine.guest.protection(at + PAGE), None);
        }
    }
}

#[test]
fn mmap_rejects_what_linux_rejects() {
    let cases: [(&[u64], Errno); 17] = [
        (&[0, 0, RW, ANON, int(-1), 0], EINVAL),
        (&[0, PAGE, RW, ANON, int(-1), 1], EINVAL),
        (&[0, PAGE, RW, 0x20, int(-1), 0], EINVAL),
        (&[0, PAGE, RW, 0x23, int(-1), 0], EINVAL),
        (&[0, u64::MAX, RW, ANON, int(-1), 0], ENOMEM),
        (&[0, 1 << 47, RW, ANON, int(-1), 0], ENOMEM),
        (&[0, 1 << 46, RW, ANON, int(-1), 0], ENOMEM),
        (&[0, PAGE, RW, ANON | 0x4_0000, int(-1), 0], ENOMEM),
        (&[0x1000_0001, PAGE, RW, FIXED, int(-1), 0], EINVAL),
        (&[0, PAGE, RW, FIXED, int(-1), 0], EPERM),
        (&[0xf000, PAGE, RW, NOREPLACE, int(-1), 0], EPERM),
        (&[0x7fff_ffff_f000, PAGE, RW, FIXED, int(-1), 0], ENOMEM),
        (&[u64::MAX - 4095, PAGE, RW, FIXED, int(-1), 0], ENOMEM),
        // Files: one that cannot be read, one that has no contents, one that is not open.
        (&[0, PAGE, RW, 2, 1, 0], EACCES),
        (&[0, PAGE, RW, 2, 0, 0], ENODEV),
        (&[0, PAGE, RW, 2, 9, 0], EBADF),
        (&[0, PAGE, 7, ANON, int(-1), 0], EACCES),
    ];
    for (arguments, error) in cases {
        Machine::new().fails("mmap", arguments, error);
    }
}

#[test]
fn mmap_hints_and_fixed_addresses() {
    let mut machine = Machine::new();
    let wanted = 0x3000_0000;
    assert_eq!(
        machine.value("mmap", &[wanted + PAGE + 1, PAGE, RW, ANON, int(-1), 0]),
        wanted + PAGE
    );
    let taken = machine.value("mmap", &[wanted + PAGE, PAGE, RW, ANON, int(-1), 0]);
    assert_ne!(taken, wanted + PAGE, "a hint does not replace");
    for silly in [1, PAGE, u64::MAX, 0x7fff_ffff_f000] {
        let at = machine.value("mmap", &[silly, PAGE, RW, ANON, int(-1), 0]);
        assert!(at >= FakeGuest::MAP_START);
    }
    machine.guest.write(wanted + PAGE, b"old").unwrap();
    machine.fails(
        "mmap",
        &[wanted + PAGE, PAGE, RW, NOREPLACE, int(-1), 0],
        EEXIST,
    );
    assert_eq!(machine.guest.bytes(wanted + PAGE, 3), b"old");
    machine.value("mmap", &[wanted, 2 * PAGE, RW, FIXED, int(-1), 0]);
    assert_eq!(
        machine.guest.bytes(wanted + PAGE, 3),
        [0; 3],
        "a fixed mapping replaces"
    );
}

#[test]
fn low_mappings_are_in_the_second_gigabyte() {
    const LOW: u64 = ANON | 0x40;
    let mut machine = Machine::new();
    let low = |machine: &mut Machine, hint: u64, length: u64| {
        machine.call("mmap", &[hint, length, RW, LOW, int(-1), 0])
    };
    assert_eq!(low(&mut machine, 0, PAGE), 0x4000_0000);
    assert_eq!(low(&mut machine, 0, PAGE), 0x4000_1000);
    // A hint counts if it is low and free, wherever that is.
    assert_eq!(low(&mut machine, 0x2000_0000, PAGE), 0x2000_0000);
    assert_eq!(low(&mut machine, 0x2000_0000, PAGE), 0x4000_2000);
    assert_eq!(low(&mut machine, 0x7fff_f000, PAGE), 0x7fff_f000);
    for high in [0x8000_0000 - PAGE, 0x8000_0000, 1 << 40, u64::MAX] {
        let at = low(&mut machine, high, 2 * PAGE);
        assert!(
            (0x4000_0000..0x5000_0000).contains(&at),
            "{high:#x} {at:#x}"
        );
    }
    let fixed = [1 << 40, PAGE, RW, LOW | 0x10, int(-1), 0];
    assert_eq!(machine.value("mmap", &fixed), 1 << 40, "as it insists");
    let full = [0, 1 << 30, 0, LOW | 0x4000, int(-1), 0];
    machine.fails("mmap", &full, ENOMEM);
    let left = [0, (1 << 30) - 32 * PAGE, 0, LOW | 0x4000, int(-1), 0];
    machine.value("mmap", &left);
    machine.fails("mmap", &[0, 32 * PAGE, RW, LOW, int(-1), 0], ENOMEM);
}

#[test]
fn munmap_and_mprotect() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 4);
    machine.value("mprotect", &[at + PAGE, 1, 0]);
    assert_eq!(machine.guest.protection(at + PAGE), Some(Protection::NONE));
    assert_eq!(
        machine.guest.protection(at + 2 * PAGE),
        Some(Protection::READ_WRITE)
    );
    machine.value("munmap", &[at + 2 * PAGE, PAGE + 1]);
    assert_eq!(machine.guest.protection(at + 3 * PAGE), None);
    machine.value("munmap", &[at + 2 * PAGE, PAGE]);
    machine.value("mprotect", &[at, 0, 1]);

    machine.fails("munmap", &[at + 1, PAGE], EINVAL);
    machine.fails("munmap", &[at, 0], EINVAL);
    machine.fails("munmap", &[at, u64::MAX], EINVAL);
    machine.fails("munmap", &[0x7fff_ffff_e000, 2 * PAGE], EINVAL);
    machine.fails("mprotect", &[at + 1, PAGE, 1], EINVAL);
    machine.fails("mprotect", &[at, PAGE, 0x10], EINVAL);
    machine.fails("mprotect", &[at, u64::MAX, 1], ENOMEM);
    machine.fails("mprotect", &[at, 3 * PAGE, 1], ENOMEM);
    machine.fails("mprotect", &[at, PAGE, 7], EACCES);
}

#[test]
fn memory_to_write_and_to_execute_is_denied_and_told_once() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 2);
    let code = machine.value("mmap", &[0, PAGE, 5, ANON, int(-1), 0]);
    machine.value("mprotect", &[code, PAGE, 1]);
    machine.value("mprotect", &[code, PAGE, 5]);
    assert_eq!(machine.host.exec_memory, []);
    machine.value("mprotect", &[at, PAGE, 1]);
    machine.fails("mprotect", &[at, 2 * PAGE, 5], EACCES);
    machine.fails("mmap", &[0, PAGE, 7, ANON, int(-1), 0], EACCES);
    // A fork is the same program.
    machine.process = machine.process.clone();
    machine.fails("mprotect", &[at, PAGE, 5], EACCES);
    assert_eq!(machine.host.exec_memory, [("mprotect", true)]);
}

#[test]
fn an_audit_tells_of_memory_to_write_and_to_execute() {
    let audit = |arguments: &[u64]| {
        let mut machine = Machine::with(&crate::process::options::ProcessOptions {
            audit_exec_memory: true,
            ..crate::ProcessOptions::default()
        });
        machine.guest = FakeGuest::new().with_write_execute();
        let at = mapped(&mut machine, 2);
        machine.value("mmap", &[0, PAGE, 5, ANON, int(-1), 0]);
        machine.value("mprotect", &[at, PAGE, 1]);
        assert_eq!(machine.host.exec_memory, []);
        if arguments.is_empty() {
            machine.value("mprotect", &[at, PAGE, 5]);
        } else {
            machine.value("mmap", arguments);
        }
        machine.value("mprotect", &[at, 2 * PAGE, 5]);
        machine.host.exec_memory
    };
    assert_eq!(audit(&[]), [("", false); 2]);
    assert_eq!(audit(&[0, PAGE, 7, ANON, int(-1), 0]), [("", false); 2]);
}

#[test]
fn madvise_dontneed_zeroes_and_the_rest_is_advice() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 2);
    for advice in [
        0, 1, 2, 3, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23,
    ] {
        machine.guest.write(at, b"data").unwrap();
        machine.value("madvise", &[at, PAGE, advice]);
        assert_eq!(machine.guest.bytes(at, 4), b"data", "{advice}");
    }
    for advice in [4, 24] {
        machine.guest.write(at, b"data").unwrap();
        machine.value("madvise", &[at, 1, advice]);
        assert_eq!(machine.guest.bytes(at, 4), [0; 4], "{advice}");
    }
    for advice in [5, 9, 25, 100, int(-1)] {
        machine.fails("madvise", &[at, PAGE, advice], EINVAL);
    }
    machine.fails("madvise", &[at + 1, PAGE, 4], EINVAL);
    machine.fails("madvise", &[at, 3 * PAGE, 4], ENOMEM);
    machine.fails("madvise", &[at, u64::MAX, 4], ENOMEM);
    machine.value("madvise", &[at, 0, 4]);
}

#[test]
fn mincore_msync_mlock() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 100);
    let vector = machine.room(100);
    machine.value("mincore", &[at, 99 * PAGE + 1, vector]);
    assert_eq!(machine.guest.bytes(vector, 100), [1; 100]);
    machine.fails("mincore", &[at, 101 * PAGE, vector], ENOMEM);
    machine.fails("mincore", &[at, PAGE, NOWHERE], EFAULT);
    machine.fails("mincore", &[at, 100 * PAGE, vector + 1], EFAULT);
    machine.fails("mincore", &[at + 1, PAGE, vector], EINVAL);
    machine.value("msync", &[at, PAGE, 4]);
    machine.fails("msync", &[at, PAGE, 5], EINVAL);
    machine.fails("msync", &[at, PAGE, 8], EINVAL);
    machine.fails("msync", &[NOWHERE, PAGE, 4], ENOMEM);
    machine.value("mlock", &[at + 1, 10]);
    machine.value("munlock", &[at + 1, 10]);
    machine.fails("mlock", &[at, u64::MAX], EINVAL);
    machine.value("mlockall", &[3]);
}

#[test]
fn mremap_shrinks_and_grows_in_place() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 4);
    machine.guest.write(at, b"data").unwrap();
    assert_eq!(machine.value("mremap", &[at, 4 * PAGE, 2 * PAGE, 0]), at);
    assert_eq!(machine.guest.protection(at + 2 * PAGE), None);
    assert_eq!(machine.value("mremap", &[at, 2 * PAGE, 3 * PAGE, 0]), at);
    assert_eq!(machine.guest.bytes(at, 4), b"data");
    assert_eq!(
        machine.guest.protection(at + 2 * PAGE),
        Some(Protection::READ_WRITE)
    );
    assert_eq!(machine.value("mremap", &[at, 3 * PAGE, 3 * PAGE, 0]), at);
}

#[test]
fn mremap_moves_what_cannot_grow() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 200);
    machine.value("mmap", &[at + 200 * PAGE, PAGE, RW, FIXED, int(-1), 0]);
    machine.guest.write(at, b"first").unwrap();
    machine
        .guest
        .write(at + 199 * PAGE + 4090, b"last")
        .unwrap();
    machine.fails("mremap", &[at, 200 * PAGE, 201 * PAGE, 0], ENOMEM);
    let new = machine.value("mremap", &[at, 200 * PAGE, 300 * PAGE, 1]);
    assert_ne!(new, at);
    assert_eq!(machine.guest.bytes(new, 5), b"first");
    assert_eq!(machine.guest.bytes(new + 199 * PAGE + 4090, 4), b"last");
    assert_eq!(machine.guest.protection(at), None);
    assert_eq!(
        machine.guest.protection(new + 299 * PAGE),
        Some(Protection::READ_WRITE)
    );

    // To a fixed place, and shorter; the rest of the old range goes, too.
    let fixed = 0x3000_0000;
    assert_eq!(
        machine.value("mremap", &[new, 300 * PAGE, PAGE, 3, fixed]),
        fixed
    );
    assert_eq!(machine.guest.bytes(fixed, 5), b"first");
    assert_eq!(machine.guest.protection(new + 299 * PAGE), None);

    // MREMAP_DONTUNMAP leaves zeroes behind.
    let twin = machine.value("mremap", &[fixed, PAGE, PAGE, 5]);
    assert_eq!(machine.guest.bytes(twin, 5), b"first");
    assert_eq!(machine.guest.bytes(fixed, 5), [0; 5]);
}

#[test]
fn mremap_rejects_what_linux_rejects() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 2);
    let cases: [(&[u64], Errno); 12] = [
        (&[at + 1, PAGE, PAGE, 0], EINVAL),
        (&[at, 0, PAGE, 1], EINVAL),
        (&[at, PAGE, 0, 1], EINVAL),
        (&[at, PAGE, PAGE, 8], EINVAL),
        (&[at, PAGE, PAGE, 2, 0x3000_0000], EINVAL),
        (&[at, PAGE, 2 * PAGE, 4], EINVAL),
        (&[at, 2 * PAGE, 2 * PAGE, 3, at + PAGE], EINVAL),
        (&[at, 2 * PAGE, 2 * PAGE, 3, 0x3000_0001], EINVAL),
        (&[at, PAGE, u64::MAX, 1], EINVAL),
        (&[at, PAGE, 1 << 47, 1], ENOMEM),
        (&[NOWHERE, PAGE, 2 * PAGE, 1], EFAULT),
        (&[at, 3 * PAGE, 4 * PAGE, 1], EFAULT),
    ];
    for (arguments, error) in cases {
        machine.fails("mremap", arguments, error);
    }
    assert_eq!(machine.guest.mapped_bytes(), 2 * PAGE);
}

#[test]
fn mremap_keeps_rights_and_needs_none() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 2);
    machine.guest.write(at, b"data").unwrap();
    machine.value("mprotect", &[at, 2 * PAGE, 1]);
    machine.value("mmap", &[at + 2 * PAGE, PAGE, 0, FIXED, int(-1), 0]);
    let new = machine.value("mremap", &[at, 2 * PAGE, 4 * PAGE, 1]);
    assert_eq!(machine.guest.bytes(new, 4), b"data");
    assert_eq!(
        machine.guest.protection(new + 3 * PAGE),
        Some(Protection::READ)
    );
    machine.value("mprotect", &[new, 4 * PAGE, 0]);
    let again = machine.value("mremap", &[new, 4 * PAGE, 4 * PAGE, 3, 0x3000_0000]);
    assert_eq!(machine.guest.protection(again), Some(Protection::NONE));
    machine.value("mprotect", &[again, PAGE, 1]);
    assert_eq!(machine.guest.bytes(again, 4), b"data");
}

#[test]
fn what_a_program_says_about_forks_and_stacks_is_passed_on() {
    let mut machine = Machine::new();
    let at = mapped(&mut machine, 2);
    machine.value("madvise", &[at, PAGE, 18]);
    machine.value("madvise", &[at, PAGE, 19]);
    let stack = machine.value("mmap", &[0, PAGE, RW, ANON | 0x100, int(-1), 0]);
    let expected = [
        (at, PAGE, Advice::WipeOnFork),
        (at, PAGE, Advice::KeepOnFork),
        (stack, PAGE, Advice::GrowsDown),
    ];
    assert_eq!(machine.guest.advice, expected);
    machine.fails("madvise", &[at, 300 * PAGE, 18], ENOMEM);
}

#[test]
fn reservations_need_not_fit() {
    let mut machine = Machine::new();
    let length = 1 << 40;
    machine.fails("mmap", &[0, length, RW, ANON, int(-1), 0], ENOMEM);
    machine.value("mmap", &[0, length, 0, ANON, int(-1), 0]);
    machine.value("mmap", &[0, length, RW, ANON | 0x4000, int(-1), 0]);
}
