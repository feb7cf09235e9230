//! One call of a program: from taking a fork to its answer.
//!
//! ```text
//! take a fork ─> body into the guest ─> callback or resume ─> run ─> answer ─> reset, give back
//!                     │ fails                                   │ fails
//!                     └─> transfer, 503                         └─> on_error in the same VM, or 500
//!                                                                    └─> the fork is made anew
//! ```

pub(crate) mod report;
mod serve;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use crate::api::Answer;
use crate::instance::{Fate, Held, Instance};
use crate::response::{Body, Response};
use crate::transaction::{BodyError, CallRequest, Transaction};
use crate::verdict::Verdict;

use report::Report;
use serve::{Serving, Trouble};

/// Bodies up to this size are copied out of the VM, which is free again at once.
const COPIED_MAX: u64 = 16 * 1024;

/// Calls a loaded program.
pub(crate) fn call(
    instance: &Arc<Instance>,
    request: &CallRequest<'_>,
    transaction: &mut dyn Transaction,
    started: Instant,
) -> Response {
    let mut held = match instance.hold() {
        Ok(held) => held,
        Err(error) => {
            let verdict = error.verdict();
            return refuse(
                &instance.name,
                verdict,
                &error.to_string(),
                transaction,
                started,
            );
        }
    };
    let mut report = Report::new(&instance.name, started);
    report.runs_before(&mut held);
    // Should this end by a panic.
    held.fate = Fate::Rebuilt;
    let outcome = match held.worker() {
        Some(worker) => Serving {
            instance,
            worker,
            request,
            transaction,
        }
        .serve(),
        None => Err(Trouble::Body(BodyError::Read)),
    };
    held.fate = match &outcome {
        Ok(_) if request.soft_reset => Fate::Reset,
        Ok(_) => Fate::Configured,
        Err(trouble) => trouble.fate(),
    };
    let (verdict, answer) = match outcome {
        Ok(answer) => (Verdict::Ok, Some(answer)),
        Err(Trouble::Body(error)) => {
            report::error(transaction, &instance.name, &error.to_string());
            (Verdict::Transfer, None)
        }
        Err(Trouble::Failed { failure, answer }) => (failure.verdict(), answer),
    };
    report.measure(&mut held);
    let response = match answer {
        Some(answer) => deliver(held, verdict, answer, &mut report),
        None => {
            report.pages = Some(held.release());
            Response::empty(verdict)
        }
    };
    report.finish(&response, transaction);
    response
}

/// Makes the response of an answer, and frees the VM if it is not needed for the body.
fn deliver(held: Held, verdict: Verdict, answer: Answer, report: &mut Report) -> Response {
    let Answer {
        status,
        content_type,
        body,
        length,
    } = answer;
    let body = if length > COPIED_MAX {
        Body::in_guest(held, body, length)
    } else {
        // The decoder has checked the range.
        let bytes = match usize::try_from(length) {
            Ok(length @ 1..) => held.read_vec(body, length).unwrap_or_default(),
            _ => Vec::new(),
        };
        report.pages = Some(held.release());
        Body::copied(bytes)
    };
    Response {
        verdict,
        status,
        content_type,
        body,
        failed_before_run: false,
    }
}

/// The response for a request that found no VM.
pub(crate) fn refuse(
    name: &str,
    verdict: Verdict,
    reason: &str,
    transaction: &mut dyn Transaction,
    started: Instant,
) -> Response {
    report::error(transaction, name, reason);
    let response = Response::empty(verdict);
    Report::new(name, started).finish(&response, transaction);
    response
}
