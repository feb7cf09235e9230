//! What Varnish tells the module about the VCL that uses it.

use std::ffi::c_int;

use tinykvm_vrt::{Ctx, ffi};

use crate::counters;
use crate::guard::guard_event;
use crate::state::Vcl;

#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn vmod_event(
    ctx: *const ffi::vrt_ctx,
    vcl: *mut ffi::vmod_priv,
    event: ffi::vcl_event_e,
) -> c_int {
    guard_event(|| {
        match event {
            ffi::VCL_EVENT_LOAD => {
                // SAFETY: the argument that Varnish gave to this function. Made here, while one
                // thread has the VCL, so that later calls find it.
                unsafe { Vcl::of(vcl)? };
                counters::attach();
            }
            ffi::VCL_EVENT_DISCARD => {
                // SAFETY: the arguments that Varnish gave to this function.
                let (ctx, vcl) = unsafe { (Ctx::from_raw(ctx), Vcl::of(vcl)?) };
                vcl.remove_filters(&mut ctx.ok_or("no context")?);
                counters::detach();
            }
            // A cold VCL keeps its programs, so that it is ready when it is used again.
            _ => {}
        }
        Ok(())
    })
}
