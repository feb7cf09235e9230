//! What a program says about caching its answer, made to last.
//!
//! Varnish computes the times of an object from its header fields after the backend has answered,
//! so what a backend sets before that is lost. Hence two steps:
//!
//! 1. With the answer, time to live and grace go into Cache-Control, in front of what the program
//!    itself has there: `s-maxage` and `stale-while-revalidate` are what Varnish looks for first.
//!    `vcl_backend_response` sees them in force and may change them.
//! 2. When the fetch begins to store the object, the field gets the program's own value back: the
//!    times were meant for this cache. Fractions of seconds, and the time to keep, for which there
//!    is no header, are set now, unless VCL set something else.

use std::time::Duration;

use tinykvm_vrt::{Ctx, FieldError, Lifetime, NotTaken};

const CACHE_CONTROL: &[u8] = b"Cache-Control";
/// What is longer is as good as forever; Varnish calculates with single precision.
const LONGEST: Duration = Duration::from_secs(i32::MAX as u64);

/// What a program said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caching {
    pub(crate) cacheable: bool,
    pub(crate) ttl: Duration,
    pub(crate) grace: Duration,
    pub(crate) keep: Duration,
}

/// Whole seconds, rounded up: a short life is not none.
fn whole_seconds(time: Duration) -> u64 {
    let time = time.min(LONGEST);
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// True if two times are the same within the precision of Varnish's objects.
fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * a.abs().max(b.abs())
}

impl Caching {
    /// Sets the times of an object whose times are decided already. VCL can change them after.
    pub(crate) fn apply(self, ctx: &mut Ctx<'_>) -> Result<(), NotTaken> {
        let Some(mut lifetime) = ctx.lifetime() else {
            return Ok(());
        };
        if !self.cacheable {
            lifetime.set_uncacheable()?;
        }
        if !lifetime.is_private() {
            lifetime.set_ttl(self.ttl.min(LONGEST).as_secs_f64())?;
            lifetime.set_grace(self.grace.min(LONGEST).as_secs_f64())?;
            lifetime.set_keep(self.keep.min(LONGEST).as_secs_f64())?;
        }
        Ok(())
    }

    /// The first step, on an answer that is complete otherwise. `None`: there is no second.
    pub(crate) fn announce(self, ctx: &mut Ctx<'_>) -> Result<Option<Announced>, FieldError> {
        let Some(mut lifetime) = ctx.lifetime() else {
            return Ok(None);
        };
        if !self.cacheable {
            let taken = lifetime.set_uncacheable();
            taken.map_err(|_| FieldError::NotTaken)?;
        }
        if lifetime.is_private() {
            return Ok(None);
        }
        let Some(mut message) = ctx.response_mut() else {
            return Ok(None);
        };
        let values: Vec<&[u8]> = message.values(CACHE_CONTROL).collect();
        let own = (!values.is_empty()).then(|| values.join(&b", "[..]));
        let (ttl, grace) = (whole_seconds(self.ttl), whole_seconds(self.grace));
        let mut written = format!("s-maxage={ttl}, stale-while-revalidate={grace}").into_bytes();
        if let Some(own) = &own {
            written.extend_from_slice(b", ");
            written.extend_from_slice(own);
        }
        message.set(CACHE_CONTROL, &written)?;
        Ok(Some(Announced {
            caching: self,
            written,
            own,
        }))
    }
}

/// What was written for Varnish to read, to be taken back.
#[derive(Debug)]
pub(crate) struct Announced {
    caching: Caching,
    written: Vec<u8>,
    own: Option<Vec<u8>>,
}

impl Announced {
    /// The second step, when VCL is done.
    pub(crate) fn settle(&self, ctx: &mut Ctx<'_>) -> Result<(), NotTaken> {
        if let Some(mut message) = ctx.response_mut()
            && message.value(CACHE_CONTROL) == Some(self.written.as_slice())
        {
            match &self.own {
                // Without room for the shorter field the longer one stays, and is right, too.
                Some(own) => drop(message.set(CACHE_CONTROL, own)),
                None => message.remove_all(CACHE_CONTROL),
            }
        }
        let Some(mut lifetime) = ctx.lifetime() else {
            return Ok(());
        };
        // What VCL made uncacheable has the times of that decision.
        if self.caching.cacheable && !lifetime.is_uncacheable() {
            self.settle_times(&mut lifetime)?;
        }
        Ok(())
    }

    #[allow(
        clippy::cast_precision_loss,
        reason = "whole seconds below LONGEST are exact"
    )]
    fn settle_times(&self, lifetime: &mut Lifetime<'_>) -> Result<(), NotTaken> {
        let exact = |time: Duration| {
            let (time, announced) = (time.min(LONGEST), whole_seconds(time) as f64);
            (time.as_secs_f64(), announced)
        };
        let (ttl, announced) = exact(self.caching.ttl);
        if ttl < announced && same(lifetime.ttl(), announced) {
            lifetime.set_ttl(ttl)?;
        }
        let (grace, announced) = exact(self.caching.grace);
        if grace < announced && same(lifetime.grace(), announced) {
            lifetime.set_grace(grace)?;
        }
        if same(lifetime.keep(), Lifetime::default_keep()) {
            lifetime.set_keep(exact(self.caching.keep).0)?;
        }
        Ok(())
    }
}
