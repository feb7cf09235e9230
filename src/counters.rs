//! The runtime's counters in varnishd's shared memory, where `varnishstat` reads them.

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tinykvm_vrt::ffi;

use crate::abi;

/// The identity behind the name of the set; there is one set in the process, so none is needed.
const IDENTITY: &CStr = c"";

/// The set of counters, as long as at least one VCL uses the module.
struct Segment {
    users: usize,
    counters: *mut abi::VSC_tinykvm,
    handle: *mut ffi::vsc_seg,
}

// SAFETY: shared memory and its handle belong to the process; the lock keeps users apart.
unsafe impl Send for Segment {}

static SEGMENT: Mutex<Segment> = Mutex::new(Segment {
    users: 0,
    counters: ptr::null_mut(),
    handle: ptr::null_mut(),
});
static STALE: AtomicBool = AtomicBool::new(false);

/// A VCL begins to use the module. Called on the thread of the command line.
pub(crate) fn attach() {
    let mut segment = SEGMENT.lock().unwrap_or_else(PoisonError::into_inner);
    segment.users += 1;
    if segment.counters.is_null() {
        // SAFETY: generated function, on the thread that may call it; the handle is ours.
        segment.counters = unsafe {
            abi::VSC_tinykvm_New(ptr::null_mut(), &raw mut segment.handle, IDENTITY.as_ptr())
        };
        copy(&segment);
    }
}

/// A VCL does not use the module any more. Called on the thread of the command line.
pub(crate) fn detach() {
    let mut segment = SEGMENT.lock().unwrap_or_else(PoisonError::into_inner);
    segment.users = segment.users.saturating_sub(1);
    if segment.users == 0 && !segment.counters.is_null() {
        segment.counters = ptr::null_mut();
        // SAFETY: made by `attach`, destroyed once, on the thread that may do so.
        unsafe { abi::VSC_tinykvm_Destroy(&raw mut segment.handle) };
    }
}

/// Shows the present values. Cheap, and nobody waits: if another thread is at it, that thread
/// does it once more.
pub(crate) fn publish() {
    STALE.store(true, Ordering::SeqCst);
    while STALE.load(Ordering::SeqCst) {
        let Ok(segment) = SEGMENT.try_lock() else {
            return;
        };
        while STALE.swap(false, Ordering::SeqCst) {
            copy(&segment);
        }
        // Whoever found the lock taken has set STALE before; look again without the lock.
        drop(segment);
    }
}

/// Shows the values when it is dropped.
#[derive(Debug)]
pub(crate) struct PublishLater;

impl Drop for PublishLater {
    fn drop(&mut self) {
        publish();
    }
}

macro_rules! copy_each {
    ($segment:expr, $($name:ident)*) => {{
        let counters = tinykvm_runtime::counters();
        $(
            // SAFETY: a field of the set, which exists while the lock is held; readers are other
            // processes, and only this module writes.
            let shown = unsafe { AtomicU64::from_ptr(&raw mut (*$segment.counters).$name) };
            shown.store(counters.$name.load(Ordering::Relaxed), Ordering::Relaxed);
        )*
    }};
}

fn copy(segment: &Segment) {
    if segment.counters.is_null() {
        return;
    }
    copy_each!(
        segment,
        calls ok timeout memory fault no_response failed overload no_kvm not_loaded transfer cancelled
        filters filter_chunks filter_bytes_in filter_bytes_out filter_originals filters_left_out
        resets rebuilds reset_pages forks programs status_4xx status_5xx program_notfound
    );
}
