//! A VM with its vCPU: how it is entered, why it stopped, and what it goes on with.

pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod core;
pub(crate) mod engine;
pub(crate) mod exit;
pub(crate) mod failure;
pub(crate) mod files;
pub(crate) mod flush;
pub(crate) mod probe;
pub(crate) mod slice;
pub(crate) mod vector_exchange;
pub(crate) mod vectors;
pub(crate) mod waiting;
