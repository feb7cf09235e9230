//! Names that calls create, remove and rename. As in the kernel, a link at the end of such a path is
//! the file itself, also with a slash behind it, and `.` and `..` at the end are no names.

use rustix::fs::AtFlags;

use crate::access::find;
use crate::access::grant::Grant;
use crate::access::place::Place;
use crate::access::request::{Request, Right};
use crate::access::tell;
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Less;
use crate::wire::errno::{EEXIST, ENOENT, Errno};
use crate::wire::file::{S_IFDIR, S_IFMT};

/// What a path ends with, apart from slashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// A name, or nothing: the root.
    Name,
    Dot,
    DotDot,
}

/// What has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Directory,
    Other,
}

/// A name in a directory of the host that may be written.
pub(super) struct Named {
    pub(super) grant: Grant,
    pub(super) last: Last,
    /// There is a slash behind it: what is called that is a directory.
    pub(super) slash: bool,
}

/// A path without the slashes at its end, and what it ends with then.
fn ending(path: &[u8]) -> (&[u8], Last) {
    let end = path.iter().rposition(|&byte| byte != b'/');
    let stripped = end.map_or(path, |end| &path[..=end]);
    let last = match stripped.rsplit(|&byte| byte == b'/').next() {
        Some(b".") => Last::Dot,
        Some(b"..") => Last::DotDot,
        _ => Last::Name,
    };
    (stripped, last)
}

/// What is asked for: the name itself, or the directory that `.` and `..` lead to.
fn asked(directory: i32, path: &[u8], right: Right) -> (Request, Last) {
    let (stripped, last) = ending(path);
    let request = Request {
        directory,
        path: stripped.to_vec(),
        follow: last != Last::Name,
        right,
    };
    (request, last)
}

/// The name that the path in an argument ends with. What is not a name exists: a directory.
pub(super) fn named(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
    right: Right,
) -> Result<Named, Failure> {
    let path = context.path(context.word(argument))?;
    let (request, last) = asked(directory, &path, right);
    let grant = match find::find(context, &request)? {
        Place::Host(grant) => grant,
        Place::Synthetic(_, path) => {
            return Err(tell::denied(context, &path, &path, Less::MadeUp));
        }
    };
    if last != Last::Name {
        grant.place(context)?;
    }
    Ok(Named {
        grant,
        last,
        slash: request.path.len() < path.len(),
    })
}

/// The same for a name that is created. If something is there already, that it exists goes before
/// that it could not be written.
pub(super) fn new_name(
    context: &mut Context<'_>,
    directory: i32,
    argument: usize,
) -> Result<Named, Failure> {
    let path = context.path(context.word(argument))?;
    let (request, _) = asked(directory, &path, Right::Read);
    if let Ok(Place::Synthetic(..)) = find::find_quietly(context, &request) {
        return Err(EEXIST.into());
    }
    let named = named(context, directory, argument, Right::Create)?;
    match named.last {
        Last::Name => Ok(named),
        Last::Dot | Last::DotDot => Err(EEXIST.into()),
    }
}

impl Named {
    /// What has the name; `None` if nothing has.
    pub(super) fn kind(&self, context: &mut Context<'_>) -> Result<Option<Kind>, Failure> {
        if self.grant.is_root() {
            return Ok(Some(Kind::Directory));
        }
        let (parent, name) = self.grant.parent(context)?;
        match rustix::fs::statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if found.st_mode & S_IFMT == S_IFDIR => Ok(Some(Kind::Directory)),
            Ok(_) => Ok(Some(Kind::Other)),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(Errno::from(error).into()),
        }
    }

    /// Fails if a slash says that what is created is a directory, which it is not.
    pub(super) fn is_no_directory(&self, context: &mut Context<'_>) -> Result<(), Failure> {
        if !self.slash {
            return Ok(());
        }
        match self.kind(context)? {
            Some(_) => Err(EEXIST.into()),
            None => Err(ENOENT.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_at_the_end_are_no_part_of_the_name() {
        let cases: [(&str, &str, Last); 10] = [
            ("a", "a", Last::Name),
            ("a//", "a", Last::Name),
            ("/a/b/", "/a/b", Last::Name),
            ("/", "/", Last::Name),
            ("//", "//", Last::Name),
            (".", ".", Last::Dot),
            ("a/./", "a/.", Last::Dot),
            ("..//", "..", Last::DotDot),
            ("a/..", "a/..", Last::DotDot),
            ("a/...", "a/...", Last::Name),
        ];
        for (path, stripped, last) in cases {
            assert_eq!(
                ending(path.as_bytes()),
                (stripped.as_bytes(), last),
                "{path}"
            );
        }
    }
}
