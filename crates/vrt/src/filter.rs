//! Filters of bodies: fetch processors (VFP) on the way into the cache, delivery processors (VDP)
//! on the way to a client.
//!
//! A [`Filter`] is known to one VCL by its name, and opened for each body whose list of filters
//! (`beresp.filters`, `resp.filters`) has that name.

mod delivery;
mod fetch;
pub mod list;
pub mod opening;
mod required;

use std::ffi::{CStr, CString};
use std::fmt;
use std::ptr;

use crate::ctx::Ctx;
use crate::strings::c_text;
use crate::{Tag, ffi};

pub use delivery::{Downstream, Push, Sent};
pub use fetch::{Pulled, Upstream};

/// What VCL knows by a name in its lists of filters.
pub trait Filter: Send + Sync + 'static {
    /// A body is about to be fetched. Its header fields can still be changed.
    fn open_fetch(
        &self,
        ctx: &mut Ctx<'_>,
        upstream: &mut Upstream,
    ) -> Opened<Box<dyn FetchProcessor>>;

    /// A body is about to be delivered. Its header fields can still be changed.
    fn open_delivery(&self, ctx: &mut Ctx<'_>) -> Opened<Box<dyn DeliveryProcessor>>;

    /// A body is about to be fetched for which this filter was [required](Registration::require),
    /// and it is not in the list.
    ///
    /// # Errors
    /// Why the fetch fails.
    fn missing(&self, ctx: &mut Ctx<'_>) -> Result<(), String>;

    /// A body was delivered for which this filter was [wanted](Registration::want), and it was not
    /// in the list.
    fn left_out(&self, log: &TaskLog);
}

/// What is to happen with a body.
pub enum Opened<P> {
    /// It goes through this.
    Use(P),
    /// It goes on as if the filter were not there.
    Bypass,
    /// It can't be fetched or delivered.
    Fail(String),
}

impl<P> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Use(_) => f.write_str("Use"),
            Self::Bypass => f.write_str("Bypass"),
            Self::Fail(reason) => f.debug_tuple("Fail").field(reason).finish(),
        }
    }
}

/// The filter of one body on its way into the cache.
pub trait FetchProcessor: Send {
    /// Fills the beginning of `out` from what it reads upstream. Only bytes that were written may be
    /// counted.
    ///
    /// # Errors
    /// Why the fetch fails.
    fn pull(&mut self, upstream: &mut Upstream, out: &mut [u8]) -> Result<Pulled, String>;

    /// Called once, when the fetch is over, however it ended.
    fn close(&mut self, log: &TaskLog);
}

/// The filter of one body on its way to a client.
pub trait DeliveryProcessor: Send {
    /// Takes a part of the body, and sends downstream what becomes of it. With [`Push::End`], what
    /// ends the body downstream is not its business.
    ///
    /// # Errors
    /// Why the delivery fails.
    fn push(
        &mut self,
        downstream: &mut Downstream<'_>,
        bytes: &[u8],
        action: Push,
    ) -> Result<(), String>;

    /// Called once, when the delivery is over, however it ended.
    fn close(&mut self, log: &TaskLog);
}

/// The log of a task, without a context.
#[derive(Debug, Clone, Copy)]
pub struct TaskLog(*mut ffi::vsl_log);

impl TaskLog {
    /// # Safety
    /// NULL, or the log of a task of this thread, for as long as the value is used.
    unsafe fn new(raw: *mut ffi::vsl_log) -> Self {
        Self(raw)
    }

    /// Writes to the log of the transaction.
    pub fn log(&self, tag: Tag, text: &str) {
        if self.0.is_null() {
            crate::log::log_global(tag, text);
        } else {
            // SAFETY: what the constructor was promised.
            unsafe { crate::log::log_to(self.0, tag, text) };
        }
    }
}

impl Ctx<'_> {
    /// The log of this call's task.
    #[must_use]
    pub fn task_log(&self) -> TaskLog {
        // SAFETY: the log of this call's task, or NULL.
        unsafe { TaskLog::new(self.log_pointer()) }
    }
}

/// What both descriptions lead back to.
struct Known {
    vfp: ffi::vfp,
    vdp: ffi::vdp,
    /// What looks whether the first is there; see [`required`].
    check: ffi::vfp,
    filter: Box<dyn Filter>,
    /// What the descriptions' names point to.
    names: [CString; 2],
}

impl Known {
    /// As lists name it.
    fn name(&self) -> &str {
        let [name, _] = &self.names;
        name.to_str().unwrap_or_default()
    }
}

/// A filter that a VCL knows. [Remove](Registration::remove) it before the VCL is discarded.
pub struct Registration(Box<Known>);

// SAFETY: Varnish only reads the descriptions, and the filter behind them is `Send` and `Sync`.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl Registration {
    /// Makes a filter known to the VCL that is being loaded, by a name without spaces.
    ///
    /// # Errors
    /// Why Varnish does not take it: another filter has the name.
    pub fn new(ctx: &mut Ctx<'_>, name: &str, filter: Box<dyn Filter>) -> Result<Self, String> {
        let check = c_text(&format!("{name}-required"));
        let name = c_text(name);
        let mut known = Box::new(Known {
            vfp: ffi::vfp {
                name: name.as_ptr(),
                init: Some(fetch::open),
                pull: Some(fetch::pull),
                fini: Some(fetch::close),
                priv1: ptr::null(),
            },
            vdp: ffi::vdp {
                name: name.as_ptr(),
                init: Some(delivery::open),
                bytes: Some(delivery::push),
                fini: Some(delivery::close),
            },
            check: ffi::vfp {
                name: check.as_ptr(),
                init: Some(required::open),
                pull: Some(required::pull),
                fini: None,
                priv1: ptr::null(),
            },
            filter,
            names: [name, check],
        });
        known.vfp.priv1 = (&raw const *known).cast();
        known.check.priv1 = known.vfp.priv1;
        // SAFETY: a checked context of a VCL that is being loaded, on the thread of the command
        // line; the descriptions stay where they are until they are removed.
        let error =
            unsafe { ffi::VRT_AddFilter(ctx.raw(), &raw const known.vfp, &raw const known.vdp) };
        if error.is_null() {
            return Ok(Self(known));
        }
        // SAFETY: a constant string.
        let error = unsafe { CStr::from_ptr(error) };
        Err(error.to_string_lossy().into_owned())
    }

    /// Makes the VCL forget it: in the event that says that the VCL is discarded.
    pub fn remove(self, ctx: &mut Ctx<'_>) {
        // SAFETY: a checked context of the VCL to which this was added, on the thread of the command
        // line. No body is left that could use it.
        unsafe { ffi::VRT_RemoveFilter(ctx.raw(), &raw const self.0.vfp, &raw const self.0.vdp) };
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}
