//! A filter by its name, and what Varnish is told of it.

use std::ffi::CString;
use std::fmt;

use super::processor::Filter;
use crate::ffi;

/// What both descriptions lead back to.
pub(super) struct Known {
    pub(super) vfp: ffi::vfp,
    pub(super) vdp: ffi::vdp,
    /// What looks whether the first is there; see [`required`](super::required).
    pub(super) check: ffi::vfp,
    pub(super) filter: Box<dyn Filter>,
    /// What the descriptions' names point to.
    pub(super) names: [CString; 2],
}

impl Known {
    /// As lists name it.
    pub(super) fn name(&self) -> &str {
        let [name, _] = &self.names;
        name.to_str().unwrap_or_default()
    }
}

/// A filter that a VCL knows. [Remove](Registration::remove) it before the VCL is discarded.
pub struct Registration(pub(super) Box<Known>);

// SAFETY: Varnish only reads the descriptions, and the filter behind them is `Send` and `Sync`.
unsafe impl Send for Registration {}
// SAFETY: as above.
unsafe impl Sync for Registration {}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}
