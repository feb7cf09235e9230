//! The context of one call from Varnish.

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::http::{Http, HttpMut};
use crate::log::{Tag, log_global, log_to, split};
use crate::strings::c_text;
use crate::workspace::Workspace;
use crate::{BodyError, Lifetime, RequestBody, ffi};

/// From where a call comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `vcl_init`.
    Init,
    /// `vcl_recv` and the other client subroutines that have no response yet.
    Client,
    /// `vcl_deliver`.
    Deliver,
    /// `vcl_synth`.
    Synth,
    /// A response of which the filters are opened, behind `vcl_deliver` and `vcl_synth`.
    Delivery,
    /// `vcl_backend_fetch`.
    BackendFetch,
    /// `vcl_backend_response`.
    BackendResponse,
    /// `vcl_backend_error`.
    BackendError,
    /// A backend that is asked for its answer, or a fetch that begins to store it.
    Fetch,
    /// `vcl_fini`, events and the command line.
    Other,
}

/// A valid context. Varnish makes one for each call; it is used by one thread.
#[derive(Debug)]
pub struct Ctx<'c> {
    raw: NonNull<ffi::vrt_ctx>,
    call: PhantomData<&'c ffi::vrt_ctx>,
}

impl<'c> Ctx<'c> {
    /// Checks a context that Varnish handed over.
    ///
    /// # Safety
    /// `raw` is NULL or points to a context that is valid and used by this thread alone during
    /// `'c`, as are the structures it points to.
    #[must_use]
    pub unsafe fn from_raw(raw: *const ffi::vrt_ctx) -> Option<Self> {
        let raw = NonNull::new(raw.cast_mut())?;
        // SAFETY: not NULL, and points to a context.
        (unsafe { raw.as_ref() }.magic == ffi::VRT_CTX_MAGIC).then_some(Self {
            raw,
            call: PhantomData,
        })
    }

    /// For functions of Varnish that want it.
    pub(crate) fn raw(&self) -> *const ffi::vrt_ctx {
        self.raw.as_ptr()
    }

    fn context(&self) -> &ffi::vrt_ctx {
        // SAFETY: checked by the constructor, valid during `'c`. Varnish changes nothing in it
        // while a module has it.
        unsafe { self.raw.as_ref() }
    }

    /// The fetch, if this is one.
    pub(crate) fn busyobj(&self) -> Option<NonNull<ffi::busyobj>> {
        let fetch = NonNull::new(self.context().bo)?;
        // SAFETY: a fetch that is there is valid during the call.
        (unsafe { fetch.as_ref() }.magic == ffi::BUSYOBJ_MAGIC).then_some(fetch)
    }

    /// The client's request, if this is one.
    pub(crate) fn client_request(&self) -> Option<NonNull<ffi::req>> {
        let request = NonNull::new(self.context().req)?;
        // SAFETY: a request that is there is valid during the call.
        (unsafe { request.as_ref() }.magic == ffi::REQ_MAGIC).then_some(request)
    }

    /// True in a request or a fetch.
    pub(crate) fn has_task(&self) -> bool {
        !self.context().req.is_null() || self.busyobj().is_some()
    }

    /// From where this call comes.
    #[must_use]
    pub fn place(&self) -> Place {
        let context = self.context();
        match (context.method, self.has_task()) {
            (ffi::VCL_MET_INIT, false) => Place::Init,
            (_, false) => Place::Other,
            (ffi::VCL_MET_DELIVER, true) => Place::Deliver,
            (ffi::VCL_MET_SYNTH, true) => Place::Synth,
            (ffi::VCL_MET_BACKEND_FETCH, true) => Place::BackendFetch,
            (ffi::VCL_MET_BACKEND_RESPONSE, true) => Place::BackendResponse,
            (ffi::VCL_MET_BACKEND_ERROR, true) => Place::BackendError,
            (0, true) if !context.req.is_null() => Place::Delivery,
            // A pipe has both; what counts there is the client's request.
            _ if context.req.is_null() => Place::Fetch,
            _ => Place::Client,
        }
    }

    /// True in a fetch, whatever part of it.
    #[must_use]
    pub fn is_fetch(&self) -> bool {
        matches!(
            self.place(),
            Place::Fetch | Place::BackendFetch | Place::BackendResponse | Place::BackendError
        )
    }

    fn request_pointer(&self) -> *mut ffi::http {
        let context = self.context();
        if self.is_fetch() {
            context.http_bereq
        } else {
            context.http_req
        }
    }

