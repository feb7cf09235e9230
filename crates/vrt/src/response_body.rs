//! What is known of the body of a response before it is there.

use std::ptr::NonNull;

use crate::ctx::{Ctx, Place};
use crate::ffi;
use crate::http::Http;

impl Ctx<'_> {
    /// True if a backend's answer has a body: it is no answer to HEAD, has no status that excludes
    /// one, and no length of 0.
    #[must_use]
    pub fn has_fetch_body(&self) -> bool {
        let connection = self.busyobj().and_then(|fetch| {
            // SAFETY: the fetch of this call; NULL, or its connection.
            unsafe { fetch.as_ref().htc.as_ref() }
        });
        connection.is_some_and(|connection| {
            connection.body_status != (&raw const ffi::BS_NONE).cast()
                && connection.content_length != 0
        })
    }

    /// True if the backend said that the object in the cache is still good.
    #[must_use]
    pub fn was_304(&self) -> bool {
        // SAFETY: a checked context of a fetch that has an answer.
        self.place() == Place::BackendResponse
            && unsafe { ffi::VRT_r_beresp_was_304(self.raw()) } != 0
    }

    /// True if VCL wants the backend's body decompressed (`beresp.do_gunzip`).
    #[must_use]
    pub fn wants_plain(&self) -> bool {
        let fetch = self.busyobj();
        // SAFETY: the fetch of this call.
        fetch.is_some_and(|fetch| unsafe { fetch.as_ref() }.do_gunzip() != 0)
    }

    /// True if VCL wants the backend's body looked through for includes (`beresp.do_esi`).
    #[must_use]
    pub fn wants_esi(&self) -> bool {
        let fetch = self.busyobj();
        // SAFETY: the fetch of this call.
        fetch.is_some_and(|fetch| unsafe { fetch.as_ref() }.do_esi() != 0)
    }

    /// The client's request, where its response is being made.
    fn delivery(&self) -> Option<NonNull<ffi::req>> {
        if self.is_fetch() {
            return None;
        }
        self.client_request()
    }

    /// True if the object that is being delivered is stored compressed.
    #[must_use]
    pub fn is_stored_compressed(&self) -> bool {
        let Some(request) = self.delivery() else {
            return false;
        };
        // SAFETY: the request of this call, its worker, and the object that it holds.
        unsafe {
            let request = request.as_ref();
            !request.objcore.is_null()
                && ffi::ObjCheckFlag(request.wrk, request.objcore, ffi::OF_GZIPED) != 0
        }
    }

    /// How deep the response is in pages that include it; 0 for what a client asked for.
    #[must_use]
    pub fn esi_level(&self) -> u32 {
        let request = self.delivery();
        // SAFETY: the request of this call.
        request.map_or(0, |request| unsafe { request.as_ref() }.esi_level)
    }

    /// True if the client wants the header fields only.
    #[must_use]
    pub fn is_head(&self) -> bool {
        self.delivery().is_some_and(|request| {
            // SAFETY: the request of this call, and what it was before VCL saw it.
            let message = unsafe { Http::from_raw(request.as_ref().http0) };
            message.is_some_and(|message| message.method() == b"HEAD")
        })
    }

    /// True if the object is the backend's answer to this very request, with no more of a body than
    /// was asked for.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.delivery().is_some_and(|request| {
            // SAFETY: the request of this call; NULL, or the object that it holds.
            let object = unsafe { request.as_ref().objcore.as_ref() };
            object.is_some_and(|object| u32::from(object.flags) & ffi::OC_F_PRIVATE != 0)
        })
    }

    /// True if the fetch of the object that is being delivered failed on the way, so that not all of
    /// its body is there.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        self.delivery().is_some_and(|request| {
            // SAFETY: the request of this call, and the object that it holds.
            unsafe { is_cut_short(request.as_ref()) }
        })
    }

    /// Length of the body that is about to be delivered, if it is known.
    #[must_use]
    pub fn delivery_length(&self) -> Option<u64> {
        // SAFETY: the request of this call.
        let length = unsafe { self.delivery()?.as_ref() }.resp_len;
        u64::try_from(length).ok()
    }

    /// Says how long that body will be; `None`: nobody knows.
    pub fn set_delivery_length(&mut self, length: Option<u64>) {
        if let Some(mut request) = self.delivery() {
            let length = length.and_then(|length| i64::try_from(length).ok());
            // SAFETY: the request of this call, on its thread.
            unsafe { request.as_mut() }.resp_len = length.unwrap_or(-1);
        }
    }
}

/// True if the fetch of a request's object failed on the way. Varnish tells whoever delivers the
/// object while it is fetched; for who comes later, what there is of the body is all of it.
///
/// # Safety
/// The request of a delivery of this thread: its object is NULL, or held by it.
pub(crate) unsafe fn is_cut_short(request: &ffi::req) -> bool {
    // SAFETY: NULL, or an object that lives as long as the request holds it. Varnish sets the flag
    // before it says that the fetch is over, and never takes it back.
    let object = unsafe { request.objcore.as_ref() };
    object.is_some_and(|object| u32::from(object.flags) & ffi::OC_F_FAILED != 0)
}
