//! Resource limits.

use crate::process::descriptors::Descriptors;

/// A resource limit: `struct rlimit64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) current: u64,
    pub(crate) maximum: u64,
}

// Resources: asm-generic/resource.h
pub(crate) const STACK: usize = 3;
const CORE: usize = 4;
pub(crate) const OPEN_FILES: usize = 7;
pub(crate) const SIGNALS: usize = 11;

/// `RLIM64_INFINITY` in linux/resource.h.
const INFINITE: u64 = u64::MAX;
const UNLIMITED: Limit = Limit {
    current: INFINITE,
    maximum: INFINITE,
};

/// Limits of a program that starts.
pub(crate) const DEFAULT_LIMITS: [Limit; 16] = {
    let mut limits = [UNLIMITED; 16];
    limits[STACK] = Limit {
        current: 8 << 20,
        maximum: INFINITE,
    };
    limits[CORE] = Limit {
        current: 0,
        maximum: 0,
    };
    limits[OPEN_FILES] = Limit {
        current: Descriptors::MOST,
        maximum: Descriptors::MOST,
    };
    // What is pending at most.
    limits[SIGNALS] = Limit {
        current: 1024,
        maximum: 1024,
    };
    limits
};
