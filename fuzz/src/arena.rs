//! The guest's memory, and arguments that point into it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tinykvm::{Guest, Protection};
use tinykvm_testkit::FakeGuest;

use crate::calls::Kind;
use crate::presets;
use crate::random::Random;

/// Where the memory lies: 16 pages to write, 4 to read, 4 without access, then nothing.
pub(crate) const BASE: u64 = 0x5000_0000;
pub(crate) const PAGE: u64 = 0x1000;
const WRITABLE: u64 = 16;
/// Structures and paths start at multiples of this in the first pages.
pub(crate) const SLOT: u64 = 128;
const SLOTS: u64 = 4 * PAGE / SLOT;
const PATHS: u64 = BASE + 4 * PAGE;
const PATH_SLOT: u64 = 64;
/// Addresses of sockets, in the same pages.
pub(crate) const ADDRESSES: u64 = BASE + 8 * PAGE - MOST_ADDRESSES * SLOT;
const MOST_ADDRESSES: u64 = 16;
/// Structures that calls take, between paths and addresses.
pub(crate) const PRESETS: u64 = PATHS + 9 * 1024;

/// Names below the directory that may be written, in what else is granted, and others.
const NAMES: &[&str] = &[
    "a",
    "b",
    "dir",
    "dir/f",
    "dir/g",
    "link",
    "../ro/a",
    "../single",
    "state",
    "/shown/b",
    "",
    ".",
    "..",
    "a/b",
    "a/../b",
    "a/./b/",
    "link/x",
    "dir/",
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
    "/state",
    "locked",
    "locked/a",
    "locked/dir/f",
    "../ro",
    "../ro/dir/f",
    "../ro/dir",
    "../ro/link",
    "../ro/up/b",
    "../ro/out",
    "../fixed",
    "../listed",
    "../listed/a",
    "../link",
    "../outside",
    "../sock",
    "/shown/a",
    "/shown/dir/f",
    "/shown",
    "/lib",
    "/lib/a",
    "/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/dir/f",
];

/// What calls gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    results: Vec<u64>,
    /// Descriptors, probably.
    opened: Vec<u64>,
    /// Those of them that are sockets.
    sockets: Vec<u64>,
}

impl Known {
    /// Remembers what a call gave.
    pub(crate) fn add(&mut self, call: u64, result: u64) {
        if !(3..1 << 48).contains(&result) {
            return;
        }
        let add = |list: &mut Vec<u64>| {
            if list.len() > 8 {
                list.remove(0);
            }
            list.push(result);
        };
        if OPENS.contains(&call) && result < 1024 {
            add(&mut self.opened);
            if SOCKETS.contains(&call) {
                add(&mut self.sockets);
            }
        } else {
            add(&mut self.results);
        }
    }
}

/// Calls that give a descriptor: open, dup, dup2, socket, accept, creat, epoll_create, openat,
/// signalfd, timerfd_create, eventfd, accept4, signalfd4, eventfd2, epoll_create1, dup3,
/// memfd_create, openat2.
const OPENS: [u64; 18] = [
    2, 32, 33, 41, 43, 85, 213, 257, 282, 283, 284, 288, 289, 290, 291, 292, 319, 437,
];

/// So many of these can mostly be used, and are so more often.
const GOOD: u64 = 10;

/// Calls that give a socket: socket, accept, accept4.
const SOCKETS: [u64; 3] = [41, 43, 288];

/// What the arena needs to know of the host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names {
    /// The directory that the program works in.
    pub(crate) directory: String,
    /// Where somebody listens.
    pub(crate) port: u16,
    pub(crate) socket: String,
}

/// Fills a guest's memory.
pub(crate) fn fill(guest: &mut FakeGuest, random: &mut Random, names: &Names) {
    guest.map_at(BASE, WRITABLE * PAGE, Protection::READ_WRITE);
    guest.map_at(BASE + WRITABLE * PAGE, 4 * PAGE, Protection::READ);
    guest.map_at(BASE + (WRITABLE + 4) * PAGE, 4 * PAGE, Protection::NONE);
    for slot in 0..SLOTS {
        put(guest, BASE + slot * SLOT, &structure(random));
    }
    for (index, name) in (0..).zip(NAMES) {
        put(guest, PATHS + index * 2 * PATH_SLOT, &terminated(name));
        let full = format!("{}/{name}", names.directory);
        put(
            guest,
            PATHS + (index * 2 + 1) * PATH_SLOT,
            &terminated(&full),
        );
    }
    for (index, (_, words)) in (0..).zip(presets::TABLE) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        put(guest, PRESETS + index * SLOT, &bytes);
    }
    for (index, address) in (0..MOST_ADDRESSES).zip(addresses(names)) {
        put(guest, ADDRESSES + index * SLOT, &address);
    }
    guest.registers_mut().rsp = BASE + 12 * PAGE;
    guest.registers_mut().rip = BASE + 13 * PAGE;
}

