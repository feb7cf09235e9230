//! The body of a synthetic answer, in `vcl_synth` and `vcl_backend_error`.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::ctx::{Ctx, Place};
use crate::ffi;

/// The body that Varnish will deliver. Any bytes may be in it.
#[derive(Debug)]
pub struct SyntheticBody<'a> {
    buffer: NonNull<ffi::vsb>,
    context: PhantomData<&'a mut ()>,
}

impl SyntheticBody<'_> {
    /// Empties it.
    pub fn clear(&mut self) {
        // SAFETY: a checked buffer that is not finished.
        unsafe { ffi::VSB_clear(self.buffer.as_ptr()) };
    }

    /// Adds bytes. False if there is no memory for them.
    pub fn extend(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = isize::try_from(bytes.len()) else {
            return false;
        };
        // SAFETY: a checked buffer that is not finished; the bytes are copied.
        unsafe { ffi::VSB_bcat(self.buffer.as_ptr(), bytes.as_ptr().cast(), length) == 0 }
    }
}

impl Ctx<'_> {
    /// The body of the synthetic answer; `None` outside the two subroutines that have one.
    #[must_use]
    pub fn synthetic_body(&mut self) -> Option<SyntheticBody<'_>> {
        if !matches!(self.place(), Place::Synth | Place::BackendError) {
            return None;
        }
        // SAFETY: a checked context; there, this field is the buffer of the body.
        let buffer = NonNull::new(unsafe { (*self.raw()).specific }.cast::<ffi::vsb>())?;
        // SAFETY: not NULL, and a buffer.
        (unsafe { buffer.as_ref() }.magic == ffi::VSB_MAGIC).then_some(SyntheticBody {
            buffer,
            context: PhantomData,
        })
    }

    /// Sets the status of the answer that is being made, and its standard reason.
    pub fn set_status(&mut self, status: u16) {
        // SAFETY: a checked context of a place that has this answer.
        unsafe {
            match self.place() {
                Place::BackendResponse | Place::BackendError => {
                    ffi::VRT_l_beresp_status(self.raw(), i64::from(status));
                }
                Place::Deliver | Place::Synth => {
                    ffi::VRT_l_resp_status(self.raw(), i64::from(status));
                }
                _ => {}
            }
        }
    }
}
