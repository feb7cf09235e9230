//! The body of an answer, as a fetch pulls it into Varnish's storage.

use std::ffi::c_void;
use std::ptr::{self, NonNull};

use crate::ctx::Ctx;
use crate::log::{Tag, log_global};
use crate::{ffi, guard};

/// A body that is read once, from its beginning to its end.
///
/// It is dropped exactly once: after the last byte, or when the fetch is given up.
pub trait Source: Send {
    /// Called once before the first read, when VCL is done with the headers and the fetch begins
    /// to store the answer. Not called when VCL decides otherwise. Headers and lifetime can still
    /// be changed.
    ///
    /// # Errors
    /// Why the answer can't be stored.
    fn opened(&mut self, _ctx: &mut Ctx<'_>) -> Result<(), String> {
        Ok(())
    }

    /// Fills the beginning of `out` and returns how much of it; 0 is the end. Only bytes that
    /// were written may be counted.
    fn read(&mut self, out: &mut [u8]) -> usize;
}

/// A source on its way, with what is left of it. Owned by the connection structure of the fetch.
pub(crate) struct Pending {
    source: Option<Box<dyn Source>>,
    left: u64,
    /// The filter that refers to this, until Varnish closes it.
    entry: Option<NonNull<ffi::vfp_entry>>,
}

impl Pending {
    pub(crate) fn new(source: Box<dyn Source>, length: u64) -> Box<Self> {
        Box::new(Self {
            source: Some(source),
            left: length,
            entry: None,
        })
    }

    /// Puts this at the bottom of the fetch's filters. False if there is no workspace for it.
    ///
    /// # Safety
    /// `filters` are the fetch's, and `self` stays where it is until it is dropped.
    pub(crate) unsafe fn push(&mut self, filters: *mut ffi::vfp_ctx) -> bool {
        // SAFETY: the fetch's filters; the description is constant.
        self.entry = NonNull::new(unsafe { ffi::VFP_Push(filters, &raw const FILTER.0) });
        let Some(mut entry) = self.entry else {
            return false;
        };
        // SAFETY: Varnish made the entry on the workspace, where it stays during the fetch.
        unsafe { entry.as_mut() }.priv1 = ptr::from_mut(self).cast();
        true
    }

    /// Ends the filter's reference to this.
    fn release(&mut self) {
        if let Some(mut entry) = self.entry.take() {
            // SAFETY: the entry is on the workspace until the fetch is over, which is later.
            unsafe { entry.as_mut() }.priv1 = ptr::null_mut();
        }
        let dropped = guard::catch(|| drop(self.source.take()));
        if let Err(caught) = dropped {
            log_global(Tag::Error, &format!("tinykvm: {}", caught.message()));
        }
    }

