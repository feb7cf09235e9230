//! Which signals a `signalfd` gives.

/// Which signals a `signalfd` gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalSet(pub(crate) u64);

/// A set by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignalSetId(pub(crate) usize);
