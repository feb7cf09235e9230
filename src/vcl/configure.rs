//! `configure()`, `main_arguments()` and `start()`: what `vcl_init` says about programs.

use tinykvm_vrt::{Ctx, Place, ffi, strings};

use crate::guard::{Failure, guard, only_in, text};
use crate::state::Vcl;

fn only_in_init(ctx: &Ctx<'_>) -> Result<(), Failure> {
    only_in(ctx, &[Place::Init], "vcl_init")
}

fn about(program: &str, error: &impl std::fmt::Display) -> Failure {
    format!("program \"{program}\": {error}").into()
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_configure(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    json: ffi::VCL_STRING,
) -> ffi::VCL_BOOL {
    let configure = |ctx: &mut Ctx<'_>| {
        only_in_init(ctx)?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, json) =
            unsafe { (Vcl::of(vcl)?, strings::bytes(program), strings::bytes(json)) };
        let program = text(program, "program")?;
        let json = text(json, "json").map_err(|error| error.about(program))?;
        vcl.programs
            .configure(program, json)
            .map_err(|error| about(program, &error))?;
        vcl.add_director(ctx, program)?;
        vcl.add_filter(ctx, program)?;
        Ok(1)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "configure", 0, configure) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_main_arguments(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    arguments: ffi::VCL_STRANDS,
) -> ffi::VCL_BOOL {
    let main_arguments = |ctx: &mut Ctx<'_>| {
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, arguments) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                strings::strands(arguments),
            )
        };
        let program = text(program, "program")?;
        if ctx.has_overflowed() && arguments.contains(&None) {
            return Err("an argument is lost: out of workspace".into());
        }
        let arguments = arguments
            .into_iter()
            .map(|argument| argument.unwrap_or_default().to_vec())
            .collect();
        vcl.programs
            .main_arguments(program, arguments)
            .map_err(|error| about(program, &error))?;
        Ok(1)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "main_arguments", 0, main_arguments) }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_start(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    background: ffi::VCL_BOOL,
    _debug: ffi::VCL_BOOL,
) -> ffi::VCL_BOOL {
    let start = |ctx: &mut Ctx<'_>| {
        only_in_init(ctx)?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program) = unsafe { (Vcl::of(vcl)?, strings::bytes(program)) };
        let program = text(program, "program")?;
        vcl.programs
            .start(program)
            .map_err(|error| about(program, &error))?;
        if background == 0 {
            vcl.wait_for(program)?;
        }
        Ok(1)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "start", 0, start) }
}
