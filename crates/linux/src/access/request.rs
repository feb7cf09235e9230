//! What a call asks for.

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read its contents or look at its metadata.
    Read,
    /// Remove, rename, write, or change metadata of what is there.
    Write,
    /// Create, or write to what is there.
    Create,
}

impl Right {
    /// True if anything is changed.
    pub(crate) fn changes(self) -> bool {
        self != Self::Read
    }
}

/// Which file is meant.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// A directory's descriptor, or `AT_FDCWD`.
    pub(crate) directory: i32,
    /// As the program gave it.
    pub(crate) path: Vec<u8>,
    /// A link at the end is followed.
    pub(crate) follow: bool,
    pub(crate) right: Right,
}
