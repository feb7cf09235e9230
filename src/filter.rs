//! A program as a filter of bodies.

use std::fmt;
use std::sync::Arc;

use tinykvm_runtime::{Begun, BodyFilter, FilterRequest, Log, Part, Program, Sent, Upstream};
use tinykvm_vrt::filter::{
    DeliveryProcessor, Downstream, FetchProcessor, Opened, Pulled, Push, Sent as SentOn, TaskLog,
    Upstream as FetchUpstream,
};
use tinykvm_vrt::{Ctx, FieldError, Filter, Tag};

use crate::counters;
use crate::task::{Filtering, Task};
use crate::transaction::VarnishTransaction;

/// What the names of our filters begin with.
const PREFIX: &str = "tinykvm_";
/// Why a body is not filtered to its end.
const CUT_SHORT: &str = "the fetch of the body failed";
/// The status of an answer to a client that has the body already.
const NOT_MODIFIED: u16 = 304;

/// The name of a program in lists of filters.
pub(crate) fn filter_name(program: &str) -> String {
    format!("{PREFIX}{program}")
}

/// True for the name of one of our filters.
pub(crate) fn is_ours(filter: &str) -> bool {
    filter.starts_with(PREFIX)
}

/// What the name stands for.
pub(crate) struct ProgramFilter {
    program: Arc<Program>,
}

impl fmt::Debug for ProgramFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramFilter")
            .field("program", &self.program.name())
            .finish()
    }
}

/// What the program answered, with its header fields in place.
enum Answer {
    Bypass,
    Filter(BodyFilter),
    Fail(String),
}

impl ProgramFilter {
    pub(crate) fn new(program: Arc<Program>) -> Self {
        Self { program }
    }

    /// A reason as it stands in the log.
    fn line(&self, reason: &dyn fmt::Display) -> String {
        format!("tinykvm {}: {reason}", self.program.name())
    }

    /// Asks the program. Its changes of header fields are undone if it fails.
    fn begin(&self, ctx: &mut Ctx<'_>, length: Option<u64>, delivery: bool) -> Answer {
        let task = Task::existing(ctx);
        if let Some(task) = task {
            task.release_vm();
        }
        let said = task.and_then(|task| task.next_filtering(&self.program));
        let Filtering { argument, config } = said.unwrap_or_default();
        let (method, url) = match ctx.request() {
            Some(request) => (request.method().to_vec(), request.url().to_vec()),
            None => (Vec::new(), Vec::new()),
        };
        let (status, fields) = match ctx.response_mut() {
            // What a client has already is the answer with this status.
            Some(response) if delivery && response.status() == NOT_MODIFIED => {
                (200, response.save())
            }
            Some(response) => (response.status(), response.save()),
            None => return Answer::Fail("tinykvm: there is no response to filter".to_owned()),
        };
        let request = FilterRequest {
            url: &url,
            method: &method,
            argument: &argument,
            config: &config,
            status,
            length,
            delivery,
        };
        let mut transaction = VarnishTransaction::new(ctx);
        let begun = self.program.begin_filter(&request, &mut transaction);
        let caching = transaction.caching;
        let answer = match begun {
            Begun::Pass => Answer::Bypass,
            Begun::Filter(filter) => Answer::Filter(filter),
            Begun::Original => {
                return match restore(ctx, &fields) {
                    Ok(()) => Answer::Bypass,
                    Err(error) => Answer::Fail(self.line(&error)),
                };
            }
            Begun::Failed(reason) => {
                return match restore(ctx, &fields) {
                    Ok(()) => Answer::Fail(reason),
                    Err(error) => Answer::Fail(self.line(&error)),
                };
            }
        };
        match caching.map(|caching| caching.apply(ctx)) {
            Some(Err(error)) => Answer::Fail(self.line(&error)),
            Some(Ok(())) | None => answer,
        }
    }

    /// For an answer of a backend that has no body, but the header fields of one: to HEAD.
    pub(crate) fn without_body(&self, ctx: &mut Ctx<'_>) -> Result<(), String> {
        let length = announced(ctx);
        // With a body, Varnish would take the compression away before the program, and put it back.
        let decoded = self.program.filters_encoded() != Some(true);
        let compressed = decoded && encoding(ctx).is_some_and(|it| it.eq_ignore_ascii_case("gzip"));
        if compressed && let Some(mut response) = ctx.response_mut() {
            response.remove_all(b"Content-Encoding");
            response.remove_all(b"Content-Length");
        }
        let answer = self.begin(ctx, length.filter(|_| !compressed), false);
        if compressed
            && !ctx.wants_plain()
            && encoding(ctx).is_none()
            && let Some(mut response) = ctx.response_mut()
        {
            response.remove_all(b"Content-Length");
            let set = response.set(b"Content-Encoding", b"gzip");
            set.map_err(|_| "tinykvm: no room for Content-Encoding")?;
        }
        if let Answer::Filter(filter) = answer {
            filter.skip(&mut VarnishLog(ctx.task_log()));
        } else if let Answer::Fail(reason) = answer {
            return Err(reason);
        }
        counters::publish();
        Ok(())
    }
}

