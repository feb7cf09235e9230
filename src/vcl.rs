//! The functions that VCL calls, as `vmod.vcc` declares them.

mod allow;
mod configure;
mod event;
mod filter;
mod program;
mod synth;
mod to_string;

pub(crate) use allow::vmod_allow;
pub(crate) use configure::{vmod_configure, vmod_main_arguments, vmod_start};
pub(crate) use event::vmod_event;
pub(crate) use filter::vmod_filter;
pub(crate) use program::vmod_program;
pub(crate) use synth::vmod_synth;
pub(crate) use to_string::vmod_to_string;

use std::sync::Arc;

use tinykvm_runtime::{CallRequest, Program, Response};
use tinykvm_vrt::{Ctx, Tag};

use crate::task::Task;
use crate::transaction::VarnishTransaction;

/// Tells that a program was not run, because the operator took it out of service.
fn log_sick(ctx: &Ctx<'_>, program: &str) {
    ctx.log(Tag::Error, &format!("tinykvm {program}: set sick"));
}

/// Runs a program for a function that wants its answer now.
fn call_now(
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
