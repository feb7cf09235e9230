//! What a fetch processor reads from.

use std::ffi::c_void;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::task_log::TaskLog;
use crate::ffi;

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
    pub(super) filters: *mut ffi::vfp_ctx,
    /// Where reading begins, while the filters are being opened.
    pub(super) from: Option<*mut ffi::vfp_entry>,
    pub(super) connection: *const ffi::http_conn,
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
