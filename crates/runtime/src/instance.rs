//! A loaded program: its template, its forks, and what it said about itself.

use std::sync::Arc;
use std::time::Duration;

use tinykvm::{EngineError, Fork, MapError, Template};
use tinykvm_abi::structs::Meminfo;
use tinykvm_linux::Process;

use crate::api::{Callbacks, FilterFunctions};
use crate::config::{AfterCall, Settings};
use crate::counters::{Gauge, add, counters};
use crate::idle::{self, Tidy};
use crate::inputs::{Block, Landed};
use crate::journal::Journal;
use crate::output::Output;
use crate::permits::Permits;
use crate::pool::Pool;
use crate::run::RunLimits;
use crate::spares::Spares;
use crate::text::own_line;

mod hold;

pub(crate) use hold::{Fate, Held, HoldError};

/// Private memory that a fork keeps while nobody uses its program, in bytes: to fault it in anew
/// would cost the next request some milliseconds.
const IDLE_MEMORY: u64 = 1 << 20;

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
    /// Filters have forks of their own where those of requests keep their state: neither sees the
    /// other's, and a filter's is reset after each body all the same.
    filters: Option<Pool<Worker>>,
    spares: Spares,
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
    /// Memory in the guest for the strings of a program that is resumed and keeps its state.
    block: Option<u64>,
    /// A request body's memory in the guest of a program that keeps its state: address and length.
    body: Option<(u64, u64)>,
    _gauge: Gauge,
}

impl Instance {
    /// Makes the first fork, so that a program that can't be forked is not ready.
    pub(crate) fn new(
        name: &str,
        settings: Settings,
        booted: Booted,
        journal: Arc<dyn Journal>,
    ) -> Result<Arc<Self>, EngineError> {
        let after_call = settings.after_call(booted.ephemeral);
        // Deliveries may wait for fetches, which therefore have a fork that no delivery holds.
        let with_filters = settings
            .concurrency
            .max(settings.deliveries().saturating_add(1));
        let (slots, slots_of_filters) = match (booted.filter.is_some(), after_call) {
            (false, _) => (settings.concurrency, None),
            (true, AfterCall::Keep) => (settings.concurrency, Some(with_filters)),
            (true, _) => (with_filters, None),
        };
        let deliveries = settings.deliveries();
        let queue = settings.max_queue;
        let pool = |slots: u16| Pool::new(usize::from(slots), queue);
        let instance = Arc::new(Self {
            name: name.to_owned(),
            after_call,
            deliveries: Permits::new(usize::from(deliveries)),
            settings,
            template: Arc::new(booted.template),
            process: booted.process,
            callbacks: booted.callbacks,
            filter: booted.filter,
            paused: booted.paused,
            journal,
            pool: pool(slots),
            filters: slots_of_filters.map(pool),
            spares: Spares::new(
                u32::from(slots) + u32::from(slots_of_filters.unwrap_or(0)),
                usize::from(deliveries),
            ),
            _gauge: Gauge::new(&counters().programs),
        });
        let mut lease = match instance.pool.lease(Duration::ZERO) {
            Ok(lease) => lease,
            Err(_) => return Ok(instance),
        };
        let made = instance.worker(u32::try_from(lease.index()).unwrap_or(u32::MAX));
        let result = made.map(|worker| lease.item = Some(worker));
        instance.pool.give_back(lease);
        result?;
        let idle_time = instance.settings.idle_time;
        let weak = Arc::downgrade(&instance);
        idle::watch(weak, idle_time);
        Ok(instance)
    }

    fn worker(&self, index: u32) -> Result<Box<Worker>, EngineError> {
        let mut fork = self.template.fork()?;
        fork.set_index(index);
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
            key: (time == self.settings.max_request_time).then_some("max_request_time"),
            booting: false,
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

    /// Where lines go that belong to no request.
    pub(crate) fn journal(&self) -> &dyn Journal {
        &*self.journal
    }

    /// Where output goes besides the request's log.
    pub(crate) fn journal_of_output(&self) -> Option<&dyn Journal> {
        (self.settings.stdout || self.settings.audit).then_some(&*self.journal)
    }

    /// Nobody gets a fork any more; those in use are given up when they are done.
    pub(crate) fn close(&self) {
        self.pool.close();
        if let Some(filters) = &self.filters {
            filters.close();
        }
        self.spares.close();
    }

    fn tidy_pool(&self, pool: &Pool<Worker>) {
        let (unused, others) = pool.sweep();
        let mut unused = unused.into_iter();
        if !others && let Some(index) = unused.next() {
            pool.revise(index, |worker| self.trimmed(worker));
        }
        for index in unused {
            pool.revise(index, |_| None);
        }
    }

    /// A fork as at the freeze, without the memory that requests have left it, if that is much.
    fn trimmed(&self, mut worker: Box<Worker>) -> Option<Box<Worker>> {
        if worker.fork.private_bytes() <= IDLE_MEMORY {
            return Some(worker);
        }
        if let Err(error) = worker.fork.rebuild() {
            let what = "an idle VM can't be made anew, and is given up";
            let line = own_line(&self.name, &format!("{what}: {error}"));
            self.journal.error(&line);
            return None;
        }
        worker.start_over(self);
        Some(worker)
    }

    /// True if what requests leave in a fork stays there.
    pub(crate) fn keeps_state(&self) -> bool {
        self.after_call == AfterCall::Keep
    }
}

impl Tidy for Instance {
    fn tidy(&self) {
        if !self.keeps_state() {
            self.tidy_pool(&self.pool);
        }
        if let Some(filters) = &self.filters {
            self.tidy_pool(filters);
        }
        self.spares.tidy();
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
            // What the program has unmapped is gone, and what it has mapped there instead is its own.
            let _ = self.fork.take_back(address, length);
        }
    }

    /// Remembers where a body was put in a fork that keeps its state.
    pub(crate) fn note_body(&mut self, body: Landed, mapped: u64) {
        let lent = mapped > 0 && self.fork.lend(body.address, mapped).is_ok();
        self.body = lent.then_some((body.address, mapped));
    }

    /// Memory in the guest for the strings of a program that is resumed: that of the request before,
    /// unless the program has taken it for itself.
    pub(crate) fn block(&mut self, length: u64, keeps_state: bool) -> Result<u64, MapError> {
        let before = self.block.take();
        let start = match before.filter(|&start| self.fork.is_lent(start, length)) {
            Some(start) => start,
            None => {
                if let Some(start) = before {
                    self.fork.take_back(start, length)?;
                }
                let start = Block::map(&mut self.fork, length)?;
                if keeps_state {
                    self.fork.lend(start, length)?;
                }
                start
            }
        };
        self.block = keeps_state.then_some(start);
        Ok(start)
    }
}
