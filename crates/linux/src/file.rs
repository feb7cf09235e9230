//! Calls about files by path, and what `stat` says about open descriptors.

use crate::access::{self, Access, Right};
use crate::context::{Answer, Context, Failure, copy_out};
use crate::descriptor::{Descriptor, Object};
use crate::errno::{EACCES, EINVAL, ENOTDIR, ERANGE};
use crate::system::USER_ID;
use crate::wire::Record;

/// `AT_EMPTY_PATH` in linux/fcntl.h: an empty path means the descriptor itself.
const AT_EMPTY_PATH: u32 = 0x1000;

// File types: linux/stat.h
const S_IFIFO: u16 = 0o10000;
const S_IFCHR: u16 = 0o20000;

/// Major number of pseudo-terminals (Documentation/admin-guide/devices.txt).
const TERMINAL_MAJOR: u32 = 136;

/// A call whose path argument is named in the table and which has no virtual files.
pub(crate) fn by_path(context: &mut Context<'_>) -> Answer {
    let Access::Path { argument, .. } = context.call.access else {
        return Err(EACCES.into());
    };
    let path = context.path(context.word(argument))?;
    match access::decide(context, &path)? {}
}

/// `fstat(fd, buffer)`
pub(crate) fn fstat(context: &mut Context<'_>) -> Answer {
    let open = context.state().descriptors.get(context.int(0))?;
    let record = stat_record(context, open);
    context.write(context.word(1), record.as_bytes())?;
    Ok(0)
}

/// `newfstatat(fd, path, buffer, flags)`
pub(crate) fn newfstatat(context: &mut Context<'_>) -> Answer {
    let Some(open) = descriptor_itself(context, context.uint(3))? else {
        return by_path(context);
    };
    let record = stat_record(context, open);
    context.write(context.word(2), record.as_bytes())?;
    Ok(0)
}

/// `statx(fd, path, flags, mask, buffer)`
pub(crate) fn statx(context: &mut Context<'_>) -> Answer {
    /// `STATX_BASIC_STATS` in linux/stat.h.
    const BASIC: u32 = 0x7ff;
    let Some(open) = descriptor_itself(context, context.uint(2))? else {
        return by_path(context);
    };
    let (mode, minor) = kind(context, open);
    let major = if minor.is_some() { TERMINAL_MAJOR } else { 0 };
    // struct statx in linux/stat.h
    let record = Record::<256>::new()
        .u32(0, BASIC)
        .u32(4, BLOCK)
        .u32(16, 1)
        .u32(20, USER_ID)
        .u32(24, USER_ID)
        .u16(28, mode)
        .u64(32, inode(open))
        .u32(128, major)
        .u32(132, minor.unwrap_or(0));
    context.write(context.word(4), record.as_bytes())?;
    Ok(0)
}

/// The descriptor in argument 0, if flags and an empty path in argument 1 mean that.
fn descriptor_itself(context: &Context<'_>, flags: u32) -> Result<Option<Descriptor>, Failure> {
    if flags & AT_EMPTY_PATH == 0 || !context.path_or_empty(context.word(1))?.is_empty() {
        return Ok(None);
    }
    Ok(Some(context.state().descriptors.get(context.int(0))?))
}

/// Preferred size of a transfer, which C libraries take for their buffers.
const BLOCK: u32 = 4096;

/// File type and permissions, and the minor device number if it is a terminal.
fn kind(context: &Context<'_>, open: Descriptor) -> (u16, Option<u32>) {
    if context.process.options().terminal {
        return (S_IFCHR | 0o620, Some(0));
    }
    (
        S_IFIFO
            | if open.object == Object::Input {
                0o400
            } else {
                0o200
            },
        None,
    )
}

/// Something that differs between input and the two outputs.
fn inode(open: Descriptor) -> u64 {
    match open.object {
        Object::Input => 1,
        Object::Output(crate::Stream::Out) => 2,
        Object::Output(crate::Stream::Err) => 3,
    }
}

/// `struct stat` of an open descriptor (asm/stat.h).
fn stat_record(context: &Context<'_>, open: Descriptor) -> Record<144> {
    let (mode, minor) = kind(context, open);
    let device = minor.map_or(0, |minor| u64::from(TERMINAL_MAJOR) << 8 | u64::from(minor));
    Record::new()
        .u64(8, inode(open))
        .u64(16, 1)
        .u32(24, u32::from(mode))
        .u32(28, USER_ID)
        .u32(32, USER_ID)
        .u64(40, device)
        .u64(56, u64::from(BLOCK))
}

/// `readlink(path, buffer, size)`, `readlinkat(fd, path, buffer, size)`. The link to the program
/// itself is known without the host.
pub(crate) fn readlink(context: &mut Context<'_>) -> Answer {
    let Access::Path {
        argument,
        right: Right::Inspect,
    } = context.call.access
    else {
        return Err(EACCES.into());
    };
    let (buffer, size) = (context.word(argument + 1), context.int(argument + 2));
    let size = usize::try_from(size).unwrap_or(0);
    if size == 0 {
        return Err(EINVAL.into());
    }
    let path = context.path(context.word(argument))?;
    if path != b"/proc/self/exe" {
        match access::decide(context, &path)? {}
    }
    let target = &context.process.options().executable;
    let target = &target[..target.len().min(size)];
    copy_out(context.guest, buffer, target)?;
    Ok(target.len() as u64)
}

/// `getcwd(buffer, size)`: the root; the result counts the NUL.
pub(crate) fn getcwd(context: &mut Context<'_>) -> Answer {
    let path = b"/\0";
    if context.word(1) < path.len() as u64 {
        return Err(ERANGE.into());
    }
    context.write(context.word(0), path)?;
    Ok(path.len() as u64)
}

/// `getdents64`: nothing that is open is a directory.
pub(crate) fn getdents(context: &mut Context<'_>) -> Answer {
    context.state().descriptors.get(context.int(0))?;
    Err(ENOTDIR.into())
}

#[cfg(test)]
mod tests;
