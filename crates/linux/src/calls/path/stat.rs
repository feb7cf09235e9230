//! Calls that look at files.

use rustix::fs::{Access as HostAccess, AtFlags};

use crate::access::grant::Parent;
use crate::access::open::Opened;
use crate::access::place::Place;
use crate::access::request::Right;
use crate::access::synthetic::Node;
use crate::call::context::{Context, copy_out};
use crate::call::failure::{Answer, Failure};
use crate::calls::path::request::{at, means_descriptor, of_path};
use crate::calls::stream;
use crate::objects::metadata::{Metadata, host_metadata};
use crate::objects::object::Object;
use crate::wire::errno::{EACCES, EINVAL, ENOENT, Errno};
use crate::wire::file::{
    AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};
use crate::wire::record::Record;

/// `AT_NO_AUTOMOUNT` and the two that say how fresh it must be (linux/fcntl.h): no difference.
const AT_HARMLESS: u32 = 0x6800;

/// What `/proc/self/fd/1` points to if it is a terminal.
const TERMINAL: &[u8] = b"/dev/pts/0";

fn metadata(context: &mut Context<'_>, place: &Place) -> Result<Metadata, Failure> {
    match place {
        Place::Host(grant) => match grant.place_any(context)? {
            Opened::Host(file) => Ok(host_metadata(&file)?),
            Opened::MadeUp(node, path) => metadata_of_made_up(context, &node, &path),
        },
        Place::Synthetic(node, path) => metadata_of_made_up(context, node, path),
    }
}

fn metadata_of_made_up(
    context: &mut Context<'_>,
    node: &Node,
    path: &[u8],
) -> Result<Metadata, Failure> {
    match node {
        Node::Descriptor(fd) => {
            let object = context.state().descriptors.get(*fd).map_err(|_| ENOENT)?;
            metadata_of(context, &object.object)
        }
        node => Ok(node.metadata(path)),
    }
}

/// `stat(path, buffer)`
pub(crate) fn stat(context: &mut Context<'_>) -> Answer {
    let place = of_path(context, 0, true, Right::Read)?;
    put_stat(context, &place, context.word(1))
}

/// `lstat(path, buffer)`
pub(crate) fn lstat(context: &mut Context<'_>) -> Answer {
    let place = of_path(context, 0, false, Right::Read)?;
    put_stat(context, &place, context.word(1))
}

fn put_stat(context: &mut Context<'_>, place: &Place, buffer: u64) -> Answer {
    let found = metadata(context, place)?;
    context.write(buffer, found.stat().as_bytes())?;
    Ok(0)
}

/// `newfstatat(fd, path, buffer, flags)`
pub(crate) fn newfstatat(context: &mut Context<'_>) -> Answer {
    let (fd, buffer, flags) = (context.int(0), context.word(2), context.uint(3));
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_HARMLESS) != 0 {
        return Err(EINVAL.into());
    }
    if means_descriptor(context, flags)? {
        let found = of_descriptor_or_directory(context, fd)?;
        context.write(buffer, found.stat().as_bytes())?;
        return Ok(0);
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    let place = at(context, fd, 1, follow, Right::Read)?;
    put_stat(context, &place, buffer)
}

/// `statx(fd, path, flags, mask, buffer)`
pub(crate) fn statx(context: &mut Context<'_>) -> Answer {
    let (fd, flags, mask, buffer) = (
        context.int(0),
        context.uint(2),
        context.uint(3),
        context.word(4),
    );
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_HARMLESS) != 0 {
        return Err(EINVAL.into());
    }
    // STATX__RESERVED of linux/stat.h
    if mask & 0x8000_0000 != 0 {
        return Err(EINVAL.into());
    }
    let found = if means_descriptor(context, flags)? {
        of_descriptor_or_directory(context, fd)?
    } else {
        let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
        let place = at(context, fd, 1, follow, Right::Read)?;
        metadata(context, &place)?
    };
    context.write(buffer, found.statx().as_bytes())?;
    Ok(0)
}

/// What a descriptor stands for, or the working directory.
fn of_descriptor_or_directory(context: &mut Context<'_>, fd: i32) -> Result<Metadata, Failure> {
    if fd != AT_FDCWD {
        return of_descriptor(context, fd);
    }
    let request = crate::access::request::Request {
        directory: AT_FDCWD,
        path: b".".to_vec(),
        follow: true,
        right: Right::Read,
    };
    let place = crate::access::find::find(context, &request)?;
    metadata(context, &place)
}

/// `access(path, mode)`
pub(crate) fn access(context: &mut Context<'_>) -> Answer {
    check_access(context, AT_FDCWD, 0, context.uint(1), true)
}

