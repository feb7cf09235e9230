//! Stands in for `src/pool.rs`.

#[path = "../../src/pool/affinity.rs"]
mod affinity;
#[allow(dead_code, reason = "the models need a part of it")]
#[path = "../../src/pool/slots.rs"]
mod slots;

pub(crate) use slots::{Lease, LeaseError, Pool};
