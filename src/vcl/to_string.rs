//! `to_string()`: a program as a function.

use std::ptr;

use tinykvm_vrt::{Ctx, Tag, ffi, strings};

use super::now::{call_now, log_sick};
use crate::counters::PublishLater;
use crate::guard::{given, guard};
use crate::state::Vcl;
use crate::task::read_fully;

#[unsafe(no_mangle)]
#[allow(
    clippy::too_many_arguments,
    reason = "the parameters of the function in VCL"
)]
pub(crate) unsafe extern "C" fn vmod_to_string(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    url: ffi::VCL_STRING,
    argument: ffi::VCL_STRING,
    on_error: ffi::VCL_STRING,
    error_threshold: ffi::VCL_INT,
    soft_reset: ffi::VCL_INT,
) -> ffi::VCL_STRING {
    let to_string = |ctx: &mut Ctx<'_>| {
        if ctx.request().is_none() {
            return Err("can be called in client and backend subroutines only".into());
        }
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, url, argument) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                given(ctx, url, "url")?.unwrap_or_default(),
                given(ctx, argument, "arg")?.unwrap_or_default(),
            )
        };
        // SAFETY: as above.
        unsafe { given(ctx, on_error, "on_error")? };
        let program = vcl.program(program)?;
        if vcl.is_set_sick(ctx, program.name()) {
            log_sick(ctx, program.name());
            return Ok(on_error);
        }
        // Declared before the answer, so that giving its VM back is counted.
        let _counters = PublishLater;
        let mut response = call_now(ctx, &program, url, argument, soft_reset != 0);
        if response.failed_before_run {
            return Ok(on_error);
        }
        if i64::from(response.status) >= error_threshold {
            let (name, status) = (program.name(), response.status);
            let text = format!("tinykvm {name}: to_string() with status {status}: on_error");
            ctx.log(Tag::VclLog, &text);
            return Ok(on_error);
        }
        let length = usize::try_from(response.body.len()).unwrap_or(usize::MAX);
        let mut workspace = ctx.workspace().ok_or("no workspace")?;
        workspace
            .make_string(length, |out| {
                read_fully(out, |rest| response.body.read(rest))
            })
            .map_err(|error| format!("program \"{}\": {error}", program.name()).into())
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "to_string", ptr::null(), to_string) }
}
