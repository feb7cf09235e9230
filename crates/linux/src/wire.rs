//! What crosses the border between a program and its kernel: numbers, flags and structures, as the
//! headers of Linux have them. Nothing here remembers anything.

pub(crate) mod address;
pub(crate) mod dns;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod ids;
pub(crate) mod record;
pub(crate) mod signal;
pub(crate) mod user;
pub(crate) mod vdso;
pub(crate) mod xsave;
