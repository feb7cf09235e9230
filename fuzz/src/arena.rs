//! The guest's memory, and arguments that point into it.

use tinykvm::{Guest, Protection};
use tinykvm_testkit::FakeGuest;

use crate::calls::Kind;
use crate::random::Random;

/// Where the memory lies: 16 pages to write, 4 to read, 4 without access, then nothing.
const BASE: u64 = 0x5000_0000;
const PAGE: u64 = 0x1000;
const WRITABLE: u64 = 16;
/// Structures and paths start at multiples of this in the first pages.
const SLOT: u64 = 128;
const SLOTS: u64 = 4 * PAGE / SLOT;
const PATHS: u64 = BASE + 4 * PAGE;
const PATH_SLOT: u64 = 64;

/// Names below the granted directory, and others.
const NAMES: &[&str] = &[
    "",
    ".",
    "..",
    "a",
    "b",
    "a/b",
    "a/../b",
    "a/./b/",
    "link",
    "link/x",
    "dir",
    "dir/",
    "dir/f",
    "dir/../../etc/passwd",
    "../a",
    "../../../../etc/passwd",
    "/",
    "/etc/passwd",
    "/etc/hosts",
    "/proc/self/exe",
    "/proc/self/maps",
    "/proc/self/status",
    "/proc/self/fd/1",
    "/proc/self/fd/5",
    "/proc/self/fd",
    "/proc/self/root/etc/passwd",
    "/proc/self/cwd/a",
    "/proc/1/mem",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/dev/kvm",
    "/sys/devices/system/cpu/online",
    "/tmp",
    "a\u{fffd}",
    "very/deep/../../..",
];

/// Fills a guest's memory.
pub(crate) fn fill(guest: &mut FakeGuest, random: &mut Random, directory: &str) {
    guest.map_at(BASE, WRITABLE * PAGE, Protection::READ_WRITE);
    guest.map_at(BASE + WRITABLE * PAGE, 4 * PAGE, Protection::READ);
    guest.map_at(BASE + (WRITABLE + 4) * PAGE, 4 * PAGE, Protection::NONE);
    for slot in 0..SLOTS {
        put(guest, BASE + slot * SLOT, &structure(random));
    }
    for (index, name) in (0..).zip(NAMES) {
        put(guest, PATHS + index * 2 * PATH_SLOT, &terminated(name));
        let full = format!("{directory}/{name}");
        put(
            guest,
            PATHS + (index * 2 + 1) * PATH_SLOT,
            &terminated(&full),
        );
    }
    guest.registers_mut().rsp = BASE + 12 * PAGE;
    guest.registers_mut().rip = BASE + 13 * PAGE;
}

/// Changes some of it.
pub(crate) fn change(guest: &mut FakeGuest, random: &mut Random) {
    let slot = random.below(SLOTS);
    put(guest, BASE + slot * SLOT, &structure(random));
}

/// Memory that the program unmapped meanwhile stays so.
fn put(guest: &mut FakeGuest, address: u64, bytes: &[u8]) {
    let _ = guest.write(address, bytes);
}

fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.truncate(62);
    bytes.push(0);
    bytes
}

