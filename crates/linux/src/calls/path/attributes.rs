//! Calls that change metadata.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, Timespec, Timestamps};

use crate::access::{grant, tell};
use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::path::change::target;
use crate::notice::Less;
use crate::objects::object::Object;
use crate::wire::errno::{EBADF, EINVAL, EOPNOTSUPP, EPERM, Errno};
use crate::wire::file::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_PATH, S_IFLNK, S_IFMT};
use crate::wire::ids::USER_ID;
use crate::wire::record::u64_at;

/// Permissions that a program can give: no set-user-id, no sticky bit.
const MODES: u32 = 0o777;

/// `chmod(path, mode)`
pub(crate) fn chmod(context: &mut Context<'_>) -> Answer {
    change_mode(context, AT_FDCWD, 0, context.uint(1), true)
}

/// `fchmodat(fd, path, mode)`
pub(crate) fn fchmodat(context: &mut Context<'_>) -> Answer {
    change_mode(context, context.int(0), 1, context.uint(2), true)
}

/// `fchmodat2(fd, path, mode, flags)`
pub(crate) fn fchmodat2(context: &mut Context<'_>) -> Answer {
    let flags = context.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL.into());
    }
    if crate::calls::path::request::means_descriptor(context, flags)? {
        let file = changeable(context)?;
        return set_mode(&file, context.uint(2));
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    change_mode(context, context.int(0), 1, context.uint(2), follow)
}

fn change_mode(
    context: &mut Context<'_>,
    fd: i32,
    argument: usize,
    mode: u32,
    follow: bool,
) -> Answer {
    let grant = target(context, fd, argument, follow)?;
    set_mode(&grant.place(context)?, mode)
}

/// Sets the permissions of what may be a place only. Links have none.
fn set_mode(file: &OwnedFd, mode: u32) -> Answer {
    let found = rustix::fs::fstat(file).map_err(Errno::from)?;
    if found.st_mode & S_IFMT == S_IFLNK {
        return Err(EOPNOTSUPP.into());
    }
    let mode = Mode::from_raw_mode(mode & MODES);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::chmodat(rustix::fs::CWD, path, mode, AtFlags::empty()).map_err(Errno::from)?;
    Ok(0)
}

/// What the descriptor in argument 0 stands for, if the program may change its metadata: a file
/// or directory of the host, however it was opened.
fn changeable(context: &mut Context<'_>) -> Result<Arc<OwnedFd>, Failure> {
    let open = context.state().descriptors.get(context.int(0))?;
    let (host, path, allowed) = match &open.object {
        Object::File(file) => (file.host(), file.path(), file.is_changeable()),
        Object::Directory(directory) => {
            let host = directory.host().ok_or(EPERM)?;
            (host, directory.path(), directory.is_changeable())
        }
        _ => return Err(EPERM.into()),
    };
    let (host, path) = (Arc::clone(host), path.to_vec());
    if !allowed {
        return Err(tell::denied(context, &path, &path, Less::ReadOnly));
    }
    tell::report_change(context, &path);
    Ok(host)
}

/// The same for calls that do not take a place (`O_PATH`).
fn changeable_file(context: &mut Context<'_>) -> Result<Arc<OwnedFd>, Failure> {
    let open = context.state().descriptors.get(context.int(0))?;
    if open.status & O_PATH != 0 {
        return Err(EBADF.into());
    }
    changeable(context)
}

/// `fchmod(fd, mode)`
pub(crate) fn fchmod(context: &mut Context<'_>) -> Answer {
    let file = changeable_file(context)?;
    let mode = Mode::from_raw_mode(context.uint(1) & MODES);
    rustix::fs::fchmod(&file, mode).map_err(Errno::from)?;
    Ok(0)
}

/// An ordinary user can give a file to nobody but himself.
fn only_self(user: u32, group: u32) -> Answer {
    const KEEP: u32 = u32::MAX;
    if [user, group].iter().all(|&id| id == KEEP || id == USER_ID) {
        Ok(0)
    } else {
        Err(EPERM.into())
    }
}

/// `chown(path, user, group)`
pub(crate) fn chown(context: &mut Context<'_>) -> Answer {
    change_owner(context, true)
}

/// `lchown(path, user, group)`
pub(crate) fn lchown(context: &mut Context<'_>) -> Answer {
    change_owner(context, false)
}

