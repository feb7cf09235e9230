//! Who runs: threads take turns on one processor.
//!
//! ```text
//!                 a call is answered, a slice ends, a signal is delivered
//!     running ────────────────────────────────────────────────────────> running
//!      │   ^                                                               │
//!      │   └─ first in the queue: its call is answered, or made again      │ slice over,
//!      │ cannot be answered yet                                            │ sched_yield
//!      v                                                                   v
//!     waiting ── time, change, wake, signal, host descriptor ──────────> queue
//! ```
//!
//! The order is first come, first served. A thread runs on until it has to wait, or until its slice
//! is over and another one can run; to wake one does not give the processor away. While nobody can
//! run the host waits, within the guest's budget.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use tinykvm::Guest;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::host::{Flow, Host};
use crate::process::Process;
use crate::process::block::{Attempt, Block, HostPoll, Wait};
use crate::process::state::State;
use crate::process::threads::{Thread, Waiting};
use crate::run::delivery;
use crate::run::table::{self, Call};

/// How long a thread runs while others wait for the processor.
const SLICE: Duration = Duration::from_millis(4);
/// Switches between looks at the deadline while no thread gets to run.
const CHECKED: u32 = 64;

/// What an answer means for the thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It goes on if it can.
    Keep,
    /// The others come first.
    Yield,
}

impl Process {
    /// The time slice is over, or a timer's time is reached, or a parked thread's: others run, and
    /// signals of timers are delivered.
    ///
    /// The embedder calls this at [`Exit::TimeSlice`](tinykvm::Exit::TimeSlice).
    pub fn time_slice(&mut self, guest: &mut dyn Guest, host: &mut dyn Host) -> Flow {
        let over = self.slice_end.is_none_or(|end| guest.monotonic() >= end);
        let flow = self.proceed(guest, host, if over { Turn::Yield } else { Turn::Keep });
        self.answer_ahead(guest);
        flow
    }

    /// Makes a call of the current thread, for the first time or again.
    pub(crate) fn attempt(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        call: &'static Call,
        attempt: Attempt,
    ) -> Result<Turn, Flow> {
        let generation = self.state().generation();
        let mut context = Context::new(self, guest, host, call.name, attempt);
        let answer = (call.handler)(&mut context);
        context.tell_if_full(&answer);
        let attempt = context.attempt;
        self.count_held(guest);
        self.conclude(guest, call, attempt, generation, answer)
    }

    /// Gives the current thread its answer, or parks it.
    fn conclude(
        &mut self,
        guest: &mut dyn Guest,
        call: &'static Call,
        attempt: Attempt,
        generation: u64,
        answer: Answer,
    ) -> Result<Turn, Flow> {
        let mut turn = Turn::Keep;
        match answer {
            Ok(value) => guest.registers_mut().rax = value,
            Err(Failure::Error(error)) => guest.registers_mut().rax = error.to_result(),
            Err(Failure::Stop(flow)) => return Err(flow),
            Err(Failure::Done) => {}
            Err(Failure::Yield) => {
                guest.registers_mut().rax = 0;
                turn = Turn::Yield;
            }
            Err(Failure::Block(block)) if attempt.interrupted => {
                guest.registers_mut().rax = crate::wire::errno::EINTR.to_result();
                let signals = &mut self.state_mut().thread_mut().signals;
                signals.restart = block.restart.then_some(call.number);
                // The signal is delivered under the mask of the call.
                return Ok(turn);
            }
            Err(Failure::Block(block)) => {
                let threads = &mut self.state_mut().threads;
                let order = threads.next_wait();
                threads.current.wait = Some(Waiting {
                    call: call.number,
                    block,
                    attempt,
                    generation,
                    order,
                    answer: None,
                    host_ready: false,
                });
                return Ok(turn);
            }
        }
        if self.state().thread().signals.saved.is_some() {
            self.state_mut().thread_mut().restore_mask();
        }
        Ok(turn)
    }

    /// Finds out who runs next and prepares the guest for it.
    pub(crate) fn proceed(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        mut turn: Turn,
    ) -> Flow {
        if self.state().is_quiet() {
            if self.sliced {
                self.sliced = false;
                guest.set_time_slice(None);
            }
            return Flow::Continue;
        }
        // The host may have slept for a guest whose clock stands still.
        let mut reached = Duration::ZERO;
        let mut steps = 0_u32;
        loop {
            let now = guest.monotonic().max(reached);
            self.wake(now);
            if self.slice_end.is_some_and(|end| end <= now) {
                turn = Turn::Yield;
            }
            let step = if turn == Turn::Keep && self.state().thread().can_run() {
                match self.enter(guest, now) {
                    Flow::Continue if self.state().thread().can_run() => return Flow::Continue,
                    Flow::Continue => Ok(()),
                    end => return end,
                }
            } else {
                self.rotate(guest, host, now, turn)
            };
            turn = Turn::Keep;
            steps += 1;
            if steps.is_multiple_of(CHECKED) && !host.sleep(Duration::ZERO) {
                return Flow::Deadline;
            }
            // The guest's clock may be a little behind the host's.
            let wait = &self.state().thread().wait;
            let until = wait.as_ref().and_then(|waiting| waiting.block.until);
            if until.is_some_and(|until| until <= reached) {
                reached = Duration::ZERO;
            }
            match step {
                Ok(()) => {}
                Err(Idle::Until(time)) => reached = reached.max(time),
                Err(Idle::End(flow)) => return flow,
                Err(Idle::Yield) => turn = Turn::Yield,
            }
        }
    }

