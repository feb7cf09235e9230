//! What functions have in common that want an answer at once.

use std::sync::Arc;

use tinykvm_runtime::{CallRequest, Program, Response};
use tinykvm_vrt::{Ctx, Tag};

use crate::task::Task;
use crate::transaction::VarnishTransaction;

/// Tells that a program was not run, because the operator took it out of service.
pub(super) fn log_sick(ctx: &Ctx<'_>, program: &str) {
    ctx.log(Tag::Error, &format!("tinykvm {program}: set sick"));
}

/// Runs a program for a function that wants its answer now.
pub(super) fn call_now(
    ctx: &mut Ctx<'_>,
    program: &Arc<Program>,
    url: &[u8],
    argument: &[u8],
    soft_reset: bool,
) -> Response {
    if let Some(task) = Task::existing(ctx) {
        task.release_vm();
    }
    let request = CallRequest {
        url,
        argument,
        method: b"GET",
        content_type: b"",
        has_body: false,
        soft_reset,
    };
    program.call(&request, &mut VarnishTransaction::new(ctx))
}