fn change_owner(context: &mut Context<'_>, follow: bool) -> Answer {
    target(context, AT_FDCWD, 0, follow)?.place(context)?;
    only_self(context.uint(1), context.uint(2))
}

/// `fchownat(fd, path, user, group, flags)`
pub(crate) fn fchownat(context: &mut Context<'_>) -> Answer {
    let flags = context.uint(4);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL.into());
    }
    if crate::calls::path::request::means_descriptor(context, flags)? {
        changeable(context)?;
    } else {
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        target(context, context.int(0), 1, follow)?.place(context)?;
    }
    only_self(context.uint(2), context.uint(3))
}

/// `fchown(fd, user, group)`
pub(crate) fn fchown(context: &mut Context<'_>) -> Answer {
    changeable_file(context)?;
    only_self(context.uint(1), context.uint(2))
}

/// `utimensat(fd, path, times, flags)`
pub(crate) fn utimensat(context: &mut Context<'_>) -> Answer {
    let times = if context.word(2) == 0 {
        now()
    } else {
        let bytes: [u8; 32] = context.read(context.word(2))?;
        let time = |at| timespec(u64_at(&bytes, at), u64_at(&bytes, at + 8));
        Timestamps {
            last_access: time(0)?,
            last_modification: time(16)?,
        }
    };
    let flags = context.uint(3);
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL.into());
    }
    if context.word(1) == 0 {
        let file = changeable_file(context)?;
        rustix::fs::futimens(&file, &times).map_err(Errno::from)?;
        return Ok(0);
    }
    if crate::calls::path::request::means_descriptor(context, flags)? {
        let file = changeable(context)?;
        rustix::fs::utimensat(&file, "", &times, AtFlags::EMPTY_PATH).map_err(Errno::from)?;
        return Ok(0);
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    set_times(context, context.int(0), 1, follow, &times)
}

/// `utimes(path, times)`
pub(crate) fn utimes(context: &mut Context<'_>) -> Answer {
    change_times(context, AT_FDCWD, 0)
}

/// `futimesat(fd, path, times)`
pub(crate) fn futimesat(context: &mut Context<'_>) -> Answer {
    change_times(context, context.int(0), 1)
}

/// The path is argument `argument`, and behind it come two `struct timeval`, or null.
fn change_times(context: &mut Context<'_>, fd: i32, argument: usize) -> Answer {
    let address = context.word(argument + 1);
    let times = if address == 0 {
        now()
    } else {
        let bytes: [u8; 32] = context.read(address)?;
        let time = |at| {
            let microseconds = u64_at(&bytes, at + 8);
            if microseconds >= 1_000_000 {
                return Err(EINVAL);
            }
            timespec(u64_at(&bytes, at), microseconds * 1000)
        };
        Timestamps {
            last_access: time(0)?,
            last_modification: time(16)?,
        }
    };
    set_times(context, fd, argument, true, &times)
}

/// `utime(path, times)`
pub(crate) fn utime(context: &mut Context<'_>) -> Answer {
    let times = if context.word(1) == 0 {
        now()
    } else {
        let bytes: [u8; 16] = context.read(context.word(1))?;
        Timestamps {
            last_access: timespec(u64_at(&bytes, 0), 0)?,
            last_modification: timespec(u64_at(&bytes, 8), 0)?,
        }
    };
    set_times(context, AT_FDCWD, 0, true, &times)
}

/// `UTIME_NOW`, `UTIME_OMIT` in linux/stat.h.
const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;

fn timespec(seconds: u64, nanoseconds: u64) -> Result<Timespec, Errno> {
    if nanoseconds >= 1_000_000_000 && !matches!(nanoseconds, UTIME_NOW | UTIME_OMIT) {
        return Err(EINVAL);
    }
    Ok(Timespec {
        tv_sec: seconds.cast_signed(),
        tv_nsec: nanoseconds.cast_signed(),
    })
}

fn now() -> Timestamps {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW.cast_signed(),
    };
    Timestamps {
        last_access: now,
        last_modification: now,
    }
}

fn set_times(
    context: &mut Context<'_>,
    fd: i32,
    argument: usize,
    follow: bool,
    times: &Timestamps,
) -> Answer {
    let grant = target(context, fd, argument, follow)?;
    let grant::Parent {
        directory: parent,
        name,
        ..
    } = grant.real_parent(context)?;
    rustix::fs::utimensat(&parent, &name, times, AtFlags::SYMLINK_NOFOLLOW).map_err(Errno::from)?;
    Ok(0)
}
