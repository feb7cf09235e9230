//! Filtering a body through a program, part by part.
//!
//! ```text
//!                 begin ──pass──> the body is left alone
//!                   │
//!        upstream ──┴─> fill ─> chunk ─> output ─┬─> end ─> output ─> finished
//!                        ^                       │
//!                        └───────────────────────┘
//!                   a function fails: the original from its beginning, or an error
//! ```
//!
//! A [`BodyFilter`] is pulled from, where a body goes into a cache, or pushed to, where it goes to a
//! client. It holds a fork from `begin` to the end of the body. The clock of the program's limits
//! runs only while its functions run.
//!
//! With `on_failure` "original" the input is remembered until the first byte of output was taken;
//! a failure up to then is invisible in the body.

mod body;
mod figures;
mod headers;
mod session;
mod start;

use std::sync::Arc;
use std::time::Instant;

use crate::call::report;
use crate::config::OnFailure;
use crate::counters::{add, counters};
use crate::program::Program;
use crate::text::own_line;
use crate::transaction::{Log, Transaction};
use crate::verdict::Verdict;

pub use body::BodyFilter;

use figures::Figures;

/// What a body belongs to, and what VCL says about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FilterRequest<'a> {
    /// The URL of the request.
    pub url: &'a [u8],
    /// The request method.
    pub method: &'a [u8],
    /// The program's argument, chosen by the operator.
    pub argument: &'a [u8],
    /// More of the same.
    pub config: &'a [u8],
    /// Status of the response.
    pub status: u16,
    /// Length of the body, if it is known.
    pub length: Option<u64>,
    /// The body is on its way to a client.
    pub delivery: bool,
}

/// A part of a body, of which the bytes are elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// How many bytes it has.
    pub length: usize,
    /// The body ends with it.
    pub last: bool,
}

impl Part {
    fn more(length: usize) -> Self {
        let last = false;
        Self { length, last }
    }

    fn last(length: usize) -> Self {
        let last = true;
        Self { length, last }
    }
}

/// Where a body comes from.
pub trait Upstream {
    /// Fills the beginning of `out`, waiting for it if need be; `None` if the body broke off.
    fn read(&mut self, out: &mut [u8]) -> Option<Part>;

    /// True if there is more that can be read without waiting.
    fn is_ready(&mut self) -> bool;
}

/// What became of output that was sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// More may follow.
    More,
    /// That was enough: nobody wants the rest, and all is well.
    Enough,
    /// It can't be sent.
    Failed,
}

/// What is to happen with a body.
#[derive(Debug)]
pub enum Begun {
    /// It goes on unchanged: the program wants it so.
    Pass,
    /// It goes on unchanged: the program failed, and `on_failure` is "original". Header fields may
    /// have changed, and are to be what they were.
    Original,
    /// It goes through this.
    Filter(BodyFilter),
    /// The program failed: there is no body. The reason, as a line for a log, is logged already.
    Failed(String),
}

impl Program {
    /// True if the program wants bodies with their content encoding. Loads it if need be; `None` if
    /// it can't be loaded, or filters nothing.
    pub fn filters_encoded(self: &Arc<Self>) -> Option<bool> {
        let instance = self.instance().ok()?;
        Some(instance.filter?.encoded)
    }

    /// A body is on its way without the program, although that was asked for: the list of filters
    /// got lost, or there was no room for it.
    ///
    /// # Errors
    /// Why there is no body, unless `on_failure` says that the original may go on. It is logged
    /// already.
    pub fn missing_filter(&self, log: &mut dyn Log) -> Result<(), String> {
        let reason = "filter() asked for it, and it is not among the body's filters";
        self.without_filter(reason, log)
    }

    /// A body was delivered without the program, although that was asked for: VCL replaced the list
    /// of filters.
    pub fn left_out_filter(&self, log: &mut dyn Log) {
        let reason =
            "filter() asked for it, and VCL delivered without it: resp.filters was replaced";
        report::error(log, self.name(), reason);
        add(&counters().filters_left_out, 1);
    }

    /// VCL takes a list of filters with the program away.
    ///
    /// # Errors
    /// As of [`missing_filter`](Self::missing_filter).
    pub fn rolled_back_filter(&self, log: &mut dyn Log) -> Result<(), String> {
        let reason = "filter() asked for it, and std.rollback(req) takes it away: \
                      call filter() afterwards";
        self.without_filter(reason, log)
    }

    /// The program can't be put among the filters of a body.
    ///
    /// # Errors
    /// As of [`missing_filter`](Self::missing_filter).
    pub fn unlisted_filter(&self, reason: &str, log: &mut dyn Log) -> Result<(), String> {
        self.without_filter(&format!("it can't be a filter of this body: {reason}"), log)
    }

    /// The operator has taken the program out of service.
    ///
    /// # Errors
    /// As of [`missing_filter`](Self::missing_filter).
    pub fn sick_filter(&self, log: &mut dyn Log) -> Result<(), String> {
        self.without_filter("set sick", log)
    }

    fn without_filter(&self, reason: &str, log: &mut dyn Log) -> Result<(), String> {
        report::error(log, self.name(), reason);
        if self.on_failure() == OnFailure::Original {
            add(&counters().filter_originals, 1);
            return Ok(());
        }
        Err(own_line(self.name(), reason))
    }

    /// Asks the program what is to happen with a body. Its function may change the header fields
    /// of the response; those that would be wrong for another body are removed or weakened.
    pub fn begin_filter(
        self: &Arc<Self>,
        request: &FilterRequest<'_>,
        transaction: &mut dyn Transaction,
    ) -> Begun {
        let asked = Instant::now();
        let instance = match self.instance() {
            Ok(instance) => instance,
            Err(unready) => {
                let on_failure = self.on_failure();
                return refuse(
                    self.name(),
                    on_failure,
                    unready.verdict,
                    &unready.reason,
                    &Figures::new(request.delivery, asked.elapsed()),
                    transaction,
                );
            }
        };
        let begun = BodyFilter::begin(&instance, request, asked, transaction);
        begun.unwrap_or_else(|error| {
            let on_failure = instance.settings.on_failure;
            let reason = error.to_string();
            let name = &instance.name;
            refuse(
                name,
                on_failure,
                error.verdict(),
                &reason,
                &Figures::new(request.delivery, asked.elapsed()),
                transaction,
            )
        })
    }
}

/// The program could not even be asked.
fn refuse(
    name: &str,
    on_failure: OnFailure,
    verdict: Verdict,
    reason: &str,
    figures: &Figures,
    log: &mut dyn Transaction,
) -> Begun {
    report::error(log, name, reason);
    let original = on_failure == OnFailure::Original;
    figures.finish(name, verdict, original, log);
    if original {
        add(&counters().filter_originals, 1);
        Begun::Original
    } else {
        Begun::Failed(own_line(name, reason))
    }
}