/// `faccessat(fd, path, mode)`
pub(crate) fn faccessat(context: &mut Context<'_>) -> Answer {
    check_access(context, context.int(0), 1, context.uint(2), true)
}

/// `faccessat2(fd, path, mode, flags)`
pub(crate) fn faccessat2(context: &mut Context<'_>) -> Answer {
    const AT_EACCESS: u32 = 0x200;
    let (fd, mode, flags) = (context.int(0), context.uint(2), context.uint(3));
    if flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL.into());
    }
    if means_descriptor(context, flags)? {
        let found = of_descriptor_or_directory(context, fd)?;
        return allowed(found.mode & 0o111 != 0 || mode & 1 == 0);
    }
    let follow = flags & AT_SYMLINK_NOFOLLOW == 0;
    check_access(context, fd, 1, mode, follow)
}

fn allowed(yes: bool) -> Answer {
    if yes { Ok(0) } else { Err(EACCES.into()) }
}

fn check_access(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    mode: u32,
    follow: bool,
) -> Answer {
    // unistd.h
    const EXECUTE: u32 = 1;
    const WRITE: u32 = 2;
    const READ: u32 = 4;
    if mode & !(READ | WRITE | EXECUTE) != 0 {
        return Err(EINVAL.into());
    }
    let right = if mode & WRITE != 0 {
        Right::Write
    } else {
        Right::Read
    };
    let place = at(context, directory, argument, follow, right)?;
    let made_up = |found: Metadata| allowed(mode & EXECUTE == 0 || found.mode & 0o111 != 0);
    let Place::Host(grant) = place else {
        return made_up(metadata(context, &place)?);
    };
    if let Opened::MadeUp(node, path) = grant.place_any(context)? {
        return made_up(metadata_of_made_up(context, &node, &path)?);
    }
    let wanted = HostAccess::from_bits_truncate(mode);
    if wanted.is_empty() {
        return Ok(0);
    }
    let Parent {
        directory: parent,
        name,
        ..
    } = grant.real_parent(context)?;
    let flags = AtFlags::EACCESS | AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::accessat(&parent, &name, wanted, flags).map_err(Errno::from)?;
    Ok(0)
}

/// `readlink(path, buffer, size)`
pub(crate) fn readlink(context: &mut Context<'_>) -> Answer {
    read_link(context, AT_FDCWD, 0)
}

/// `readlinkat(fd, path, buffer, size)`
pub(crate) fn readlinkat(context: &mut Context<'_>) -> Answer {
    read_link(context, context.int(0), 1)
}

fn read_link(context: &mut Context<'_>, directory: i32, argument: usize) -> Answer {
    let (buffer, size) = (context.word(argument + 1), context.int(argument + 2));
    let size = usize::try_from(size).unwrap_or(0);
    if size == 0 {
        return Err(EINVAL.into());
    }
    if argument == 1 && context.path_or_empty(context.word(1))?.is_empty() {
        let target = link_of_descriptor(context, directory)?;
        return put_link(context, buffer, &target, size);
    }
    let target = match at(context, directory, argument, false, Right::Read)? {
        Place::Synthetic(Node::Link(target), _) => target,
        Place::Synthetic(Node::Descriptor(fd), _) => descriptor_name(context, fd)?,
        Place::Synthetic(..) => return Err(EINVAL.into()),
        Place::Host(grant) => {
            let file = grant.place(context)?;
            if host_metadata(&file)?.mode & S_IFMT != S_IFLNK {
                return Err(EINVAL.into());
            }
            let target = rustix::fs::readlinkat(&file, "", Vec::new()).map_err(Errno::from)?;
            target.into_bytes()
        }
    };
    put_link(context, buffer, &target, size)
}

fn put_link(context: &mut Context<'_>, buffer: u64, target: &[u8], size: usize) -> Answer {
    let target = &target[..target.len().min(size)];
    copy_out(context.guest, buffer, target)?;
    Ok(target.len() as u64)
}

/// Where a link points that was opened itself (`O_PATH` and `O_NOFOLLOW`).
fn link_of_descriptor(context: &Context<'_>, fd: i32) -> Result<Vec<u8>, Failure> {
    match &context.state().descriptors.get(fd)?.object {
        Object::File(file) if file.metadata()?.mode & S_IFMT == S_IFLNK => {
            let target = rustix::fs::readlinkat(file.host(), "", Vec::new());
            Ok(target.map_err(Errno::from)?.into_bytes())
        }
        _ => Err(ENOENT.into()),
    }
}

