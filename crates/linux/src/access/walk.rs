//! Follows links and `..` by the program's own paths, part by part.

use std::os::fd::OwnedFd;

use crate::access::grant::Standing;
use crate::access::place::standing;
use crate::access::request::Right;
use crate::access::synthetic::{self, Node};
use crate::access::tell::absent;
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::rules::paths::join;
use crate::rules::permissions::Anchor;
use crate::wire::errno::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, Errno};
use crate::wire::file::{S_IFDIR, S_IFLNK, S_IFMT};

/// The clean path that an absolute one leads to, part by part.
pub(crate) fn walked(
    context: &mut Context<'_>,
    raw: &[u8],
    right: Right,
    follow: bool,
) -> Result<Vec<u8>, Failure> {
    match walk(context, raw, follow) {
        Ok(clean) => Ok(clean),
        Err(Stuck::Fails(error)) => Err(error.into()),
        Err(Stuck::Absent(at)) => Err(absent(context, raw, &at, right, ENOENT)),
    }
}

/// Links on one path (`MAXSYMLINKS` in linux/namei.h).
const MOST_LINKS: usize = 40;
/// `PATH_MAX`: of a path with its links in place.
const LONGEST: usize = 4096;

/// What a part of a path turned out to be.
enum Part {
    /// A link, and where it points.
    Link(Vec<u8>),
    /// Something else, or nothing. If there is no way on from it: why.
    Other(Option<Stuck>),
}

/// Why a path leads nowhere.
#[derive(Debug)]
pub(super) enum Stuck {
    /// With this error.
    Fails(Errno),
    /// No rule is about this path on its way.
    Absent(Vec<u8>),
}

impl Stuck {
    pub(super) fn error(&self) -> Errno {
        match self {
            Self::Fails(error) => *error,
            Self::Absent(_) => ENOENT,
        }
    }
}

impl From<Errno> for Stuck {
    fn from(error: Errno) -> Self {
        Self::Fails(error)
    }
}

/// The clean path without links and `..` that an absolute path means. What does not exist is no
/// link; that it does not exist shows when it is opened. A link at the end is followed if `follow`.
pub(super) fn walk(context: &Context<'_>, raw: &[u8], follow: bool) -> Result<Vec<u8>, Stuck> {
    let mut done: Vec<Vec<u8>> = Vec::new();
    let mut left: Vec<Vec<u8>> = parts(raw);
    let mut links = 0;
    // Why there is no way on from the last part of `done`, not even up.
    let mut dead_end = None;
    while let Some(part) = left.pop() {
        if part == b".." {
            if let Some(error) = dead_end {
                return Err(error);
            }
            done.pop();
            continue;
        }
        done.push(part);
        let path = path(&done);
        if left.is_empty() && !follow {
            break;
        }
        let target = match look(context, &path)? {
            Part::Link(target) => target,
            Part::Other(error) => {
                dead_end = error;
                continue;
            }
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

/// Looks at a clean path. All but its last part is free of links.
fn look(context: &Context<'_>, path: &[u8]) -> Result<Part, Errno> {
    let stays = crate::access::place::stays(context, path, Right::Read);
    if stays && let Some(Node::Link(target)) = synthetic::find(context, path) {
        return Ok(Part::Link(target));
    }
    let permissions = &context.process.options().permissions;
    let found = permissions.find(path);
    let by_name = found.is_some_and(|(grant, _)| !grant.shown.is_empty());
    let found = found.filter(|_| !stays && (by_name || !crate::access::place::is_kernels(path)));
    if let Some((grant, rest)) = found {
        match &grant.anchor {
            Anchor::Link(target) => return Ok(Part::Link(target.clone())),
            Anchor::Tree(directory) if !rest.is_empty() => return look_at_host(directory, rest),
            // Followed when it was granted; or nothing there.
            Anchor::Tree(_) | Anchor::Name(..) | Anchor::Missing => {}
        }
    }
    Ok(Part::Other(match standing(context, path) {
        Standing::Directory => None,
        Standing::Other(error) => Some(error.into()),
        Standing::Nothing => Some(Stuck::Absent(path.to_vec())),
    }))
}

fn look_at_host(directory: &OwnedFd, rest: &[u8]) -> Result<Part, Errno> {
    let file = match crate::rules::beneath::look(directory, rest) {
        Ok(file) => file,
        Err(error) => return Ok(Part::Other(Some(Errno::from(error).into()))),
    };
    match rustix::fs::fstat(&file)?.st_mode & S_IFMT {
        S_IFLNK => {
            let target = rustix::fs::readlinkat(&file, "", Vec::new())?;
            Ok(Part::Link(target.into_bytes()))
        }
        S_IFDIR => Ok(Part::Other(None)),
        _ => Ok(Part::Other(Some(ENOTDIR.into()))),
    }
}
