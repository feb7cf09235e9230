//! The record of calls that a program made and that do not exist here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers below this are remembered one by one, all others as one (asm/unistd_64.h ends below).
const REMEMBERED: u32 = 512;
const WORDS: usize = 9;

/// Which unknown calls were reported; shared by all clones of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnknownCalls(Arc<[AtomicU64; WORDS]>);

impl UnknownCalls {
    /// True if this is the first time that the program makes this call.
    pub(crate) fn first_time(&self, number: u32) -> bool {
        let index = number.min(REMEMBERED);
        let Some(word) = usize::try_from(index / 64)
            .ok()
            .and_then(|at| self.0.get(at))
        else {
            return false;
        };
        let bit = 1 << (index % 64);
        // A plain load first: forks on other threads share the cache line.
        word.load(Ordering::Relaxed) & bit == 0 && word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}
