//! The functions behind a delivery processor's description.

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr;

use super::{DeliveryProcessor, Known, Opened, TaskLog};
use crate::ctx::Ctx;
use crate::{Tag, ffi, guard};

/// What comes with a part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Push {
    /// More will follow soon.
    More,
    /// What there is should go on now.
    Flush,
    /// The body ends with it.
    End,
}

/// What became of bytes that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// More may follow.
    More,
    /// A filter downstream has enough.
    Enough,
    /// The client is gone.
    Failed,
}

/// The filters nearer to the client, and the client.
#[derive(Debug)]
pub struct Downstream<'a> {
    processors: *mut ffi::vdp_ctx,
    /// What the filters downstream said last.
    status: c_int,
    call: PhantomData<&'a ()>,
}

impl Downstream<'_> {
    /// Sends bytes on.
    pub fn send(&mut self, bytes: &[u8]) -> Sent {
        let length = match isize::try_from(bytes.len()) {
            Ok(0) => return Sent::More,
            Ok(length) => length,
            Err(_) => return Sent::Failed,
        };
        // The bytes are not there after the call, hence "flush".
        // SAFETY: the processors of this delivery, on its thread; the bytes are borrowed.
        self.status = unsafe {
            ffi::VDP_bytes(
                self.processors,
                ffi::VDP_FLUSH,
                bytes.as_ptr().cast(),
                length,
            )
        };
        match self.status {
            0 => Sent::More,
            1.. => Sent::Enough,
            _ => Sent::Failed,
        }
    }

    /// The log of the delivery.
    #[must_use]
    pub fn log(&self) -> TaskLog {
        // SAFETY: the processors of this delivery, and its log.
        unsafe { TaskLog::new((*self.processors).vsl) }
    }
}

/// An open processor; the entry of its filter owns it.
struct Open {
    processor: Box<dyn DeliveryProcessor>,
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
    // SAFETY: the processors of this delivery, and its log.
    let log = unsafe { TaskLog::new((*processors).vsl) };
    match guard::catch(|| known.filter.open_delivery(&mut ctx)) {
        Ok(Opened::Use(processor)) => {
            let open = Box::new(Open { processor });
            // SAFETY: the field of the entry, which `close` will be called for.
            unsafe { private.write(Box::into_raw(open).cast()) };
            0
        }
        Ok(Opened::Bypass) => 1,
        Ok(Opened::Fail(reason)) => {
            log.log(Tag::Error, &reason);
            -1
        }
        Err(caught) => {
            log.log(Tag::Error, &format!("tinykvm: {}", caught.message()));
            -1
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
    -1
}

pub(super) unsafe extern "C" fn close(
    processors: *mut ffi::vdp_ctx,
    private: *mut *mut c_void,
) -> c_int {
    // SAFETY: the field of the entry; its processor, if it has one, is taken out once.
    let open = unsafe { private.replace(ptr::null_mut()) }.cast::<Open>();
    if open.is_null() {
        return 0;
    }
    // SAFETY: the box that `open` gave away, and the log of this delivery.
    let (mut open, log) = unsafe { (Box::from_raw(open), TaskLog::new((*processors).vsl)) };
    let closed = guard::catch(move || {
        open.processor.close(&log);
        drop(open);
    });
    if let Err(caught) = closed {
        log.log(Tag::Error, &format!("tinykvm: {}", caught.message()));
    }
    0
}
