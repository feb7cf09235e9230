//! Looking at what is open, and waiting for it.

use std::time::Duration;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::object::DescriptionId;
use crate::objects::readiness::Events;
use crate::objects::timerfd::Now;
use crate::process::look::{Interest, Look};
use crate::wire::errno::{EAGAIN, EINVAL};

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

/// How long a call may wait; `None`: as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit(pub(crate) Option<Duration>);

impl Limit {
    /// Negative: for ever.
    pub(crate) fn milliseconds(time: i32) -> Self {
        Self(u64::try_from(time).ok().map(Duration::from_millis))
    }

    /// The call found nothing: it waits, or says so (0) when the time is over.
    pub(crate) fn wait(
        self,
        context: &mut Context<'_>,
        interest: impl FnOnce(&Look<'_>, &mut Interest),
    ) -> Answer {
        if self.0.is_some_and(|time| time.is_zero()) || context.timed_out() {
            return Ok(0);
        }
        let deadline = self.0.map(|time| context.deadline(time));
        let mut found = Interest::default();
        interest(&context.look(), &mut found);
        Err(found.block(deadline).into())
    }

    /// What is left of the time.
    pub(crate) fn left(self, context: &mut Context<'_>) -> Duration {
        let Some(time) = self.0 else {
            return Duration::ZERO;
        };
        if context.timed_out() {
            return Duration::ZERO;
        }
        let deadline = context.deadline(time);
        deadline.saturating_sub(context.guest.monotonic())
    }
}

/// Takes the signal mask that a call brings with it, if it brings one, until it is answered.
pub(crate) fn borrow_mask(
    context: &mut Context<'_>,
    address: u64,
    size: u64,
) -> Result<(), Failure> {
    if address != 0 {
        if size != 8 {
            return Err(EINVAL.into());
        }
        let mask = u64::from_le_bytes(context.read(address)?);
        context.temporary_mask(mask);
    }
    Ok(())
}
