//! Calls that create, remove and rename.

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use crate::access::grant::Grant;
use crate::access::place::Place;
use crate::access::request::{self, Right};
use crate::access::{find, tell};
use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::path::links;
use crate::calls::path::request::at;
use crate::notice::Less;
use crate::wire::errno::{EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM, Errno};
use crate::wire::file::{AT_EMPTY_PATH, AT_FDCWD, S_IFMT, S_IFREG};

/// What a call changes: a file of the host that may be written.
pub(super) fn target(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    follow: bool,
) -> Result<Grant, Failure> {
    changed(context, directory, argument, follow, Right::Write)
}

fn changed(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    follow: bool,
    right: Right,
) -> Result<Grant, Failure> {
    match at(context, directory, argument, follow, right)? {
        Place::Host(grant) => Ok(grant),
        Place::Synthetic(_, path) => Err(tell::denied(context, &path, &path, Less::MadeUp)),
    }
}

/// The same for a name that is created: if something is there already, that it exists goes before
/// that it could not be written.
fn new_name(context: &mut Context<'_>, directory: i32, argument: usize) -> Result<Grant, Failure> {
    let request = request::Request {
        directory,
        path: context.path(context.word(argument))?,
        follow: false,
        right: Right::Read,
    };
    if let Ok(Place::Synthetic(..)) = find::find_quietly(context, &request) {
        return Err(EEXIST.into());
    }
    changed(context, directory, argument, false, Right::Create)
}

/// `mkdir(path, mode)`
pub(crate) fn mkdir(context: &mut Context<'_>) -> Answer {
    make_directory(context, AT_FDCWD, 0)
}

/// `mkdirat(fd, path, mode)`
pub(crate) fn mkdirat(context: &mut Context<'_>) -> Answer {
    make_directory(context, context.int(0), 1)
}

fn make_directory(context: &mut Context<'_>, directory: i32, argument: usize) -> Answer {
    let grant = new_name(context, directory, argument)?;
    if grant.is_root() {
        return Err(EEXIST.into());
    }
    let (parent, name) = grant.parent(context)?;
    rustix::fs::mkdirat(&parent, &name, Mode::RWXU).map_err(Errno::from)?;
    Ok(0)
}

/// `mknod(path, mode, device)`: a plain file can be made; nothing else.
pub(crate) fn mknod(context: &mut Context<'_>) -> Answer {
    make_node(context, AT_FDCWD, 0, context.uint(1))
}

/// `mknodat(fd, path, mode, device)`
pub(crate) fn mknodat(context: &mut Context<'_>) -> Answer {
    make_node(context, context.int(0), 1, context.uint(2))
}

fn make_node(context: &mut Context<'_>, directory: i32, argument: usize, mode: u32) -> Answer {
    let grant = new_name(context, directory, argument)?;
    if !matches!(mode & S_IFMT, 0 | S_IFREG) {
        return Err(EPERM.into());
    }
    let (parent, name) = grant.parent(context)?;
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(&parent, &name, flags, Mode::RUSR | Mode::WUSR).map_err(Errno::from)?;
    Ok(0)
}

/// `unlink(path)`
pub(crate) fn unlink(context: &mut Context<'_>) -> Answer {
    remove(context, AT_FDCWD, 0, AtFlags::empty())
}

/// `rmdir(path)`
pub(crate) fn rmdir(context: &mut Context<'_>) -> Answer {
    remove(context, AT_FDCWD, 0, AtFlags::REMOVEDIR)
}

/// `unlinkat(fd, path, flags)`
pub(crate) fn unlinkat(context: &mut Context<'_>) -> Answer {
    let flags = context.uint(2);
    if flags & !AtFlags::REMOVEDIR.bits() != 0 {
        return Err(EINVAL.into());
    }
    remove(context, context.int(0), 1, AtFlags::from_bits_retain(flags))
}

fn remove(context: &mut Context<'_>, fd: i32, argument: usize, flags: AtFlags) -> Answer {
    let path = context.path(context.word(argument))?;
    let directory = flags.contains(AtFlags::REMOVEDIR);
    if directory && path.ends_with(b".") && !path.ends_with(b"..") && last(&path) == b"." {
        return Err(EINVAL.into());
    }
    let grant = target(context, fd, argument, false)?;
    if !directory && path.ends_with(b"/") {
        // Of a directory that is meant as one.
        let file = grant.place(context)?;
        drop(file);
        return Err(EISDIR.into());
    }
    check_movable(context, &grant)?;
    let (parent, name) = grant.parent(context)?;
    rustix::fs::unlinkat(&parent, &name, flags).map_err(Errno::from)?;
    Ok(0)
}

