//! A configured program: not loaded yet, being loaded, ready, or failed.
//!
//! ```text
//! idle ──first request, start()──> starting ──> ready ──> closed
//!                                   │    ^
//!                                   v    │ after a pause, or when the file changed
//!                                  failed
//! ```
//!
//! While a failed program is tried again in the background, requests are answered at once with
//! the failure that is known. If its file changed they wait for the outcome.
//!
//! To close a program never waits for its start, which is called off, nor for a request.
//!
//! Locks: `state` before `settings`. Neither is held while a file is looked at, a line is logged,
//! or something is made or dropped that belongs to a VM.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use crate::call::{call, refuse};
use crate::config::{ConfigError, OnFailure, Settings, apply};
use crate::fields::shown;
use crate::instance::Instance;
use crate::journal::Journal;
use crate::load::{LoadError, Stamp, load, stamp};
use crate::permissions::{Access, allow};
use crate::response::Response;
use crate::start::{Start, Turns};
use crate::sync::lock;
use crate::text::{own_line, printable};
use crate::transaction::{CallRequest, Transaction};
use crate::verdict::Verdict;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a request waits for a start besides the program's boot time, for reading its file and
/// making the first fork.
const START_SLACK: Duration = Duration::from_secs(5);
/// How many requests may wait for a start.
const START_WAITERS_MAX: usize = 1024;

/// A program that is configured. Share it as an [`Arc`].
pub struct Program {
    name: String,
    journal: Arc<dyn Journal>,
    settings: Mutex<Settings>,
    ready: ArcSwapOption<Instance>,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    phase: Phase,
    failures: u32,
    waiters: usize,
}

enum Phase {
    Idle,
    Starting {
        /// The failure before, if requests need not wait.
        known: Option<Failed>,
        start: Arc<Start>,
        /// When its turn came, if it did.
        since: Option<Instant>,
    },
    Ready,
    Failed(Failed),
    Closed,
}

#[derive(Debug, Clone)]
struct Failed {
    verdict: Verdict,
    reason: String,
    retry: Instant,
    file: Stamp,
}

impl Failed {
    fn unready(&self) -> Unready {
        Unready {
            verdict: self.verdict,
            reason: self.reason.clone(),
        }
    }
}

/// Why a program can't serve a request.
pub(crate) struct Unready {
    pub(crate) verdict: Verdict,
    pub(crate) reason: String,
}

impl Unready {
    fn new(reason: &str) -> Self {
        Self {
            verdict: Verdict::NotLoaded,
            reason: reason.to_owned(),
        }
    }
}