/// Something that a call might take for its structure: words that are counts, times, pointers,
/// descriptors, flags.
fn structure(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    let halves = random.one_in(2);
    let small = random.one_in(3);
    while bytes.len() < 120 {
        if halves {
            let word = match random.below(5) {
                0 => 0,
                1 | 2 => random.below(40),
                3 => 1 << random.below(32),
                _ => random.next(),
            };
            bytes.extend_from_slice(&word.to_le_bytes()[..4]);
        } else {
            let word = match random.below(8) {
                0 | 1 => 0,
                2 if !small => pointer(random),
                3 if !small => random.next(),
                4 => 1 << random.below(64),
                5 => random.below(2_000_000_000),
                _ => random.below(70),
            };
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }
    bytes
}

/// A pointer, mostly a good one.
fn pointer(random: &mut Random) -> u64 {
    match random.below(16) {
        0 => 0,
        1 => BASE + WRITABLE * PAGE + random.below(8 * PAGE),
        2 => BASE + WRITABLE * PAGE - random.below(64),
        3 => random.pick(&[1, 0x6666_0000_0000, 0x7fff_ffff_eff8, u64::MAX - 7, 1 << 47]),
        4 | 5 => path(random),
        6 => BASE + 8 * PAGE + random.below(8 * PAGE),
        _ => BASE + random.below(SLOTS) * SLOT + 8 * random.below(3),
    }
}

fn path(random: &mut Random) -> u64 {
    let count = u64::try_from(NAMES.len()).unwrap_or(1);
    PATHS + random.below(2 * count) * PATH_SLOT
}

/// An argument of this kind; sometimes another one.
pub(crate) fn argument(random: &mut Random, kind: Kind, results: &[u64]) -> u64 {
    let kind = if random.one_in(24) { Kind::Any } else { kind };
    match kind {
        Kind::Descriptor => match random.below(20) {
            0 => random.next(),
            1 => random.pick(&[0xffff_ffff, u64::MAX, 1023, 1024, 1 << 31, 900]),
            2 => 0xffff_ff9c, // AT_FDCWD
            3..=8 => random.below(5),
            9..=12 => recent(random, results),
            _ => random.below(40),
        },
        Kind::Path if random.one_in(12) => pointer(random),
        Kind::Path => path(random),
        Kind::Buffer if random.one_in(6) => pointer(random),
        Kind::Buffer => BASE + 8 * PAGE + random.below(8 * PAGE),
        Kind::Struct => pointer(random),
        Kind::Length => length(random),
        Kind::Offset => match random.below(8) {
            0 => random.pick(&[u64::MAX, 1 << 63, i64::MAX.cast_unsigned(), 1 << 40, 0x1001]),
            1 => random.below(16) * PAGE,
            _ => random.below(5000),
        },
        Kind::Flags => flags(random),
        Kind::Small => match random.below(12) {
            0 => random.pick(&[u64::MAX, 0xffff_ffff, 1 << 31, 1 << 20, 0x7fff_ffff]),
            1 => random.below(2000),
            2..=4 => random.below(3),
            _ => random.below(40),
        },
        Kind::Address => address(random, results),
        Kind::Protection => {
            random.pick(&[0, 1, 1, 3, 3, 3, 3, 2, 4, 5, 7, 0x0100_0003, 0x0200_0001])
        }
        Kind::Signal => random.below(70),
        Kind::Thread => match random.below(8) {
            0 => random.next(),
            1 => 0,
            2 => u64::MAX,
            3 => recent(random, results),
            _ => 1 + random.below(6),
        },
        Kind::Mode => random.below(0o10000),
        Kind::Any => any(random, results),
    }
}

fn recent(random: &mut Random, results: &[u64]) -> u64 {
    if results.is_empty() {
        return 3;
    }
    random.pick(results)
}

fn length(random: &mut Random) -> u64 {
    match random.below(16) {
        0 => 0,
        1 => random.pick(&[
            u64::MAX,
            1 << 63,
            1 << 47,
            0x7fff_f000,
            0xffff_ffff,
            1 << 32,
        ]),
        2 | 3 => random.below(40) * PAGE,
        4 => random.below(200_000),
        5..=7 => random.pick(&[1, 4, 8, 16, 24, 64, 128]),
        _ => random.below(4200),
    }
}

fn flags(random: &mut Random) -> u64 {
    match random.below(12) {
        0 => random.next(),
        1..=3 => 0,
        4 => 1 << random.below(64),
        5 => random.pick(&[
            0x5_0f00, 0x35_0f00, 0x3d_0f00, 0x22, 0x32, 0x10_0022, 0x4022, 0x1000,
        ]),
        6 | 7 => 1 << random.below(24) | random.below(4),
        8 => 0x80800,
        _ => (1 << random.below(20)) | (1 << random.below(20)) | random.below(4),
    }
}

fn address(random: &mut Random, results: &[u64]) -> u64 {
    match random.below(10) {
        0 => pointer(random),
        1 => 0,
        2 => 0x1000_0000 + random.below(100) * 0x800,
        3..=5 => recent(random, results).wrapping_add(random.below(3) * PAGE),
        6 => BASE + random.below(WRITABLE + 8) * PAGE,
        7 => 0x7000_0000_0000 + random.below(64) * PAGE,
        8 => 0x6000_0000 + random.below(64) * PAGE,
        _ => random.next() & 0x7fff_ffff_f000,
    }
}

fn any(random: &mut Random, results: &[u64]) -> u64 {
    match random.below(8) {
        0 => random.next(),
        1 => random.pick(&[
            u64::MAX,
            1 << 63,
            0xffff_ffff,
            1 << 31,
            0x7fff_ffff,
            4095,
            4096,
        ]),
        2 => 1 << random.below(64),
        3 => pointer(random),
        4 => recent(random, results),
        5 => u64::MAX - random.below(5000),
        _ => random.below(64),
    }
}
