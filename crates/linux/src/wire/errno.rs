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
/// A signal came first.
pub(crate) const EINTR: Errno = Errno(4);
/// There is no such thing at this place.
pub(crate) const ENXIO: Errno = Errno(6);
/// An argument is too large.
pub(crate) const E2BIG: Errno = Errno(7);
/// Not an open descriptor, or not open for this.
pub(crate) const EBADF: Errno = Errno(9);
/// There are no child processes.
pub(crate) const ECHILD: Errno = Errno(10);
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
/// It leads to another file system.
pub(crate) const EXDEV: Errno = Errno(18);
/// It is a directory.
pub(crate) const EISDIR: Errno = Errno(21);
/// A directory has something in it.
pub(crate) const ENOTEMPTY: Errno = Errno(39);
/// Too many symbolic links.
pub(crate) const ELOOP: Errno = Errno(40);
/// An argument makes no sense.
pub(crate) const EINVAL: Errno = Errno(22);
/// There are no locks here.
pub(crate) const ENOLCK: Errno = Errno(37);
/// The kernel's own limit is reached.
pub(crate) const ENFILE: Errno = Errno(23);
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
/// A number is out of range.
pub(crate) const EDOM: Errno = Errno(33);
/// The buffer is too small for the result.
pub(crate) const ERANGE: Errno = Errno(34);

// asm-generic/errno.h
/// The lock is the caller's own.
pub(crate) const EDEADLK: Errno = Errno(35);
/// A path is longer than `PATH_MAX`.
pub(crate) const ENAMETOOLONG: Errno = Errno(36);
/// There is no such system call.
pub(crate) const ENOSYS: Errno = Errno(38);
/// A value does not fit.
pub(crate) const EOVERFLOW: Errno = Errno(75);
/// The descriptor is no socket.
pub(crate) const ENOTSOCK: Errno = Errno(88);
/// A message without an address.
pub(crate) const EDESTADDRREQ: Errno = Errno(89);
/// A message is too long.
pub(crate) const EMSGSIZE: Errno = Errno(90);
/// There is no such socket option.
pub(crate) const ENOPROTOOPT: Errno = Errno(92);
/// There is no such protocol.
pub(crate) const EPROTONOSUPPORT: Errno = Errno(93);
/// There is no such kind of socket.
pub(crate) const ESOCKTNOSUPPORT: Errno = Errno(94);
/// Not for this kind of object.
pub(crate) const EOPNOTSUPP: Errno = Errno(95);
/// There is no such address family.
pub(crate) const EAFNOSUPPORT: Errno = Errno(97);
/// The connection was broken by the other side.
pub(crate) const ECONNRESET: Errno = Errno(104);
/// More than is taken at a time.
pub(crate) const ENOBUFS: Errno = Errno(105);
/// The socket is connected already.
pub(crate) const EISCONN: Errno = Errno(106);
/// The socket is not connected.
pub(crate) const ENOTCONN: Errno = Errno(107);
/// The time is up.
pub(crate) const ETIMEDOUT: Errno = Errno(110);
/// Nobody is there to connect to.
pub(crate) const ECONNREFUSED: Errno = Errno(111);
/// It is under way.
pub(crate) const EALREADY: Errno = Errno(114);
/// A connection takes its time.
pub(crate) const EINPROGRESS: Errno = Errno(115);

impl Errno {
    /// The value of RAX that reports this error.
    /// The error of a result, for tests.
    #[cfg(test)]
    pub(crate) fn from_result(result: i64) -> Self {
        Self(u16::try_from(-result).unwrap_or(0))
    }

    /// The value of RAX that reports this error.
    pub(crate) fn to_result(self) -> u64 {
        (-i64::from(self.0)).cast_unsigned()
    }

    /// The number, for where it is a value (`SO_ERROR`).
    pub(crate) fn number(self) -> u32 {
        u32::from(self.0)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(error: rustix::io::Errno) -> Self {
        u16::try_from(error.raw_os_error()).map_or(EINVAL, Self)
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

impl From<BadAddress> for Errno {
    fn from(_: BadAddress) -> Self {
        EFAULT
    }
}
