//! A pool of expensive things (forks) of which at most a fixed number exists.
//!
//! ```text
//!   vacant ──take──> leased, empty ──fill──> leased ──give back──> idle ──take──> leased ...
//!     ^                                        │                     │
//!     └──────────── give back empty ───────────┘                     └── close: dropped
//! ```
//!
//! A slot is taken with one atomic exchange. A thread looks first at the slot that it used last,
//! so that a vCPU stays on its thread; no lock is taken and nothing is allocated unless all slots
//! are in use. Then callers queue, first come, first served, bounded in number and in time, and a
//! slot that is given back goes straight to the first of them.

mod affinity;
mod slots;

pub(crate) use slots::{Lease, LeaseError, Pool};

#[cfg(test)]
mod tests;