    /// What was asked: `bereq` in a fetch, else `req`.
    #[must_use]
    pub fn request(&self) -> Option<Http<'_>> {
        // SAFETY: NULL or the message of this task, which only this thread uses.
        unsafe { Http::from_raw(self.request_pointer()) }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn request_mut(&mut self) -> Option<HttpMut<'_>> {
        // SAFETY: as above, and the context is borrowed as long.
        unsafe { HttpMut::from_raw(self.request_pointer()) }
    }

    fn response_pointer(&self) -> *mut ffi::http {
        let context = self.context();
        match self.place() {
            Place::BackendResponse if !self.has_backend_answer() => ptr::null_mut(),
            Place::Fetch | Place::BackendResponse => context.http_beresp,
            Place::BackendError if self.is_rolled_back(context.http_beresp) => ptr::null_mut(),
            Place::BackendError => context.http_beresp,
            Place::Deliver | Place::Synth | Place::Delivery => context.http_resp,
            Place::Init | Place::Client | Place::BackendFetch | Place::Other => ptr::null_mut(),
        }
    }

    /// What will be answered: `beresp` in a fetch, else `resp`; `None` where there is none yet, or
    /// none any more.
    #[must_use]
    pub fn response(&self) -> Option<Http<'_>> {
        // SAFETY: NULL or the message of this task, which only this thread uses.
        unsafe { Http::from_raw(self.response_pointer()) }
    }

    /// The same, to be changed.
    #[must_use]
    pub fn response_mut(&mut self) -> Option<HttpMut<'_>> {
        // SAFETY: as above, and the context is borrowed as long.
        unsafe { HttpMut::from_raw(self.response_pointer()) }
    }

    /// False in `vcl_backend_response` when `std.rollback(bereq)` has taken the backend's answer
    /// away: connection, header fields, filters.
    #[must_use]
    pub fn has_backend_answer(&self) -> bool {
        // SAFETY: the fetch of this call.
        self.busyobj()
            .is_some_and(|fetch| !unsafe { fetch.as_ref() }.htc.is_null())
    }

    /// True if text of the message is where the workspace is free again.
    fn is_rolled_back(&self, raw: *mut ffi::http) -> bool {
        // SAFETY: NULL or the message of this task, and its workspace.
        let (message, workspace) = unsafe { (Http::from_raw(raw), self.context().ws.as_ref()) };
        let (Some(message), Some(workspace)) = (message, workspace) else {
            return false;
        };
        let free = workspace.f as usize..workspace.e as usize;
        message
            .fields()
            .any(|field| free.contains(&(field.as_ptr() as usize)))
    }

    /// True if something that VCL, Varnish or a module wanted to store in this task's workspace
    /// found no room there. A string that is not set may then be one that was lost.
    #[must_use]
    pub fn has_overflowed(&self) -> bool {
        let workspace = self.context().ws;
        // SAFETY: not NULL, and the workspace of this task.
        !workspace.is_null() && unsafe { ffi::WS_Overflowed(workspace) != 0 }
    }

    /// Memory for as long as the task.
    #[must_use]
    pub fn workspace(&mut self) -> Option<Workspace<'_>> {
        // SAFETY: NULL or the workspace of this task, which only this thread uses.
        unsafe { Workspace::from_raw(self.context().ws) }
    }

    /// The body that a fetch has to send on, if there is one.
    #[must_use]
    pub fn request_body(&self) -> Option<RequestBody<'_>> {
        let fetch = self.busyobj().filter(|_| self.is_fetch())?;
        // SAFETY: the fetch of this call.
        unsafe { RequestBody::from_fetch(fetch) }
    }

    /// True if the fetch has a body to send on.
    #[must_use]
    pub fn has_request_body(&self) -> bool {
        self.request_body().is_some()
    }

    /// Gives the request body to `sink`, part by part. No body is an empty one.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn read_request_body<E>(
        &mut self,
        sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), BodyError<E>> {
        match self.request_body() {
            Some(body) => body.read(sink),
            None => Ok(()),
        }
    }

    /// How long the object that is being fetched will live; `None` where there is none.
    #[must_use]
    pub fn lifetime(&mut self) -> Option<Lifetime<'_>> {
        match self.place() {
            Place::Fetch | Place::BackendResponse | Place::BackendError => {
                Lifetime::new(self.raw(), self.busyobj()?)
            }
            _ => None,
        }
    }

    /// The log of the transaction; NULL if there is none.
    pub(crate) fn log_pointer(&self) -> *mut ffi::vsl_log {
        self.context().vsl
    }

    /// Writes to the log of the transaction, or to the raw log if there is none.
    pub fn log(&self, tag: Tag, text: &str) {
        let vsl = self.context().vsl;
        if vsl.is_null() {
            log_global(tag, text);
        } else {
            // SAFETY: the log of the transaction that this call belongs to.
            unsafe { log_to(vsl, tag, text) };
        }
    }

    /// Makes the VCL fail: while it is loaded, the load, with this text shown to the operator;
    /// else the request, with this text in its log, in several records if it is too long for one.
    pub fn fail(&self, text: &str) {
        let (first, rest) = match self.context().vsl.is_null() {
            true => (text.to_owned(), Vec::new()),
            false => split(text),
        };
        let first = c_text(&first);
        // SAFETY: a checked context, a format that takes one string, and that string.
        unsafe { ffi::VRT_fail(self.raw(), c"%s".as_ptr(), first.as_ptr()) };
        for record in rest {
            self.log(Tag::VclError, &record);
        }
    }
}
