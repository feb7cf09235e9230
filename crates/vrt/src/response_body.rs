//! What is known of the body of a response before it is there.

use std::ptr::NonNull;

use crate::ctx::{Ctx, Place};
use crate::ffi;

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
