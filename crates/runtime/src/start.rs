//! A start of a program: how it is called off while it is under way, and when it gets its turn.
//!
//! Nobody waits for a start that is called off. A guest that runs is stopped by the watchdog; a
//! guest for which the host waits is told by a pipe, or by a condition; one that waits for its
//! turn leaves the queue. The thread that loads the program then ends by itself.
//!
//! Locks: [`Turns`] before a [`Start`]; a program's state before either.

use std::collections::VecDeque;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tinykvm::Stopper;

use crate::sync::{lock, wait_while};

/// How long a program may sleep in all while it starts, and keep its turn: one that waits for
/// something needs no processor.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);
/// How long a start has a turn to itself: one that takes longer goes on, and the next one begins.
const LONGEST_TURN: Duration = Duration::from_secs(10);

/// One start, known to the thread that does it and to whoever may call it off.
pub(crate) struct Start {
    state: Mutex<State>,
    changed: Condvar,
    /// Can be read from once the start is called off: its other end is closed then.
    off: PipeReader,
}

struct State {
    /// The other end; `None`: called off.
    on: Option<PipeWriter>,
    /// Stops the guest.
    stopper: Option<Stopper>,
    /// How long it has slept in all.
    slept: Duration,
}

impl Start {
    pub(crate) fn new() -> io::Result<Self> {
        let (off, on) = io::pipe()?;
        Ok(Self {
            state: Mutex::new(State {
                on: Some(on),
                stopper: None,
                slept: Duration::ZERO,
            }),
            changed: Condvar::new(),
            off,
        })
    }

    /// Calls the start off. Does not wait for anything.
    pub(crate) fn call_off(&self) {
        let stopper = {
            let mut state = lock(&self.state);
            state.on = None;
            state.stopper.take()
        };
        self.changed.notify_all();
        if let Some(stopper) = stopper {
            stopper.stop();
        }
        Turns::shared().look_again();
    }

    /// True once it is called off.
    pub(crate) fn is_off(&self) -> bool {
        lock(&self.state).on.is_none()
    }

    /// What stops the guest, from now on.
    pub(crate) fn stop_with(&self, stopper: Stopper) {
        let mut state = lock(&self.state);
        match state.on {
            Some(_) => state.stopper = Some(stopper),
            None => stopper.stop(),
        }
    }

    /// Sleeps, until the start is called off at most. The other starts need not wait for one that
    /// sleeps much.
    pub(crate) fn sleep(&self, duration: Duration) {
        self.sleep_in(Turns::shared(), duration);
    }

    fn sleep_in(&self, turns: &Turns, duration: Duration) {
        let slept = {
            let mut state = lock(&self.state);
            state.slept = state.slept.saturating_add(duration);
            state.slept
        };
        if slept > LONGEST_SLEEP {
            turns.give_up(self);
        }
        let on = |state: &mut State| state.on.is_some();
        drop(wait_while(&self.changed, lock(&self.state), duration, on));
    }

    /// By which it is told from the others that there are.
    fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// A descriptor that can be read from once the start is called off.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.off.as_fd()
    }
}

/// Who may start: as many programs at the same time as the machine has processors, first come,
/// first served. More would keep each other from being ready within their time.
pub(crate) struct Turns {
    most: usize,
    longest: Duration,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    last: u64,
    waiting: VecDeque<u64>,
    /// Who has a turn, when it ends at the latest, and for which start it is.
    running: Vec<Running>,
}

struct Running {
    number: u64,
    end: Instant,
    start: usize,
}

/// A turn, until it is dropped.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    number: u64,
}

impl Turns {
    fn new(most: usize, longest: Duration) -> Self {
        Self {
            most,
            longest,
            queue: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Those of this process.
    pub(crate) fn shared() -> &'static Self {
        static TURNS: OnceLock<Turns> = OnceLock::new();
        TURNS.get_or_init(|| {
            let processors = thread::available_parallelism();
            Self::new(processors.map_or(1, Into::into), LONGEST_TURN)
        })
    }

    /// Waits for a turn; `None` if the start is called off.
    pub(crate) fn take(&self, start: &Start) -> Option<Turn<'_>> {
        let mut queue = lock(&self.queue);
        queue.last += 1;
        let number = queue.last;
        queue.waiting.push_back(number);
        loop {
            if start.is_off() {
                queue.waiting.retain(|waiting| *waiting != number);
                self.changed.notify_all();
                return None;
            }
            let now = Instant::now();
            queue.running.retain(|running| running.end > now);
            if queue.waiting.front() == Some(&number) && queue.running.len() < self.most {
                queue.waiting.pop_front();
                queue.running.push(Running {
                    number,
                    end: now + self.longest,
                    start: start.identity(),
                });
                self.changed.notify_all();
                let turns = self;
                return Some(Turn { turns, number });
            }
            let next = queue.running.iter().map(|running| running.end).min();
            let pause = next.map_or(self.longest, |end| end.saturating_duration_since(now));
            let waited = self.changed.wait_timeout(queue, pause);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes the turn of a start away, which goes on without.
    fn give_up(&self, start: &Start) {
        let of = start.identity();
        lock(&self.queue)
            .running
            .retain(|running| running.start != of);
        self.changed.notify_all();
    }

    /// Lets everybody who waits look again.
    fn look_again(&self) {
        drop(lock(&self.queue));
        self.changed.notify_all();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.turns.queue);
        queue
            .running
            .retain(|running| running.number != self.number);
        self.turns.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
