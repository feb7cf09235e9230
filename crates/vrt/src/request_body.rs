//! The body that a fetch has to send on.

use std::ffi::{c_int, c_uint, c_void};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::ffi;
use crate::guard::{self, Caught};

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError<E> {
    /// The client went away, or sent what is no body.
    Read,
    /// The reader refused it.
    Sink(E),
}

/// The request body of a fetch. One that Varnish has stored can be read again by a retry; any
/// other can be read once.
#[derive(Debug)]
pub struct RequestBody<'a> {
    fetch: NonNull<ffi::busyobj>,
    owner: PhantomData<&'a mut ()>,
}

impl RequestBody<'_> {
    /// # Safety
    /// `fetch` is valid and used by this thread alone during the lifetime.
    pub(crate) unsafe fn from_fetch(fetch: NonNull<ffi::busyobj>) -> Option<Self> {
        let body = Self {
            fetch,
            owner: PhantomData,
        };
        let stored = !body.busyobj().bereq_body.is_null();
        // A status of which nothing is available is "none" or "taken".
        let to_come = body.client().is_some_and(|client| available(client) != 0);
        (stored || to_come).then_some(body)
    }

    fn busyobj(&self) -> &ffi::busyobj {
        // SAFETY: checked, and valid during the lifetime.
        unsafe { self.fetch.as_ref() }
    }

    /// The client's request, as long as the fetch may still read from it.
    fn client(&self) -> Option<NonNull<ffi::req>> {
        let client = NonNull::new(self.busyobj().req)?;
        // SAFETY: the client waits while the fetch holds this pointer.
        (unsafe { client.as_ref() }.magic == ffi::REQ_MAGIC).then_some(client)
    }

    /// Its length, if that is known before it is read.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        let fetch = self.busyobj();
        if !fetch.bereq_body.is_null() {
            // SAFETY: a complete object that the fetch holds, and the fetch's worker.
            return Some(unsafe { ffi::ObjGetLen(fetch.wrk, fetch.bereq_body) });
        }
        let client = self.client()?;
        // SAFETY: the client's request and its message are valid as long as the fetch holds them.
        let length = unsafe {
            let client = client.as_ref();
            if (*client.req_body_status).length_known == 0 {
                return None;
            }
            ffi::http_GetContentLength(client.http)
        };
        u64::try_from(length).ok()
    }

    /// Gives the body to `sink`, part by part, until its end or the sink's first error.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn read<E>(self, mut sink: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), BodyError<E>> {
        let mut refused = None;
        let mut forward = |part: &[u8]| match sink(part) {
            Ok(()) => true,
            Err(error) => {
                refused = Some(error);
                false
            }
        };
        let complete = self.iterate(&mut forward);
        match refused {
            Some(error) => Err(BodyError::Sink(error)),
            None if complete => Ok(()),
            None => Err(BodyError::Read),
        }
    }

    fn iterate(mut self, sink: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let mut iteration = Iteration { sink, panic: None };
        let state = (&raw mut iteration).cast::<c_void>();
        let complete = match self.client() {
            _ if !self.busyobj().bereq_body.is_null() => {
                let fetch = self.busyobj();
                // SAFETY: a complete object that the fetch holds; the callback gets `state`,
                // which outlives the call, and the parts of the body.
                let stopped = unsafe {
                    ffi::ObjIterate(fetch.wrk, fetch.bereq_body, state, Some(take_part), 0)
                };
                stopped == 0
            }
            Some(client) => self.iterate_client(client, state),
            None => true,
        };
        if let Some(caught) = iteration.panic {
            caught.resume();
        }
        complete
    }

    /// Reads from the client's connection, and tells Varnish that this can't be done twice.
    fn iterate_client(&mut self, mut client: NonNull<ffi::req>, state: *mut c_void) -> bool {
        // SAFETY: the client waits while the fetch reads its body; the callback gets `state`,
        // which outlives the call. Afterwards the same is noted as Varnish's own backends do.
        unsafe {
            let fetch = self.fetch.as_mut();
            let length = ffi::VRB_Iterate(
                fetch.wrk,
                fetch.vsl.as_mut_ptr(),
                client.as_ptr(),
                Some(take_part),
                state,
            );
            let client = client.as_mut();
            if client.req_body_status != (&raw const ffi::BS_CACHED).cast() {
                fetch.no_retry = c"req.body not cached".as_ptr();
            }
            if client.req_body_status == (&raw const ffi::BS_ERROR).cast() {
                client.doclose = (&raw const ffi::SC_RX_BODY).cast();
                return false;
            }
            length >= 0
        }
    }
}

/// What is available of a client's body: 0 is nothing.
fn available(client: NonNull<ffi::req>) -> c_int {
    // SAFETY: the client's request is valid as long as the fetch holds it, and its status always
    // points to one of the constants.
    unsafe { (*client.as_ref().req_body_status).avail }
}

/// What the callback needs: where the parts go, and where a panic stays until C has returned.
struct Iteration<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> bool,
    panic: Option<Caught>,
}

unsafe extern "C" fn take_part(
    state: *mut c_void,
    _flush: c_uint,
    part: *const c_void,
    length: isize,
) -> c_int {
    // SAFETY: `iterate` gave this pointer to its own iteration, which waits for us.
    let iteration = unsafe { &mut *state.cast::<Iteration<'_>>() };
    let length = usize::try_from(length).unwrap_or(0);
    if length == 0 || part.is_null() {
        return 0;
    }
    // SAFETY: that many bytes of the body, unchanged during the callback.
    let bytes = unsafe { std::slice::from_raw_parts(part.cast::<u8>(), length) };
    match guard::catch(|| (iteration.sink)(bytes)) {
        Ok(true) => 0,
        Ok(false) => 1,
        Err(caught) => {
            iteration.panic = Some(caught);
            1
        }
    }
}
