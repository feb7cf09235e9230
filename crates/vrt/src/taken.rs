//! What Varnish did not do.

use thiserror::Error;

/// Varnish was asked to store something, and holds something else afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Varnish did not take {what} (out of workspace?)")]
pub struct NotTaken {
    /// What it was given.
    pub what: &'static str,
}

impl NotTaken {
    /// An error unless Varnish holds it.
    pub(crate) fn unless(taken: bool, what: &'static str) -> Result<(), Self> {
        if taken { Ok(()) } else { Err(Self { what }) }
    }
}
