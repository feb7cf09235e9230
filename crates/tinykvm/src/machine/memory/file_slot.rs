//! Files beside main memory.

use crate::mem::FileMapping;

/// A file in a memory slot of its own.
#[derive(Debug, Clone)]
pub(crate) struct FileSlot {
    /// The slot's number.
    pub(crate) slot: u32,
    /// Where it is: guest-physical, not part of main memory.
    pub(crate) physical: u64,
    pub(crate) file: FileMapping,
}
