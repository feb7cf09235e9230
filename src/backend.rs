//! A program as a backend.

use std::fmt;
use std::sync::Arc;

use tinykvm_runtime::{CallRequest, Program, Response};
use tinykvm_vrt::{Answer, Backend, Ctx, FieldError, Source, Tag, http};

use crate::caching::{Announced, Caching};
use crate::counters;
use crate::task::{SharedBody, Task};
use crate::transaction::VarnishTransaction;

/// The backend behind a program's director.
pub(crate) struct ProgramBackend {
    program: Arc<Program>,
}

impl fmt::Debug for ProgramBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProgramBackend")
            .field("program", &self.program.name())
            .finish()
    }
}

impl ProgramBackend {
    pub(crate) fn new(program: Arc<Program>) -> Self {
        Self { program }
    }

    fn error(&self, ctx: &Ctx<'_>, reason: &str) {
        let name = self.program.name();
        ctx.log(Tag::Error, &format!("tinykvm {name}: {reason}"));
    }
}

impl Backend for ProgramBackend {
    fn is_healthy(&self) -> bool {
        self.program.is_healthy()
    }

    fn answer(&self, ctx: &mut Ctx<'_>) -> Option<Answer> {
        let Some(task) = Task::existing(ctx) else {
            self.error(ctx, "this fetch did not call tinykvm.program()");
            return None;
        };
        // A retry: what the fetch got before is of no use now.
        task.release_vm();
        let Some(wanted) = task.wanted(&self.program) else {
            self.error(ctx, "this fetch did not call tinykvm.program() for it");
            return None;
        };
        let (method, content_type) = request_line(ctx)?;
        let has_body = ctx.has_request_body();
        let request = CallRequest {
            url: &wanted.url,
            argument: &wanted.argument,
            method: &method,
            content_type: if has_body { &content_type } else { b"" },
            has_body,
            soft_reset: false,
        };
        let mut transaction = VarnishTransaction::new(ctx);
        let response = self.program.call(&request, &mut transaction);
        let caching = transaction.caching;
        counters::publish();
        if response.failed_before_run {
            // The runtime has logged the verdict and its reason.
            return None;
        }
        let length = answer_length(&method, response.status, response.body.len());
        match fill(ctx, &response, length.is_some(), caching) {
            Ok(announced) => Some(Answer {
                source: Box::new(AnswerBody {
                    body: task.hold(response.body),
                    announced,
                }),
                length: length.unwrap_or(0),
            }),
            Err(error) => {
                self.error(ctx, &format!("can't store the answer's headers: {error}"));
                None
            }
        }
    }
}

fn request_line(ctx: &Ctx<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let request = ctx.request()?;
    let content_type = request.value(b"Content-Type").unwrap_or_default();
    Some((request.method().to_vec(), content_type.to_vec()))
}

/// How much of the body is fetched; `None` for an answer that by its nature has none.
fn answer_length(method: &[u8], status: u16, length: u64) -> Option<u64> {
    (method != b"HEAD" && !matches!(status, 204 | 304)).then_some(length)
}

/// Completes the header fields of the answer, to which the program may have added some.
fn fill(
    ctx: &mut Ctx<'_>,
    response: &Response,
    has_body: bool,
    caching: Option<Caching>,
) -> Result<Option<Announced>, FieldError> {
    let mut message = ctx.response_mut().ok_or(FieldError::NoWorkspace)?;
    message.set_response(response.status)?;
    if response.content_type.is_empty() {
        message.remove_all(b"Content-Type");
    } else {
        message.set(b"Content-Type", &response.content_type)?;
    }
    if has_body || !matches!(response.status, 204 | 304) {
        // For HEAD it says what GET would have brought.
        let length = response.body.len().to_string();
        message.set(b"Content-Length", length.as_bytes())?;
    } else {
        message.remove_all(b"Content-Length");
    }
    if message.position(b"Last-Modified").is_none() {
        message.set(b"Last-Modified", &http::date())?;
    }
    match caching {
        Some(caching) => caching.announce(ctx),
        None => Ok(None),
    }
}

/// The body of an answer on its way to the storage.
struct AnswerBody {
    body: SharedBody,
    announced: Option<Announced>,
}

impl Source for AnswerBody {
    fn opened(&mut self, ctx: &mut Ctx<'_>) -> Result<(), String> {
        match &self.announced {
            Some(announced) => announced.settle(ctx).map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }

    fn read(&mut self, out: &mut [u8]) -> usize {
        self.body.read(out)
    }
}
