//! Making a filter known to a VCL.

use std::ffi::CStr;
use std::ptr;

use super::known::{Known, Registration};
use super::processor::Filter;
use super::{delivery, fetch, required};
use crate::ctx::Ctx;
use crate::ffi;
use crate::strings::c_text;

impl Registration {
    /// Makes a filter known to the VCL that is being loaded, by a name without spaces.
    ///
    /// # Errors
    /// Why Varnish does not take it: another filter has the name.
    pub fn new(ctx: &mut Ctx<'_>, name: &str, filter: Box<dyn Filter>) -> Result<Self, String> {
        let check = c_text(&format!("{name}-required"));
        let name = c_text(name);
        let mut known = Box::new(Known {
            vfp: ffi::vfp {
                name: name.as_ptr(),
                init: Some(fetch::open),
                pull: Some(fetch::pull),
                fini: Some(fetch::close),
                priv1: ptr::null(),
            },
            vdp: ffi::vdp {
                name: name.as_ptr(),
                init: Some(delivery::open),
                bytes: Some(delivery::push),
                fini: Some(delivery::close),
            },
            check: ffi::vfp {
                name: check.as_ptr(),
                init: Some(required::open),
                pull: Some(required::pull),
                fini: None,
                priv1: ptr::null(),
            },
            filter,
            names: [name, check],
        });
        known.vfp.priv1 = (&raw const *known).cast();
        known.check.priv1 = known.vfp.priv1;
        // SAFETY: a checked context of a VCL that is being loaded, on the thread of the command
        // line; the descriptions stay where they are until they are removed.
        let error =
            unsafe { ffi::VRT_AddFilter(ctx.raw(), &raw const known.vfp, &raw const known.vdp) };
        if error.is_null() {
            return Ok(Self(known));
        }
        // SAFETY: a constant string.
        let error = unsafe { CStr::from_ptr(error) };
        Err(error.to_string_lossy().into_owned())
    }

    /// Makes the VCL forget it: in the event that says that the VCL is discarded.
    pub fn remove(self, ctx: &mut Ctx<'_>) {
        // SAFETY: a checked context of the VCL to which this was added, on the thread of the command
        // line. No body is left that could use it.
        unsafe { ffi::VRT_RemoveFilter(ctx.raw(), &raw const self.0.vfp, &raw const self.0.vdp) };
    }
}
