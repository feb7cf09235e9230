//! The one place that decides about access to the host.
//!
//! A handler that wants to reach something of the host needs a [`Grant`], and [`decide`] is the
//! only function that makes one, from what the table says about the call. So a new call cannot
//! forget the question.

use crate::context::{Context, Failure};
use crate::errno::EACCES;

/// What a system call needs from the host (a column of the table of calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the call is about the program itself.
    None,
    /// A file or directory by path.
    Path {
        /// Which argument is the path.
        argument: usize,
        /// What is to be done with it.
        right: Right,
    },
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read or write its contents; the call's flags say which.
    Open,
    /// Look at its metadata, or at where a link points.
    Inspect,
    /// Create, remove, rename, or change metadata.
    Change,
    /// Make it the working directory.
    Enter,
}

/// The permission to go on. No permission can be given to a program yet, so there is no value of
/// this type.
#[derive(Debug)]
pub(crate) enum Grant {}

/// Decides whether the running call may have what it asks for at `path`.
pub(crate) fn decide(context: &mut Context<'_>, path: &[u8]) -> Result<Grant, Failure> {
    match context.call.access {
        Access::Path {
            right: Right::Open | Right::Inspect | Right::Change | Right::Enter,
            ..
        }
        | Access::None => {
            context.host.denied(context.call.name, path);
            Err(EACCES.into())
        }
    }
}
