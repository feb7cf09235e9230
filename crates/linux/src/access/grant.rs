//! A permission in the hand: a directory of the host, and a path beneath it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as HostErrno;

use crate::access::request::{Request, Right};
use crate::rules::beneath;
use crate::rules::permissions::{Anchor, PathGrant, Permissions, is_kernel_file_system};
use crate::wire::errno::{ENOENT, ENOTDIR, Errno};
use crate::wire::file::{S_IFDIR, S_IFMT};

/// What a clean path stands for on the way to another.
pub(crate) enum Standing {
    /// A directory, or something of the host of which it shows later.
    Directory,
    /// Something else, and what a path that goes on behind it fails with.
    Other(Errno),
    /// Nothing: no rule is about it.
    Nothing,
}

/// Permission to reach one path of the host, to read or also to write.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// Where it lies beneath; `None` if nothing was there when it was granted.
    pub(super) directory: Option<Arc<OwnedFd>>,
    /// The way from there; empty for the directory itself.
    pub(super) relative: Vec<u8>,
    /// The grant's own root: it can't be removed or renamed.
    pub(super) is_root: bool,
    /// As the program knows it, clean.
    pub(super) path: Vec<u8>,
    pub(super) follow: bool,
    pub(super) right: Right,
    /// A slash at the end: nothing but a directory can be meant.
    pub(super) must_be_directory: bool,
    /// The host's kernel follows no links, because other grants lie within this one.
    pub(super) strict: bool,
    /// All links are followed already.
    pub(super) walked: bool,
    pub(crate) writable: bool,
    /// Granted as a single file.
    pub(super) by_name: bool,
    pub(super) audit: bool,
}

impl Grant {
    pub(super) fn new(
        permissions: &Permissions,
        grant: &PathGrant,
        rest: &[u8],
        path: &[u8],
        request: &Request,
        walked: bool,
    ) -> Self {
        let (directory, relative) = match &grant.anchor {
            Anchor::Tree(directory) => (Some(Arc::clone(directory)), rest.to_vec()),
            Anchor::Name(directory, name) => (Some(Arc::clone(directory)), name.clone()),
            Anchor::Link(_) | Anchor::Missing => (None, Vec::new()),
        };
        Self {
            directory,
            relative,
            is_root: rest.is_empty() && matches!(grant.anchor, Anchor::Tree(_)),
            path: path.to_vec(),
            follow: request.follow,
            right: request.right,
            must_be_directory: crate::rules::paths::ends_as_directory(&request.path),
            // What was granted by name was followed when it was granted.
            strict: walked
                || !matches!(grant.anchor, Anchor::Tree(_))
                || permissions.has_below(&grant.shown),
            walked,
            writable: grant.writable,
            by_name: matches!(grant.anchor, Anchor::Name(..)),
            // What rules of the program's own allow is no news.
            audit: permissions.is_audit() && grant.shown.is_empty(),
        }
    }

    /// Its path as the program knows it, clean.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// What it stands for on the way to another path.
    pub(super) fn standing(&self) -> Standing {
        let Some(directory) = &self.directory else {
            return Standing::Other(ENOENT);
        };
        if self.is_root {
            return Standing::Directory;
        }
        let found = beneath::look(directory, &self.relative);
        match found.and_then(|file| rustix::fs::fstat(&file)) {
            Ok(found) if found.st_mode & S_IFMT == S_IFDIR => Standing::Directory,
            Ok(_) => Standing::Other(ENOTDIR),
            Err(error) => Standing::Other(error.into()),
        }
    }

    /// True for the directory that was granted.
    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }

    /// True if what was opened is a file as others: not one of the host's kernel that happens to
    /// lie in a granted directory.
    pub(crate) fn may_open(&self, file: &OwnedFd) -> bool {
        self.by_name || !is_kernel_file_system(file)
    }

    /// Opens what lies there, without a look at what it is.
    pub(super) fn open_here(
        &self,
        relative: &[u8],
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, HostErrno> {
        let Some(directory) = &self.directory else {
            return Err(HostErrno::NOENT);
        };
        let resolve = if self.strict {
            beneath::WITHOUT_LINKS
        } else {
            beneath::BENEATH
        };
        rustix::fs::openat2(directory, beneath::relative(relative), flags, mode, resolve)
    }
}

/// A name in a directory of the host that was opened.
#[derive(Debug)]
pub(crate) struct Parent {
    pub(crate) directory: OwnedFd,
    pub(crate) name: Vec<u8>,
    /// As the program knows it.
    pub(crate) path: Vec<u8>,
    /// The directory that was granted; `None` for a single file.
    pub(super) tree: Option<Arc<OwnedFd>>,
}

impl Parent {
    /// How many directories of what was granted lie above; `None` if that was a single file, or
    /// can't be told. The host is asked, for links may have been followed on the way.
    pub(crate) fn depth(&self) -> Option<usize> {
        let place = |file: &OwnedFd| {
            let own = format!("/proc/self/fd/{}", file.as_raw_fd());
            let path = rustix::fs::readlink(own, Vec::new()).ok()?;
            Some(crate::rules::paths::normal(path.as_bytes()))
        };
        let (top, path) = (place(self.tree.as_deref()?)?, place(&self.directory)?);
        let inside = path == top || crate::rules::paths::is_below(&path, &top);
        let slashes = path.get(top.len()..)?.iter().filter(|&&byte| byte == b'/');
        inside.then_some(slashes.count())
    }
}

/// What a path leads to, and its last part.
pub(crate) fn split(relative: &[u8]) -> (&[u8], &[u8]) {
    match relative.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&relative[..slash], &relative[slash + 1..]),
        None => (b"", relative),
    }
}
