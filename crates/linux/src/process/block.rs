//! What a call that cannot be answered yet waits for.
//!
//! A handler does not wait. It returns a [`Block`]; the scheduler parks the thread and makes the
//! call again, with the same arguments, when that may have an answer:
//!
//! * something that handlers look at has changed
//!   ([`State::changed`](crate::process::state::State::changed)),
//! * a host descriptor that the call waits for is ready,
//! * the time that it gave is reached ([`Attempt::timed_out`]), or
//! * a signal interrupts it ([`Attempt::interrupted`]).
//!
//! After the last two the handler should answer. One that asks to wait again at its time waits on;
//! one that asks to wait again when it is interrupted ends with `EINTR`, or is restarted behind the
//! signal's handler if both want that.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Time between two attempts where nothing tells when the next one can succeed.
const PAUSE: Duration = Duration::from_millis(5);

/// A wait.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Monotonic time at which the call is made again at the latest. See
    /// [`Context::deadline`](crate::call::context::Context::deadline).
    pub(crate) until: Option<Duration>,
    /// What else ends the wait.
    pub(crate) on: Wait,
    /// Host descriptors any of which ends the wait.
    pub(crate) host: Vec<HostPoll>,
    /// Behind a signal handler with `SA_RESTART` the call is made anew (`read`, `write`, `futex`);
    /// else it is `EINTR` (`poll`, `nanosleep`).
    pub(crate) restart: bool,
}

/// What ends a wait, besides its time and signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nothing.
    Nothing,
    /// Any change of what handlers look at.
    Event,
    /// `FUTEX_WAKE` and the like.
    Futex {
        /// The word.
        address: u64,
        /// Wakers must name one of these bits.
        bits: u32,
    },
    /// The owner of a priority-inheritance futex gives it to this thread.
    Lock {
        /// The word.
        address: u64,
    },
}

/// A descriptor of the host to wait for.
#[derive(Debug, Clone)]
pub(crate) struct HostPoll {
    /// The descriptor.
    pub(crate) descriptor: Arc<OwnedFd>,
    /// `POLLIN`, `POLLOUT` and so on (asm-generic/poll.h).
    pub(crate) events: u16,
}

impl Block {
    /// Waits for a change of anything, up to `until`.
    pub(crate) fn event(until: Option<Duration>) -> Self {
        Self {
            until,
            on: Wait::Event,
            host: Vec::new(),
            restart: false,
        }
    }

    /// Waits for something that somebody does.
    pub(crate) fn on(on: Wait, until: Option<Duration>) -> Self {
        Self {
            on,
            ..Self::event(until)
        }
    }

    /// Waits for a time only.
    pub(crate) fn sleep(until: Duration) -> Self {
        Self {
            on: Wait::Nothing,
            ..Self::event(Some(until))
        }
    }

    /// Waits a little and tries again, up to `deadline`.
    pub(crate) fn pause(now: Duration, deadline: Option<Duration>) -> Self {
        let next = now.saturating_add(PAUSE);
        Self::sleep(deadline.map_or(next, |deadline| next.min(deadline))).restarting()
    }

    /// The call is made anew behind a signal handler with `SA_RESTART`.
    pub(crate) fn restarting(mut self) -> Self {
        self.restart = true;
        self
    }
}

/// What a call remembers from one attempt to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Attempt {
    /// The monotonic time that [`Context::deadline`](crate::call::context::Context::deadline) gave.
    pub(crate) deadline: Option<Duration>,
    /// The time of the last attempt's [`Block`] is reached.
    pub(crate) timed_out: bool,
    /// A signal wants to be delivered.
    pub(crate) interrupted: bool,
    /// The call was made before.
    pub(crate) again: bool,
    /// For the handler alone: how far it came, say.
    pub(crate) done: u64,
}
