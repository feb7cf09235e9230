//! Error numbers of the system-call interface.

use tinykvm::{BadAddress, MapError};

/// An error number as the guest sees it: `-number` in RAX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(u16);

// asm-generic/errno-base.h
/// Not permitted for this program.
pub(crate) const EPERM: Errno = Errno(1);
/// No such file.
pub(crate) const ENOENT: Errno = Errno(2);
/// No such process or thread.
pub(crate) const ESRCH: Errno = Errno(3);
/// There is no such thing at this place.
pub(crate) const ENXIO: Errno = Errno(6);
/// Not an open descriptor, or not open for this.
pub(crate) const EBADF: Errno = Errno(9);
/// Not now; or a resource limit.
pub(crate) const EAGAIN: Errno = Errno(11);
/// The memory limit or the address space is used up.
pub(crate) const ENOMEM: Errno = Errno(12);
/// Access denied.
pub(crate) const EACCES: Errno = Errno(13);
/// A pointer that is not valid.
pub(crate) const EFAULT: Errno = Errno(14);
/// Something is in use.
pub(crate) const EBUSY: Errno = Errno(16);
/// Something exists already.
pub(crate) const EEXIST: Errno = Errno(17);
/// Not for this kind of file.
pub(crate) const ENODEV: Errno = Errno(19);
/// A path component is no directory.
pub(crate) const ENOTDIR: Errno = Errno(20);
/// An argument makes no sense.
pub(crate) const EINVAL: Errno = Errno(22);
/// The descriptor limit is reached.
pub(crate) const EMFILE: Errno = Errno(24);
/// The descriptor is no terminal, or does not know this request.
pub(crate) const ENOTTY: Errno = Errno(25);
/// Larger than a file can be.
pub(crate) const EFBIG: Errno = Errno(27);
/// No room is left.
pub(crate) const ENOSPC: Errno = Errno(28);
/// The descriptor cannot seek.
pub(crate) const ESPIPE: Errno = Errno(29);
/// Nobody will ever read it.
pub(crate) const EPIPE: Errno = Errno(32);
/// The buffer is too small for the result.
pub(crate) const ERANGE: Errno = Errno(34);

// asm-generic/errno.h
/// A path is longer than `PATH_MAX`.
pub(crate) const ENAMETOOLONG: Errno = Errno(36);
/// There is no such system call.
pub(crate) const ENOSYS: Errno = Errno(38);
/// A value does not fit.
pub(crate) const EOVERFLOW: Errno = Errno(75);
/// A message is too long.
pub(crate) const EMSGSIZE: Errno = Errno(90);
/// Not for this kind of object.
pub(crate) const EOPNOTSUPP: Errno = Errno(95);
/// The connection was broken by the other side.
pub(crate) const ECONNRESET: Errno = Errno(104);
/// Nobody is there to connect to.
pub(crate) const ECONNREFUSED: Errno = Errno(111);
/// The time is up.
pub(crate) const ETIMEDOUT: Errno = Errno(110);

impl Errno {
    /// The value of RAX that reports this error.
    pub(crate) fn to_result(self) -> u64 {
        (-i64::from(self.0)).cast_unsigned()
    }
}

impl From<BadAddress> for Errno {
    fn from(_: BadAddress) -> Self {
        EFAULT
    }
}

impl From<MapError> for Errno {
    fn from(error: MapError) -> Self {
        match error {
            MapError::Invalid { .. } => EINVAL,
            MapError::NoMemory { .. } => ENOMEM,
            MapError::Occupied { .. } => EEXIST,
            MapError::WriteExecute => EACCES,
        }
    }
}
