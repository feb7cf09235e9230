//! The record of what is told once per program: calls that do not exist here, executable memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers below this are remembered one by one, all others as one (asm/unistd_64.h ends below).
const REMEMBERED: u32 = 512;
const WORDS: usize = 9;
/// The place of executable memory, behind all calls.
const EXECUTABLE: u32 = REMEMBERED + 1;

/// What was reported; shared by all clones of a process.
#[derive(Debug, Clone, Default)]
pub(crate) struct UnknownCalls(Arc<[AtomicU64; WORDS]>);

impl UnknownCalls {
    /// True if this is the first time that the program makes this call.
    pub(crate) fn first_time(&self, number: u32) -> bool {
        self.first(number.min(REMEMBERED))
    }

    /// True if this is the first time that the program asks for memory that it may not have, since
    /// it would be written and executed.
    pub(crate) fn first_executable(&self) -> bool {
        self.first(EXECUTABLE)
    }

    fn first(&self, index: u32) -> bool {
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
