//! What a module implements to filter bodies.

use std::fmt;

use super::downstream::{Downstream, Push};
use super::task_log::TaskLog;
use super::upstream::{Pulled, Upstream};
use crate::ctx::Ctx;

/// What VCL knows by a name in its lists of filters.
pub trait Filter: Send + Sync + 'static {
    /// A body is about to be fetched. Its header fields can still be changed.
    fn open_fetch(
        &self,
        ctx: &mut Ctx<'_>,
        upstream: &mut Upstream,
    ) -> Opened<Box<dyn FetchProcessor>>;

    /// A body is about to be delivered. Its header fields can still be changed.
    fn open_delivery(&self, ctx: &mut Ctx<'_>) -> Opened<Box<dyn DeliveryProcessor>>;

    /// A body is about to be fetched for which this filter was [required](super::Registration::require),
    /// and it is not in the list.
    ///
    /// # Errors
    /// Why the fetch fails.
    fn missing(&self, ctx: &mut Ctx<'_>) -> Result<(), String>;

    /// A body was delivered for which this filter was [wanted](super::Registration::want), and it was not
    /// in the list.
    fn left_out(&self, log: &TaskLog);

    /// VCL takes the list of a delivery away by `std.rollback(req)`, and with it this filter, which
    /// was [wanted](super::Registration::want).
    ///
    /// # Errors
    /// Why the VCL fails.
    fn rolled_back(&self, log: &TaskLog) -> Result<(), String>;
}

/// What is to happen with a body.
pub enum Opened<P> {
    /// It goes through this.
    Use(P),
    /// It goes on as if the filter were not there.
    Bypass,
    /// It can't be fetched or delivered.
    Fail(String),
}

impl<P> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(_) => f.write_str("Use"),
            Self::Bypass => f.write_str("Bypass"),
            Self::Fail(reason) => f.debug_tuple("Fail").field(reason).finish(),
        }
    }
}

/// The filter of one body on its way into the cache.
pub trait FetchProcessor: Send {
    /// Fills the beginning of `out` from what it reads upstream. Only bytes that were written may be
    /// counted.
    ///
    /// # Errors
    /// Why the fetch fails.
    fn pull(&mut self, upstream: &mut Upstream, out: &mut [u8]) -> Result<Pulled, String>;

    /// Called once, when the fetch is over, however it ended.
    fn close(&mut self, log: &TaskLog);
}

/// The filter of one body on its way to a client.
pub trait DeliveryProcessor: Send {
    /// Takes a part of the body, and sends downstream what becomes of it. With [`Push::End`], what
    /// ends the body downstream is not its business.
    ///
    /// # Errors
    /// Why the delivery fails.
    fn push(
        &mut self,
        downstream: &mut Downstream<'_>,
        bytes: &[u8],
        action: Push,
    ) -> Result<(), String>;

    /// Called once, when the delivery is over, however it ended.
    fn close(&mut self, log: &TaskLog);
}
