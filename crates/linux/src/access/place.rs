//! What is at a clean path.

use crate::access::grant::{Grant, Standing};
use crate::access::request::{Request, Right};
use crate::access::synthetic::{self, Node};
use crate::call::context::Context;
use crate::rules::paths::{is_below, normal, shown};
use crate::rules::permissions::{Anchor, PathGrant};
use crate::wire::errno::ENOTDIR;
use crate::wire::file::{AT_FDCWD, S_IFLNK, S_IFMT};

/// What is found.
#[derive(Debug)]
pub(crate) enum Place {
    /// Something of the host.
    Host(Grant),
    /// Something that only the program sees, and its path.
    Synthetic(Node, Vec<u8>),
}

/// Looks at a clean path whose parts are no links.
pub(crate) fn standing(context: &Context<'_>, clean: &[u8]) -> Standing {
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

/// What is at a clean path.
pub(crate) fn place(
    context: &Context<'_>,
    clean: &[u8],
    request: &Request,
    walked: bool,
) -> Option<Place> {
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
pub(crate) fn stays(context: &Context<'_>, clean: &[u8], right: Right) -> bool {
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
    let target = match there(grant, rest) {
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
        Some((grant, rest)) => matches!(there(grant, rest), There::Nothing),
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
pub(crate) fn is_kernels(path: &[u8]) -> bool {
    [&b"/proc"[..], b"/sys", b"/dev"]
        .into_iter()
        .any(|directory| path == directory || is_below(path, directory))
}

/// What the host has at a path that is granted.
pub(super) enum There {
    Nothing,
    /// Something that is no link, or that can't be told.
    File,
    /// The same of the host's kernel.
    Kernel,
    /// A link, and where it points.
    Link(Vec<u8>),
}

/// Looks whether the host has anything at a path of a rule.
pub(super) fn there(grant: &PathGrant, rest: &[u8]) -> There {
    let (directory, name) = match &grant.anchor {
        Anchor::Tree(directory) => (directory, rest),
        Anchor::Name(directory, name) => (directory, name.as_slice()),
        Anchor::Link(_) => return There::File,
        Anchor::Missing => return There::Nothing,
    };
    let file = match crate::rules::beneath::look(directory, name) {
        Ok(file) => file,
        // By a link on the way.
        Err(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV) => return There::File,
        Err(_) => return There::Nothing,
    };
    let is_link = rustix::fs::fstat(&file).is_ok_and(|found| found.st_mode & S_IFMT == S_IFLNK);
    match (is_link, &grant.anchor) {
        (false, _) if crate::rules::permissions::is_kernel_file_system(&file) => There::Kernel,
        (false, _) => There::File,
        // It was followed when it was granted, and is no more.
        (true, Anchor::Name(..)) => There::Nothing,
        (true, _) => rustix::fs::readlinkat(&file, "", Vec::new())
            .map_or(There::Nothing, |target| There::Link(target.into_bytes())),
    }
}
