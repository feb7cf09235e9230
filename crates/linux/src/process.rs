//! The process: everything about a program that its kernel would remember.

pub(crate) mod account;
pub(crate) mod block;
pub(crate) mod clock;
pub(crate) mod close;
pub(crate) mod descriptors;
pub(crate) mod frame;
pub(crate) mod limits;
pub(crate) mod locks;
pub(crate) mod look;
pub(crate) mod options;
pub(crate) mod pending;
pub(crate) mod sending;
pub(crate) mod signals;
pub(crate) mod state;
pub(crate) mod threads;
pub(crate) mod timers;

use std::sync::Arc;
use std::time::Duration;

use tinykvm::Guest;

use crate::host::Host;
use crate::notice::{Notice, Told};
use crate::objects::kept::Objects;
use crate::objects::socket::Socket;
use crate::process::descriptors::Descriptors;
use crate::process::limits::DEFAULT_LIMITS;
use crate::process::locks::Locks;
use crate::process::options::ProcessOptions;
use crate::process::signals::Signals;
use crate::process::state::State;
use crate::process::threads::{Thread, Threads};
use crate::process::timers::Timers;

impl Process {
    /// What the host holds for the program now counts with the guest's memory.
    pub(crate) fn count_held(&self, guest: &mut dyn Guest) {
        guest.holds(self.state().held());
    }

    /// What the host holds for the program, and in a fork for this fork alone: as it is accounted
    /// for, and as a look at everything finds it. The two are always the same.
    #[must_use]
    pub fn held(&self) -> (u64, u64) {
        (self.state().held(), self.state().counted())
    }
}

/// The guest-visible kernel state of one virtual machine.
///
/// A clone shares the state until one of the two changes it, so cloning and
/// [resetting](Self::reset_from) cost next to nothing for a program that changes nothing.
#[derive(Debug, Clone)]
pub struct Process {
    options: Arc<ProcessOptions>,
    pub(crate) told: Told,
    state: Arc<State>,
    /// Monotonic time when timers were first asked for since the last call of the program began.
    resumed: Option<Duration>,
    /// It is a fork of a frozen one, and was called.
    pub(crate) forked: bool,
    /// The guest was given time slices.
    pub(crate) sliced: bool,
    /// Monotonic time at which the current thread's turn is over.
    pub(crate) slice_end: Option<Duration>,
}

impl Process {
    /// A process that has not started yet.
    #[must_use]
    pub fn new(options: &ProcessOptions) -> Self {
        let state = State {
            threads: Threads::new(Thread::first(comm(&options.executable))),
            signals: Signals::default(),
            timers: Timers::default(),
            descriptors: Descriptors::default(),
            objects: Objects::default(),
            limits: DEFAULT_LIMITS,
            umask: 0o022,
            directory: crate::rules::paths::normal(&options.directory).into(),
            locks: Locks::default(),
            started: Duration::ZERO,
            idle: Duration::ZERO,
            frozen: None,
            beside_at_freeze: 0,
            generation: 0,
        };
        Self {
            options: Arc::new(options.clone()),
            told: Told::default(),
            state: Arc::new(state),
            resumed: None,
            forked: false,
            sliced: false,
            slice_end: None,
        }
    }

    /// The program is frozen here, to be forked: the current thread is the one that waits for
    /// requests. For timers that send signals, and the waits of its other threads, no time passes
    /// from now until it goes on. Its connections to the outside end; in the forks they are broken
    /// (`ECONNRESET`). Its locks on files end, too.
    pub fn freeze(&mut self, guest: &dyn Guest) {
        let now = guest.monotonic();
        self.begin();
        let sockets = &self.state.objects.sockets;
        let open: Vec<_> = sockets
            .numbers()
            .filter(|&number| sockets.get(number).is_some_and(Socket::is_open))
            .collect();
        for number in open {
            if let Ok(socket) = self.state_mut().object_mut::<Socket>(number) {
                socket.freeze();
            }
        }
        let state = self.state_mut();
        state.threads.freeze();
        // Forks would have them in common.
        state.locks = Locks::default();
        state.frozen = Some(now);
        state.objects.freeze();
        state.beside_at_freeze = state.beside();
    }

    /// The current thread failed and goes no further. What is called next is the callback for that.
    pub fn failed(&mut self) {
        if !self.state().threads.is_alone() {
            self.state_mut().thread_mut().ended = true;
        }
    }

    /// Goes back to the state of `template`, of which `self` is a clone. Costs a pointer
    /// comparison when nothing changed since.
    pub fn reset_from(&mut self, template: &Self) {
        if !Arc::ptr_eq(&self.state, &template.state) {
            self.state = Arc::clone(&template.state);
        }
        self.resumed = None;
    }

    /// The program is called, after a time in which it did not run: of the times that its timers
    /// were due meanwhile, only one counts.
    pub fn begin(&mut self) {
        self.resumed = None;
    }

    /// When the present call began, as far as timers need to know.
    pub(crate) fn resumed(&mut self, now: Duration) -> Duration {
        *self.resumed.get_or_insert(now)
    }

    /// Tells the host, unless that was told already.
    pub(crate) fn notice(&self, host: &mut dyn Host, notice: Notice<'_>) {
        if let Some((notice, count)) = self.told.count(notice) {
            host.notice(notice, count);
        }
    }

    /// How the program was started.
    pub(crate) fn options(&self) -> &ProcessOptions {
        &self.options
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// For writing; takes a private copy if the state is still shared.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        Arc::make_mut(&mut self.state)
    }
}

/// A thread's name after `execve`: the last part of the path, cut to 15 bytes.
fn comm(executable: &[u8]) -> [u8; 16] {
    let mut name = [0; 16];
    let last = executable
        .rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    for (to, from) in name.iter_mut().take(15).zip(last) {
        *to = *from;
    }
    name
}
