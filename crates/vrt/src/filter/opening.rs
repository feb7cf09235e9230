//! What comes first when the filters of a delivery are opened.
//!
//! Varnish reads its list of filters only when the delivery begins, which may be of another response
//! than the one for which VCL put the list together: after a restart, or of a synthetic one. And
//! where a page is included in a compressed one, Varnish's `esi` leaves the frame of the gzip format
//! away, which `gunzip` before a filter then misses. So a list with one of our filters begins with an
//! entry that sets both right, and is never among the filters.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr::{self, NonNull};

use super::failing::fail_delivery;
use super::known::{Known, Registration};
use super::task_log::TaskLog;
use crate::ctx::{Ctx, Place};
use crate::private::{Private, TaskPrivate};
use crate::strings::c_text;
use crate::{Tag, ffi, guard};

/// The entry's name.
const NAME: &str = "tinykvm";
/// What the names of our filters begin with.
const OURS: &str = "tinykvm_";
/// The longest list that Varnish makes by itself: it replaces one that is not for this response.
const LONGEST: usize = " esi gunzip range".len();

/// Puts the entry at the beginning of a list, with room behind it for Varnish's own list.
#[must_use]
pub fn with_opening(list: &str) -> String {
    let rest = without_opening(list);
    let room = LONGEST.saturating_sub(rest.len());
    format!("{NAME}{:room$} {rest}", "")
}

/// The list without the entry.
#[must_use]
pub fn without_opening(list: &str) -> String {
    let words: Vec<_> = list.split_whitespace().filter(|&it| it != NAME).collect();
    words.join(" ")
}

/// For which response of the request the list was put together, and how deep the request is.
struct Listed {
    request: NonNull<ffi::req>,
    restarts: Cell<u32>,
    level: Cell<u32>,
    /// The filters that VCL asked for, and that were not found in the list that Varnish opens.
    wanted: RefCell<Vec<NonNull<Known>>>,
    /// The whole list was looked at: the entry was opened.
    looked: Cell<bool>,
}

impl Listed {
    /// True if the list is of another response of the request. A synthetic one has an error code.
    fn is_stale(&self) -> bool {
        // SAFETY: a request outlives its task, and is of this thread.
        let request = unsafe { self.request.as_ref() };
        self.restarts.get() != request.restarts || request.err_code != 0
    }

    /// One of our filters is in the list that Varnish opens.
    fn found(&self, name: &str) {
        let mut wanted = self.wanted.borrow_mut();
        // SAFETY: the descriptions live as long as the VCL, which is longer.
        let at = |known: &NonNull<Known>| unsafe { known.as_ref() }.name() == name;
        if let Some(at) = wanted.iter().position(at) {
            wanted.swap_remove(at);
        }
    }

    /// Tells of each filter that VCL asked for, and that the response did not go through: VCL took
    /// it out of the list, or rolls the list back in `vcl_deliver`, where `ctx` is then.
    fn tell_lost(&self, ctx: Option<&Ctx<'_>>) {
        // SAFETY: as above; the log is that of the task.
        let (delivered, log) = unsafe {
            let request = self.request.as_ref();
            let log = TaskLog::new(request.vsl.as_ptr().cast_mut());
            // Varnish forgets its list when the response was delivered, and otherwise not.
            (request.filter_list.is_null(), log)
        };
        if self.is_stale() {
            return;
        }
        let deciding = ctx.filter(|ctx| ctx.place() == Place::Deliver);
        for known in self.wanted.take() {
            // SAFETY: the description lives as long as the VCL, which is longer.
            let filter = &unsafe { known.as_ref() }.filter;
            if let Some(ctx) = deciding {
                if let Err(reason) = filter.rolled_back(&log) {
                    ctx.fail(&reason);
                }
            } else if delivered {
                filter.left_out(&log);
            }
        }
    }
}

// SAFETY: one thread at a time has the task, and its request.
unsafe impl Send for Listed {}

impl Private for Listed {
    const NAME: &'static CStr = c"tinykvm list";

    /// The task is over, or `std.rollback(req)` takes its workspace away, and the list in it.
    fn over(mut self, ctx: Option<&Ctx<'_>>) {
        self.tell_lost(ctx);
        // SAFETY: a request outlives its task, and is of this thread.
        let request = unsafe { self.request.as_mut() };
        request.filter_list = ptr::null();
        // Varnish had no room to open the filters, and tells that to no page that includes this part.
        if request.esi_level > 0 && ptr::eq(request.doclose, (&raw const ffi::SC_OVERLOAD).cast()) {
            // SAFETY: as above.
            unsafe { fail_delivery(request) };
        }
    }
}

