//! Signals on their way: by a program to itself, and by its timers.

use std::time::Duration;

use crate::objects::signalfd::{SignalSet, SignalSetId};
use crate::process::pending::Info;
use crate::process::signals::{Action, Disposition, Target};
use crate::process::state::State;
use crate::process::threads::Thread;
use crate::process::timers::INTERVAL_SIGNALS;
use crate::wire::errno::{EAGAIN, ESRCH, Errno};
use crate::wire::signal::bit;

impl State {
    /// Sends a signal. One that would be ignored is dropped; of those below the real-time ones, at
    /// most one of each number is pending.
    pub(crate) fn send(&mut self, target: Target, info: Info) -> Result<(), Errno> {
        let room = self.queued_signals() < self.signal_limit();
        let ignored = self.signals.disposition(info.number) == Disposition::Ignore;
        let (pending, blocked) = match target {
            Target::Process => {
                let first = &self.threads.current.signals;
                (&mut self.signals.pending, first.blocked)
            }
            Target::Thread(id) => {
                let thread = self.threads.find_mut(id).ok_or(ESRCH)?;
                (&mut thread.signals.pending, thread.signals.blocked)
            }
        };
        if ignored && blocked & bit(info.number) == 0 || pending.has_same(info.number) {
            return Ok(());
        }
        // `kill` is never in vain; what was sent with a value may not get lost in silence.
        if !room && info.number >= 32 && info.code != 0 {
            return Err(EAGAIN);
        }
        pending.add(info, room || info.number < 32);
        self.changed();
        Ok(())
    }

    pub(crate) fn queued_signals(&self) -> usize {
        let own = self
            .threads
            .iter()
            .map(|thread| thread.signals.pending.len());
        own.sum::<usize>() + self.signals.pending.len()
    }

    /// The pending signals that a thread does not block; they may have become ignored.
    pub(crate) fn deliverable_set(&self, thread: &Thread) -> u64 {
        let pending = thread.signals.pending.set() | self.signals.pending.set();
        pending & !thread.signals.blocked
    }

    /// The signals of a `signalfd` that the running thread could take.
    pub(crate) fn signals_of(&self, set: SignalSetId) -> u64 {
        let set = self.object::<SignalSet>(set.0).map_or(0, |set| set.0);
        set & (self.signals.pending.set() | self.thread().signals.pending.set())
    }

    /// The pending signals that do something to a thread.
    pub(crate) fn deliverable(&self, thread: &Thread) -> u64 {
        let mut left = self.deliverable_set(thread);
        let mut set = 0;
        while left != 0 {
            let number = left.trailing_zeros() + 1;
            left &= left - 1;
            if self.signals.disposition(number) != Disposition::Ignore {
                set |= bit(number);
            }
        }
        set
    }

    /// Sets an action; a pending signal that it ignores is forgotten.
    pub(crate) fn set_action(&mut self, number: u32, action: Action) {
        self.signals.set_action(number, action);
        if self.signals.disposition(number) == Disposition::Ignore {
            self.signals.pending.forget(bit(number));
            for thread in self.threads.iter_mut() {
                thread.signals.pending.forget(bit(number));
            }
        }
    }

    /// Sends the signals of timers whose time is reached.
    pub(crate) fn fire_timers(&mut self, now: Duration) {
        for (place, signal) in INTERVAL_SIGNALS.into_iter().enumerate() {
            if self.timers.intervals[place].expire(now) > 0 {
                // SI_KERNEL
                let mut info = Info::own(signal, 0x80);
                info.fields = [0; 4];
                let _ = self.send(Target::Process, info);
            }
        }
        let mut due = Vec::new();
        for (&id, timer) in &mut self.timers.posix {
            let times = timer.schedule.expire(now);
            if let Some(target) = timer.target
                && times > 0
            {
                due.push((id, target, timer.signal, timer.value, times));
            }
        }
        for (id, target, signal, value, times) in due {
            self.send_of_timer(id, target, Info::timer(signal, id, 0, value), times);
        }
    }

    /// A timer has one signal under way at most; what expires meanwhile counts as overrun.
    fn send_of_timer(&mut self, id: u32, target: Target, mut info: Info, times: u64) {
        let pending = match target {
            Target::Process => Some(&mut self.signals.pending),
            Target::Thread(thread) => {
                let thread = self.threads.find_mut(thread);
                thread.map(|thread| &mut thread.signals.pending)
            }
        };
        let more = |overrun: u64| u32::try_from(overrun).unwrap_or(u32::MAX).min(0x7fff_ffff);
        if let Some(under_way) = pending.and_then(|pending| pending.of_timer(id)) {
            let overrun = more((under_way.fields[0] >> 32).saturating_add(times));
            under_way.fields[0] = u64::from(id) | u64::from(overrun) << 32;
            return;
        }
        info.fields[0] |= u64::from(more(times - 1)) << 32;
        // A thread that has ended gets none, and a full queue loses it.
        let _ = self.send(target, info);
    }

    /// A timer's signal is delivered: `timer_getoverrun` says its overrun.
    pub(crate) fn note_overrun(&mut self, info: &Info) {
        if info.code == crate::wire::signal::SI_TIMER
            && let Ok(id) = u32::try_from(info.fields[0] & 0xffff_ffff)
            && let Some(timer) = self.timers.posix.get_mut(&id)
        {
            timer.overrun = u32::try_from(info.fields[0] >> 32).unwrap_or(0);
        }
    }
}