    /// Prepares the guest for the current thread.
    fn enter(&mut self, guest: &mut dyn Guest, now: Duration) -> Flow {
        if !self.state().threads.has_vectors() {
            self.state_mut().threads.load_vectors(guest);
        }
        let flow = delivery::deliver_pending(self, guest);
        if flow == Flow::Continue {
            self.arm(guest, now);
        }
        flow
    }

    /// Gives the processor to the next thread, or waits in the host.
    fn rotate(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        now: Duration,
        turn: Turn,
    ) -> Result<(), Idle> {
        self.look_at_host();
        self.wake(now);
        let threads = &mut self.state_mut().threads;
        let id = threads.current.id;
        if turn == Turn::Yield && threads.current.can_run() {
            threads.queue(id);
        }
        let Some(next) = threads.next() else {
            return Err(self.idle(guest, host, now));
        };
        if next != id || turn == Turn::Yield {
            self.slice_end = None;
        }
        let threads = &mut self.state_mut().threads;
        threads.switch(next, guest);
        match threads.current.wait.take() {
            Some(waiting) => match self.again(guest, host, &waiting, now) {
                Ok(Turn::Keep) => Ok(()),
                Ok(Turn::Yield) => Err(Idle::Yield),
                Err(flow) => Err(Idle::End(flow)),
            },
            None => Ok(()),
        }
    }

    /// Answers the call of the current thread, or makes it again.
    fn again(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        waiting: &Waiting,
        now: Duration,
    ) -> Result<Turn, Flow> {
        if let Some(value) = waiting.answer {
            guest.registers_mut().rax = value;
            self.state_mut().thread_mut().restore_mask();
            return Ok(Turn::Keep);
        }
        let attempt = Attempt {
            timed_out: waiting.attempt.deadline.is_some_and(|time| time <= now),
            interrupted: self.state().deliverable(self.state().thread()) != 0,
            again: true,
            ..waiting.attempt
        };
        match parked(waiting.call) {
            Some(call) => self.attempt(guest, host, call, attempt),
            // It was found when it was made.
            None => Ok(Turn::Keep),
        }
    }

    /// Queues the threads whose wait is over, and sends the signals of timers.
    fn wake(&mut self, now: Duration) {
        if self.state().timers.next().is_some_and(|time| time <= now) {
            self.state_mut().fire_timers(now);
        }
        let state = self.state();
        let is_due = |thread: &&Thread| state.is_due(thread, now);
        let mut due: Vec<_> = state.threads.iter().filter(is_due).collect();
        if due.is_empty() {
            return;
        }
        due.sort_by_key(|thread| thread.wait.as_ref().map(|waiting| waiting.order));
        let due: Vec<_> = due.into_iter().map(|thread| thread.id).collect();
        let threads = &mut self.state_mut().threads;
        for id in due {
            threads.queue(id);
        }
    }

    /// The guest stops again when somebody else should run, or a timer's time is reached.
    pub(crate) fn arm(&mut self, guest: &mut dyn Guest, now: Duration) {
        let state = self.state();
        let shared = state.threads.others_are_ready() || state.waits_for_host();
        let first = state.next_time();
        let slice = shared.then_some(SLICE);
        let end = match (slice, self.slice_end) {
            (Some(slice), None) => Some(now + slice),
            (Some(_), end) => end,
            (None, _) => None,
        };
        self.slice_end = end;
        let next = [end, first].into_iter().flatten().min();
        if next.is_some() || self.sliced {
            self.sliced = next.is_some();
            guest.set_time_slice(next.map(|time| time.saturating_sub(now)));
        }
    }

    /// Nobody can run: waits for the earliest time, or for a host descriptor.
    fn idle(&mut self, guest: &mut dyn Guest, host: &mut dyn Host, now: Duration) -> Idle {
        let next = self.state().next_time();
        let time = next.map(|next| next.saturating_sub(now));
        let before = guest.monotonic();
        let end = if self.state().waits_for_host() {
            self.poll(guest, host, next.zip(time))
        } else {
            match next.zip(time) {
                None => Idle::End(Flow::Deadlock),
                Some((next, time)) if host.sleep(time) => Idle::Until(next),
                Some(_) => Idle::End(Flow::Deadline),
            }
        };
        let idle = guest.monotonic().saturating_sub(before);
        self.state_mut().idle += idle;
        end
    }

