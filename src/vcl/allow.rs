//! `allow()`: what programs may have of the host.

use tinykvm_runtime::Access;
use tinykvm_vrt::{Ctx, Place, ffi, strings};

use crate::guard::{guard, only_in, text};
use crate::state::Vcl;

/// The names of `vmod.vcc`.
fn access(name: &str) -> Option<Access> {
    match name {
        "read" => Some(Access::Read),
        "write" => Some(Access::Write),
        "connect" => Some(Access::Connect),
        "env" => Some(Access::Environment),
        "exec_memory" => Some(Access::ExecMemory),
        _ => None,
    }
}

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_allow(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    program: ffi::VCL_STRING,
    kind: ffi::VCL_ENUM,
    what: ffi::VCL_STRING,
) -> ffi::VCL_BOOL {
    let allow = |ctx: &mut Ctx<'_>| {
        only_in(ctx, &[Place::Init], "vcl_init")?;
        // SAFETY: arguments that VCL gave to this function.
        let (vcl, program, kind, what) = unsafe {
            (
                Vcl::of(vcl)?,
                strings::bytes(program),
                strings::bytes(kind),
                strings::bytes(what),
            )
        };
        let program = text(program, "program")?;
        let kind = access(text(kind, "access")?).ok_or("there is no such access")?;
        let what = match kind {
            Access::ExecMemory => "",
            _ => text(what, "what").map_err(|error| error.about(program))?,
        };
        vcl.programs
            .allow(program, kind, what)
            .map_err(|error| format!("program \"{program}\": {error}"))?;
        Ok(1)
    };
    // SAFETY: the context that Varnish gave to this function.
    unsafe { guard(ctx, "allow", 0, allow) }
}
