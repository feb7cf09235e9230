//! A look at everything that is open, at one moment.

use std::time::Duration;

use crate::block::{Block, HostPoll};
use crate::context::{Context, Failure};
use crate::descriptor::DescriptionId;
use crate::errno::EAGAIN;
use crate::process::State;
use crate::readiness::{Edges, Events};
use crate::timerfd::Now;

/// The state of the program, and the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: Now,
}

/// What could end a wait, beside a change of the program's own state.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// Monotonic time when something expires.
    pub(crate) until: Option<Duration>,
    /// Descriptors of the host.
    pub(crate) host: Vec<HostPoll>,
    /// Events that do not end the wait if they are there already: they were told, as edges. All
    /// others do, also those that came since the caller looked.
    pub(crate) known: Events,
}

impl Interest {
    /// Something happens at this time.
    pub(crate) fn at(&mut self, time: Option<Duration>) {
        self.until = [self.until, time].into_iter().flatten().min();
    }

    /// A wait up to `deadline`.
    pub(crate) fn block(mut self, deadline: Option<Duration>) -> Block {
        self.at(deadline);
        Block {
            host: self.host,
            ..Block::event(self.until)
        }
    }
}

impl Look<'_> {
    /// What can be done with a description, and how often something happened there.
    pub(crate) fn at(&self, id: DescriptionId) -> (Events, Edges) {
        match self.state.descriptors.description(id) {
            Ok(open) => open.object.look(self),
            Err(_) => (Events::NONE, Edges::default()),
        }
    }

    /// Adds what could bring `wanted` about.
    pub(crate) fn interest(&self, id: DescriptionId, wanted: Events, interest: &mut Interest) {
        if let Ok(open) = self.state.descriptors.description(id) {
            open.object.interest(self, wanted, interest);
        }
    }
}

impl Context<'_> {
    /// The time for timers.
    pub(crate) fn now(&mut self) -> Now {
        let monotonic = self.guest.monotonic();
        Now {
            monotonic,
            realtime: self.guest.realtime(),
            resumed: self.process.resumed(monotonic),
        }
    }

    /// A look at what is open.
    pub(crate) fn look(&mut self) -> Look<'_> {
        let now = self.now();
        Look {
            state: self.state(),
            now,
        }
    }

    /// What a call on `id` does that has nothing to give or no room: it waits, or says so.
    pub(crate) fn would_block(&mut self, id: DescriptionId, wanted: Events) -> Failure {
        match self.state().descriptors.description(id) {
            Ok(open) if !open.nonblocking() => self.wait_for(id, wanted, None),
            _ => EAGAIN.into(),
        }
    }

    /// Waits until `id` may have one of the events `wanted`.
    pub(crate) fn wait_for(
        &mut self,
        id: DescriptionId,
        wanted: Events,
        deadline: Option<Duration>,
    ) -> Failure {
        let mut interest = Interest::default();
        self.look().interest(id, wanted, &mut interest);
        interest.block(deadline).restarting().into()
    }
}
