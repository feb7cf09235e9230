//! Filters of bodies: fetch processors (VFP) on the way into the cache, delivery processors (VDP)
//! on the way to a client.
//!
//! A [`Filter`] is known to one VCL by its name, and opened for each body whose list of filters
//! (`beresp.filters`, `resp.filters`) has that name.

mod delivery;
mod downstream;
mod failing;
mod fetch;
mod known;
pub mod list;
pub mod opening;
mod processor;
mod registration;
mod required;
mod task_log;
mod upstream;

pub use downstream::{Downstream, Push, Sent};
pub use known::Registration;
pub use processor::{DeliveryProcessor, FetchProcessor, Filter, Opened};
pub use task_log::TaskLog;
pub use upstream::{Pulled, Upstream};
