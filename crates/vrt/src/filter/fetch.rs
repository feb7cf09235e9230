//! The functions behind a fetch processor's description.

use std::ffi::c_void;
use std::ptr;

use super::failing::fail_fetch;
use super::known::Known;
use super::processor::{FetchProcessor, Opened};
use super::task_log::TaskLog;
use super::upstream::Upstream;
use crate::ctx::Ctx;
use crate::{ffi, guard};

/// An open processor; the entry of its filter owns it.
struct Open {
    processor: Box<dyn FetchProcessor>,
    connection: *const ffi::http_conn,
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
        return unsafe { fail_fetch(filters, "tinykvm: no context") };
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
        Ok(Opened::Fail(reason)) => unsafe { fail_fetch(filters, &reason) },
        // SAFETY: as above.
        Err(caught) => unsafe { fail_fetch(filters, &format!("tinykvm: {}", caught.message())) },
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
        return unsafe { fail_fetch(filters, "tinykvm: a filter that is not open") };
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
        Ok(Err(reason)) => unsafe { fail_fetch(filters, &reason) },
        // SAFETY: as above.
        Err(caught) => unsafe { fail_fetch(filters, &format!("tinykvm: {}", caught.message())) },
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
