//! The one place that decides about access to the host's files.
//!
//! ```text
//! path, as the program gave it ── directory or working directory in front ──> absolute path
//!   ── rule with the longest path (permissions.rs) ──> Grant: host directory + path beneath it
//!   ── openat2(beneath, no magic links) ──> descriptor
//! ```
//!
//! A handler that wants something of the host needs a [`Grant`], and only [`find`] makes one.
//! Paths are the program's own (*virtual*): links are followed in them, so an absolute link leads
//! to whatever the program has there, and nowhere else. The host's kernel follows links only
//! beneath one grant; if a path has links that leave it, or `..`, it is walked here step by step,
//! and the result is opened without following anything.
//!
//! The program's world is what rules are about, what is made up for it, and the directories on the
//! way there. Everything else does not exist, as in a container: `ENOENT`, without a look at the
//! host. `EACCES` is the answer where a rule grants less than was asked for.

mod grant;
mod walk;

use crate::context::{Context, Failure};
use crate::errno::{EACCES, ENAMETOOLONG, ENOENT, ENOTDIR, Errno};
use crate::notice::{self, Less, Notice};
use crate::object::Object;
use crate::permissions::{Anchor, PathGrant};
use crate::synthetic::{self, Node};

use walk::There;

pub(crate) use grant::{Grant, Opened, Parent, is_kernel_file_system};
use walk::Stuck;

/// What a system call needs from the host (a column of the table of calls).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the call is about the program itself.
    None,
    /// A file or directory by path.
    Path {
        /// Which argument is the path.
        argument: usize,
    },
}

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    /// Read its contents or look at its metadata.
    Read,
    /// Remove, rename, write, or change metadata of what is there.
    Write,
    /// Create, or write to what is there.
    Create,
}

impl Right {
    /// True if anything is changed.
    pub(crate) fn changes(self) -> bool {
        self != Self::Read
    }
}

/// `AT_FDCWD` in linux/fcntl.h.
pub(crate) const AT_FDCWD: i32 = -100;

/// Which file is meant.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// A directory's descriptor, or `AT_FDCWD`.
    pub(crate) directory: i32,
    /// As the program gave it.
    pub(crate) path: Vec<u8>,
    /// A link at the end is followed.
    pub(crate) follow: bool,
    pub(crate) right: Right,
}

/// What is found.
#[derive(Debug)]
pub(crate) enum Place {
    /// Something of the host.
    Host(Grant),
    /// Something that only the program sees, and its path.
    Synthetic(Node, Vec<u8>),
}

/// The absolute path that a request means, not yet cleaned.
pub(crate) fn absolute(context: &Context<'_>, request: &Request) -> Result<Vec<u8>, Errno> {
    if request.path.is_empty() {
        return Err(ENOENT);
    }
    if request.path.first() == Some(&b'/') {
        return Ok(request.path.clone());
    }
    let mut path = if request.directory == AT_FDCWD {
        context.state().directory.to_vec()
    } else {
        match &context.state().descriptors.get(request.directory)?.object {
            Object::Directory(directory) => directory.path().to_vec(),
            _ => return Err(ENOTDIR),
        }
    };
    path.push(b'/');
    path.extend_from_slice(&request.path);
    Ok(path)
}

