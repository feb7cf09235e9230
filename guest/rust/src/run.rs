//! Serving requests.

use std::borrow::Cow;
use std::ffi::c_char;
use std::fmt;
use std::sync::OnceLock;

use tinykvm_abi::calls;
use tinykvm_abi::structs::KvmRequest;

use crate::host::is_sandboxed;
use crate::sys::{self, Callback};
use crate::{Request, Response};

type Handler = Box<dyn Fn(&Request<'_>) -> Response + Send + Sync>;
type ErrorHandler = Box<dyn Fn(&Failure<'_>) -> Response + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();
static ERROR_HANDLER: OnceLock<ErrorHandler> = OnceLock::new();

/// Says that the program is ready, and answers every request with this function.
///
/// Each request finds the program as it was when `serve` was called.
pub fn serve(handler: impl Fn(&Request<'_>) -> Response + Send + Sync + 'static) -> ! {
    check_sandboxed();
    let _ = HANDLER.set(Box::new(handler));
    sys::register(Callback::Request(request));
    sys::call_plain(calls::WAIT_FOR_REQUESTS, [0; 3]);
    unreachable!("the host went on after the wait call")
}

/// Says that the program is ready, and answers every request in a loop.
///
/// Every request goes on where the program waits, so that what the function has on its stack and
/// in its variables stays as warm as it is. In a program that is not reset after each request
/// (see [`make_ephemeral`](crate::make_ephemeral)) the function can keep state from one to the
/// next:
///
/// ```no_run
/// let mut count = 0;
/// tinykvm_guest::serve_loop(move |_| {
///     count += 1;
///     tinykvm_guest::Response::text(format!("{count} requests"))
/// })
/// ```
pub fn serve_loop(mut handler: impl FnMut(&Request<'_>) -> Response) -> ! {
    check_sandboxed();
    let mut raw = KvmRequest::default();
    loop {
        sys::wait_paused(&mut raw);
        // SAFETY: the host has filled the struct, and what it refers to is valid until the next
        // wait; the request is gone by then.
        let request = unsafe { Request::new(&raw) };
        handler(&request).send();
    }
}

/// Has failed requests answered by this function: those that panicked, crashed, ran out of time
/// or memory. It runs in the state that the failure left behind and has one second.
///
/// Call it once, before serving.
pub fn on_error(handler: impl Fn(&Failure<'_>) -> Response + Send + Sync + 'static) {
    check_sandboxed();
    let _ = ERROR_HANDLER.set(Box::new(handler));
    sys::register(Callback::OnError(error));
}

/// A request that failed.
#[derive(Clone, Copy)]
pub struct Failure<'a> {
    url: &'a [u8],
    argument: &'a [u8],
    reason: &'a [u8],
}

impl<'a> Failure<'a> {
    /// The URL that VCL passed.
    #[must_use]
    pub fn url(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.url)
    }

    /// The argument that VCL passed.
    #[must_use]
    pub fn argument(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.argument)
    }

    /// What happened, for humans.
    #[must_use]
    pub fn reason(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.reason)
    }
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("url", &self.url())
            .field("argument", &self.argument())
            .field("reason", &self.reason())
            .finish()
    }
}

// A panic in these ends the process, as in any function that C calls; the host sees that as a
// failed request.

extern "C" fn request(raw: *const KvmRequest) {
    // SAFETY: the host calls this function with its request.
    let request = unsafe { Request::new(sys::request(raw)) };
    if let Some(handler) = HANDLER.get() {
        handler(&request).send();
    }
}

extern "C" fn error(url: *const c_char, argument: *const c_char, reason: *const c_char) {
    // SAFETY: the host calls this function with three strings.
    let (url, argument, reason) =
        unsafe { (sys::text(url), sys::text(argument), sys::text(reason)) };
    if let Some(handler) = ERROR_HANDLER.get() {
        handler(&Failure {
            url,
            argument,
            reason,
        })
        .send();
    }
}

/// Hypercalls outside a VM end in a segmentation fault; a message is more help.
pub(crate) fn check_sandboxed() {
    if !is_sandboxed() {
        eprintln!("This is a TinyKVM guest program; it runs inside Varnish, not by itself.");
        std::process::exit(1);
    }
}