impl Program {
    pub(crate) fn new(name: &str, settings: Settings, journal: Arc<dyn Journal>) -> Self {
        Self {
            name: name.to_owned(),
            journal,
            settings: Mutex::new(settings),
            ready: ArcSwapOption::empty(),
            state: Mutex::new(State {
                phase: Phase::Idle,
                failures: 0,
                waiters: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// The largest request body that it takes, in bytes.
    #[must_use]
    pub fn max_body(&self) -> u64 {
        lock(&self.settings).max_body
    }

    /// How many VMs it has for requests.
    #[must_use]
    pub fn concurrency(&self) -> u16 {
        lock(&self.settings).concurrency
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// True if it is loaded and waits for requests.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load().is_some()
    }

    /// Why it could not be loaded the last time, if it could not.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match &lock(&self.state).phase {
            Phase::Failed(failed)
            | Phase::Starting {
                known: Some(failed),
                ..
            } => Some(failed.reason.clone()),
            _ => None,
        }
    }

    /// False while it is known that it could not be started. Who asks gets it tried again when it is
    /// time for that. Never waits for the program.
    #[must_use]
    pub fn is_healthy(self: &Arc<Self>) -> bool {
        if self.is_ready() {
            return true;
        }
        let file = self.file_after_failure();
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Failed(_)) {
            self.start_if_due(&mut state, file);
        }
        !matches!(
            state.phase,
            Phase::Failed(_) | Phase::Starting { known: Some(_), .. } | Phase::Closed
        )
    }

    /// Serves a request. Loads the program first if need be.
    ///
    /// Never fails and never panics for anything that the program does; see [`Response`].
    pub fn call(
        self: &Arc<Self>,
        request: &CallRequest<'_>,
        transaction: &mut dyn Transaction,
    ) -> Response {
        let started = Instant::now();
        if let Some(instance) = &*self.ready.load() {
            return call(instance, request, transaction, started);
        }
        match self.wait_ready(None) {
            Ok(instance) => call(&instance, request, transaction, started),
            Err(Unready { verdict, reason }) => {
                refuse(&self.name, verdict, &reason, transaction, started)
            }
        }
    }

    /// The loaded program. Loads it first if need be.
    pub(crate) fn instance(self: &Arc<Self>) -> Result<Arc<Instance>, Unready> {
        match self.ready.load_full() {
            Some(instance) => Ok(instance),
            None => self.wait_ready(None),
        }
    }

    /// What a filter leaves if it fails before the program is loaded.
    pub(crate) fn on_failure(&self) -> OnFailure {
        lock(&self.settings).on_failure
    }

    /// Loads the program if it is not loaded, and waits until it is ready or has failed.
    ///
    /// # Errors
    /// The verdict that a request would get, and why.
    pub fn wait_until_ready(self: &Arc<Self>) -> Result<(), (Verdict, String)> {
        self.wait_ready(None)
            .map(|_| ())
            .map_err(|unready| (unready.verdict, unready.reason))
    }

    /// The same, but waits no longer than `patience`.
    ///
    /// # Errors
    /// Why it is not ready.
    pub fn wait_at_most(self: &Arc<Self>, patience: Duration) -> Result<(), String> {
        self.wait_ready(Some(patience))
            .map(|_| ())
            .map_err(|unready| unready.reason)
    }

    /// Applies more configuration.
    pub(crate) fn allow(&self, access: Access, what: &str) -> Result<(), ConfigError> {
        let state = lock(&self.state);
        if !matches!(state.phase, Phase::Idle) {
            return Err(ConfigError::AlreadyStarted {
                program: self.name.clone(),
            });
        }
        allow(&mut lock(&self.settings), access, what)
            .map_err(|reason| ConfigError::BadPermission { reason })
    }

    /// Allows everything and tells the journal what is used, from the start on.
    pub(crate) fn audit(&self) -> Result<(), ConfigError> {
        let state = lock(&self.state);
        if !matches!(state.phase, Phase::Idle) {
            return Err(ConfigError::AlreadyStarted {
                program: self.name.clone(),
            });
        }
        lock(&self.settings).audit = true;
        Ok(())
    }

    /// Sets another file.
    pub(crate) fn replace_file(&self, file: &str) -> Result<(), ConfigError> {
        let state = lock(&self.state);
        if !matches!(state.phase, Phase::Idle) {
            return Err(ConfigError::AlreadyStarted {
                program: self.name.clone(),
            });
        }
        file.clone_into(&mut lock(&self.settings).filename);
        Ok(())
    }

    pub(crate) fn configure(&self, json: &str) -> Result<(), ConfigError> {
        let state = lock(&self.state);
        if !matches!(state.phase, Phase::Idle) {
            return Err(ConfigError::AlreadyStarted {
                program: self.name.clone(),
            });
        }
        let mut settings = lock(&self.settings);
        let applied = apply(&settings, json)?;
        if applied.filename != settings.filename {
            return Err(ConfigError::OtherFile {
                program: self.name.clone(),
                file: shown(settings.filename.as_bytes()),
            });
        }
        *settings = applied;
        Ok(())
    }

    /// Replaces the arguments of `main()`, from the next start on.
    pub(crate) fn set_main_arguments(&self, arguments: Vec<Vec<u8>>) {
        lock(&self.settings).main_arguments = arguments;
    }

    /// Begins to load the program unless that was begun.
    pub(crate) fn start(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Idle) {
            self.spawn(&mut state, None);
        }
    }

    /// No request is served from now on, and a start that is under way is called off. Does not
    /// wait for it: what it made is given back by the thread that made it.
    pub(crate) fn turn_away(&self) {
        let phase = std::mem::replace(&mut lock(&self.state).phase, Phase::Closed);
        self.changed.notify_all();
        if let Phase::Starting { start, .. } = phase {
            start.call_off();
        }
    }

    /// Gives back everything that is not in use.
    pub(crate) fn close(&self) {
        self.turn_away();
        if let Some(instance) = self.ready.swap(None) {
            instance.close();
        }
    }

    /// Waits for the program's turn to start as long as for the start itself, but no longer than
    /// `most` in all.
    fn wait_ready(self: &Arc<Self>, most: Option<Duration>) -> Result<Arc<Instance>, Unready> {
        let asked = Instant::now();
        let file = self.file_after_failure();
        let mut state = lock(&self.state);
        self.start_if_due(&mut state, file);
        let patience = lock(&self.settings).max_boot_time + START_SLACK;
        loop {
            let since = match &state.phase {
                Phase::Ready => break,
                Phase::Closed => return Err(Unready::new("the program was unloaded")),
                Phase::Failed(failed)
                | Phase::Starting {
                    known: Some(failed),
                    ..
                } => return Err(failed.unready()),
                Phase::Idle => None,
                Phase::Starting { since, .. } => *since,
            };
            if state.waiters >= START_WAITERS_MAX {
                return Err(Unready::new(
                    "too many requests wait for the program's start",
                ));
            }
            let end = since.unwrap_or(asked).max(asked) + patience;
            let mut left = end.saturating_duration_since(Instant::now());
            if let Some(most) = most {
                left = left.min(most.saturating_sub(asked.elapsed()));
            }
            if left.is_zero() {
                return Err(Unready::new(match since {
                    Some(_) => "the program is still starting",
                    None => {
                        "the program still waits for its turn to start: as many others are \
                         starting as there are processors"
                    }
                }));
            }
            state.waiters += 1;
            let (again, _) = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = again;
            state.waiters -= 1;
        }
        drop(state);
        self.ready
            .load_full()
            .ok_or_else(|| Unready::new("the program was unloaded"))
    }

