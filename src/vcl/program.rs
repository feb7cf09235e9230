//! `program()`: a program as the backend of a fetch.

use std::ptr;

use tinykvm_vrt::{Ctx, Place, ffi, strings};

use crate::guard::{given, guard, only_in};
use crate::state::Vcl;
use crate::task::{Task, Wanted};

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_program(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    url: ffi::VCL_STRING,
    argument: ffi::VCL_STRING,
) -> ffi::VCL_BACKEND {
    let backend = |ctx: &mut Ctx<'_>| {
        only_in(ctx, &[Place::BackendFetch], "vcl_backend_fetch")?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, url, argument) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                given(ctx, url, "arg")?,
                given(ctx, argument, "config")?,
            )
        };
        let program = vcl.program(program)?;
        let director = vcl
            .director(program.name())
            .ok_or_else(|| format!("program \"{}\" has no backend", program.name()))?;
        let wanted = Wanted {
            url: url.unwrap_or_default().to_vec(),
            argument: argument.unwrap_or_default().to_vec(),
        };
        Task::of(ctx)
            .ok_or("out of workspace")?
            .want(program, wanted);
        Ok(director)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "program", ptr::null(), backend) }
}
