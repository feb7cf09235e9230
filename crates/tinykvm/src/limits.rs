//! What a program may use of the host.

use std::ops::RangeInclusive;

use crate::plan::layout;

/// What a program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of the program: image, stack, heap and mappings. In [`Limits::MEMORY`].
    pub memory: u64,
    /// Bytes that each fork may change for itself.
    pub request_memory: u64,
    /// Memory may be writable and executable at once: for programs with a JIT compiler.
    pub allow_write_execute: bool,
}

impl Limits {
    /// What [`memory`](Self::memory) can be; both ends are whole mebibytes.
    pub const MEMORY: RangeInclusive<u64> = layout::MEMORY;
}

impl Default for Limits {
    /// 256 MB, of which a fork may change 64 MB; no memory is both writable and executable.
    fn default() -> Self {
        Self {
            memory: 256 << 20,
            request_memory: 64 << 20,
            allow_write_execute: false,
        }
    }
}
