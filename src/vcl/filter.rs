//! `filter()`: a program among the filters of a body.

use std::sync::Arc;

use tinykvm_runtime::Program;
use tinykvm_vrt::filter::list::{with_delivery_filter, with_fetch_filter};
use tinykvm_vrt::filter::opening::{with_opening, without_opening};
use tinykvm_vrt::{Ctx, Place, ffi, strings};

use crate::counters;
use crate::filter::{ProgramFilter, VarnishLog, filter_name, is_ours};
use crate::guard::{Failure, given, guard, only_in};
use crate::state::Vcl;
use crate::task::{Filtering, Task};

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_filter(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    argument: ffi::VCL_STRING,
    config: ffi::VCL_STRING,
) -> ffi::VCL_BOOL {
    let filter = |ctx: &mut Ctx<'_>| {
        let places = [Place::BackendResponse, Place::Deliver];
        only_in(ctx, &places, "vcl_backend_response and vcl_deliver")?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, argument, config) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                given(ctx, argument, "arg")?.unwrap_or_default().to_vec(),
                given(ctx, config, "config")?.unwrap_or_default().to_vec(),
            )
        };
        let program = vcl.program(program)?;
        if !vcl.has_filter(program.name()) {
            let name = program.name();
            return Err(format!("program \"{name}\" is not known to Varnish as a filter").into());
        }
        if vcl.is_set_sick(ctx, program.name()) {
            program.sick_filter(&mut VarnishLog::of(ctx))?;
            counters::publish();
            return Ok(0);
        }
        let filtering = Filtering { argument, config };
        if ctx.place() == Place::Deliver {
            return add(ctx, vcl, &program, filtering);
        }
        if !ctx.has_backend_answer() {
            let gone = "the backend's answer is not there any more: std.rollback(bereq)";
            return Err(gone.into());
        }
        // The object keeps its body, filtered or not, and what was said of it.
        if ctx.was_304() {
            return Ok(1);
        }
        // Varnish opens no filters then.
        if !ctx.has_fetch_body() {
            Task::of(ctx).ok_or("out of workspace")?.want_filter(
                Arc::clone(&program),
                filtering,
                true,
            );
            ProgramFilter::new(program).without_body(ctx)?;
            return Ok(1);
        }
        add(ctx, vcl, &program, filtering)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "filter", 0, filter) }
}

/// Puts the program into the list of filters, and sees to it that it stays there. A failure is one
/// of the filter: `on_failure` decides.
fn add(
    ctx: &mut Ctx<'_>,
    vcl: &Vcl,
    program: &Arc<Program>,
    filtering: Filtering,
) -> Result<ffi::VCL_BOOL, Failure> {
    if let Err(error) = list(ctx, program, filtering) {
        program.unlisted_filter(&error, &mut VarnishLog::of(ctx))?;
        counters::publish();
        return Ok(0);
    }
    // Of a delivery, only VCL can take it out again, and Varnish asks nobody then.
    if ctx.place() == Place::BackendResponse {
        vcl.require_filter(ctx, program.name())?;
    } else {
        vcl.want_filter(ctx, program.name());
    }
    Ok(1)
}

fn list(ctx: &mut Ctx<'_>, program: &Arc<Program>, filtering: Filtering) -> Result<(), String> {
    let name = filter_name(program.name());
    if ctx.place() == Place::Deliver {
        ctx.forget_stale_filters();
        if !ctx.note_filters() {
            return Err("out of workspace".to_owned());
        }
    }
    let list = ctx.filters().map_err(|error| error.to_string())?;
    // A program that can't say is asked again when the body comes, and fails then.
    let encoded = program.filters_encoded().unwrap_or(false);
    let with = match ctx.place() {
        Place::Deliver => {
            let (compressed, included) = (ctx.is_stored_compressed(), ctx.esi_level() > 0);
            let list = without_opening(&list);
            let with = with_delivery_filter(&list, &name, encoded, compressed, included);
            with_opening(&with)
        }
        _ => with_fetch_filter(&list, &name, encoded),
    };
    let first = !list.split_whitespace().any(is_ours);
    let task = Task::of(ctx).ok_or("out of workspace")?;
    ctx.set_filters(&with).map_err(|error| error.to_string())?;
    task.want_filter(Arc::clone(program), filtering, first);
    Ok(())
}
