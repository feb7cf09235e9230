//! The working directory, and what is in a directory.

use std::sync::Arc;

use crate::access::find;
use crate::access::open::Opened;
use crate::access::place::Place;
use crate::access::request::Right;
use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::calls::path::request::of_path;
use crate::objects::directory::{Directory, Name};
use crate::objects::metadata::host_metadata;
use crate::objects::object::Object;
use crate::rules::paths;
use crate::wire::errno::{EBADF, EFAULT, EINVAL, ENOTDIR, ERANGE};

/// `chdir(path)`
pub(crate) fn chdir(context: &mut Context<'_>) -> Answer {
    let place = of_path(context, 0, true, Right::Read)?;
    let path = match place {
        Place::Host(grant) => match grant.place_any(context)? {
            Opened::Host(file) if host_metadata(&file)?.is_directory() => grant.path().to_vec(),
            Opened::MadeUp(node, path) if node.is_directory() => path,
            _ => return Err(ENOTDIR.into()),
        },
        Place::Synthetic(node, path) if node.is_directory() => path,
        Place::Synthetic(..) => return Err(ENOTDIR.into()),
    };
    context.state_mut().directory = path.into();
    Ok(0)
}

/// `fchdir(fd)`
pub(crate) fn fchdir(context: &mut Context<'_>) -> Answer {
    let path = find::directory_of(context, context.int(0))?;
    context.state_mut().directory = path.into();
    Ok(0)
}

/// `getcwd(buffer, size)`: the result counts the NUL.
pub(crate) fn getcwd(context: &mut Context<'_>) -> Answer {
    let mut path = paths::shown(&context.state().directory);
    path.push(0);
    if context.word(1) < path.len() as u64 {
        return Err(ERANGE.into());
    }
    context.write(context.word(0), &path)?;
    Ok(path.len() as u64)
}

/// The most bytes of one listing.
const MOST: u64 = 64 * 1024;

/// `getdents64(fd, buffer, size)`
pub(crate) fn getdents64(context: &mut Context<'_>) -> Answer {
    // struct linux_dirent64: u64 inode, u64 next, u16 length, u8 kind, name
    list(context, |entry, out| {
        let length = (19 + entry.name.len() + 1).next_multiple_of(8);
        let start = out.len();
        out.extend_from_slice(&entry.inode.to_le_bytes());
        out.extend_from_slice(&entry.next.to_le_bytes());
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        out.push(entry.kind);
        out.extend_from_slice(&entry.name);
        out.resize(start + length, 0);
    })
}

/// `getdents(fd, buffer, size)`
pub(crate) fn getdents(context: &mut Context<'_>) -> Answer {
    // struct linux_dirent: u64 inode, u64 next, u16 length, name, u8 kind at the end
    list(context, |entry, out| {
        let length = (18 + entry.name.len() + 2).next_multiple_of(8);
        let start = out.len();
        out.extend_from_slice(&entry.inode.to_le_bytes());
        out.extend_from_slice(&entry.next.to_le_bytes());
        out.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&entry.name);
        out.resize(start + length - 1, 0);
        out.push(entry.kind);
    })
}

fn list(context: &mut Context<'_>, put: fn(&Name, &mut Vec<u8>)) -> Answer {
    let fd = context.int(0);
    let open = context.state().descriptors.get(fd)?;
    let Object::Directory(directory) = &open.object else {
        return Err(ENOTDIR.into());
    };
    if !open.readable() {
        return Err(EBADF.into());
    }
    let directory: Arc<Directory> = Arc::clone(directory);
    let room = usize::try_from(u64::from(context.uint(2)).min(MOST)).map_err(|_| EINVAL)?;
    let start = open.offset;
    let (mut out, mut at, mut too_small) = (Vec::new(), start, false);
    directory.list(start, |entry| {
        let before = out.len();
        put(&entry, &mut out);
        if out.len() > room {
            out.truncate(before);
            too_small = before == 0;
            return false;
        }
        at = entry.next;
        true
    })?;
    if too_small {
        return Err(EINVAL.into());
    }
    context.write(context.word(1), &out).map_err(|_| EFAULT)?;
    if at != start {
        context.state_mut().descriptors.get_mut(fd)?.offset = at;
    }
    Ok(out.len() as u64)
}
