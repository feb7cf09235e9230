//! Calls about files by path, and what `stat` says about open descriptors.

use crate::access::{self, Access, Right};
use crate::context::{Answer, Context, Failure, copy_out};
use crate::errno::{EACCES, EINVAL, ENOTDIR, ERANGE};
use crate::stat;

/// `AT_EMPTY_PATH` in linux/fcntl.h: an empty path means the descriptor itself.
const AT_EMPTY_PATH: u32 = 0x1000;

/// A call whose path argument is named in the table and which has no virtual files.
pub(crate) fn by_path(context: &mut Context<'_>) -> Answer {
    let Access::Path { argument, .. } = context.call.access else {
        return Err(EACCES.into());
    };
    let path = context.path(context.word(argument))?;
    match access::decide(context, &path)? {}
}

/// `newfstatat(fd, path, buffer, flags)`
pub(crate) fn newfstatat(context: &mut Context<'_>) -> Answer {
    if !means_descriptor(context, context.uint(3))? {
        return by_path(context);
    }
    let found = stat::of_descriptor(context)?;
    context.write(context.word(2), found.stat().as_bytes())?;
    Ok(0)
}

/// `statx(fd, path, flags, mask, buffer)`
pub(crate) fn statx(context: &mut Context<'_>) -> Answer {
    if !means_descriptor(context, context.uint(2))? {
        return by_path(context);
    }
    let found = stat::of_descriptor(context)?;
    context.write(context.word(4), found.statx().as_bytes())?;
    Ok(0)
}

/// True if flags and an empty path in argument 1 mean the descriptor in argument 0.
fn means_descriptor(context: &Context<'_>, flags: u32) -> Result<bool, Failure> {
    Ok(flags & AT_EMPTY_PATH != 0 && context.path_or_empty(context.word(1))?.is_empty())
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