/// The length that the header fields of the response announce.
fn announced(ctx: &Ctx<'_>) -> Option<u64> {
    let response = ctx.response()?;
    let length = response.value(b"Content-Length")?;
    std::str::from_utf8(length).ok()?.parse().ok()
}

/// Makes this the length that the header fields announce, and the only one.
fn announce(ctx: &mut Ctx<'_>, length: u64) -> Result<(), String> {
    let mut response = ctx.response_mut().ok_or("there is no response")?;
    let length = length.to_string();
    let set = response.set(b"Content-Length", length.as_bytes());
    set.map_err(|error| format!("Content-Length: {error}"))
}

fn restore(ctx: &mut Ctx<'_>, fields: &tinykvm_vrt::Fields) -> Result<(), FieldError> {
    let mut response = ctx.response_mut().ok_or(FieldError::OtherMessage)?;
    response.restore(fields)
}

impl Filter for ProgramFilter {
    fn open_fetch(
        &self,
        ctx: &mut Ctx<'_>,
        upstream: &mut FetchUpstream,
    ) -> Opened<Box<dyn FetchProcessor>> {
        let fields = ctx.response_mut().map(|response| response.save());
        // As the filters before this one have left it: not what the backend said of a compressed body.
        let length = announced(ctx);
        let mut filter = match self.begin(ctx, length, false) {
            Answer::Bypass => return Opened::Bypass,
            Answer::Fail(reason) => return Opened::Fail(reason),
            Answer::Filter(filter) => filter,
        };
        let mut log = VarnishLog(upstream.log());
        // Up to the first byte of output, a failure can still change everything.
        let primed = filter.prime(&mut Reading(upstream), &mut log);
        counters::publish();
        if let Err(reason) = primed {
            return Opened::Fail(reason);
        }
        if filter.is_original()
            && let Some(fields) = &fields
        {
            if let Err(error) = restore(ctx, fields) {
                return Opened::Fail(self.line(&error));
            }
        } else {
            upstream.changes_body();
        }
        // Of a page with includes it is not the length that clients get.
        if !ctx.wants_esi()
            && let Some(length) = filter.known_length()
            && let Err(reason) = announce(ctx, length)
        {
            return Opened::Fail(self.line(&reason));
        }
        Opened::Use(Box::new(Fetching(filter)))
    }

    fn open_delivery(&self, ctx: &mut Ctx<'_>) -> Opened<Box<dyn DeliveryProcessor>> {
        let status = ctx.response().map_or(0, |response| response.status());
        if status < 200 || status == 204 {
            return Opened::Bypass;
        }
        let only_fields = ctx.is_head() || status == NOT_MODIFIED;
        // The length that a client would have missed bytes by is not that of the filtered body.
        if !only_fields && ctx.is_cut_short() {
            let reason = self.line(&CUT_SHORT);
            ctx.log(Tag::Error, &reason);
            return refuse(ctx, reason);
        }
        // Of a body that the backend was not asked for, only the header fields tell the length.
        let length = match only_fields && ctx.is_passed() {
            true => announced(ctx),
            false => ctx.delivery_length(),
        };
        let compressed = ctx.is_stored_compressed();
        let filter = match self.begin(ctx, length, true) {
            Answer::Bypass => return Opened::Bypass,
            Answer::Fail(reason) => return refuse(ctx, reason),
            Answer::Filter(filter) => filter,
        };
        if ctx.esi_level() > 0
            && let Some(encoding) = encoding(ctx)
            && !(compressed && encoding.eq_ignore_ascii_case("gzip"))
        {
            let name = self.program.name();
            return Opened::Fail(format!(
                "tinykvm {name}: a part of a page can't be encoded ({encoding})"
            ));
        }
        if length == Some(0) {
            // Varnish relies on the field that it has seen.
            if let Err(reason) = announce(ctx, 0) {
                return Opened::Fail(self.line(&reason));
            }
        } else {
            ctx.set_delivery_length(filter.announced_length());
        }
        if only_fields || length == Some(0) {
            let mut log = VarnishLog(ctx.task_log());
            filter.skip(&mut log);
            counters::publish();
            return Opened::Bypass;
        }
        counters::publish();
        Opened::Use(Box::new(Delivering {
            filter,
            cut_short: self.line(&CUT_SHORT),
        }))
    }