    /// Fills `out` as far as the body goes.
    fn pull(&mut self, out: &mut [u8]) -> Result<Pulled, &'static str> {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let room = out.len().min(left);
        let source = self.source.as_mut().ok_or("the body was given up")?;
        let length = source.read(&mut out[..room]);
        if length > room || (length == 0 && room > 0) {
            return Err("the body ended before its announced length");
        }
        self.left -= length as u64;
        Ok(Pulled {
            length,
            end: self.left == 0,
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.release();
    }
}

struct Pulled {
    length: usize,
    end: bool,
}

/// The description of the filter. Varnish only reads it.
struct Filter(ffi::vfp);

// SAFETY: constant, and the string in it is too.
unsafe impl Sync for Filter {}

static FILTER: Filter = Filter(ffi::vfp {
    name: c"tinykvm".as_ptr(),
    init: Some(open),
    pull: Some(pull),
    fini: Some(close),
    priv1: ptr::null(),
});

/// # Safety
/// `entry` is one that [`Pending::push`] made.
unsafe fn pending<'a>(entry: *mut ffi::vfp_entry) -> Option<&'a mut Pending> {
    // SAFETY: `push` stored the pointer, dropping the value takes it away.
    unsafe { entry.as_mut()?.priv1.cast::<Pending>().as_mut() }
}

unsafe extern "C" fn open(
    ctx: *const ffi::vrt_ctx,
    filters: *mut ffi::vfp_ctx,
    entry: *mut ffi::vfp_entry,
) -> ffi::vfp_status {
    let opened = guard::catch(|| {
        // SAFETY: Varnish gives its context, and the entry that belongs to this filter.
        let (ctx, pending) = unsafe { (Ctx::from_raw(ctx), pending(entry)) };
        if let (Some(mut ctx), Some(pending)) = (ctx, pending)
            && let Some(source) = pending.source.as_mut()
        {
            return source.opened(&mut ctx);
        }
        Ok(())
    });
    match opened {
        Ok(Ok(())) => ffi::VFP_OK,
        // SAFETY: the filters of this fetch.
        Ok(Err(reason)) => unsafe { fail(filters, &reason) },
        // SAFETY: the filters of this fetch.
        Err(caught) => unsafe { fail(filters, &caught.message()) },
    }
}

unsafe extern "C" fn pull(
    filters: *mut ffi::vfp_ctx,
    entry: *mut ffi::vfp_entry,
    buffer: *mut c_void,
    length: *mut isize,
) -> ffi::vfp_status {
    // SAFETY: the entry that belongs to this filter; `length` is the caller's.
    let (pending, room) = unsafe { (pending(entry), length.replace(0)) };
    let (Some(pending), Ok(room)) = (pending, usize::try_from(room)) else {
        // SAFETY: the filters of this fetch.
        return unsafe { fail(filters, "no body to fetch") };
    };
    // SAFETY: `room` bytes of storage that nobody else has. They are only written to.
    let out = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), room) };
    match guard::catch(|| pending.pull(out)) {
        Ok(Ok(pulled)) => {
            // SAFETY: the caller's; never more than its room.
            unsafe { length.write(pulled.length.cast_signed()) };
            if pulled.end {
                ffi::VFP_END
            } else {
                ffi::VFP_OK
            }
        }
        // SAFETY: the filters of this fetch.
        Ok(Err(reason)) => unsafe { fail(filters, reason) },
        // SAFETY: the filters of this fetch.
        Err(caught) => unsafe { fail(filters, &caught.message()) },
    }
}

unsafe extern "C" fn close(_filters: *mut ffi::vfp_ctx, entry: *mut ffi::vfp_entry) {
    // SAFETY: the entry that belongs to this filter.
    if let Some(pending) = unsafe { pending(entry) } {
        pending.release();
    }
}

/// # Safety
/// `filters` belong to the fetch that is running.
unsafe fn fail(filters: *mut ffi::vfp_ctx, reason: &str) -> ffi::vfp_status {
    let reason = crate::strings::c_text(reason);
    // SAFETY: the caller's filters, a format that takes one string, and that string.
    unsafe { ffi::VFP_Error(filters, c"tinykvm: %s".as_ptr(), reason.as_ptr()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones(usize);

    impl Source for Ones {
        fn read(&mut self, out: &mut [u8]) -> usize {
            let length = out.len().min(self.0);
            out[..length].fill(1);
            self.0 -= length;
            length
        }
    }

    #[test]
    fn a_body_ends_with_its_last_byte() {
        let mut pending = Pending::new(Box::new(Ones(5)), 5);
        let mut out = [0; 3];
        let pulled = pending.pull(&mut out).unwrap();
        assert_eq!((pulled.length, pulled.end), (3, false));
        let pulled = pending.pull(&mut out).unwrap();
        assert_eq!((pulled.length, pulled.end), (2, true));
    }

    #[test]
    fn a_body_never_exceeds_its_announced_length() {
        let mut pending = Pending::new(Box::new(Ones(9)), 2);
        let pulled = pending.pull(&mut [0; 8]).unwrap();
        assert_eq!((pulled.length, pulled.end), (2, true));
    }

    #[test]
    fn a_short_body_is_an_error() {
        let mut pending = Pending::new(Box::new(Ones(1)), 2);
        let mut out = [0; 8];
        assert_eq!(pending.pull(&mut out).unwrap().length, 1);
        assert!(pending.pull(&mut out).is_err());
    }

    #[test]
    fn a_released_body_is_gone() {
        let mut pending = Pending::new(Box::new(Ones(1)), 1);
        pending.release();
        assert!(pending.pull(&mut [0; 8]).is_err());
    }
}
