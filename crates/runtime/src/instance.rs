//! A loaded program: its template, its forks, and what it said about itself.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tinykvm::{EngineError, Fork, Guest, Template};
use tinykvm_abi::structs::Meminfo;
use tinykvm_linux::Process;

use crate::api::{Callbacks, FilterFunctions};
use crate::config::{AfterCall, Settings};
use crate::counters::{Gauge, add, counters};
use crate::inputs::Landed;
use crate::journal::Journal;
use crate::output::Output;
pub(crate) use crate::permits::Permit;
use crate::permits::Permits;
use crate::pool::{Lease, LeaseError, Pool};
use crate::run::RunLimits;
use crate::verdict::Verdict;

/// A program that is ready for requests. It is given up as a whole: by dropping it.
pub(crate) struct Instance {
    pub(crate) name: String,
    pub(crate) settings: Settings,
    template: Arc<Template>,
    process: Process,
    pub(crate) callbacks: Callbacks,
    /// It filters bodies.
    pub(crate) filter: Option<FilterFunctions>,
    /// It waits to be resumed with a request.
    pub(crate) paused: bool,
    deliveries: Permits,
    after_call: AfterCall,
    journal: Arc<dyn Journal>,
    pool: Pool<Worker>,
    _gauge: Gauge,
}

/// What a program turned out to be when its `main()` reached the wait call.
pub(crate) struct Booted {
    pub(crate) template: Template,
    pub(crate) process: Process,
    pub(crate) callbacks: Callbacks,
    pub(crate) filter: Option<FilterFunctions>,
    pub(crate) paused: bool,
    pub(crate) ephemeral: bool,
}

/// Where a fork is between two calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Position {
    /// As it was frozen.
    Frozen,
    /// Behind its last answer: it keeps its state, and goes on with the next request.
    Answered,
    /// At a wait call again, to which it went on.
    Waiting,
}

/// A fork and everything that belongs to it.
pub(crate) struct Worker {
    pub(crate) fork: Fork,
    pub(crate) process: Process,
    pub(crate) position: Position,
    pub(crate) output: Output,
    /// For building strings and log lines without allocating.
    pub(crate) scratch: Vec<u8>,
    /// Memory in the guest for the strings of a program that is resumed.
    pub(crate) block: Option<u64>,
    /// A request body's memory in the guest: address and length.
    pub(crate) body: Option<(u64, u64)>,
    _gauge: Gauge,
}

/// Why there is no fork for a request.
#[derive(Debug, Error)]
pub(crate) enum HoldError {
    /// All are in use.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// All that deliveries may hold are in use.
    #[error(
        "{limit} bodies are on their way to clients already, and none was done within {waited:?} \
         (see \"max_deliveries\", \"max_queue_time\")"
    )]
    Deliveries {
        /// How many that is.
        limit: u16,
        /// How long.
        waited: Duration,
    },
    /// Another one can't be made.
    #[error("no new VM: {0}")]
    Fork(#[from] EngineError),
}

impl HoldError {
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Lease(LeaseError::Closed) => Verdict::NotLoaded,
            Self::Lease(_) | Self::Deliveries { .. } | Self::Fork(_) => Verdict::Overload,
        }
    }
}

impl Instance {
    /// Makes the first fork, so that a program that can't be forked is not ready.
    pub(crate) fn new(
        name: &str,
        settings: Settings,
        booted: Booted,
        journal: Arc<dyn Journal>,
    ) -> Result<Arc<Self>, EngineError> {
        let slots = usize::from(settings.concurrency);
        let instance = Arc::new(Self {
            name: name.to_owned(),
            after_call: settings.after_call(booted.ephemeral),
            deliveries: Permits::new(usize::from(settings.deliveries())),
            settings,
            template: Arc::new(booted.template),
            process: booted.process,
            callbacks: booted.callbacks,
            filter: booted.filter,
            paused: booted.paused,
            journal,
            pool: Pool::new(slots, 4 * slots + 64),
            _gauge: Gauge::new(&counters().programs),
        });
        let mut lease = match instance.pool.lease(Duration::ZERO) {
            Ok(lease) => lease,
            Err(_) => return Ok(instance),
        };
        let made = instance.worker(lease.index());
        let result = made.map(|worker| lease.item = Some(worker));
        instance.pool.give_back(lease);
        result.map(|()| instance)
    }

    fn worker(&self, index: usize) -> Result<Box<Worker>, EngineError> {
        let mut fork = self.template.fork()?;
        fork.set_index(u32::try_from(index).unwrap_or(u32::MAX));
        Ok(Box::new(Worker {
            fork,
            process: self.process.clone(),
            position: Position::Frozen,
            output: Output::default(),
            scratch: Vec::new(),
            block: None,
            body: None,
            _gauge: Gauge::new(&counters().forks),
        }))
    }

    /// The program's file.
    pub(crate) fn image(&self) -> &tinykvm::Image {
        self.template.image()
    }

    /// The limits of one run, for messages.
    pub(crate) fn run_limits(&self, time: Duration) -> RunLimits {
        RunLimits {
            time,
            memory: self.settings.request_memory(),
        }
    }

    /// What the program may know about its memory.
    pub(crate) fn memory_figures(&self) -> Meminfo {
        let request = self.settings.request_memory();
        Meminfo {
            max_memory: self.settings.max_memory,
            max_reqmem: request,
            reqmem_upper: request,
            reqmem_current: 0,
        }
    }

