//! Calls about files by path. Which file is meant, and whether the program may have it, is decided
//! by [`access::find`] alone.

mod change;
mod contents;
mod directory;
mod links;
mod look;
mod metadata;
mod open;

pub(crate) use crate::stat::fstat;
pub(crate) use change::{
    link, linkat, mkdir, mkdirat, mknod, mknodat, rename, renameat, renameat2, rmdir, symlink,
    symlinkat, unlink, unlinkat,
};
pub(crate) use contents::{
    copy_file_range, fadvise, fallocate, fdatasync, fsync, ftruncate, readahead, sendfile, splice,
    sync, syncfs, truncate, unsupported,
};
pub(crate) use directory::{chdir, fchdir, getcwd, getdents, getdents64};
pub(crate) use look::{
    access, faccessat, faccessat2, fstatfs, lstat, newfstatat, readlink, readlinkat, stat, statfs,
    statx,
};
pub(crate) use metadata::{
    chmod, chown, fchmod, fchmodat, fchmodat2, fchown, fchownat, futimesat, lchown, utime,
    utimensat, utimes,
};
pub(crate) use open::{creat, open, openat, openat2};

use crate::access::{self, AT_FDCWD, Place, Request, Right};
use crate::context::{Context, Failure};

/// `AT_EMPTY_PATH` in linux/fcntl.h: an empty path means the descriptor itself.
const AT_EMPTY_PATH: u32 = 0x1000;
/// `AT_SYMLINK_NOFOLLOW`
const AT_SYMLINK_NOFOLLOW: u32 = 0x100;

/// The file that the path in an argument means, relative to the working directory.
fn of_path(
    context: &mut Context<'_>,
    argument: usize,
    follow: bool,
    right: Right,
) -> Result<Place, Failure> {
    at(context, AT_FDCWD, argument, follow, right)
}

/// The file that the path in an argument means, relative to a directory.
fn at(
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
    access::find(context, &request)
}

/// True if flags and an empty path in argument 1 mean the descriptor in argument 0.
fn means_descriptor(context: &Context<'_>, flags: u32) -> Result<bool, Failure> {
    Ok(flags & AT_EMPTY_PATH != 0 && context.path_or_empty(context.word(1))?.is_empty())
}

#[cfg(test)]
mod tests;
