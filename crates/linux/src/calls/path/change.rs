//! Calls that create, remove and rename.

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags};

use crate::access::grant::Grant;
use crate::access::place::Place;
use crate::access::request::Right;
use crate::access::tell;
use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::path::links;
use crate::calls::path::name::{Kind, Last, named, new_name};
use crate::calls::path::request::at;
use crate::notice::Less;
use crate::rules::paths::ends_as_directory;
use crate::wire::errno::{EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, Errno};
use crate::wire::file::{AT_EMPTY_PATH, AT_FDCWD, S_IFMT, S_IFREG};

/// What a call changes: a file of the host that may be written. What is meant as a directory is one.
pub(super) fn target(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    follow: bool,
) -> Result<Grant, Failure> {
    match at(context, directory, argument, follow, Right::Write)? {
        Place::Host(grant) => {
            if ends_as_directory(&context.path(context.word(argument))?) {
                grant.place(context)?;
            }
            Ok(grant)
        }
        Place::Synthetic(_, path) => Err(tell::denied(context, &path, &path, Less::MadeUp)),
    }
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
    let grant = new_name(context, directory, argument)?.grant;
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
    let new = new_name(context, directory, argument)?;
    if !matches!(mode & S_IFMT, 0 | S_IFREG) {
        return Err(EPERM.into());
    }
    new.is_no_directory(context)?;
    let (parent, name) = new.grant.parent(context)?;
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
    let directory = flags.contains(AtFlags::REMOVEDIR);
    let old = named(context, fd, argument, Right::Write)?;
    match old.last {
        Last::Name => {}
        _ if !directory => return Err(EISDIR.into()),
        Last::Dot => return Err(EINVAL.into()),
        Last::DotDot => return Err(ENOTEMPTY.into()),
    }
    if !directory && old.slash {
        return Err(match old.kind(context)? {
            Some(Kind::Directory) => EISDIR.into(),
            Some(Kind::Other) => ENOTDIR.into(),
            None => ENOENT.into(),
        });
    }
    check_movable(context, &old.grant)?;
    let (parent, name) = old.grant.parent(context)?;
    rustix::fs::unlinkat(&parent, &name, flags).map_err(Errno::from)?;
    Ok(0)
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
    let from = named(context, old.0, old.1, Right::Write)?;
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    let right = if exchange {
        Right::Write
    } else {
        Right::Create
    };
    let to = named(context, new.0, new.1, right)?;
    if from.last != Last::Name || to.last != Last::Name {
        return Err(EBUSY.into());
    }
    check_movable(context, &from.grant)?;
    check_movable(context, &to.grant)?;
    // What is moved becomes what it is called; of an exchange, each of the two.
    let kinds = match exchange {
        true => [(from.slash, &from), (to.slash, &to)],
        false => [(from.slash || to.slash, &from), (false, &to)],
    };
    for (slash, named) in kinds {
        if slash && named.kind(context)? == Some(Kind::Other) {
            return Err(ENOTDIR.into());
        }
    }
    let (from, to) = (from.grant, to.grant);
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
    to.is_no_directory(context)?;
    let (from, to) = (from.real_parent(context)?, to.grant.parent_in(context)?);
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
    let new = new_name(context, fd, argument)?;
    new.is_no_directory(context)?;
    let place = new.grant.parent_in(context)?;
    links::make(context, &points_to, &place)?;
    Ok(0)
}
