//! Flags and modes of files: `O_*`, `S_IF*`, `AT_*`.

// File types: linux/stat.h
pub(crate) const S_IFMT: u32 = 0o170_000;
pub(crate) const S_IFIFO: u32 = 0o10000;
pub(crate) const S_IFCHR: u32 = 0o20000;
pub(crate) const S_IFDIR: u32 = 0o40000;
pub(crate) const S_IFREG: u32 = 0o100_000;
pub(crate) const S_IFLNK: u32 = 0o120_000;
pub(crate) const S_IFSOCK: u32 = 0o140_000;

// Open flags: asm-generic/fcntl.h
pub(crate) const O_WRONLY: u32 = 1;
pub(crate) const O_RDWR: u32 = 2;
/// The access mode within the flags.
pub(crate) const O_ACCMODE: u32 = 3;
pub(crate) const O_APPEND: u32 = 0o2000;
pub(crate) const O_NONBLOCK: u32 = 0o4000;
pub(crate) const O_ASYNC: u32 = 0o20000;
pub(crate) const O_CLOEXEC: u32 = 0o2_000_000;
pub(crate) const O_PATH: u32 = 0o10_000_000;

/// `AT_FDCWD` in linux/fcntl.h.
pub(crate) const AT_FDCWD: i32 = -100;

/// `AT_EMPTY_PATH` in linux/fcntl.h: an empty path means the descriptor itself.
pub(crate) const AT_EMPTY_PATH: u32 = 0x1000;
/// `AT_SYMLINK_NOFOLLOW`
pub(crate) const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
