//! What can be done with a descriptor without waiting, in the terms of `poll` and `epoll`.

use std::ops::{BitAnd, BitOr};

/// A set of events (asm-generic/poll.h; `EPOLL*` has the same values).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Events(pub(crate) u32);

impl Events {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const IN: Self = Self(0x01);
    pub(crate) const PRI: Self = Self(0x02);
    pub(crate) const OUT: Self = Self(0x04);
    pub(crate) const ERR: Self = Self(0x08);
    pub(crate) const HUP: Self = Self(0x10);
    pub(crate) const NVAL: Self = Self(0x20);
    pub(crate) const WRBAND: Self = Self(0x200);
    pub(crate) const RDHUP: Self = Self(0x2000);
    /// There is something to read.
    pub(crate) const READABLE: Self = Self(0x41);
    /// There is room to write.
    pub(crate) const WRITABLE: Self = Self(0x104);
    /// Reported whether asked for or not.
    pub(crate) const ALWAYS: Self = Self(0x18);

    /// Adds events if `on`.
    pub(crate) fn set(&mut self, events: Self, on: bool) {
        if on {
            self.0 |= events.0;
        }
    }

    /// True if any of `events` is in the set.
    pub(crate) fn has(self, events: Self) -> bool {
        self.0 & events.0 != 0
    }

    /// True if nothing is in the set.
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Events {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// How often something happened that Linux would tell an edge-triggered `epoll`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Edges {
    /// Something to read arrived.
    pub(crate) input: u64,
    /// Room to write came about.
    pub(crate) output: u64,
}

impl Edges {
    /// The other end has gone: this concerns all who watch.
    pub(crate) fn hang_up(&mut self) {
        self.input += 1;
        self.output += 1;
    }

    /// The edges as one end of a one-way channel sees them.
    pub(crate) fn of_end(self, writer: bool) -> Self {
        if writer {
            Self { input: 0, ..self }
        } else {
            Self { output: 0, ..self }
        }
    }
}