/// Decides whether the running call may have what it asks for.
pub(crate) fn find(context: &mut Context<'_>, request: &Request) -> Result<Place, Failure> {
    let raw = absolute(context, request)?;
    let directory = ends_as_directory(&raw);
    let follow = request.follow || directory;
    let permissions = &context.process.options().permissions;
    let simple = !has_parents(&raw) && !permissions.has_link() && !synthetic::may_link(&raw);
    let request = Request {
        follow,
        ..request.clone()
    };
    let changes = request.right.changes();
    let mut found = None;
    if simple {
        let clean = normal(&raw);
        let place = place(context, &clean, &request, false);
        // What may not be changed may be on the way to what may, or to what does not exist.
        let decided = !changes || matches!(&place, Some(Place::Host(grant)) if grant.writable);
        found = decided.then_some((clean, place));
    }
    let (clean, place) = match found {
        Some(found) => found,
        None => {
            let clean = walked(context, &raw, request.right, follow)?;
            let place = place(context, &clean, &request, true);
            (clean, place)
        }
    };
    let Some(place) = place else {
        return Err(missing(context, &raw, &clean, request.right));
    };
    match &place {
        Place::Host(grant) if changes && !grant.writable => {
            Err(denied(context, &raw, &clean, Less::ReadOnly))
        }
        Place::Host(grant) if grant.is_missing() => Err(ENOENT.into()),
        Place::Synthetic(node, _) if changes && !node.takes_writes() => {
            Err(denied(context, &raw, &clean, Less::MadeUp))
        }
        Place::Synthetic(node, _) if directory && !node.is_directory() => Err(ENOTDIR.into()),
        _ => Ok(place),
    }
}

/// The clean path that an absolute one leads to, part by part.
fn walked(
    context: &mut Context<'_>,
    raw: &[u8],
    right: Right,
    follow: bool,
) -> Result<Vec<u8>, Failure> {
    match walk::walk(context, raw, follow) {
        Ok(clean) => Ok(clean),
        Err(Stuck::Fails(error)) => Err(error.into()),
        Err(Stuck::Absent(at)) => Err(absent(context, raw, &at, right, ENOENT)),
    }
}

/// What a call fails with that is about a path where nothing is for the program; the host is told
/// if no rule is about it.
fn missing(context: &mut Context<'_>, raw: &[u8], clean: &[u8], right: Right) -> Failure {
    match absence(context, clean, right) {
        EACCES => denied(context, raw, clean, Less::ReadOnly),
        error => absent(context, raw, clean, right, error),
    }
}

/// Why nothing is at a clean path, as a look at each directory on the way shows it: the first that
/// is none, or does not exist, decides. Something new can't be made in a directory that exists.
fn absence(context: &Context<'_>, clean: &[u8], right: Right) -> Errno {
    /// `NAME_MAX` in linux/limits.h.
    const LONGEST_NAME: usize = 255;
    let mut end = 0;
    while let Some(rest) = clean.get(end + 1..) {
        let length = rest.iter().position(|&byte| byte == b'/');
        let name = length.unwrap_or(rest.len());
        end += 1 + name;
        if name > LONGEST_NAME {
            return ENAMETOOLONG;
        }
        match standing(context, &clean[..end]) {
            Standing::Directory => {}
            Standing::Other(error) => return error,
            Standing::Nothing if length.is_none() && right == Right::Create => return EACCES,
            Standing::Nothing => return ENOENT,
        }
    }
    ENOENT
}

/// What a clean path stands for on the way to another.
enum Standing {
    /// A directory, or something of the host of which it shows later.
    Directory,
    /// Something else, and what a path that goes on behind it fails with.
    Other(Errno),
    /// Nothing: no rule is about it.
    Nothing,
}

/// Looks at a clean path whose parts are no links.
fn standing(context: &Context<'_>, clean: &[u8]) -> Standing {
    let request = Request {
        directory: AT_FDCWD,
        path: shown(clean),
        follow: false,
        right: Right::Read,
    };
    match place(context, clean, &request, true) {
        Some(Place::Host(grant)) => grant.standing(),
        Some(Place::Synthetic(Node::Directory(_), _)) => Standing::Directory,
        Some(Place::Synthetic(..)) => Standing::Other(ENOTDIR),
        None => Standing::Nothing,
    }
}

/// What a request finds, without a word to the host if that is nothing.
pub(crate) fn find_quietly(context: &mut Context<'_>, request: &Request) -> Result<Place, Errno> {
    let raw = absolute(context, request)?;
    let clean = walk::walk(context, &raw, request.follow || ends_as_directory(&raw))
        .map_err(|stuck| stuck.error())?;
    place(context, &clean, request, true).ok_or(ENOENT)
}

