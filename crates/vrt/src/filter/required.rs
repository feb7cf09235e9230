//! Filters that a fetch must not go without.
//!
//! VCL's list of filters is text, and can get lost: VCL replaces it, or Varnish has no room for it.
//! So for each filter that was asked for, an entry goes among those of the fetch at once, below
//! all of the list. When the fetch opens its filters it is asked first, looks whether there are as
//! many entries of the filter as were asked for, and steps aside.

use std::ffi::c_void;

use super::failing::fail_fetch;
use super::known::{Known, Registration};
use crate::ctx::{Ctx, Place};
use crate::{NotTaken, ffi, guard};

impl Registration {
    /// Makes the fetch of this call fail, or whatever [`Filter::missing`](super::Filter::missing)
    /// makes of it, unless its body goes through this filter; called twice: through two of them.
    /// Only in `vcl_backend_response`.
    ///
    /// # Errors
    /// There is no workspace for that.
    pub fn require(&self, ctx: &mut Ctx<'_>) -> Result<(), NotTaken> {
        let what = "a check of the fetch's filters";
        let fetch = ctx
            .busyobj()
            .filter(|_| ctx.place() == Place::BackendResponse && ctx.has_backend_answer());
        let fetch = fetch.ok_or(NotTaken { what })?;
        // SAFETY: the filters of the fetch, which has its answer; the description lives as long as
        // the VCL, which is longer.
        let entry = unsafe { ffi::VFP_Push(fetch.as_ref().vfc, &raw const self.0.check) };
        NotTaken::unless(!entry.is_null(), what)
    }
}

/// How many entries of the fetch have a description.
///
/// # Safety
/// `filters` are those of a fetch of this thread.
unsafe fn count(filters: *const ffi::vfp_ctx, description: *const ffi::vfp) -> usize {
    // SAFETY: the list of the fetch: each entry leads to the next, the last to none.
    unsafe {
        let first = (*filters).vfp.vtqh_first;
        let all = std::iter::successors(first.as_ref(), |entry| entry.list.vtqe_next.as_ref());
        all.filter(|entry| std::ptr::eq(entry.vfp, description))
            .count()
    }
}

pub(super) unsafe extern "C" fn open(
    ctx: *const ffi::vrt_ctx,
    filters: *mut ffi::vfp_ctx,
    entry: *mut ffi::vfp_entry,
) -> ffi::vfp_status {
    // SAFETY: Varnish gives its context, its filters, and the entry that `require` made.
    let (ctx, known, missing) = unsafe {
        let known = &*(*(*entry).vfp).priv1.cast::<Known>();
        let missing = count(filters, &raw const known.vfp) < count(filters, &raw const known.check);
        (Ctx::from_raw(ctx), known, missing)
    };
    if !missing {
        return ffi::VFP_NULL;
    }
    let Some(mut ctx) = ctx else {
        // SAFETY: the filters of this fetch.
        return unsafe { fail_fetch(filters, "tinykvm: no context") };
    };
    let reason = match guard::catch(|| known.filter.missing(&mut ctx)) {
        Ok(Ok(())) => return ffi::VFP_NULL,
        Ok(Err(reason)) => reason,
        Err(caught) => format!("tinykvm: {}", caught.message()),
    };
    // SAFETY: the filters of this fetch.
    unsafe { fail_fetch(filters, &reason) }
}

/// Never called: the entry steps aside, or the fetch fails.
pub(super) unsafe extern "C" fn pull(
    filters: *mut ffi::vfp_ctx,
    _entry: *mut ffi::vfp_entry,
    _buffer: *mut c_void,
    length: *mut isize,
) -> ffi::vfp_status {
    // SAFETY: the caller's length, and the filters of this fetch.
    unsafe {
        length.write(0);
        fail_fetch(filters, "tinykvm: a check has no body")
    }
}
