//! Paths in the arguments of calls.

use crate::access::find;
use crate::access::place::Place;
use crate::access::request::{Request, Right};
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::wire::file::{AT_EMPTY_PATH, AT_FDCWD};

/// The file that the path in an argument means, relative to the working directory.
pub(crate) fn of_path(
    context: &mut Context<'_>,
    argument: usize,
    follow: bool,
    right: Right,
) -> Result<Place, Failure> {
    at(context, AT_FDCWD, argument, follow, right)
}

/// The file that the path in an argument means, relative to a directory.
pub(crate) fn at(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    follow: bool,
    right: Right,
) -> Result<Place, Failure> {
    let request = Request {
        directory,
        path: context.path(context.word(argument))?,
        follow,
        right,
    };
    find::find(context, &request)
}

/// True if flags and an empty path in argument 1 mean the descriptor in argument 0.
pub(crate) fn means_descriptor(context: &Context<'_>, flags: u32) -> Result<bool, Failure> {
    Ok(flags & AT_EMPTY_PATH != 0 && context.path_or_empty(context.word(1))?.is_empty())
}
