//! What a handler sees of a call under way: its arguments, the memory of the guest, the state of the
//! process, and how to wait.

pub(crate) mod context;
pub(crate) mod failure;
pub(crate) mod objects;
pub(crate) mod parts;
pub(crate) mod wait;
