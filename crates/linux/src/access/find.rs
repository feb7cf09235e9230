//! Which file a path means, and whether the running call may have it.

use crate::access::place::{Place, place};
use crate::access::request::Request;
use crate::access::synthetic;
use crate::access::tell::{denied, missing};
use crate::access::walk::{self, Stuck, walked};
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Less;
use crate::objects::object::Object;
use crate::rules::paths::{ends_as_directory, has_parents, normal};
use crate::wire::errno::{ENOENT, ENOTDIR, Errno};
use crate::wire::file::AT_FDCWD;

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
        Place::Synthetic(node, _) if changes && !node.takes_writes() => {
            Err(denied(context, &raw, &clean, Less::MadeUp))
        }
        Place::Synthetic(node, _) if directory && !node.is_directory() => Err(ENOTDIR.into()),
        _ => Ok(place),
    }
}

/// What a request finds, without a word to the host if that is nothing.
pub(crate) fn find_quietly(context: &mut Context<'_>, request: &Request) -> Result<Place, Errno> {
    let raw = absolute(context, request)?;
    let clean = walk::walk(context, &raw, request.follow).map_err(|stuck| stuck.error())?;
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

/// Fails unless the descriptor stands for a directory; gives its path.
pub(crate) fn directory_of(context: &Context<'_>, fd: i32) -> Result<Vec<u8>, Errno> {
    match &context.state().descriptors.get(fd)?.object {
        Object::Directory(directory) => Ok(directory.path().to_vec()),
        _ => Err(ENOTDIR),
    }
}