/// What `/proc/self/fd/N` points to if that is no path.
fn descriptor_name(context: &Context<'_>, fd: i32) -> Result<Vec<u8>, Failure> {
    let open = context.state().descriptors.get(fd).map_err(|_| ENOENT)?;
    let inode = metadata_of(context, &open.object)?.inode;
    let options = context.process.options();
    Ok(match &open.object {
        Object::Input if options.is_terminal(None) => TERMINAL.to_vec(),
        Object::Output(stream) if options.is_terminal(Some(*stream)) => TERMINAL.to_vec(),
        Object::Text(text) => text.path.clone(),
        Object::Device(device) => device.path().to_vec(),
        _ => format!("pipe:[{inode}]").into_bytes(),
    })
}

/// `statfs(path, buffer)`
pub(crate) fn statfs(context: &mut Context<'_>) -> Answer {
    let record = match of_path(context, 0, true, Right::Read)? {
        Place::Host(grant) => match grant.place_any(context)? {
            Opened::Host(file) => host_statfs(&file)?,
            Opened::MadeUp(_, path) => made_up_statfs(&path),
        },
        Place::Synthetic(_, path) => made_up_statfs(&path),
    };
    context.write(context.word(1), record.as_bytes())?;
    Ok(0)
}

/// `fstatfs(fd, buffer)`
pub(crate) fn fstatfs(context: &mut Context<'_>) -> Answer {
    let record = match &context.state().descriptors.get(context.int(0))?.object {
        Object::File(file) => host_statfs(file.host())?,
        Object::Directory(directory) => match directory.host() {
            Some(file) => host_statfs(file)?,
            None => made_up_statfs(directory.path()),
        },
        _ => made_up_statfs(b""),
    };
    context.write(context.word(1), record.as_bytes())?;
    Ok(0)
}

/// `struct statfs` (asm-generic/statfs.h).
fn host_statfs(file: &impl std::os::fd::AsFd) -> Result<Record<120>, Errno> {
    let found = rustix::fs::fstatfs(file)?;
    let field = |value: i64| value.cast_unsigned();
    Ok(Record::new()
        .u64(0, field(found.f_type))
        .u64(8, field(found.f_bsize))
        .u64(16, found.f_blocks)
        .u64(24, found.f_bfree)
        .u64(32, found.f_bavail)
        .u64(40, found.f_files)
        .u64(48, found.f_ffree)
        .u64(64, field(found.f_namelen))
        .u64(72, field(found.f_frsize)))
}

fn made_up_statfs(path: &[u8]) -> Record<120> {
    // linux/magic.h
    const PROC: u64 = 0x9fa0;
    const TMPFS: u64 = 0x0102_1994;
    const CGROUP2: u64 = 0x6367_7270;
    let kind = if path.starts_with(b"/proc") {
        PROC
    } else if path.starts_with(b"/sys/fs/cgroup") {
        CGROUP2
    } else {
        TMPFS
    };
    Record::new()
        .u64(0, kind)
        .u64(8, 4096)
        .u64(64, 255)
        .u64(72, 4096)
}

/// What a descriptor stands for.
pub(crate) fn of_descriptor(context: &Context<'_>, fd: i32) -> Result<Metadata, Failure> {
    let object = &context.state().descriptors.get(fd)?.object;
    metadata_of(context, object)
}

/// `fstat(fd, buffer)`
pub(crate) fn fstat(context: &mut Context<'_>) -> Answer {
    let (fd, buffer) = (context.int(0), context.word(1));
    let found = of_descriptor(context, fd)?;
    context.write(buffer, found.stat().as_bytes())?;
    Ok(0)
}

/// What `stat` says.
pub(crate) fn metadata_of(context: &Context<'_>, object: &Object) -> Result<Metadata, Failure> {
    match object {
        Object::Input => Ok(stream::metadata(context, None)),
        Object::Output(stream) => Ok(stream::metadata(context, Some(*stream))),
        Object::Device(device) => Ok(device.metadata()),
        Object::Pipe(end) => Ok(end.metadata()),
        // An anonymous inode: no type.
        Object::Counter(_) | Object::Timer(_) | Object::Signals(_) | Object::Set(_) => {
            Ok(Metadata {
                inode: 5,
                ..Metadata::own(0o600)
            })
        }
        Object::MemoryFile(file) => Ok(file.metadata(context.state().object(file.0)?)),
        Object::Pair(end) => Ok(Metadata {
            inode: end.inode(),
            ..Metadata::own(S_IFSOCK | 0o777)
        }),
        Object::Socket(socket) => Ok(Metadata {
            inode: socket.inode(),
            ..Metadata::own(S_IFSOCK | 0o777)
        }),
        Object::File(file) => Ok(file.metadata()?),
        Object::Directory(directory) => Ok(directory.metadata()?),
        Object::Text(text) => Ok(Metadata::made_up(S_IFREG | 0o444, &text.path)),
    }
}