    /// The stamp of the file of a program that failed.
    fn file_after_failure(&self) -> Option<Stamp> {
        let failed = matches!(lock(&self.state).phase, Phase::Failed(_));
        failed.then(|| {
            let path = lock(&self.settings).filename.clone();
            stamp(&path)
        })
    }

    /// Begins a start if there was none, or if it is time to try again: `file` is what the program's
    /// file is like, if that was looked at.
    fn start_if_due(self: &Arc<Self>, state: &mut State, file: Option<Stamp>) {
        match &state.phase {
            Phase::Idle => self.spawn(state, None),
            Phase::Failed(failed) => {
                let changed = file.is_some_and(|file| file != failed.file);
                if changed {
                    state.failures = 0;
                    self.spawn(state, None);
                } else if failed.retry <= Instant::now() {
                    let known = Some(failed.clone());
                    self.spawn(state, known);
                }
            }
            Phase::Starting { .. } | Phase::Ready | Phase::Closed => {}
        }
    }

    /// Starts the thread that loads the program. It ends by itself, and nobody waits for it.
    fn spawn(self: &Arc<Self>, state: &mut State, known: Option<Failed>) {
        let begun = Start::new().and_then(|start| {
            let start = Arc::new(start);
            let (program, its) = (Arc::clone(self), Arc::clone(&start));
            let thread = std::thread::Builder::new().name("tinykvm-load".to_owned());
            thread.spawn(move || program.load(&its))?;
            Ok(start)
        });
        match begun {
            Ok(start) => {
                state.phase = Phase::Starting {
                    known,
                    start,
                    since: None,
                };
            }
            Err(error) => {
                let error = LoadError::Thread(error);
                self.journal
                    .error(&own_line(&self.name, &reason_of(&error)));
                Self::failed(state, &error, None);
            }
        }
    }

    /// The loader thread.
    fn load(&self, start: &Start) {
        let Some(turn) = Turns::shared().take(start) else {
            return;
        };
        if let Phase::Starting { since, .. } = &mut lock(&self.state).phase {
            *since = Some(Instant::now());
        }
        self.changed.notify_all();
        let settings = lock(&self.settings).clone();
        let file = stamp(&settings.filename);
        let result = catch_unwind(AssertUnwindSafe(|| self.try_to_load(settings, start)));
        drop(turn);
        let result = result.unwrap_or_else(|panic| {
            let message = message_of(&*panic);
            Err(LoadError::Panic { message })
        });
        let mut state = lock(&self.state);
        match result {
            // Its VMs are dropped here, by the thread that made them.
            _ if matches!(state.phase, Phase::Closed) => {}
            Ok(instance) => {
                self.ready.store(Some(instance));
                state.phase = Phase::Ready;
                state.failures = 0;
            }
            Err(error) => Self::failed(&mut state, &error, file),
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Loads the program, and logs what came of it.
    fn try_to_load(&self, settings: Settings, start: &Start) -> Result<Arc<Instance>, LoadError> {
        let begun = Instant::now();
        let result = load(&self.name, settings, &self.journal, start);
        let name = &self.name;
        match &result {
            _ if start.is_off() => {}
            Ok(_) => {
                let text = format!("ready after {} ms", begun.elapsed().as_millis());
                self.journal.log(&own_line(name, &text));
            }
            Err(error) => self.journal.error(&own_line(name, &reason_of(error))),
        }
        result
    }

    fn failed(state: &mut State, error: &LoadError, file: Stamp) {
        // Looking for KVM again costs nothing; booting a program that fails does.
        let pause = match error.verdict() {
            Verdict::NoKvm => FIRST_PAUSE,
            _ => FIRST_PAUSE.saturating_mul(1 << state.failures.min(6)),
        };
        state.failures += 1;
        state.phase = Phase::Failed(Failed {
            verdict: error.verdict(),
            reason: reason_of(error),
            retry: Instant::now() + pause.min(LONGEST_PAUSE),
            file,
        });
    }
}

/// Why a program could not be loaded, as text without control bytes.
fn reason_of(error: &LoadError) -> String {
    printable(error.to_string().as_bytes()).into_owned()
}

/// What a panic said.
fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