/// Addresses of sockets: of those that listen, of closed ones, of others.
fn addresses(names: &Names) -> Vec<Vec<u8>> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    let mut all: Vec<_> = [
        (here, names.port),
        (mapped, names.port),
        (here, 1),
        (here, 7),
        (here, 2),
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0),
        (IpAddr::V6(Ipv6Addr::LOCALHOST), names.port),
        (IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 53),
    ]
    .map(|(address, port)| internet(SocketAddr::new(address, port)))
    .to_vec();
    let unix = |path: &[u8]| [&[1, 0], path, &[0]].concat();
    let inside = format!("{}/a", names.directory);
    for path in [
        names.socket.as_bytes(),
        inside.as_bytes(),
        b"",
        b"\0abstract",
        b"../sock",
    ] {
        all.push(unix(path));
    }
    all.push(vec![0; 16]);
    all
}

/// `struct sockaddr_in`, `struct sockaddr_in6`.
fn internet(address: SocketAddr) -> Vec<u8> {
    let port = address.port().to_be_bytes();
    match address.ip() {
        IpAddr::V4(ip) => [&[2, 0], &port[..], &ip.octets(), &[0; 8]].concat(),
        IpAddr::V6(ip) => [&[10, 0], &port[..], &[0; 4], &ip.octets(), &[0; 4]].concat(),
    }
}

/// A pointer to one of them, mostly to one that listens.
fn socket_address(random: &mut Random) -> u64 {
    let index = match random.below(8) {
        0..=2 => 0,
        3 | 4 => 9,
        _ => random.below(MOST_ADDRESSES),
    };
    ADDRESSES + index * SLOT
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

/// A pointer to a structure of the kind with this letter.
fn preset(random: &mut Random, kind: char) -> u64 {
    let count = presets::TABLE.iter().filter(|(letter, _)| *letter == kind);
    let chosen = random.index(count.count());
    let places = (0..).zip(presets::TABLE);
    let mut same = places.filter(|(_, (letter, _))| *letter == kind);
    PRESETS + same.nth(chosen).map_or(0, |(index, _)| index) * SLOT
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
        7 => socket_address(random),
        6 => BASE + 8 * PAGE + random.below(8 * PAGE),
        _ => BASE + random.below(SLOTS) * SLOT + 8 * random.below(3),
    }
}

fn path(random: &mut Random) -> u64 {
    let count = u64::try_from(NAMES.len()).unwrap_or(1);
    let good = random.one_in(2);
    PATHS + random.below(2 * if good { GOOD } else { count }) * PATH_SLOT
}

/// An argument of this kind; sometimes another one.
pub(crate) fn argument(random: &mut Random, kind: Kind, known: &Known) -> u64 {
    let (results, opened) = (&known.results, &known.opened);
    let kind = if random.one_in(32) { Kind::Any } else { kind };
    match kind {
        Kind::Descriptor => descriptor(random, opened),
        Kind::Socket => descriptor(random, &known.sockets),
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
        Kind::SocketAddress if random.one_in(8) => pointer(random),
        Kind::SocketAddress => socket_address(random),
        Kind::Preset(_) if random.one_in(10) => pointer(random),
        Kind::Preset(kind) => preset(random, kind),
        Kind::Directory if random.one_in(4) => descriptor(random, opened),
        Kind::Directory => 0xffff_ff9c, // AT_FDCWD
        Kind::Among(some) => random.pick(some),
        Kind::AddressLength if random.one_in(12) => length(random),
        Kind::AddressLength => random.pick(&[16, 16, 28, 110, 110, 2, 128]),
        Kind::Any => any(random, results),
    }
}

fn descriptor(random: &mut Random, opened: &[u64]) -> u64 {
    match random.below(24) {
        0 => random.next(),
        1 => random.pick(&[0xffff_ffff, u64::MAX, 1023, 1024, 1 << 31, 900]),
        2 => 0xffff_ff9c, // AT_FDCWD
        3..=5 => random.below(5),
        6..=8 => random.below(40),
        9..=12 => 3 + random.below(8),
        _ => recent(random, opened),
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
