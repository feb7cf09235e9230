//! The functions behind a fetch processor's description.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;
use std::ptr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{FetchProcessor, Known, Opened, TaskLog};
use crate::ctx::Ctx;
use crate::{ffi, guard};

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulled {
    /// How many bytes.
    pub length: usize,
    /// The body ends with them.
    pub last: bool,
}

/// The filters nearer to the backend, and the backend.
#[derive(Debug)]
pub struct Upstream {
    filters: *mut ffi::vfp_ctx,
    /// Where reading begins, while the filters are being opened.
    from: Option<*mut ffi::vfp_entry>,
    connection: *const ffi::http_conn,
}

impl Upstream {
    /// Fills the beginning of `out`, waiting for it if need be; `None` if the body broke off, which
    /// is in the log then.
    pub fn read(&mut self, out: &mut [u8]) -> Option<Pulled> {
        if self.from.is_some_and(<*mut _>::is_null) {
            return None;
        }
        let mut length = isize::try_from(out.len()).ok()?;
        // SAFETY: the filters of this fetch, on its thread. While they are being opened, those
        // upstream of `from` are open, and reading begins there; the place is put back.
        let status = unsafe {
            let start = (*self.filters).vfp_nxt;
            if let Some(from) = self.from {
                (*self.filters).vfp_nxt = from;
            }
            let to = out.as_mut_ptr().cast::<c_void>();
            let status = ffi::VFP_Suck(self.filters, to, &raw mut length);
            (*self.filters).vfp_nxt = start;
            status
        };
        let length = usize::try_from(length).ok()?.min(out.len());
        let last = match status {
            ffi::VFP_OK => false,
            ffi::VFP_END => true,
            _ => return None,
        };
        Some(Pulled { length, last })
    }

    /// Says that the body will be another one than the backend's. When the backend later says that
    /// it has not changed, Varnish weakens the ETag, and leaves Content-Encoding and Content-Length
    /// as they are in the cache.
    pub fn changes_body(&mut self) {
        // SAFETY: the filters of this fetch.
        unsafe { (*self.filters).obj_flags |= ffi::OF_CHGCE };
    }

    /// True if more has arrived from the backend.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        // SAFETY: NULL, or the connection of this fetch, which outlives its filters.
        let Some(connection) = (unsafe { self.connection.as_ref() }) else {
            return false;
        };
        if connection.pipeline_b < connection.pipeline_e {
            return true;
        }
        // SAFETY: NULL, or the descriptor of that connection.
        let Some(&number) = (unsafe { connection.rfd.as_ref() }) else {
            return false;
        };
        if number < 0 {
            return false;
        }
        // SAFETY: open as long as the fetch reads from it.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        let mut wanted = [PollFd::new(&socket, PollFlags::IN)];
        matches!(poll(&mut wanted, Some(&Timespec::default())), Ok(1))
    }

    /// The log of the fetch.
    #[must_use]
    pub fn log(&self) -> TaskLog {
        // SAFETY: the filters of this fetch, its worker, and that worker's log.
        unsafe {
            let worker = (*self.filters).wrk;
            TaskLog::new((*worker).vsl)
        }
    }
}

/// An open processor; the entry of its filter owns it.
struct Open {
    processor: Box<dyn FetchProcessor>,
    connection: *const ffi::http_conn,
}

/// # Safety
/// `filters` belong to the fetch that is running.
pub(super) unsafe fn fail(filters: *mut ffi::vfp_ctx, reason: &str) -> ffi::vfp_status {
    let reason = crate::strings::c_text(reason);
    // SAFETY: the caller's filters, a format that takes one string, and that string.
    unsafe { ffi::VFP_Error(filters, c"%s".as_ptr(), reason.as_ptr()) }
}