    /// Where output goes besides the request's log.
    pub(crate) fn journal_of_output(&self) -> Option<&dyn Journal> {
        (self.settings.stdout || self.settings.audit).then_some(&*self.journal)
    }

    /// Takes one of the forks that deliveries may hold, which can take as long as clients like.
    pub(crate) fn permit_delivery(&self) -> Result<Permit, HoldError> {
        let patience = self.settings.max_queue_time;
        self.deliveries.take(patience).ok_or(HoldError::Deliveries {
            limit: self.settings.deliveries(),
            waited: patience,
        })
    }

    /// Nobody gets a fork any more; those in use are given up when they are done.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Takes a fork for one call.
    pub(crate) fn hold(self: &Arc<Self>) -> Result<Held, HoldError> {
        let lease = self.pool.lease(self.settings.max_queue_time)?;
        let mut held = Held {
            instance: Arc::clone(self),
            lease: Some(lease),
            fate: Fate::Kept,
        };
        if held.worker().is_none()
            && let Some(lease) = &mut held.lease
        {
            lease.item = Some(self.worker(lease.index())?);
        }
        Ok(held)
    }
}

/// What becomes of a fork after its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing happened to it.
    Kept,
    /// What the program's configuration says.
    Configured,
    /// It is reset even if the program is configured to keep its state.
    Reset,
    /// It is made anew.
    Rebuilt,
}

/// A fork in use. When this is dropped the fork is brought into the state for the next call and
/// given back.
pub(crate) struct Held {
    instance: Arc<Instance>,
    lease: Option<Lease<Worker>>,
    /// What becomes of it.
    pub(crate) fate: Fate,
}

impl Held {
    /// The fork; always there until this is released.
    pub(crate) fn worker(&mut self) -> Option<&mut Worker> {
        self.lease.as_mut()?.item.as_deref_mut()
    }

    /// The fork, to look at.
    pub(crate) fn fork(&self) -> Option<&Fork> {
        Some(&self.lease.as_ref()?.item.as_deref()?.fork)
    }

    /// Reads guest memory into a buffer.
    pub(crate) fn read(&self, address: u64, out: &mut [u8]) -> bool {
        self.fork()
            .is_some_and(|fork| fork.read(address, out).is_ok())
    }

    /// Reads guest memory.
    pub(crate) fn read_vec(&self, address: u64, length: usize) -> Option<Vec<u8>> {
        self.fork()?.read_vec(address, length).ok()
    }

    /// Gives the fork back now. Returns how many pages a reset copied.
    pub(crate) fn release(mut self) -> u64 {
        self.finish()
    }

    fn finish(&mut self) -> u64 {
        let Some(mut lease) = self.lease.take() else {
            return 0;
        };
        let mut pages = 0;
        lease.item = lease.item.take().and_then(|worker| {
            let (worker, copied) = self.renew(worker);
            pages = copied;
            worker
        });
        self.instance.pool.give_back(lease);
        pages
    }

    /// The fork for the next call, unless a new one can't be made, and the pages copied.
    fn renew(&self, mut worker: Box<Worker>) -> (Option<Box<Worker>>, u64) {
        worker.fork.end();
        let after = match (self.fate, self.instance.after_call) {
            (Fate::Kept, _) => return (Some(worker), 0),
            (Fate::Configured, after) => after,
            (Fate::Reset, AfterCall::Keep) => AfterCall::Reset,
            (Fate::Reset, after) => after,
            (Fate::Rebuilt, _) => AfterCall::Drop,
        };
        match after {
            AfterCall::Keep => {
                worker.free_body();
                (Some(worker), 0)
            }
            AfterCall::Reset => match worker.reset(&self.instance) {
                Ok(pages) if self.is_too_much(pages) => (self.rebuild(worker), pages),
                Ok(pages) => (Some(worker), pages),
                Err(_) => (self.rebuild(worker), 0),
            },
            AfterCall::Drop => (self.rebuild(worker), 0),
        }
    }

    fn is_too_much(&self, pages: u64) -> bool {
        let bytes = pages.saturating_mul(tinykvm::PAGE_SIZE);
        let limit = self.instance.settings.keep_memory;
        limit.is_some_and(|limit| bytes > limit)
    }

    fn rebuild(&self, mut worker: Box<Worker>) -> Option<Box<Worker>> {
        add(&counters().rebuilds, 1);
        worker.fork.rebuild().ok()?;
        worker.start_over(&self.instance);
        Some(worker)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Worker {
    /// Brings the fork back to the frozen state. Returns how many pages were copied.
    pub(crate) fn reset(&mut self, instance: &Instance) -> Result<u64, EngineError> {
        let report = self.fork.reset()?;
        self.start_over(instance);
        add(&counters().resets, 1);
        add(&counters().reset_pages, report.pages);
        Ok(report.pages)
    }

    /// What the host keeps for the fork is as at the freeze again.
    fn start_over(&mut self, instance: &Instance) {
        self.process.reset_from(&instance.process);
        self.position = Position::Frozen;
        self.block = None;
        self.body = None;
    }

    /// Unmaps the request body of a program that keeps its state, which would grow for ever.
    fn free_body(&mut self) {
        if let Some((address, length)) = self.body.take() {
            // A program that unmapped it, or part of it, is free to.
            let _ = self.fork.unmap(address, length);
        }
    }

    /// Remembers where a body was put.
    pub(crate) fn note_body(&mut self, body: Landed, mapped: u64) {
        self.body = (mapped > 0).then_some((body.address, mapped));
    }
}