/// True if no part of a path is a link: it means the same when all are followed.
pub(crate) fn is_free_of_links(context: &Context<'_>, request: &Request) -> Result<bool, Failure> {
    let raw = absolute(context, request)?;
    // What does not exist is told by whoever opens it.
    Ok(match walk::walk(context, &raw, true) {
        Ok(clean) => clean == normal(&raw),
        Err(Stuck::Absent(_)) => true,
        Err(Stuck::Fails(error)) => return Err(error.into()),
    })
}

/// Tells the host that a rule grants less than was asked for. `raw` is absolute, `clean` what it
/// leads to.
pub(crate) fn denied(context: &mut Context<'_>, raw: &[u8], clean: &[u8], less: Less) -> Failure {
    let path = shown(clean);
    let path = told_path(context, raw, &path, true);
    context.notice(Notice::Denied(path, less));
    EACCES.into()
}

/// Tells the host that a call was about a path that no rule is about.
fn absent(
    context: &mut Context<'_>,
    raw: &[u8],
    clean: &[u8],
    right: Right,
    error: Errno,
) -> Failure {
    let target = shown(clean);
    let path = told_path(context, raw, &target, right.changes());
    context.notice(Notice::Absent(path));
    error.into()
}

fn told_path<'a>(
    context: &Context<'_>,
    raw: &'a [u8],
    target: &'a [u8],
    write: bool,
) -> notice::Path<'a> {
    notice::Path {
        call: context.call,
        path: raw,
        target: (raw != target).then_some(target),
        write,
    }
}

/// Tells the host of an audit that what is at a path is changed, where no name was looked up.
pub(crate) fn report_change(context: &mut Context<'_>, clean: &[u8]) {
    let permissions = &context.process.options().permissions;
    let found = permissions.find(clean);
    // What rules of the program's own allow is no news.
    if permissions.is_audit() && found.is_some_and(|(grant, _)| grant.shown.is_empty()) {
        let path = shown(clean);
        context.host.used(context.call, &path, true);
    }
}

/// What is at a clean path.
fn place(context: &Context<'_>, clean: &[u8], request: &Request, walked: bool) -> Option<Place> {
    let permissions = &context.process.options().permissions;
    if request.path == b"state"
        && request.directory == AT_FDCWD
        && let Some(state) = permissions.state()
    {
        return Some(Place::Host(Grant::new(
            permissions,
            state,
            b"",
            b"/state",
            request,
            true,
        )));
    }
    let found = permissions.find(clean);
    let node = synthetic::find(context, clean);
    // What is granted by name goes before what is made up; all of `/` is not by name.
    let by_name = found.is_some_and(|(grant, _)| !grant.shown.is_empty());
    let synthetic_first = !by_name && (permissions.is_audit() || is_kernels(clean))
        || stays(context, clean, request.right);
    if let (true, Some(node)) = (synthetic_first, &node) {
        return Some(Place::Synthetic(node.clone(), clean.to_vec()));
    }
    if let Some((grant, rest)) = found
        && !(synthetic_first && is_kernels(clean))
    {
        if let Anchor::Link(_) = grant.anchor {
            let node = Node::Link(link_target(grant));
            return Some(Place::Synthetic(node, clean.to_vec()));
        }
        return Some(Place::Host(Grant::new(
            permissions,
            grant,
            rest,
            clean,
            request,
            walked,
        )));
    }
    if let Some(node) = node {
        return Some(Place::Synthetic(node, clean.to_vec()));
    }
    let mut names = permissions.children(clean);
    names.extend(synthetic::children(clean));
    if names.is_empty() && !clean.is_empty() && !permissions.has_below(clean) {
        return None;
    }
    names.sort();
    names.dedup();
    Some(Place::Synthetic(Node::Directory(names), clean.to_vec()))
}