    /// Waits for host descriptors, for `time` and the guest's budget at most.
    fn poll(
        &mut self,
        guest: &mut dyn Guest,
        host: &mut dyn Host,
        time: Option<(Duration, Duration)>,
    ) -> Idle {
        if !host.sleep(Duration::ZERO) {
            return Idle::End(Flow::Deadline);
        }
        let left = guest.time_left();
        let limit = time.map_or(left, |(_, time)| time.min(left));
        let found = self.ready_in_host(limit, host.interrupt());
        if !host.sleep(Duration::ZERO) {
            return Idle::End(Flow::Deadline);
        }
        match (found, time) {
            // Nothing came in time.
            (Some(0), Some((next, time))) if time < left => Idle::Until(next),
            (Some(0), _) => Idle::End(Flow::Deadline),
            (Some(_), _) => Idle::Until(Duration::ZERO),
            // A signal of the host, or what cannot be waited for, which is for the handlers to
            // find out; but not in a tight loop.
            (None, _) if host.sleep(Duration::from_millis(1)) => Idle::Until(Duration::ZERO),
            (None, _) => Idle::End(Flow::Deadline),
        }
    }

    /// Looks at host descriptors without waiting.
    fn look_at_host(&mut self) {
        if self.state().waits_for_host() {
            self.ready_in_host(Duration::ZERO, None);
        }
    }

    /// Waits for host descriptors of all threads, or for `interrupt`, marks those that need not wait
    /// any more, and returns how many descriptors are ready.
    fn ready_in_host(
        &mut self,
        limit: Duration,
        interrupt: Option<BorrowedFd<'_>>,
    ) -> Option<usize> {
        let state = self.state();
        let waits: Vec<(u32, HostPoll)> = state.threads.iter().flat_map(host_polls).collect();
        let mut list: Vec<_> = waits.iter().map(|(_, poll)| poll_entry(poll)).collect();
        list.extend(
            interrupt.map(|descriptor| PollFd::from_borrowed_fd(descriptor, PollFlags::IN)),
        );
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let found = rustix::event::poll(&mut list, Some(&timeout)).ok()?;
        let ready = list.iter().map(|entry| !entry.revents().is_empty());
        let ready: Vec<_> = ready.zip(&waits).filter(|(ready, _)| *ready).collect();
        for (_, (id, _)) in ready {
            if let Some(thread) = self.state_mut().threads.find_mut(*id)
                && let Some(waiting) = &mut thread.wait
            {
                waiting.host_ready = true;
            }
        }
        Some(found)
    }
}

/// What became of a turn that nobody could take.
enum Idle {
    /// This time is reached.
    Until(Duration),
    /// The current thread lets the others go first.
    Yield,
    /// The guest does not go on.
    End(Flow),
}

/// The call that a thread waits in.
fn parked(number: u16) -> Option<&'static Call> {
    #[cfg(test)]
    if number == tests::LATER.number {
        return Some(&tests::LATER);
    }
    table::find(u32::from(number))
}

fn host_polls(thread: &Thread) -> impl Iterator<Item = (u32, HostPoll)> {
    let block = thread.wait.as_ref().map(|waiting| &waiting.block);
    let polls = block.map_or(&[][..], |block| &block.host);
    polls.iter().map(|poll| (thread.id, poll.clone()))
}

fn poll_entry(poll: &HostPoll) -> PollFd<'_> {
    PollFd::new(&poll.descriptor, PollFlags::from_bits_retain(poll.events))
}

impl State {
    /// True if the only thread just goes on.
    fn is_quiet(&self) -> bool {
        self.threads.is_alone()
            && self.timers.next().is_none()
            && self.deliverable_set(self.thread()) == 0
            && self.threads.has_vectors()
    }

    /// True if a thread that waits should try again.
    fn is_due(&self, thread: &Thread, now: Duration) -> bool {
        let Some(waiting) = &thread.wait else {
            return false;
        };
        let Block { until, on, .. } = &waiting.block;
        waiting.answer.is_some()
            || waiting.host_ready
            || *on == Wait::Event && waiting.generation != self.generation()
            || until.is_some_and(|until| until <= now)
            || self.deliverable(thread) != 0
    }

    fn waits_for_host(&self) -> bool {
        let mut waits = self
            .threads
            .iter()
            .filter_map(|thread| thread.wait.as_ref());
        waits.any(|waiting| !waiting.block.host.is_empty())
    }

    /// The earliest time that something waits for.
    fn next_time(&self) -> Option<Duration> {
        let waits = self
            .threads
            .iter()
            .filter_map(|thread| thread.wait.as_ref());
        let times = waits.filter_map(|waiting| waiting.block.until);
        times.chain(self.timers.next()).min()
    }
}

#[cfg(test)]
mod tests;
