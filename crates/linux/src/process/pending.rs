//! Signals that were sent and are not delivered yet.

use std::collections::VecDeque;

use crate::objects::slab::shrink;
use crate::wire::ids::{PROCESS_ID, USER_ID};
use crate::wire::record::{Record, u32_at, u64_at};
use crate::wire::signal::{SI_TIMER, SYNCHRONOUS, bit};

/// `SIGRTMIN` in asm-generic/signal.h: from here on each sending counts.
const FIRST_REAL_TIME: u32 = 32;

/// What is told of a signal: `struct siginfo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) number: u32,
    /// `si_errno`, for the program's own use.
    pub(crate) error: u32,
    /// `si_code`.
    pub(crate) code: i32,
    /// The bytes from offset 16 on: sender and value, or address, or timer.
    pub(crate) fields: [u64; 4],
}

impl Info {
    /// A signal of the program itself.
    pub(crate) fn own(number: u32, code: i32) -> Self {
        let sender = u64::from(PROCESS_ID) | u64::from(USER_ID) << 32;
        Self {
            number,
            error: 0,
            code,
            fields: [sender, 0, 0, 0],
        }
    }

    /// A signal of a timer: its number, and what `timer_create` was given.
    pub(crate) fn timer(number: u32, timer: u32, overrun: u32, value: u64) -> Self {
        Self {
            number,
            error: 0,
            code: SI_TIMER,
            fields: [u64::from(timer) | u64::from(overrun) << 32, value, 0, 0],
        }
    }

    /// What a program sends as `siginfo_t`.
    pub(crate) fn parse(number: u32, record: &[u8; 128]) -> Self {
        Self {
            number,
            error: u32_at(record, 4),
            code: u32_at(record, 8).cast_signed(),
            fields: [16, 24, 32, 40].map(|at| u64_at(record, at)),
        }
    }

    /// The signal as `siginfo_t`.
    pub(crate) fn record(&self) -> Record<128> {
        let mut record = Record::new()
            .u32(0, self.number)
            .u32(4, self.error)
            .i32(8, self.code);
        for (place, field) in [16, 24, 32, 40].into_iter().zip(self.fields) {
            record = record.u64(place, field);
        }
        record
    }
}

/// A set of pending signals: of the others one each, of the real-time signals a queue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    set: u64,
    queue: VecDeque<Info>,
}

impl Pending {
    /// The numbers, as a signal set.
    pub(crate) fn set(&self) -> u64 {
        self.set
    }

    /// How many are in the queue.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// True if this sending would say nothing new.
    pub(crate) fn has_same(&self, number: u32) -> bool {
        number < FIRST_REAL_TIME && self.set & bit(number) != 0
    }

    /// Adds a signal. Without `room` it is told without its details.
    pub(crate) fn add(&mut self, info: Info, room: bool) {
        self.set |= bit(info.number);
        if room {
            self.queue.push_back(info);
        }
    }

    /// The pending signal of a timer.
    pub(crate) fn of_timer(&mut self, timer: u32) -> Option<&mut Info> {
        self.queue
            .iter_mut()
            .find(|info| info.code == SI_TIMER && info.fields[0] & 0xffff_ffff == u64::from(timer))
    }

    /// Takes the first of the signals in `allowed`: faults first, then by number, then by age.
    pub(crate) fn take(&mut self, allowed: u64) -> Option<Info> {
        let ready = self.set & allowed;
        let first = match ready & SYNCHRONOUS {
            0 => ready,
            faults => faults,
        };
        if first == 0 {
            return None;
        }
        let number = first.trailing_zeros() + 1;
        let is_it = |info: &Info| info.number == number;
        let info = match self.queue.iter().position(is_it) {
            Some(place) => self.queue.remove(place),
            None => None,
        };
        let info = info.unwrap_or_else(|| Info::own(number, 0));
        shrink(&mut self.queue);
        if !self.queue.iter().any(is_it) {
            self.set &= !bit(number);
        }
        Some(info)
    }

    /// Forgets signals.
    pub(crate) fn forget(&mut self, set: u64) {
        if self.set & set != 0 {
            self.set &= !set;
            self.queue.retain(|info| bit(info.number) & set == 0);
        }
    }
}
