//! x86-64: descriptor tables, stubs and special registers.

pub(crate) mod descriptors;
pub(crate) mod special;
pub(crate) mod stubs;