    fn missing(&self, ctx: &mut Ctx<'_>) -> Result<(), String> {
        let missing = self.program.missing_filter(&mut VarnishLog(ctx.task_log()));
        counters::publish();
        missing
    }

    fn left_out(&self, log: &TaskLog) {
        self.program.left_out_filter(&mut VarnishLog(*log));
        counters::publish();
    }

    fn rolled_back(&self, log: &TaskLog) -> Result<(), String> {
        let lost = self.program.rolled_back_filter(&mut VarnishLog(*log));
        counters::publish();
        lost
    }
}

/// How the response's body is encoded, if it is.
fn encoding(ctx: &Ctx<'_>) -> Option<String> {
    let response = ctx.response()?;
    let encoding = response.value(b"Content-Encoding")?.trim_ascii();
    let plain = encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity");
    (!plain).then(|| encoding.escape_ascii().to_string())
}

/// The delivery of a body that the program can't filter: an error without a body. A part of a page
/// has no status, so there the page ends.
fn refuse(ctx: &mut Ctx<'_>, reason: String) -> Opened<Box<dyn DeliveryProcessor>> {
    counters::publish();
    if ctx.esi_level() > 0 {
        return Opened::Fail(reason);
    }
    let Some(mut response) = ctx.response_mut() else {
        return Opened::Fail(reason);
    };
    for name in [
        &b"Content-Encoding"[..],
        b"Content-Type",
        b"Content-Range",
        b"Cache-Control",
        b"ETag",
        b"Last-Modified",
        b"Expires",
    ] {
        response.remove_all(name);
    }
    // Varnish has decided already whether there is a length, so the end of the connection is that of
    // the response.
    let ends = response.status() != NOT_MODIFIED || response.set(b"Connection", b"close").is_ok();
    if response.set_response(503).is_err() || !ends {
        return Opened::Fail(reason);
    }
    ctx.set_delivery_length(Some(0));
    Opened::Use(Box::new(Nothing))
}

/// The log of the task, for the runtime.
pub(crate) struct VarnishLog(TaskLog);

impl VarnishLog {
    pub(crate) fn of(ctx: &Ctx<'_>) -> Self {
        Self(ctx.task_log())
    }
}

impl Log for VarnishLog {
    fn log(&mut self, line: &str) {
        self.0.log(Tag::VclLog, line);
    }

    fn error(&mut self, line: &str) {
        self.0.log(Tag::Error, line);
    }
}

/// The backend's body, for the runtime.
struct Reading<'a>(&'a mut FetchUpstream);

impl Upstream for Reading<'_> {
    fn read(&mut self, out: &mut [u8]) -> Option<Part> {
        let Pulled { length, last } = self.0.read(out)?;
        Some(Part { length, last })
    }

    fn is_ready(&mut self) -> bool {
        self.0.is_ready()
    }
}

struct Fetching(BodyFilter);

impl FetchProcessor for Fetching {
    fn pull(&mut self, upstream: &mut FetchUpstream, out: &mut [u8]) -> Result<Pulled, String> {
        let mut log = VarnishLog(upstream.log());
        let Part { length, last } = self.0.pull(out, &mut Reading(upstream), &mut log)?;
        Ok(Pulled { length, last })
    }

    fn close(&mut self, log: &TaskLog) {
        self.0.close(&mut VarnishLog(*log));
        counters::publish();
    }
}

struct Delivering {
    filter: BodyFilter,
    /// What to say of a body that is not whole.
    cut_short: String,
}

impl DeliveryProcessor for Delivering {
    fn push(
        &mut self,
        downstream: &mut Downstream<'_>,
        bytes: &[u8],
        action: Push,
    ) -> Result<(), String> {
        // Varnish ends it like a whole one, for who comes when the fetch is over.
        if action == Push::End && downstream.is_cut_short() {
            return Err(self.cut_short.clone());
        }
        let mut log = VarnishLog(downstream.log());
        let mut send = |piece: &[u8]| match downstream.send(piece) {
            SentOn::More => Sent::More,
            SentOn::Enough => Sent::Enough,
            SentOn::Failed => Sent::Failed,
        };
        let (flush, end) = (action != Push::More, action == Push::End);
        self.filter.push(bytes, flush, end, &mut send, &mut log)
    }

    fn close(&mut self, log: &TaskLog) {
        self.filter.close(&mut VarnishLog(*log));
        counters::publish();
    }
}

/// Takes a body that nobody gets.
struct Nothing;

impl DeliveryProcessor for Nothing {
    fn push(&mut self, _: &mut Downstream<'_>, _: &[u8], _: Push) -> Result<(), String> {
        Ok(())
    }

    fn close(&mut self, _: &TaskLog) {}
}
