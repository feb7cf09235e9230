//! Structures as calls take them, with which they get further than with random ones.

use crate::arena::{ADDRESSES, BASE, PAGE, PRESETS, SLOT};

/// Memory to write; at its end it may be only read.
const BUFFER: u64 = BASE + 9 * PAGE;
/// The third place of the table: a message that passes a descriptor.
const CONTROL: u64 = PRESETS + 3 * SLOT;
/// The address of a socket file that listens.
const UNIX: u64 = ADDRESSES + 9 * SLOT;
const SECOND: u64 = 1_000_000_000;

/// The letter of a kind, and words.
pub(crate) const TABLE: &[(char, &[u64])] = &[
    // struct iovec
    ('v', &[BUFFER, 100, BUFFER + 200, 5000, BUFFER + 6000, 0]),
    ('v', &[BUFFER, 1, BUFFER + 4095, 2, BUFFER + 10, 10]),
    ('v', &[BUFFER, 8, 0x6666_0000_0000, 8, BUFFER, 1 << 40]),
    // struct cmsghdr and a descriptor, not by itself
    ('-', &[20, 1 | 1 << 32, 3]),
    // struct msghdr: name, its length, buffers, how many, control data, its length, flags
    ('h', &[0, 0, PRESETS, 1, 0, 0, 0, 0]),
    ('h', &[0, 0, PRESETS, 2, CONTROL, 24, 0, 0]),
    ('h', &[ADDRESSES, 16, PRESETS + SLOT, 1, 0, 0, 0, 0]),
    ('h', &[UNIX, 110, PRESETS + SLOT, 2, BUFFER, 256, 0, 0]),
    // struct timespec, also two of them
    ('y', &[0, 1000]),
    ('y', &[0, 0]),
    ('y', &[2, SECOND / 2]),
    ('y', &[0, SECOND]),
    ('u', &[0, 0, 0, 1000]),
    ('u', &[0, 5000, 0, 5000]),
    ('u', &[1, 0, 1_700_000_000, 5]),
    ('u', &[0, 0, 0, 0]),
    ('u', &[0, 0x3fff_ffff, 0, 0x3fff_fffe]), // UTIME_NOW, UTIME_OMIT
    // Sets of signals
    ('q', &[0]),
    ('q', &[1 << 9 | 1 << 13 | 1 << 33]),
    ('q', &[u64::MAX]),
    // struct epoll_event, which is packed
    ('e', &[1 | 7 << 32, 0]),
    ('e', &[0x8000_0005 | 8 << 32, 0]),
    ('e', &[0x4000_0001 | 9 << 32, 0]),
    // struct open_how
    ('w', &[0, 0, 0]),
    ('w', &[0x42, 0o600, 0]),
    ('w', &[0x1_0000, 0, 8]),
    // struct sigaction of the kernel: handler, flags, restorer, mask
    ('j', &[BASE, 0x0400_0000, BASE, 0]),
    ('j', &[1, 0, 0, 0]),
    ('j', &[BASE, 0x4c00_0004, BASE, u64::MAX]),
    ('j', &[0, 0, 0, 0]),
    // struct clone_args: flags, pidfd, child, parent, exit signal, stack, its size, tls
    ('z', &[0x5_0f00, 0, 0, 0, 0, BUFFER, PAGE, 0, 0, 0, 0]),
    (
        'z',
        &[0x3d_0f00, 0, BASE, BASE, 0, BUFFER, PAGE, BASE, 0, 0, 0],
    ),
    // struct pollfd
    ('P', &[3 | 1 << 32, 4 | 5 << 32, 5 | 4 << 32]),
    ('P', &[6 | 1 << 32, 0xffff_ffff, 7 | 5 << 32]),
    // struct sigevent: value, signal and way, thread
    ('G', &[7, 14, 1]),
    ('G', &[7, 10 | 4 << 32, 1]),
    ('G', &[0, 1 << 32, 0]),
];
