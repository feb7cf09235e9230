//! How long an object will live.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::{NotTaken, ffi};

/// Times of the object that is being fetched, and whether it may be cached. In seconds, as
/// Varnish counts.
#[derive(Debug)]
pub struct Lifetime<'a> {
    context: *const ffi::vrt_ctx,
    object: NonNull<ffi::objcore>,
    fetch: PhantomData<&'a mut ()>,
}

impl Lifetime<'_> {
    /// `fetch` is the one of `context`, and both are checked.
    pub(crate) fn new(context: *const ffi::vrt_ctx, fetch: NonNull<ffi::busyobj>) -> Option<Self> {
        // SAFETY: a fetch has an object core as long as it lasts.
        let object = NonNull::new(unsafe { fetch.as_ref() }.fetch_objcore)?;
        // SAFETY: as above.
        (unsafe { object.as_ref() }.magic == ffi::OBJCORE_MAGIC).then_some(Self {
            context,
            object,
            fetch: PhantomData,
        })
    }

    fn object(&self) -> &ffi::objcore {
        // SAFETY: checked by the constructor; this thread alone writes these fields until the
        // object is given to the cache.
        unsafe { self.object.as_ref() }
    }

    /// True for an object that goes to one client only (a pass).
    #[must_use]
    pub fn is_private(&self) -> bool {
        u32::from(self.object().flags) & ffi::OC_F_PRIVATE != 0
    }

    /// True if it was decided that the object is not for the cache.
    #[must_use]
    pub fn is_uncacheable(&self) -> bool {
        // SAFETY: a checked context of a fetch.
        unsafe { ffi::VRT_r_beresp_uncacheable(self.context) != 0 }
    }

    /// Decides that. There is no way back.
    ///
    /// # Errors
    /// It may be cached all the same.
    pub fn set_uncacheable(&mut self) -> Result<(), NotTaken> {
        // SAFETY: a checked context of a fetch.
        unsafe { ffi::VRT_l_beresp_uncacheable(self.context, 1) };
        NotTaken::unless(self.is_uncacheable(), "beresp.uncacheable")
    }

    /// How long from its origin the object is fresh.
    #[must_use]
    pub fn ttl(&self) -> f64 {
        f64::from(self.object().ttl)
    }

    /// How much longer it may be delivered.
    #[must_use]
    pub fn grace(&self) -> f64 {
        f64::from(self.object().grace)
    }

    /// How much longer it is kept.
    #[must_use]
    pub fn keep(&self) -> f64 {
        f64::from(self.object().keep)
    }

    /// What `keep` is when nobody says anything (parameter `default_keep`).
    #[must_use]
    pub fn default_keep() -> f64 {
        // SAFETY: varnishd points this to its parameters before it loads the first VCL; a read of
        // one that the operator changes meanwhile gives the old or the new value.
        unsafe { (&raw const (*ffi::cache_param).default_keep).read_volatile() }
    }

    /// As `set beresp.ttl`: from now.
    ///
    /// # Errors
    /// It is another one.
    pub fn set_ttl(&mut self, seconds: f64) -> Result<(), NotTaken> {
        // SAFETY: a checked context of a fetch.
        let now = unsafe {
            ffi::VRT_l_beresp_ttl(self.context, seconds);
            ffi::VRT_r_beresp_ttl(self.context)
        };
        NotTaken::unless(is_about(now, seconds), "beresp.ttl")
    }

    /// As `set beresp.grace`.
    ///
    /// # Errors
    /// It is another one.
    pub fn set_grace(&mut self, seconds: f64) -> Result<(), NotTaken> {
        // SAFETY: a checked context of a fetch.
        unsafe { ffi::VRT_l_beresp_grace(self.context, seconds) };
        NotTaken::unless(is_about(self.grace(), seconds), "beresp.grace")
    }

    /// As `set beresp.keep`.
    ///
    /// # Errors
    /// It is another one.
    pub fn set_keep(&mut self, seconds: f64) -> Result<(), NotTaken> {
        // SAFETY: a checked context of a fetch.
        unsafe { ffi::VRT_l_beresp_keep(self.context, seconds) };
        NotTaken::unless(is_about(self.keep(), seconds), "beresp.keep")
    }
}

/// True if a time is the one wanted, within the precision of Varnish's objects, and of a clock
/// that goes on.
fn is_about(time: f64, wanted: f64) -> bool {
    (time - wanted).abs() <= 0.01 + 1e-6 * wanted.abs()
}

#[cfg(test)]
mod tests {
    use super::is_about;

    #[test]
    fn times_are_compared_within_their_precision() {
        assert!(is_about(10.000_001, 10.0));
        assert!(is_about(2_147_483_647.0, 2_147_483_700.0));
        assert!(!is_about(120.0, 10.0));
        assert!(!is_about(0.0, 1.0));
    }
}
