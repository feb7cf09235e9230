//! The functions behind a delivery processor's description.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::{self, NonNull};

use super::downstream::{Downstream, Push};
use super::failing::fail_delivery;
use super::known::Known;
use super::opening;
use super::processor::{DeliveryProcessor, Opened};
use super::task_log::TaskLog;
use crate::ctx::Ctx;
use crate::private::{Private, TaskPrivate};
use crate::{Tag, ffi, guard};

/// An open processor. The entry of its filter leads to it.
struct Open {
    processor: Box<dyn DeliveryProcessor>,
    owner: NonNull<Deliveries>,
    /// Varnish forgets it when the body begins.
    request: *const ffi::req,
}

/// The open processors of a task. It owns them, and not the entries of their filters: Varnish
/// closes those only if the delivery comes to its end, and not, for example, if there is no
/// workspace left for the last steps before the first byte.
#[derive(Default)]
struct Deliveries(RefCell<Vec<NonNull<Open>>>);

// SAFETY: processors are `Send`, and one thread at a time has the task.
unsafe impl Send for Deliveries {}

impl Private for Deliveries {
    const NAME: &'static CStr = c"tinykvm deliveries";
}

impl TaskPrivate for Deliveries {
    fn key() -> *const c_void {
        static KEY: u8 = 0;
        (&raw const KEY).cast()
    }
}

impl Deliveries {
    fn add(
        &self,
        processor: Box<dyn DeliveryProcessor>,
        request: *const ffi::req,
    ) -> NonNull<Open> {
        let owner = NonNull::from(self);
        let open = Box::into_raw(Box::new(Open {
            processor,
            owner,
            request,
        }));
        // SAFETY: a box is not NULL.
        let open = unsafe { NonNull::new_unchecked(open) };
        self.0.borrow_mut().push(open);
        open
    }

    /// Takes a processor out, once.
    fn take(&self, open: NonNull<Open>) -> Option<Box<Open>> {
        let mut all = self.0.borrow_mut();
        let at = all.iter().position(|other| *other == open)?;
        let open = all.swap_remove(at);
        // SAFETY: the box that `add` gave away, and that is not in the list any more.
        Some(unsafe { Box::from_raw(open.as_ptr()) })
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        // SAFETY: the log of no task, which is gone.
        let log = unsafe { TaskLog::new(ptr::null_mut()) };
        let left = std::mem::take(self.0.get_mut());
        for open in left {
            // SAFETY: the box that `add` gave away, and that nobody took out.
            let mut open = unsafe { Box::from_raw(open.as_ptr()) };
            open.processor.close(&log);
        }
    }
}

pub(super) unsafe extern "C" fn open(
    ctx: *const ffi::vrt_ctx,
    processors: *mut ffi::vdp_ctx,
    private: *mut *mut c_void,
    _object: *mut ffi::objcore,
) -> c_int {
    // SAFETY: `private` is the field of the entry that was made for one of our descriptions.
    let known = unsafe {
        let entry = private
            .byte_sub(offset_of!(ffi::vdp_entry, priv_))
            .cast::<ffi::vdp_entry>();
        let description = (*entry).vdp.byte_sub(offset_of!(Known, vdp));
        &*description.cast::<Known>()
    };
    // SAFETY: Varnish gives its context.
    let Some(mut ctx) = (unsafe { Ctx::from_raw(ctx) }) else {
        return -1;
    };
    opening::restore(&mut ctx, known);
    // SAFETY: the processors of this delivery, and its log.
    let log = unsafe { TaskLog::new((*processors).vsl) };
    match guard::catch(|| known.filter.open_delivery(&mut ctx)) {
        Ok(Opened::Use(mut processor)) => {
            // SAFETY: the processors of this delivery.
            let request = unsafe { (*processors).req };
            let Some(mut slot) = ctx.task::<Deliveries>() else {
                processor.close(&log);
                log.log(Tag::Error, "tinykvm: out of workspace for a filter");
                // SAFETY: the request of this delivery.
                return unsafe { fail_delivery(request) };
            };
            let open = slot
                .get_or_insert(Deliveries::default)
                .add(processor, request);
            // SAFETY: the field of the entry, which is of no use when the task is over.
            unsafe { private.write(open.as_ptr().cast()) };
            0
        }
        Ok(Opened::Bypass) => 1,
        Ok(Opened::Fail(reason)) => {
            log.log(Tag::Error, &reason);
            // SAFETY: the request of this delivery.
            unsafe { fail_delivery((*processors).req) }
        }
        Err(caught) => {
            log.log(Tag::Error, &format!("tinykvm: {}", caught.message()));
            // SAFETY: as above.
            unsafe { fail_delivery((*processors).req) }
        }
    }
}

pub(super) unsafe extern "C" fn push(
    processors: *mut ffi::vdp_ctx,
    action: ffi::vdp_action,
    private: *mut *mut c_void,
    bytes: *const c_void,
    length: isize,
) -> c_int {
    // SAFETY: the field that `open` gave a processor to.
    let Some(open) = (unsafe { (*private).cast::<Open>().as_mut() }) else {
        return -1;
    };
    let bytes = match usize::try_from(length) {
        Ok(length @ 1..) if !bytes.is_null() => {
            // SAFETY: that many bytes of the body, valid during this call.
            unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length) }
        }
        _ => &[],
    };
    let mut downstream = Downstream {
        processors,
        request: open.request,
        status: 0,
        call: PhantomData,
    };
    let push = match action {
        ffi::VDP_NULL => Push::More,
        ffi::VDP_END => Push::End,
        _ => Push::Flush,
    };
    let pushed = guard::catch(|| open.processor.push(&mut downstream, bytes, push));
    let reason = match pushed {
        Ok(Ok(())) if downstream.status != 0 => return downstream.status,
        Ok(Ok(())) if push == Push::End => {
            // SAFETY: the processors of this delivery: nothing more comes.
            return unsafe { ffi::VDP_bytes(processors, ffi::VDP_END, ptr::null(), 0) };
        }
        Ok(Ok(())) => return 0,
        Ok(Err(reason)) => reason,
        Err(caught) => format!("tinykvm: {}", caught.message()),
    };
    downstream.log().log(Tag::Error, &reason);
    // SAFETY: the request of this delivery.
    unsafe { fail_delivery(open.request) }
}

pub(super) unsafe extern "C" fn close(
    processors: *mut ffi::vdp_ctx,
    private: *mut *mut c_void,
) -> c_int {
    // SAFETY: the field of the entry; its processor, if it has one, is taken out once.
    let open = unsafe { private.replace(ptr::null_mut()) }.cast::<Open>();
    let Some(open) = NonNull::new(open) else {
        return 0;
    };
    // SAFETY: a processor of this task, which is not over, so its owner is there; and the log of
    // this delivery.
    let (open, log) = unsafe {
        let owner = open.as_ref().owner;
        (owner.as_ref().take(open), TaskLog::new((*processors).vsl))
    };
    let Some(mut open) = open else {
        return 0;
    };
    let closed = guard::catch(move || {
        open.processor.close(&log);
        drop(open);
    });
    if let Err(caught) = closed {
        log.log(Tag::Error, &format!("tinykvm: {}", caught.message()));
    }
    0
}