pub(super) unsafe extern "C" fn open(
    ctx: *const ffi::vrt_ctx,
    filters: *mut ffi::vfp_ctx,
    entry: *mut ffi::vfp_entry,
) -> ffi::vfp_status {
    // SAFETY: Varnish gives its context and the entry; the description in it is one of ours.
    let (ctx, known) = unsafe {
        let known = (*(*entry).vfp).priv1.cast::<Known>();
        (Ctx::from_raw(ctx), &*known)
    };
    let Some(mut ctx) = ctx else {
        // SAFETY: the filters of this fetch.
        return unsafe { fail(filters, "tinykvm: no context") };
    };
    let connection = ctx.busyobj().map_or(ptr::null(), |fetch| {
        // SAFETY: the fetch of this call.
        unsafe { fetch.as_ref() }.htc.cast_const()
    });
    let mut upstream = Upstream {
        filters,
        // SAFETY: the entry is in the list; what follows is nearer to the backend.
        from: Some(unsafe { (*entry).list.vtqe_next }),
        connection,
    };
    match guard::catch(|| known.filter.open_fetch(&mut ctx, &mut upstream)) {
        Ok(Opened::Use(processor)) => {
            let open = Box::new(Open {
                processor,
                connection,
            });
            // SAFETY: the entry of this filter, which `close` will be called for.
            unsafe { (*entry).priv1 = Box::into_raw(open).cast() };
            ffi::VFP_OK
        }
        Ok(Opened::Bypass) => ffi::VFP_NULL,
        // SAFETY: the filters of this fetch.
        Ok(Opened::Fail(reason)) => unsafe { fail(filters, &reason) },
        // SAFETY: as above.
        Err(caught) => unsafe { fail(filters, &format!("tinykvm: {}", caught.message())) },
    }
}

pub(super) unsafe extern "C" fn pull(
    filters: *mut ffi::vfp_ctx,
    entry: *mut ffi::vfp_entry,
    buffer: *mut c_void,
    length: *mut isize,
) -> ffi::vfp_status {
    // SAFETY: the entry that `open` gave a processor to; `length` is the caller's.
    let (open, room) = unsafe { ((*entry).priv1.cast::<Open>().as_mut(), length.replace(0)) };
    let (Some(open), Ok(room)) = (open, usize::try_from(room)) else {
        // SAFETY: the filters of this fetch.
        return unsafe { fail(filters, "tinykvm: a filter that is not open") };
    };
    let mut upstream = Upstream {
        filters,
        from: None,
        connection: open.connection,
    };
    // SAFETY: `room` bytes of storage that nobody else has. They are only written to.
    let out = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), room) };
    match guard::catch(|| open.processor.pull(&mut upstream, out)) {
        Ok(Ok(pulled)) => {
            // SAFETY: the caller's; never more than its room.
            unsafe { length.write(pulled.length.min(room).cast_signed()) };
            if pulled.last {
                ffi::VFP_END
            } else {
                ffi::VFP_OK
            }
        }
        // SAFETY: the filters of this fetch.
        Ok(Err(reason)) => unsafe { fail(filters, &reason) },
        // SAFETY: as above.
        Err(caught) => unsafe { fail(filters, &format!("tinykvm: {}", caught.message())) },
    }
}

pub(super) unsafe extern "C" fn close(filters: *mut ffi::vfp_ctx, entry: *mut ffi::vfp_entry) {
    // SAFETY: the entry of this filter; its processor, if it has one, is taken out once.
    let open = unsafe { ptr::replace(&raw mut (*entry).priv1, ptr::null_mut()) }.cast::<Open>();
    if open.is_null() {
        return;
    }
    // SAFETY: the box that `open` gave away, and the log of this fetch.
    let (mut open, log) = unsafe { (Box::from_raw(open), TaskLog::new((*(*filters).wrk).vsl)) };
    let closed = guard::catch(move || {
        open.processor.close(&log);
        drop(open);
    });
    if let Err(caught) = closed {
        log.log(crate::Tag::Error, &format!("tinykvm: {}", caught.message()));
    }
}
