//! What a delivery processor writes to.

use std::ffi::c_int;
use std::marker::PhantomData;

use super::task_log::TaskLog;
use crate::ffi;
use crate::response_body::is_cut_short;

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
    pub(super) processors: *mut ffi::vdp_ctx,
    pub(super) request: *const ffi::req,
    /// What the filters downstream said last.
    pub(super) status: c_int,
    pub(super) call: PhantomData<&'a ()>,
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

    /// True if the fetch of the body failed on the way, so that its end is not that of the body.
    #[must_use]
    pub fn is_cut_short(&self) -> bool {
        // SAFETY: NULL, or the request of this delivery, which holds its object until it is over.
        unsafe { self.request.as_ref().is_some_and(|it| is_cut_short(it)) }
    }

    /// The log of the delivery.
    #[must_use]
    pub fn log(&self) -> TaskLog {
        // SAFETY: the processors of this delivery, and its log.
        unsafe { TaskLog::new((*self.processors).vsl) }
    }
}