/// The last part of a path.
fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// A directory with other grants in it stays where it is: what they decide goes by its path.
fn check_movable(context: &Context<'_>, grant: &Grant) -> Result<(), Errno> {
    if grant.is_root()
        || context
            .process
            .options()
            .permissions
            .has_below(grant.path())
    {
        return Err(EBUSY);
    }
    Ok(())
}

/// `rename(old, new)`
pub(crate) fn rename(context: &mut Context<'_>) -> Answer {
    move_file(context, (AT_FDCWD, 0), (AT_FDCWD, 1), RenameFlags::empty())
}

/// `renameat(old fd, old, new fd, new)`
pub(crate) fn renameat(context: &mut Context<'_>) -> Answer {
    let (old, new) = ((context.int(0), 1), (context.int(2), 3));
    move_file(context, old, new, RenameFlags::empty())
}

/// `renameat2(old fd, old, new fd, new, flags)`
pub(crate) fn renameat2(context: &mut Context<'_>) -> Answer {
    let flags = RenameFlags::from_bits_retain(context.uint(4));
    let known = RenameFlags::NOREPLACE | RenameFlags::EXCHANGE;
    if !known.contains(flags) || flags == known {
        return Err(EINVAL.into());
    }
    let (old, new) = ((context.int(0), 1), (context.int(2), 3));
    move_file(context, old, new, flags)
}

fn move_file(
    context: &mut Context<'_>,
    old: (i32, usize),
    new: (i32, usize),
    flags: RenameFlags,
) -> Answer {
    let from = target(context, old.0, old.1, false)?;
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    let right = if exchange {
        Right::Write
    } else {
        Right::Create
    };
    let to = changed(context, new.0, new.1, false, right)?;
    check_movable(context, &from)?;
    check_movable(context, &to)?;
    for (grant, argument) in [(&from, old.1), (&to, new.1)] {
        if context.path(context.word(argument))?.ends_with(b"/") {
            let is_directory = match from.place(context) {
                Ok(file) => crate::objects::metadata::host_metadata(&file)?.is_directory(),
                Err(failure) => return Err(failure),
            };
            let _ = grant;
            if !is_directory {
                return Err(ENOTDIR.into());
            }
        }
    }
    let (from, to) = (from.parent_in(context)?, to.parent_in(context)?);
    links::rename(context, &from, &to, flags)?;
    Ok(0)
}

/// `link(old, new)`
pub(crate) fn link(context: &mut Context<'_>) -> Answer {
    link_file(context, (AT_FDCWD, 0), (AT_FDCWD, 1), false)
}

/// `linkat(old fd, old, new fd, new, flags)`
pub(crate) fn linkat(context: &mut Context<'_>) -> Answer {
    const AT_SYMLINK_FOLLOW: u32 = 0x400;
    let flags = context.uint(4);
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL.into());
    }
    if flags & AT_EMPTY_PATH != 0 && context.path_or_empty(context.word(1))?.is_empty() {
        return Err(ENOENT.into());
    }
    let follow = flags & AT_SYMLINK_FOLLOW != 0;
    link_file(context, (context.int(0), 1), (context.int(2), 3), follow)
}

/// A second name for a file. That makes it writable by that name, so it must be writable already.
fn link_file(
    context: &mut Context<'_>,
    old: (i32, usize),
    new: (i32, usize),
    follow: bool,
) -> Answer {
    let from = target(context, old.0, old.1, follow)?;
    let to = new_name(context, new.0, new.1)?;
    let (from, to) = (from.real_parent(context)?, to.parent_in(context)?);
    links::second_name(context, &from, &to)?;
    Ok(0)
}

/// `symlink(target, path)`
pub(crate) fn symlink(context: &mut Context<'_>) -> Answer {
    make_link(context, AT_FDCWD, 1)
}

/// `symlinkat(target, fd, path)`
pub(crate) fn symlinkat(context: &mut Context<'_>) -> Answer {
    make_link(context, context.int(1), 2)
}

/// Links are made only where they stay inside of what is granted: relative, and with no more `..`
/// in front than the directory is deep.
fn make_link(context: &mut Context<'_>, fd: i32, argument: usize) -> Answer {
    let points_to = context.path(context.word(0))?;
    let place = new_name(context, fd, argument)?.parent_in(context)?;
    links::make(context, &points_to, &place)?;
    Ok(0)
}
