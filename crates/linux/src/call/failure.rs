//! What a handler gives back.

use tinykvm::{BadAddress, MapError};

use crate::host::Flow;
use crate::process::block::Block;
use crate::wire::errno::Errno;

/// Why a call has no result.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// The guest is told.
    Error(Errno),
    /// The guest does not go on.
    Stop(Flow),
    /// There is no answer yet: the thread waits, and then the call is made again.
    Block(Block),
    /// None is needed: the registers are what they should be, or the thread has ended.
    Done,
    /// The answer is 0, and other threads come first.
    Yield,
}

/// What a handler gives back: the value of RAX, or why there is none.
pub(crate) type Answer = Result<u64, Failure>;

impl From<Errno> for Failure {
    fn from(error: Errno) -> Self {
        Self::Error(error)
    }
}

impl From<Block> for Failure {
    fn from(block: Block) -> Self {
        Self::Block(block)
    }
}

impl From<BadAddress> for Failure {
    fn from(error: BadAddress) -> Self {
        Self::Error(error.into())
    }
}

impl From<MapError> for Failure {
    fn from(error: MapError) -> Self {
        Self::Error(error.into())
    }
}