/// True if what is made up at a clean path is there whatever is granted: a rule takes nothing away.
/// That is so for devices, and for links to what the program has open: the host's would be refused,
/// or be another one's. A text stays where the host has none that the program may have.
fn stays(context: &Context<'_>, clean: &[u8], right: Right) -> bool {
    let permissions = &context.process.options().permissions;
    let node = synthetic::find(context, clean);
    let Some((grant, rest)) = permissions.find(clean) else {
        return node.is_some();
    };
    match node {
        // Unless the program's own configuration puts something there.
        Some(_) if matches!(grant.anchor, Anchor::Link(_)) => false,
        Some(Node::Device(_) | Node::Link(_) | Node::Descriptor(_)) => true,
        Some(Node::Text(_)) => right == Right::Read && lacks_file(context, clean, grant, rest),
        Some(Node::Directory(_)) | None => false,
    }
}

/// True if the host has nothing at a granted path that the program may have: no file, and no link
/// to something.
fn lacks_file(context: &Context<'_>, clean: &[u8], grant: &PathGrant, rest: &[u8]) -> bool {
    let target = match walk::there(grant, rest) {
        There::Nothing => return true,
        There::File => return false,
        // Of a process, which is another one on the host.
        There::Kernel => return is_below(clean, b"/proc/1"),
        There::Link(target) => target,
    };
    let above = clean.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let target = match target.first() {
        Some(b'/') => normal(&target),
        _ => normal(&[&clean[..above], b"/", &target].concat()),
    };
    match context.process.options().permissions.find(&target) {
        Some((grant, rest)) => matches!(walk::there(grant, rest), There::Nothing),
        None => synthetic::find(context, &target).is_none(),
    }
}

fn link_target(grant: &PathGrant) -> Vec<u8> {
    match &grant.anchor {
        Anchor::Link(target) => target.clone(),
        _ => Vec::new(),
    }
}

/// Directories of the kernel, which are never the host's because all of `/` is granted.
fn is_kernels(path: &[u8]) -> bool {
    [&b"/proc"[..], b"/sys", b"/dev"]
        .into_iter()
        .any(|directory| path == directory || is_below(path, directory))
}

/// An absolute path without `.`, empty parts and a slash at its end; `..` goes up. `/` becomes
/// the empty path.
pub(crate) fn normal(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    join(&parts)
}

/// Parts with a slash in front of each.
fn join(parts: &[&[u8]]) -> Vec<u8> {
    let mut path = Vec::new();
    for part in parts {
        path.push(b'/');
        path.extend_from_slice(part);
    }
    path
}

/// True if there is a `..` in it.
fn has_parents(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|part| part == b"..")
}

/// True if only a directory can be meant: the last part is empty, `.` or `..`.
fn ends_as_directory(path: &[u8]) -> bool {
    let last = path.rsplit(|&byte| byte == b'/').next();
    matches!(last, Some(b"" | b"." | b".."))
}

/// True if a clean path lies below another.
pub(crate) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory)
        .is_some_and(|rest| rest.first() == Some(&b'/'))
}

/// Names of the parts directly below `directory` on the way to `paths`.
pub(crate) fn children<'a>(
    directory: &[u8],
    paths: impl Iterator<Item = &'a [u8]>,
) -> Vec<Vec<u8>> {
    let next = |path: &'a [u8]| {
        let rest = path.strip_prefix(directory)?.strip_prefix(b"/")?;
        let end = rest.iter().position(|&byte| byte == b'/');
        Some(rest[..end.unwrap_or(rest.len())].to_vec())
    };
    let mut names: Vec<_> = paths.filter_map(next).collect();
    names.sort();
    names.dedup();
    names
}

/// Shows a clean path as the program knows it.
pub(crate) fn shown(clean: &[u8]) -> Vec<u8> {
    if clean.is_empty() {
        b"/".to_vec()
    } else {
        clean.to_vec()
    }
}

/// Fails unless the descriptor stands for a directory; gives its path.
pub(crate) fn directory_of(context: &Context<'_>, fd: i32) -> Result<Vec<u8>, Errno> {
    match &context.state().descriptors.get(fd)?.object {
        Object::Directory(directory) => Ok(directory.path().to_vec()),
        _ => Err(ENOTDIR),
    }
}

#[cfg(test)]
mod tests;
