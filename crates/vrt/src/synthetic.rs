//! The body of a synthetic answer, in `vcl_synth` and `vcl_backend_error`.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::ctx::{Ctx, Place};
use crate::{NotTaken, ffi};

/// The body that Varnish will deliver. Any bytes may be in it.
#[derive(Debug)]
pub struct SyntheticBody<'a> {
    buffer: NonNull<ffi::vsb>,
    context: PhantomData<&'a mut ()>,
}

impl SyntheticBody<'_> {
    /// Empties it.
    ///
    /// # Errors
    /// It is not empty.
    pub fn clear(&mut self) -> Result<(), NotTaken> {
        // SAFETY: a checked buffer that is not finished.
        let left = unsafe {
            ffi::VSB_clear(self.buffer.as_ptr());
            ffi::VSB_len(self.buffer.as_ptr())
        };
        NotTaken::unless(left == 0, "an empty body")
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), NotTaken> {
        let what = "the synthetic body";
        let length = isize::try_from(bytes.len()).map_err(|_| NotTaken { what })?;
        // SAFETY: a checked buffer that is not finished; the bytes are copied.
        let taken = unsafe {
            let before = ffi::VSB_len(self.buffer.as_ptr());
            ffi::VSB_bcat(self.buffer.as_ptr(), bytes.as_ptr().cast(), length) == 0
                && ffi::VSB_len(self.buffer.as_ptr()) - before == length
        };
        NotTaken::unless(taken, what)
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
    ///
    /// # Errors
    /// It is another one, in the start line or in VCL's variable.
    pub fn set_status(&mut self, status: u16) -> Result<(), NotTaken> {
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
        let message = self.response();
        NotTaken::unless(
            message.is_some_and(|message| message.has_status(status)),
            "the status",
        )
    }
}