impl TaskPrivate for Listed {
    fn key() -> *const c_void {
        static KEY: u8 = 0;
        (&raw const KEY).cast()
    }
}

impl Ctx<'_> {
    /// Notes that the list of filters is for the response that there is now. Without room for the
    /// note: false.
    pub fn note_filters(&mut self) -> bool {
        let Some(request) = self.client_request() else {
            return false;
        };
        let Some(mut listed) = self.task::<Listed>() else {
            return false;
        };
        // SAFETY: the request of this call.
        let restarts = unsafe { request.as_ref() }.restarts;
        let new = || Listed {
            request,
            restarts: Cell::new(0),
            level: Cell::new(0),
            wanted: RefCell::default(),
            looked: Cell::new(false),
        };
        let listed = listed.get_or_insert(new);
        if listed.restarts.replace(restarts) != restarts {
            listed.wanted.borrow_mut().clear();
        }
        true
    }

    /// True if the list of filters was put together for another response of this request.
    fn has_stale_filters(&self) -> bool {
        self.existing_task::<Listed>().is_some_and(Listed::is_stale)
    }

    /// Forgets a list of filters that was put together for another response of this request.
    pub fn forget_stale_filters(&mut self) {
        if self.has_stale_filters()
            && let Some(mut request) = self.client_request()
        {
            // SAFETY: the request of this call, on its thread; without a list there is the default.
            unsafe { request.as_mut() }.filter_list = ptr::null();
        }
    }
}

impl Registration {
    /// Makes [`Filter::left_out`](super::Filter::left_out) be called unless the delivery of this call
    /// goes through this filter; called twice: through two of them. Only after
    /// [`Ctx::note_filters`].
    pub fn want(&self, ctx: &Ctx<'_>) {
        if let Some(listed) = ctx.existing_task::<Listed>() {
            listed.wanted.borrow_mut().push(NonNull::from(&*self.0));
        }
    }
}

/// Opens the entry.
fn prepare(ctx: &mut Ctx<'_>) -> Result<(), &'static str> {
    let mut request = ctx.client_request().ok_or("no request")?;
    // SAFETY: the request of this call, on its thread.
    let request = unsafe { request.as_mut() };
    let list = NonNull::new(request.filter_list.cast_mut()).ok_or("no list of filters")?;
    if ctx.has_stale_filters() {
        // SAFETY: the list that Varnish goes through right now.
        return unsafe { renew(ctx, request, list) };
    }
    // SAFETY: a string, and nobody changes it.
    let text = unsafe { CStr::from_ptr(list.as_ptr()) }.to_string_lossy();
    if let Some(listed) = ctx.existing_task::<Listed>() {
        text.split_whitespace().for_each(|word| listed.found(word));
        listed.looked.set(true);
    }
    let place = |wanted: &dyn Fn(&str) -> bool| text.split_whitespace().position(wanted);
    let filtered = place(&|word| word == "esi")
        .zip(place(&|word| word.starts_with(OURS)))
        .is_some_and(|(esi, ours)| esi < ours);
    if filtered
        && request.esi_level > 0
        && let Some(listed) = ctx.existing_task::<Listed>()
    {
        // Varnish's `esi` looks at the level when it is opened: at the top it is complete. The first
        // of our filters, which comes behind it, puts the level back.
        listed.level.set(request.esi_level);
        request.esi_level = 0;
    }
    Ok(())
}

/// Replaces what is behind the entry by the list that Varnish makes for the response that there is.
///
/// # Safety
/// `list` is the request's, and Varnish reads on behind the entry's name.
unsafe fn renew(
    ctx: &mut Ctx<'_>,
    request: &mut ffi::req,
    list: NonNull<c_char>,
) -> Result<(), &'static str> {
    // SAFETY: the list is a string, and the workspace that of the request. The list that Varnish
    // makes is a string, too.
    let (length, ours, new) = unsafe {
        let length = CStr::from_ptr(list.as_ptr()).count_bytes();
        let size = isize::try_from(length + 1).unwrap_or(-1);
        let ours = ffi::WS_Allocated(request.ws.as_ptr(), list.as_ptr().cast(), size) != 0;
        request.filter_list = ptr::null();
        let new = ffi::VRT_r_resp_filters(ctx.raw());
        let new = match new.is_null() {
            true => Vec::new(),
            false => CStr::from_ptr(new).to_bytes().to_vec(),
        };
        request.filter_list = list.as_ptr();
        (length, ours, new)
    };
    // SAFETY: so many bytes of the request's workspace, which only this thread uses.
    let text = unsafe { std::slice::from_raw_parts_mut(list.as_ptr().cast::<u8>(), length) };
    let skipped = text.iter().take_while(|byte| **byte == b' ').count();
    let rest = text.get_mut(skipped + NAME.len()..).unwrap_or_default();
    if !ours || rest.len() < new.len() {
        return Err("the list of filters is of an earlier response");
    }
    let (to, behind) = rest.split_at_mut(new.len());
    to.copy_from_slice(&new);
    behind.fill(b' ');
    Ok(())
}

