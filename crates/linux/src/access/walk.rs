//! Follows links and `..` by the program's own paths, part by part.

use rustix::fs::{Mode, OFlags, ResolveFlags};

use super::{Node, join, synthetic};
use crate::context::{Context, Failure};
use crate::errno::{ELOOP, ENAMETOOLONG, Errno};
use crate::permissions::Anchor;
use crate::stat::{S_IFLNK, S_IFMT};

/// Links on one path (`MAXSYMLINKS` in linux/namei.h).
const MOST_LINKS: usize = 40;
/// `PATH_MAX`: of a path with its links in place.
const LONGEST: usize = 4096;

/// The clean path without links and `..` that an absolute path means. What does not exist is no
/// link; that it does not exist shows when it is opened. A link at the end is followed if `follow`.
pub(super) fn walk(context: &Context<'_>, raw: &[u8], follow: bool) -> Result<Vec<u8>, Failure> {
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut left: Vec<Vec<u8>> = parts(raw);
    let mut links = 0;
    while let Some(part) = left.pop() {
        if part == b".." {
            done.pop();
            continue;
        }
        done.push(part);
        let path = path(&done);
        if left.is_empty() && !follow {
            break;
        }
        let Some(target) = link(context, &path)? else {
            continue;
        };
        links += 1;
        let length: usize = left.iter().map(|part| part.len() + 1).sum();
        if links > MOST_LINKS {
            return Err(ELOOP.into());
        }
        if path.len() + target.len() + length > 2 * LONGEST {
            return Err(ENAMETOOLONG.into());
        }
        done.pop();
        if target.first() == Some(&b'/') {
            done.clear();
        }
        left.extend(parts(&target));
    }
    Ok(path(&done))
}

fn path(parts: &[Vec<u8>]) -> Vec<u8> {
    join(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The parts of a path, the last one first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    let wanted = |part: &&[u8]| !matches!(*part, b"" | b".");
    path.rsplit(|&byte| byte == b'/')
        .filter(wanted)
        .map(<[u8]>::to_vec)
        .collect()
}

/// Where the link at a clean path points; `None` if it is no link. All but its last part is free
/// of links.
fn link(context: &Context<'_>, path: &[u8]) -> Result<Option<Vec<u8>>, Errno> {
    let permissions = &context.process.options().permissions;
    let found = permissions.find(path);
    let by_name = found.is_some_and(|(grant, _)| !grant.shown.is_empty());
    if !by_name && let Some(Node::Link(target)) = synthetic::find(context, path) {
        return Ok(Some(target));
    }
    let Some((grant, rest)) = found else {
        return Ok(None);
    };
    match &grant.anchor {
        Anchor::Link(target) => Ok(Some(target.clone())),
        // Followed when it was granted; or nothing there.
        Anchor::Name(..) | Anchor::Missing => Ok(None),
        Anchor::Tree(_) if rest.is_empty() => Ok(None),
        Anchor::Tree(directory) => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve =
                ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
            let Ok(file) = rustix::fs::openat2(directory, rest, flags, Mode::empty(), resolve)
            else {
                return Ok(None);
            };
            if rustix::fs::fstat(&file)?.st_mode & S_IFMT != S_IFLNK {
                return Ok(None);
            }
            let target = rustix::fs::readlinkat(&file, "", Vec::new())?;
            Ok(Some(target.into_bytes()))
        }
    }
}
