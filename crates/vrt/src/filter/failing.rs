//! How a fetch, or a delivery, ends when its filters can't go on.

use std::ffi::c_int;

use crate::ffi;

/// # Safety
/// `filters` belong to the fetch that is running.
pub(super) unsafe fn fail_fetch(filters: *mut ffi::vfp_ctx, reason: &str) -> ffi::vfp_status {
    let reason = crate::strings::c_text(reason);
    // SAFETY: the caller's filters, a format that takes one string, and that string.
    unsafe { ffi::VFP_Error(filters, c"%s".as_ptr(), reason.as_ptr()) }
}

/// The body of this delivery is not what it should be. Of an included part Varnish would not tell
/// anybody: the page that it belongs to would go on without it.
///
/// # Safety
/// NULL, or the request of a delivery of this thread.
pub(super) unsafe fn fail_delivery(request: *const ffi::req) -> c_int {
    // SAFETY: NULL, or the request of the delivery and the one at the top, which live longer, and
    // are of the same thread.
    unsafe {
        let top = request.as_ref().filter(|request| request.esi_level > 0);
        let top = top.and_then(|request| request.top.as_ref());
        if let Some(top) = top.and_then(|top| top.topreq.as_ref())
            && let Some(page) = top.vdc.as_mut()
        {
            page.retval = -1;
        }
    }
    -1
}