/// A filter of ours is opened. Puts back what [`prepare`] changed for Varnish's own filters.
pub(super) fn restore(ctx: &mut Ctx<'_>, filter: &Known) {
    if let Some(listed) = ctx.existing_task::<Listed>()
        && !listed.looked.get()
    {
        listed.found(filter.name());
    }
    if let Some(listed) = ctx.existing_task::<Listed>()
        && let level @ 1.. = listed.level.replace(0)
        && let Some(mut request) = ctx.client_request()
    {
        // SAFETY: the request of this call, on its thread.
        unsafe { request.as_mut() }.esi_level = level;
    }
}

unsafe extern "C" fn open(
    ctx: *const ffi::vrt_ctx,
    processors: *mut ffi::vdp_ctx,
    _private: *mut *mut c_void,
    _object: *mut ffi::objcore,
) -> c_int {
    // SAFETY: Varnish gives its context.
    let Some(mut ctx) = (unsafe { Ctx::from_raw(ctx) }) else {
        return -1;
    };
    let reason = match guard::catch(|| prepare(&mut ctx)) {
        Ok(Ok(())) => return 1,
        Ok(Err(reason)) => reason.to_owned(),
        Err(caught) => caught.message(),
    };
    ctx.log(Tag::Error, &format!("tinykvm: {reason}"));
    // SAFETY: the request of this delivery.
    unsafe { fail_delivery((*processors).req) }
}

/// Never called.
unsafe extern "C" fn push(
    _processors: *mut ffi::vdp_ctx,
    _action: ffi::vdp_action,
    _private: *mut *mut c_void,
    _bytes: *const c_void,
    _length: isize,
) -> c_int {
    -1
}

/// The entry, as a VCL knows it. [Remove](Opening::remove) it before the VCL is discarded.
pub struct Opening {
    vdp: Box<ffi::vdp>,
    /// What the description's name points to.
    _name: std::ffi::CString,
}

// SAFETY: Varnish only reads the description.
unsafe impl Send for Opening {}
// SAFETY: as above.
unsafe impl Sync for Opening {}

impl std::fmt::Debug for Opening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

impl Opening {
    /// Makes it known to the VCL that is being loaded.
    ///
    /// # Errors
    /// Why Varnish does not take it: another filter has the name.
    pub fn new(ctx: &mut Ctx<'_>) -> Result<Self, String> {
        let name = c_text(NAME);
        let vdp = Box::new(ffi::vdp {
            name: name.as_ptr(),
            init: Some(open),
            bytes: Some(push),
            fini: None,
        });
        // SAFETY: a checked context of a VCL that is being loaded, on the thread of the command
        // line; the description stays where it is until it is removed.
        let error = unsafe { ffi::VRT_AddFilter(ctx.raw(), ptr::null(), &raw const *vdp) };
        if error.is_null() {
            return Ok(Self { vdp, _name: name });
        }
        // SAFETY: a constant string.
        let error = unsafe { CStr::from_ptr(error) };
        Err(error.to_string_lossy().into_owned())
    }

    /// Makes the VCL forget it: in the event that says that the VCL is discarded.
    pub fn remove(self, ctx: &mut Ctx<'_>) {
        // SAFETY: a checked context of the VCL to which this was added, on the thread of the command
        // line. No delivery is left that could use it.
        unsafe { ffi::VRT_RemoveFilter(ctx.raw(), ptr::null(), &raw const *self.vdp) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_the_list_of_another_response() {
        for list in ["tinykvm_f", "esi gunzip tinykvm_f range", ""] {
            let with = with_opening(list);
            assert!(
                with.starts_with("tinykvm ") && with.ends_with(list),
                "{with}"
            );
            assert!(with.len() >= NAME.len() + LONGEST, "{with}");
            assert_eq!(without_opening(&with), list);
            assert_eq!(with_opening(&with), with);
        }
    }
}
