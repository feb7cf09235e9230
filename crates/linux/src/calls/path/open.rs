//! `open` and its relatives.

use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::access::find;
use crate::access::grant::Grant;
use crate::access::open::Opened;
use crate::access::place::Place;
use crate::access::request::{Request, Right};
use crate::access::synthetic::Node;
use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::notice::Less;
use crate::objects::account;
use crate::objects::directory::Directory;
use crate::objects::file::HostFile;
use crate::objects::object::Object;
use crate::rules::paths::ends_as_directory;
use crate::wire::errno::{
    E2BIG, EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR, EOPNOTSUPP, EXDEV,
};
use crate::wire::file::{
    AT_FDCWD, O_ACCMODE, O_APPEND, O_CLOEXEC, O_NONBLOCK, O_PATH, O_WRONLY, S_IFDIR, S_IFMT,
    S_IFREG,
};
use crate::wire::record::u64_at;

// Open flags: asm-generic/fcntl.h
const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1000;
const O_DSYNC: u32 = 0o10000;
const O_DIRECT: u32 = 0o40000;
const O_LARGEFILE: u32 = 0o100_000;
const O_DIRECTORY: u32 = 0o200_000;
const O_NOFOLLOW: u32 = 0o400_000;
const O_NOATIME: u32 = 0o1_000_000;
const O_SYNC_BIT: u32 = 0o4_000_000;
const O_TMPFILE_BIT: u32 = 0o20_000_000;
/// What the program sees of its flags later.
const KEPT: u32 = O_ACCMODE | O_APPEND | O_NONBLOCK | O_DSYNC | O_SYNC_BIT | O_DIRECT | O_NOATIME;

/// `open(path, flags, mode)`
pub(crate) fn open(context: &mut Context<'_>) -> Answer {
    let path = context.path(context.word(0))?;
    open_path(context, AT_FDCWD, path, context.uint(1))
}

/// `creat(path, mode)`
pub(crate) fn creat(context: &mut Context<'_>) -> Answer {
    let path = context.path(context.word(0))?;
    open_path(context, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC)
}

/// `openat(directory, path, flags, mode)`
pub(crate) fn openat(context: &mut Context<'_>) -> Answer {
    let path = context.path(context.word(1))?;
    open_path(context, context.int(0), path, context.uint(2))
}

/// `openat2(directory, path, how, size)`. Ways of resolving that forbid something are answered as
/// if it were there (`EXDEV`), unless the rules of all paths here forbid it anyway.
pub(crate) fn openat2(context: &mut Context<'_>) -> Answer {
    // linux/openat2.h
    const SIZE: u64 = 24;
    const NO_XDEV: u64 = 1;
    const NO_MAGICLINKS: u64 = 2;
    const NO_SYMLINKS: u64 = 4;
    const BENEATH: u64 = 8;
    const IN_ROOT: u64 = 0x10;
    const CACHED: u64 = 0x20;
    if context.word(3) < SIZE {
        return Err(EINVAL.into());
    }
    if context.word(3) > SIZE {
        return Err(E2BIG.into());
    }
    let how: [u8; 24] = context.read(context.word(2))?;
    let flags = u32::try_from(u64_at(&how, 0)).map_err(|_| EINVAL)?;
    let (mode, resolve) = (u64_at(&how, 8), u64_at(&how, 16));
    let known = NO_XDEV | NO_MAGICLINKS | NO_SYMLINKS | BENEATH | IN_ROOT | CACHED;
    if resolve & !known != 0 || mode != 0 && flags & (O_CREAT | O_TMPFILE_BIT) == 0 {
        return Err(EINVAL.into());
    }
    if resolve & CACHED != 0 {
        return Err(crate::wire::errno::EAGAIN.into());
    }
    let path = context.path(context.word(1))?;
    if resolve & (BENEATH | IN_ROOT) != 0 && leaves(&path) {
        return Err(EXDEV.into());
    }
    if resolve & (BENEATH | IN_ROOT | NO_SYMLINKS) != 0 {
        // Nothing of the path may be a link: stricter than asked for, and never less.
        let request = Request {
            directory: context.int(0),
            path: path.clone(),
            follow: true,
            right: Right::Read,
        };
        if !find::is_free_of_links(context, &request)? {
            return Err(if resolve & NO_SYMLINKS != 0 {
                ELOOP
            } else {
                EXDEV
            }
            .into());
        }
    }
    open_path(context, context.int(0), path, flags)
}

/// True for a path that is absolute or goes up beyond its start.
fn leaves(path: &[u8]) -> bool {
    let mut depth = 0_i32;
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => depth -= 1,
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    path.first() == Some(&b'/')
}

