//! `synth()`: a program as the maker of a synthetic answer.

use tinykvm_runtime::{Body, Response};
use tinykvm_vrt::{Ctx, Place, ffi, strings};

use super::now::{call_now, log_sick};
use crate::counters::PublishLater;
use crate::guard::{Failure, given, guard, only_in};
use crate::state::Vcl;

/// How much of a body is copied at a time.
const PIECE: usize = 64 * 1024;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_synth(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    status: ffi::VCL_INT,
    program: ffi::VCL_STRING,
    url: ffi::VCL_STRING,
    argument: ffi::VCL_STRING,
    soft_reset: ffi::VCL_INT,
) -> ffi::VCL_INT {
    let synth = |ctx: &mut Ctx<'_>| {
        let places = [Place::Synth, Place::BackendError];
        only_in(ctx, &places, "vcl_synth and vcl_backend_error")?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, url, argument) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                given(ctx, url, "url")?.unwrap_or_default(),
                given(ctx, argument, "arg")?.unwrap_or_default(),
            )
        };
        let program = vcl.program(program)?;
        if vcl.is_set_sick(ctx, program.name()) {
            log_sick(ctx, program.name());
            return Ok(0);
        }
        // Declared before the answer, so that giving its VM back is counted.
        let _counters = PublishLater;
        let response = call_now(ctx, &program, url, argument, soft_reset != 0);
        if response.failed_before_run {
            return Ok(0);
        }
        let status = chosen_status(status, response.status);
        replace(ctx, status, response)?;
        Ok(i64::from(status))
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "synth", 0, synth) }
}

/// What VCL wants, else what the program says, as far as it can stand in an answer.
fn chosen_status(wanted: i64, answered: u16) -> u16 {
    u16::try_from(wanted)
        .ok()
        .into_iter()
        .chain([answered])
        .find(|status| (200..700).contains(status))
        .unwrap_or(500)
}

fn replace(ctx: &mut Ctx<'_>, status: u16, mut response: Response) -> Result<(), Failure> {
    ctx.set_status(status).map_err(|error| error.to_string())?;
    if let Some(mut message) = ctx.response_mut() {
        if response.content_type.is_empty() {
            message.remove_all(b"Content-Type");
        } else {
            message
                .set(b"Content-Type", &response.content_type)
                .map_err(|error| error.to_string())?;
        }
    }
    fill(ctx, &mut response.body)
}

fn fill(ctx: &mut Ctx<'_>, body: &mut Body) -> Result<(), Failure> {
    let mut synthetic = ctx.synthetic_body().ok_or("there is no synthetic body")?;
    synthetic.clear().map_err(|error| error.to_string())?;
    let size = usize::try_from(body.len()).unwrap_or(PIECE).min(PIECE);
    let mut piece = vec![0; size];
    loop {
        let length = body.read(&mut piece);
        if length == 0 {
            return Ok(());
        }
        let taken = synthetic.extend(&piece[..length]);
        taken.map_err(|error| error.to_string())?;
    }
}
