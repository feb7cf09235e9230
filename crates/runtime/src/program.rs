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

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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
    loader: Option<JoinHandle<()>>,
}

enum Phase {
    Idle,
    Starting {
        /// The failure before, if requests need not wait.
        known: Option<Failed>,
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
                loader: None,
            }),
            changed: Condvar::new(),
        }
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
            } => Some(failed.reason.clone()),
            _ => None,
        }
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
        match self.wait_ready() {
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
            None => self.wait_ready(),
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
        self.wait_ready()
            .map(|_| ())
            .map_err(|unready| (unready.verdict, unready.reason))
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

    /// Gives everything back. Waits for a start that is under way.
    pub(crate) fn close(&self) {
        let loader = {
            let mut state = lock(&self.state);
            state.phase = Phase::Closed;
            self.changed.notify_all();
            state.loader.take()
        };
        if let Some(loader) = loader {
            // It panicked or not: it is gone.
            let _ = loader.join();
        }
        if let Some(instance) = self.ready.swap(None) {
            instance.close();
        }
    }

    fn wait_ready(self: &Arc<Self>) -> Result<Arc<Instance>, Unready> {
        let mut state = lock(&self.state);
        self.start_if_due(&mut state);
        let patience = lock(&self.settings).max_boot_time + START_SLACK;
        let give_up = Instant::now() + patience;
        loop {
            match &state.phase {
                Phase::Ready => break,
                Phase::Closed => return Err(Unready::new("the program was unloaded")),
                Phase::Failed(failed)
                | Phase::Starting {
                    known: Some(failed),
                } => {
                    return Err(failed.unready());
                }
                Phase::Idle | Phase::Starting { known: None } => {}
            }
            if state.waiters >= START_WAITERS_MAX {
                return Err(Unready::new(
                    "too many requests wait for the program's start",
                ));
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Unready::new("the program is still starting"));
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

    /// Begins a start if there was none, or if it is time to try again.
    fn start_if_due(self: &Arc<Self>, state: &mut State) {
        match &state.phase {
            Phase::Idle => self.spawn(state, None),
            Phase::Failed(failed) => {
                let changed = failed.file != stamp(&lock(&self.settings).filename);
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

    /// Starts the thread that loads the program.
    fn spawn(self: &Arc<Self>, state: &mut State, known: Option<Failed>) {
        let program = Arc::clone(self);
        let thread = std::thread::Builder::new().name("tinykvm-load".to_owned());
        // The one before has told its outcome, and so is ending.
        if let Some(old) = state.loader.take() {
            let _ = old.join();
        }
        match thread.spawn(move || program.load()) {
            Ok(loader) => {
                state.loader = Some(loader);
                state.phase = Phase::Starting { known };
            }
            Err(error) => self.failed(state, &LoadError::Thread(error), None),
        }
    }

    /// The loader thread.
    fn load(&self) {
        let settings = lock(&self.settings).clone();
        let file = stamp(&settings.filename);
        let begun = Instant::now();
        let result = load(&self.name, settings, &self.journal);
        let mut state = lock(&self.state);
        match result {
            Ok(instance) if !matches!(state.phase, Phase::Closed) => {
                let text = format!("ready after {} ms", begun.elapsed().as_millis());
                self.journal.log(&own_line(&self.name, &text));
                self.ready.store(Some(instance));
                state.phase = Phase::Ready;
                state.failures = 0;
            }
            Ok(_) => {}
            Err(error) => self.failed(&mut state, &error, file),
        }
        self.changed.notify_all();
    }

    fn failed(&self, state: &mut State, error: &LoadError, file: Stamp) {
        if matches!(state.phase, Phase::Closed) {
            return;
        }
        let reason = printable(error.to_string().as_bytes()).into_owned();
        self.journal.error(&own_line(&self.name, &reason));
        // Looking for KVM again costs nothing; booting a program that fails does.
        let pause = match error.verdict() {
            Verdict::NoKvm => FIRST_PAUSE,
            _ => FIRST_PAUSE.saturating_mul(1 << state.failures.min(6)),
        };
        state.failures += 1;
        state.phase = Phase::Failed(Failed {
            verdict: error.verdict(),
            reason,
            retry: Instant::now() + pause.min(LONGEST_PAUSE),
            file,
        });
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program")
            .field("name", &self.name)
            .field("ready", &self.is_ready())
            .finish_non_exhaustive()
    }
}