fn open_path(context: &mut Context<'_>, directory: i32, path: Vec<u8>, flags: u32) -> Answer {
    let place_only = flags & O_PATH != 0;
    let flags = if place_only {
        flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    } else {
        flags
    };
    if flags & O_TMPFILE_BIT != 0 {
        return Err(EOPNOTSUPP.into());
    }
    if flags & O_ACCMODE == O_ACCMODE || flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
        return Err(EINVAL.into());
    }
    context.check_free(1)?;
    let writes = flags & (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND) != 0;
    if flags & O_CREAT != 0 && path.last() == Some(&b'/') {
        return Err(EISDIR.into());
    }
    if flags & O_CREAT != 0 && ends_as_directory(&path) {
        // It has no name, so it is there, or its directory is not.
        let request = Request {
            directory,
            path,
            follow: true,
            right: Right::Read,
        };
        if let Place::Host(grant) = find::find(context, &request)? {
            grant.place(context)?;
        }
        return Err(if flags & O_EXCL != 0 { EEXIST } else { EISDIR }.into());
    }
    let request = Request {
        directory,
        path,
        follow: flags & O_NOFOLLOW == 0 && flags & (O_CREAT | O_EXCL) != O_CREAT | O_EXCL,
        right: if flags & O_CREAT != 0 {
            Right::Create
        } else if writes {
            Right::Write
        } else {
            Right::Read
        },
    };
    match find::find(context, &request)? {
        Place::Host(grant) => open_host(context, &grant, flags),
        Place::Synthetic(node, path) => open_synthetic(context, node, path, flags),
    }
}

/// Opens a file or directory of the host. Whatever mode is asked for, new files are 0600.
fn open_host(context: &mut Context<'_>, grant: &Grant, flags: u32) -> Answer {
    // The request has said whether a link at the end is followed.
    let passed = O_ACCMODE
        | O_CREAT
        | O_EXCL
        | O_TRUNC
        | O_DSYNC
        | O_LARGEFILE
        | O_DIRECTORY
        | O_SYNC_BIT
        | O_PATH;
    // A FIFO or a device must not keep us waiting; both are refused below.
    let mut host = OFlags::from_bits_retain(flags & passed) | OFlags::NOCTTY;
    if flags & O_PATH == 0 {
        host |= OFlags::NONBLOCK;
    } else {
        host = host.difference(OFlags::NOCTTY);
    }
    let mode = if flags & O_CREAT != 0 {
        Mode::RUSR | Mode::WUSR
    } else {
        Mode::empty()
    };
    let creates = flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL;
    if !creates && flags & (O_PATH | O_DIRECTORY) == 0 && grant.is_special(context) {
        return Err(grant.refuse(context, Less::Special));
    }
    let file = match grant.open_any(context, host, mode)? {
        Opened::Host(file) => file,
        Opened::MadeUp(node, path) => return open_synthetic(context, node, path, flags),
    };
    let found = rustix::fs::fstat(&file).map_err(crate::wire::errno::Errno::from)?;
    let kind = found.st_mode & S_IFMT;
    let path = grant.path().to_vec();
    let kept = flags & (KEPT | O_CLOEXEC | O_PATH) | O_LARGEFILE;
    let changeable = grant.writable && grant.may_open(&file);
    if kind == S_IFDIR {
        let directory = Directory::of_host(file, path, changeable);
        return install(context, Object::Directory(Arc::new(directory)), kept);
    }
    if flags & O_PATH == 0 && (kind != S_IFREG || !grant.may_open(&file)) {
        return Err(grant.refuse(context, Less::Special));
    }
    let writable = flags & O_ACCMODE != 0;
    let file = HostFile::new(file, path, writable, changeable);
    install(context, Object::File(Arc::new(file)), kept)
}

/// Opens a descriptor, if the host may hold what it stands for.
fn install(context: &mut Context<'_>, object: Object, kept: u32) -> Answer {
    context.check_memory(account::of_object(&object))?;
    context.install(object, kept)
}

fn open_synthetic(context: &mut Context<'_>, node: Node, path: Vec<u8>, flags: u32) -> Answer {
    let kept = flags & (KEPT | O_CLOEXEC | O_PATH) | O_LARGEFILE;
    if flags & (O_CREAT | O_EXCL) == O_CREAT | O_EXCL {
        return Err(EEXIST.into());
    }
    if flags & O_DIRECTORY != 0 && !node.is_directory() {
        return Err(ENOTDIR.into());
    }
    let object = match node {
        Node::Text(text) => Object::Text(Arc::new(crate::objects::object::Text {
            bytes: text.bytes(context),
            path,
        })),
        Node::Device(device) => Object::Device(device),
        Node::Directory(names) => {
            if flags & O_ACCMODE != 0 {
                return Err(EISDIR.into());
            }
            Object::Directory(Arc::new(Directory::synthetic(names, path)))
        }
        Node::Link(_) if flags & O_PATH != 0 => return Err(EACCES.into()),
        Node::Link(_) => return Err(ELOOP.into()),
        Node::Descriptor(fd) => {
            let open = context.state().descriptors.get(fd).map_err(|_| ENOENT)?;
            let allowed = (flags & O_ACCMODE == O_WRONLY || open.readable())
                && (flags & O_ACCMODE == 0 || open.writable());
            if !allowed && flags & O_PATH == 0 {
                return Err(EACCES.into());
            }
            // Another descriptor for the same description: its kind has no position.
            return context.duplicate(fd, flags & O_CLOEXEC != 0);
        }
    };
    install(context, object, kept)
}
