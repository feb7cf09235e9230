//! Filtering bodies: a backend's on its way into the cache, or a cached one on its way to a client.
//!
//! ```no_run
//! use tinykvm_guest::filter::{self, Action, Error, Filter, Output};
//!
//! /// Puts everything in capitals, and says how much it was.
//! #[derive(Default)]
//! struct Shout(usize);
//!
//! impl Filter for Shout {
//!     fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
//!         self.0 += data.len();
//!         out.write(&data.to_ascii_uppercase());
//!         Ok(())
//!     }
//!
//!     fn end(&mut self, out: &mut Output) -> Result<(), Error> {
//!         out.write(format!("\n{} bytes\n", self.0).as_bytes());
//!         Ok(())
//!     }
//! }
//!
//! filter::serve(|start| match start.response_header("Content-Type") {
//!     Some(kind) if kind.starts_with("text/") => Action::transform(Shout::default()),
//!     _ => Action::Pass,
//! })
//! ```
//!
//! Parts of a body have any size, and end anywhere, also within a character. A filter writes any
//! amount of output at any time; it is buffered, and goes on its way while the filter runs.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::c_int;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;

use tinykvm_abi::structs::FilterStart;
use tinykvm_abi::{calls, filters};

use crate::request::Header;
use crate::run::check_sandboxed;
use crate::sys::{self, FilterCallbacks};

/// What a filter fails with: any error, or text.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The filter of one body.
pub trait Filter {
    /// Takes a part of the body, or all of it ([`Action::whole_body`]).
    ///
    /// # Errors
    /// The filter can't go on. What the client gets then is the operator's choice: an error, or
    /// the original body if there was no output yet.
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error>;

    /// The body has ended.
    ///
    /// # Errors
    /// As for [`chunk`](Filter::chunk).
    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        let _ = out;
        Ok(())
    }
}

/// What is to happen with a body.
pub enum Action {
    /// It goes on unchanged.
    Pass,
    /// It is given to this filter part by part, as it comes.
    Transform(Box<dyn Filter>),
    /// It is given to this filter in one piece. The operator limits how large it may be.
    WholeBody(Box<dyn Filter>),
    /// It can't be filtered, for this reason. Unlike a filter that fails later, this leaves every
    /// choice: a client can still get a status that says so.
    Fail(Error),
}

impl Action {
    /// [`Transform`](Action::Transform) with this filter.
    #[must_use]
    pub fn transform(filter: impl Filter + 'static) -> Self {
        Self::Transform(Box::new(filter))
    }

    /// [`WholeBody`](Action::WholeBody) with this filter.
    #[must_use]
    pub fn whole_body(filter: impl Filter + 'static) -> Self {
        Self::WholeBody(Box::new(filter))
    }

    /// [`Fail`](Action::Fail) for this reason: an error, or text.
    #[must_use]
    pub fn fail(reason: impl Into<Error>) -> Self {
        Self::Fail(reason.into())
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "Pass",
            Self::Transform(_) => "Transform",
            Self::WholeBody(_) => "WholeBody",
            Self::Fail(_) => "Fail",
        })
    }
}

/// Where a filter writes what becomes of the body.
pub struct Output(PhantomData<*mut ()>);

impl Output {
    /// Writes bytes. They are buffered; more than fits goes on its way at once.
    pub fn write(&mut self, data: &[u8]) {
        if sys::filter_room().1 >= data.len() {
            sys::filter_copy(data);
        } else {
            sys::filter_write(data);
        }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

impl io::Write for Output {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Self::write(self, data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A body that is about to be filtered: what is known of its request and its response.
///
/// Headers are those before the filter; change the response's with
/// [`headers`](crate::headers) until the begin function returns.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    raw: &'a FilterStart,
}

impl<'a> Start<'a> {
    fn text(&self, address: u64, length: u32) -> Cow<'a, str> {
        // SAFETY: the host has filled the struct for the call that runs during `'a`.
        String::from_utf8_lossy(unsafe { sys::bytes(address, u64::from(length)) })
    }

    /// The request method.
    #[must_use]
    pub fn method(&self) -> Cow<'a, str> {
        self.text(self.raw.method, self.raw.method_len)
    }

    /// The URL of the request.
    #[must_use]
    pub fn url(&self) -> Cow<'a, str> {
        self.text(self.raw.url, self.raw.url_len)
    }

