//! Calls about files by path. Which file is meant, and whether the program may have it, is decided
//! by [`access::find`](crate::access::find) alone.

mod attributes;
mod change;
mod contents;
mod directory;
mod links;
mod name;
mod open;
mod request;
mod stat;

pub(crate) use attributes::{
    chmod, chown, fchmod, fchmodat, fchmodat2, fchown, fchownat, futimesat, lchown, utime,
    utimensat, utimes,
};
pub(crate) use change::{
    link, linkat, mkdir, mkdirat, mknod, mknodat, rename, renameat, renameat2, rmdir, symlink,
    symlinkat, unlink, unlinkat,
};
pub(crate) use contents::{
    copy_file_range, fadvise, fallocate, fdatasync, fsync, ftruncate, readahead, sendfile, splice,
    sync, syncfs, truncate, unsupported,
};
pub(crate) use directory::{chdir, fchdir, getcwd, getdents, getdents64};
pub(crate) use open::{creat, open, openat, openat2};
pub(crate) use stat::{
    access, faccessat, faccessat2, fstat, fstatfs, lstat, newfstatat, readlink, readlinkat, stat,
    statfs, statx,
};

#[cfg(test)]
mod tests;
