//! `filter()`: a program among the filters of a body.

use std::sync::Arc;

use tinykvm_vrt::filter::list::{with_delivery_filter, with_fetch_filter};
use tinykvm_vrt::{Ctx, Place, ffi, strings};

use crate::filter::{ProgramFilter, filter_name, is_ours};
use crate::guard::{guard, only_in};
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
                strings::bytes(argument).unwrap_or_default().to_vec(),
                strings::bytes(config).unwrap_or_default().to_vec(),
            )
        };
        let program = vcl.program(program)?;
        if !vcl.has_filter(program.name()) {
            let name = program.name();
            return Err(format!("program \"{name}\" is not known to Varnish as a filter").into());
        }
        let name = filter_name(program.name());
        let list = ctx.filters().unwrap_or_default();
        // A program that can't say is asked again when the body comes, and fails then.
        let encoded = program.filters_encoded().unwrap_or(false);
        let first = !list.split_whitespace().any(is_ours);
        Task::of(ctx).ok_or("out of workspace")?.want_filter(
            Arc::clone(&program),
            Filtering { argument, config },
            first,
        );
        let with = match ctx.place() {
            Place::Deliver => {
                with_delivery_filter(&list, &name, encoded, ctx.is_stored_compressed())
            }
            // The object keeps its body, filtered or not, and what was said of it.
            _ if ctx.was_304() => return Ok(1),
            // Varnish opens no filters then.
            _ if !ctx.has_fetch_body() => {
                ProgramFilter::new(program).without_body(ctx)?;
                return Ok(1);
            }
            _ => with_fetch_filter(&list, &name, encoded),
        };
        ctx.set_filters(&with);
        Ok(1)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "filter", 0, filter) }
}