    /// The argument given in VCL.
    #[must_use]
    pub fn argument(&self) -> Cow<'a, str> {
        self.text(self.raw.arg, self.raw.arg_len)
    }

    /// The configuration given in VCL.
    #[must_use]
    pub fn config(&self) -> Cow<'a, str> {
        self.text(self.raw.config, self.raw.config_len)
    }

    /// Status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.raw.status
    }

    /// Length of the body, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        Some(self.raw.length).filter(|&length| length != filters::UNKNOWN_LENGTH)
    }

    /// True if the body is on its way to a client, false if it is on its way into the cache.
    #[must_use]
    pub fn is_delivery(&self) -> bool {
        self.raw.flags & filters::DELIVERY != 0
    }

    /// Two random numbers that are new for each body.
    #[must_use]
    pub fn random(&self) -> [u64; 2] {
        self.raw.prng
    }

    /// All headers of the request, in order.
    pub fn request_headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        let count = usize::try_from(self.raw.num_request_headers).unwrap_or(0);
        // SAFETY: as in `text`.
        unsafe { Header::all(self.raw.request_headers, count) }
    }

    /// All headers of the response, in order.
    pub fn response_headers(&self) -> impl ExactSizeIterator<Item = Header<'a>> + use<'a> {
        let count = usize::try_from(self.raw.num_response_headers).unwrap_or(0);
        // SAFETY: as in `text`.
        unsafe { Header::all(self.raw.response_headers, count) }
    }

    /// The value of the request's first header of this name, in any case.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<Cow<'a, str>> {
        first(self.request_headers(), name)
    }

    /// The value of the response's first header of this name, in any case.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<Cow<'a, str>> {
        first(self.response_headers(), name)
    }
}

fn first<'a>(mut all: impl Iterator<Item = Header<'a>>, name: &str) -> Option<Cow<'a, str>> {
    let found = all.find(|it| it.name_bytes().eq_ignore_ascii_case(name.as_bytes()));
    found.map(|header| header.value())
}

impl fmt::Debug for Start<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("method", &self.method())
            .field("url", &self.url())
            .field("argument", &self.argument())
            .field("status", &self.status())
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

type Begin = Box<dyn Fn(&Start<'_>) -> Action + Send + Sync>;

static BEGIN: OnceLock<Begin> = OnceLock::new();

thread_local! {
    /// The filter of the body at hand. The host calls all functions on the same thread.
    static FILTER: RefCell<Option<Box<dyn Filter>>> = const { RefCell::new(None) };
}

/// Has the host ask this function what is to happen with each body, decoded if it was compressed.
/// Call it once, before serving; [`serve`] does both.
pub fn register(begin: impl Fn(&Start<'_>) -> Action + Send + Sync + 'static) {
    register_with(begin, 0);
}

/// As [`register`], for bodies as they are sent or stored, with their content encoding.
pub fn register_encoded(begin: impl Fn(&Start<'_>) -> Action + Send + Sync + 'static) {
    register_with(begin, filters::ENCODED);
}

fn register_with(function: impl Fn(&Start<'_>) -> Action + Send + Sync + 'static, flags: u32) {
    check_sandboxed();
    let _ = BEGIN.set(Box::new(function));
    sys::set_filter(FilterCallbacks { begin, chunk, end }, flags);
}

/// Says that the program is ready, and asks this function what is to happen with each body.
pub fn serve(begin: impl Fn(&Start<'_>) -> Action + Send + Sync + 'static) -> ! {
    register(begin);
    sys::call_plain(calls::WAIT_FOR_REQUESTS, [0; 3]);
    unreachable!("the host went on after the wait call")
}

const FAILED: c_int = -1;

extern "C" fn begin(start: *const FilterStart) -> c_int {
    // SAFETY: the host calls this function with its struct.
    let raw = unsafe { sys::filter_start(start) };
    let Some(begin) = BEGIN.get() else {
        return FAILED;
    };
    let (answer, filter) = match begin(&Start { raw }) {
        Action::Pass => (filters::PASS, None),
        Action::Transform(filter) => (filters::TRANSFORM, Some(filter)),
        Action::WholeBody(filter) => (filters::WHOLE_BODY, Some(filter)),
        Action::Fail(error) => return failed(&error),
    };
    FILTER.set(filter);
    c_int::try_from(answer).unwrap_or(FAILED)
}

extern "C" fn chunk(data: *const u8, length: usize) -> c_int {
    // SAFETY: the host calls this function with a part of the body.
    let data = unsafe { sys::chunk(data, length) };
    with_filter(|filter, out| filter.chunk(data, out))
}

extern "C" fn end() -> c_int {
    with_filter(|filter, out| filter.end(out))
}

fn with_filter(work: impl FnOnce(&mut dyn Filter, &mut Output) -> Result<(), Error>) -> c_int {
    FILTER.with_borrow_mut(|filter| {
        let Some(filter) = filter else {
            return FAILED;
        };
        match work(&mut **filter, &mut Output(PhantomData)) {
            Ok(()) => 0,
            Err(error) => failed(&error),
        }
    })
}

fn failed(error: &Error) -> c_int {
    crate::log(&format!("filter: {error}"));
    FAILED
}
