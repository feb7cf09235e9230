//! Taking a fork, and what becomes of it afterwards.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tinykvm::{EngineError, Fork, Guest};

use super::{Instance, Worker};
use crate::config::AfterCall;
use crate::counters::{add, counters};
use crate::holding::{Holding, holds_one};
use crate::permits::Permit;
use crate::pool::{Lease, LeaseError, Pool};
use crate::text::own_line;
use crate::verdict::Verdict;

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

/// Which forks are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Requests,
    Filters,
}

/// Where a fork was taken from, with the fork: `None` until it is made.
enum Taken {
    Pool(For, Lease<Worker>),
    Spare(Option<Box<Worker>>),
}

impl Taken {
    fn item(&mut self) -> &mut Option<Box<Worker>> {
        match self {
            Self::Pool(_, lease) => &mut lease.item,
            Self::Spare(worker) => worker,
        }
    }
}

impl Instance {
    /// Takes a fork for one call.
    pub(crate) fn hold(self: &Arc<Self>) -> Result<Held, HoldError> {
        self.take(For::Requests)
    }

    /// Takes a fork for one body. A delivery, which can take as long as its client likes, is one of
    /// so many.
    pub(crate) fn hold_for_filter(self: &Arc<Self>, delivery: bool) -> Result<Held, HoldError> {
        let permit = match delivery {
            true => self.deliveries.take(self.patience()),
            false => None,
        };
        let mut held = match permit {
            None if delivery && holds_one() => self.take_spare()?,
            None if delivery => {
                return Err(HoldError::Deliveries {
                    limit: self.settings.deliveries(),
                    waited: self.settings.max_queue_time,
                });
            }
            _ => self.take(For::Filters)?,
        };
        held.permit = permit;
        held.holding = Some(Holding::begin());
        Ok(held)
    }

    /// How long to wait for a fork. Who holds one does not wait.
    fn patience(&self) -> Duration {
        match holds_one() {
            true => Duration::ZERO,
            false => self.settings.max_queue_time,
        }
    }

    fn pool_for(&self, whom: For) -> &Pool<Worker> {
        match (whom, &self.filters) {
            (For::Filters, Some(filters)) => filters,
            _ => &self.pool,
        }
    }

    fn take(self: &Arc<Self>, whom: For) -> Result<Held, HoldError> {
        let lease = match self.pool_for(whom).lease(self.patience()) {
            Ok(lease) => lease,
            Err(LeaseError::Closed) => return Err(LeaseError::Closed.into()),
            Err(_) if holds_one() => return self.take_spare(),
            Err(error) => return Err(error.into()),
        };
        let after = match whom {
            For::Requests => self.after_call,
            For::Filters => self.settings.after_call(true),
        };
        let index = u32::try_from(lease.index()).unwrap_or(u32::MAX);
        let before = match (whom, &self.filters) {
            (For::Filters, Some(_)) => u32::from(self.settings.concurrency),
            _ => 0,
        };
        let taken = Taken::Pool(whom, lease);
        self.held(taken, after, || before.saturating_add(index))
    }

    fn take_spare(self: &Arc<Self>) -> Result<Held, HoldError> {
        let taken = Taken::Spare(self.spares.take());
        let after = self.settings.after_call(true);
        self.held(taken, after, || self.spares.index())
    }

    /// Makes the fork if there is none yet.
    fn held(
        self: &Arc<Self>,
        taken: Taken,
        after: AfterCall,
        index: impl FnOnce() -> u32,
    ) -> Result<Held, HoldError> {
        let mut held = Held {
            instance: Arc::clone(self),
            taken: Some(taken),
            after,
            fate: Fate::Kept,
            permit: None,
            holding: None,
        };
        if held.worker().is_none()
            && let Some(taken) = &mut held.taken
        {
            *taken.item() = Some(self.worker(index())?);
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
    taken: Option<Taken>,
    /// What the configuration says about it.
    after: AfterCall,
    /// What becomes of it.
    pub(crate) fate: Fate,
    /// Given back with it.
    permit: Option<Permit>,
    /// It counts for this thread as long as this is here.
    holding: Option<Holding>,
}

impl Held {
    /// The fork; always there until this is released.
    pub(crate) fn worker(&mut self) -> Option<&mut Worker> {
        self.taken.as_mut()?.item().as_deref_mut()
    }

    /// The fork, to look at.
    pub(crate) fn fork(&self) -> Option<&Fork> {
        let worker = match self.taken.as_ref()? {
            Taken::Pool(_, lease) => lease.item.as_deref(),
            Taken::Spare(worker) => worker.as_deref(),
        };
        Some(&worker?.fork)
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
        let Some(mut taken) = self.taken.take() else {
            return 0;
        };
        let mut pages = 0;
        let item = taken.item();
        *item = item.take().and_then(|worker| {
            let (worker, copied) = self.renew(worker);
            pages = copied;
            worker
        });
        match taken {
            Taken::Pool(whom, lease) => self.instance.pool_for(whom).give_back(lease),
            Taken::Spare(Some(worker)) => self.instance.spares.give_back(worker),
            Taken::Spare(None) => {}
        }
        self.permit = None;
        self.holding = None;
        pages
    }

    /// The fork for the next call, unless a new one can't be made, and the pages copied.
    fn renew(&self, mut worker: Box<Worker>) -> (Option<Box<Worker>>, u64) {
        worker.fork.end();
        let after = match (self.fate, self.after) {
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
                Err(error) => {
                    self.tell("reset of a VM failed, which is made anew", &error);
                    (self.rebuild(worker), 0)
                }
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
        if let Err(error) = worker.fork.rebuild() {
            self.tell("a VM can't be made anew, and is given up", &error);
            return None;
        }
        worker.start_over(&self.instance);
        Some(worker)
    }

    /// Tells the log what became of the VM, behind its request.
    fn tell(&self, what: &str, error: &EngineError) {
        let line = own_line(&self.instance.name, &format!("{what}: {error}"));
        self.instance.journal.error(&line);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.finish();
    }
}
