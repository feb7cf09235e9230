//! A permission in the hand: a directory of the host, and a path beneath it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno as HostErrno;

use super::{Place, Request, Right, Standing};
use crate::context::{Context, Failure};
use crate::errno::{EACCES, EBUSY, ELOOP, ENOENT, ENOTDIR};
use crate::notice::Less;
use crate::permissions::{Anchor, PathGrant, Permissions};
use crate::stat::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::synthetic::Node;

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

/// Beneath the directory, and by no way that leads elsewhere.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

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
            must_be_directory: super::ends_as_directory(&request.path),
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

    pub(super) fn is_missing(&self) -> bool {
        self.directory.is_none()
    }

    /// What it stands for on the way to another path.
    pub(super) fn standing(&self) -> Standing {
        if self.is_missing() {
            return Standing::Other(ENOENT);
        }
        if self.is_root {
            return Standing::Directory;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = self.open_here(&self.relative, flags, Mode::empty());
        match found.and_then(|file| rustix::fs::fstat(&file)) {
            Ok(found) if found.st_mode & S_IFMT == S_IFDIR => Standing::Directory,
            Ok(_) => Standing::Other(ENOTDIR),
            Err(error) => Standing::Other(error.into()),
        }
    }

    /// Opens it. Links are followed as far as the request said. What they lead to has to be on the
    /// host, too.
    pub(crate) fn open(
        &self,
        context: &mut Context<'_>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<OwnedFd, Failure> {
        match self.open_any(context, flags, mode)? {
            Opened::Host(file) => Ok(file),
            Opened::MadeUp(..) => Err(EACCES.into()),
        }
    }

    /// Opens it, or finds what is made up for the program where a link leads that is only read.
    pub(crate) fn open_any(
        &self,
        context: &mut Context<'_>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<Opened, Failure> {
        let mut flags = flags | OFlags::CLOEXEC;
        if !self.follow {
            flags |= OFlags::NOFOLLOW;
        }
        if self.must_be_directory {
            flags |= OFlags::DIRECTORY;
        }
        let opened = self.open_here(&self.relative, flags, mode);
        let opened = match opened {
            Err(HostErrno::XDEV | HostErrno::LOOP) if !self.walked => {
                match self.walk(context, self.follow)? {
                    Place::Host(grant) => grant.open_here(&grant.relative, flags, mode),
                    Place::Synthetic(node, path) => return Ok(Opened::MadeUp(node, path)),
                }
            }
            other => other,
        };
        let file = opened.map_err(|error| match error {
            // Still on the way out: somebody moves things about.
            HostErrno::XDEV => EACCES,
            HostErrno::LOOP => ELOOP,
            error => error.into(),
        })?;
        self.check_change(context, &file)?;
        self.report(context);
        Ok(Opened::Host(file))
    }

    /// As [`Self::open_any`], as a place (`O_PATH`).
    pub(crate) fn place_any(&self, context: &mut Context<'_>) -> Result<Opened, Failure> {
        self.open_any(context, OFlags::PATH, Mode::empty())
    }

    /// Opens it as a place (`O_PATH`).
    pub(crate) fn place(&self, context: &mut Context<'_>) -> Result<OwnedFd, Failure> {
        self.open(context, OFlags::PATH, Mode::empty())
    }

    /// True for a FIFO, a device or a socket. To open one does something by itself: it wakes whoever
    /// waits at the other end, or tells that nobody does. What is not there, or can't be had, is not.
    pub(crate) fn is_special(&self, context: &mut Context<'_>) -> bool {
        let Ok(place) = self.place(context) else {
            return false;
        };
        let kind = |found: rustix::fs::Stat| found.st_mode & S_IFMT;
        rustix::fs::fstat(&place)
            .is_ok_and(|found| !matches!(kind(found), S_IFREG | S_IFDIR | S_IFLNK))
    }

    /// Opens the directory that it lies in, and gives its name there, for calls that create,
    /// remove or rename, and so never follow a link at the end.
    pub(crate) fn parent(&self, context: &mut Context<'_>) -> Result<(OwnedFd, Vec<u8>), Failure> {
        let parent = self.parent_in(context)?;
        Ok((parent.directory, parent.name))
    }

    /// As [`Self::parent`], with where that lies.
    pub(crate) fn parent_in(&self, context: &mut Context<'_>) -> Result<Parent, Failure> {
        if self.is_root {
            return Err(EBUSY.into());
        }
        let mut grant = self;
        let walked;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let (above, name) = split(&self.relative);
        let parent = match self.open_here(above, flags, Mode::empty()) {
            Err(HostErrno::XDEV | HostErrno::LOOP) if !self.walked => {
                walked = self.walk_on_host(context, false)?;
                grant = &walked;
                let (above, _) = split(&grant.relative);
                grant.open_here(above, flags, Mode::empty())
            }
            other => other,
        };
        let parent = parent.map_err(|error| match error {
            HostErrno::XDEV => EACCES,
            error => error.into(),
        })?;
        self.check_change(context, &parent)?;
        self.report(context);
        Ok(Parent {
            directory: parent,
            name: name.to_vec(),
            path: super::shown(&self.path),
            tree: grant.directory.clone().filter(|_| !grant.by_name),
        })
    }

    /// As [`Self::parent_in`], of the file that a link at the end leads to if the request said so.
    pub(crate) fn real_parent(&self, context: &mut Context<'_>) -> Result<Parent, Failure> {
        if self.is_root {
            return Ok(Parent {
                directory: self.place(context)?,
                name: b".".to_vec(),
                path: super::shown(&self.path),
                tree: None,
            });
        }
        if self.follow && !self.walked {
            return self.walk_on_host(context, true)?.real_parent(context);
        }
        self.parent_in(context)
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

    /// Tells the host that more was asked for than is granted.
    pub(crate) fn refuse(&self, context: &mut Context<'_>, less: Less) -> Failure {
        super::denied(context, &self.path, &self.path, less)
    }

    /// Fails if something is about to be changed that is no file as others.
    fn check_change(&self, context: &mut Context<'_>, file: &OwnedFd) -> Result<(), Failure> {
        if self.right.changes() && !self.may_open(file) {
            return Err(self.refuse(context, Less::Special));
        }
        Ok(())
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
        let relative = if relative.is_empty() {
            &b"."[..]
        } else {
            relative
        };
        let mut resolve = BENEATH;
        if self.strict {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        rustix::fs::openat2(directory, relative, flags, mode, resolve)
    }

    /// What it is after following all links by the program's paths.
    fn walk(&self, context: &mut Context<'_>, follow: bool) -> Result<Place, Failure> {
        let clean = super::walked(context, &self.path, self.right, follow)?;
        let request = Request {
            directory: super::AT_FDCWD,
            path: super::shown(&clean),
            follow,
            right: self.right,
        };
        let less = match super::place(context, &clean, &request, true) {
            Some(place) if !self.right.changes() => return Ok(place),
            Some(Place::Host(grant)) if grant.writable => return Ok(Place::Host(grant)),
            Some(Place::Host(_)) => Less::ReadOnly,
            Some(Place::Synthetic(..)) => Less::MadeUp,
            None => return Err(super::missing(context, &self.path, &clean, self.right)),
        };
        Err(super::denied(context, &self.path, &clean, less))
    }

    /// The same, where only something of the host can be meant.
    fn walk_on_host(&self, context: &mut Context<'_>, follow: bool) -> Result<Self, Failure> {
        match self.walk(context, follow)? {
            Place::Host(grant) => Ok(grant),
            Place::Synthetic(..) => Err(EACCES.into()),
        }
    }

    fn report(&self, context: &mut Context<'_>) {
        if self.audit {
            let path = super::shown(&self.path);
            context.host.used(context.call, &path, self.right.changes());
        }
    }
}

/// What was opened.
#[derive(Debug)]
pub(crate) enum Opened {
    /// Something of the host.
    Host(OwnedFd),
    /// A link led to something that only the program sees; its path.
    MadeUp(Node, Vec<u8>),
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
            Some(super::normal(path.as_bytes()))
        };
        let (top, path) = (place(self.tree.as_deref()?)?, place(&self.directory)?);
        let inside = path == top || super::is_below(&path, &top);
        let slashes = path.get(top.len()..)?.iter().filter(|&&byte| byte == b'/');
        inside.then_some(slashes.count())
    }
}

/// What a path leads to, and its last part.
fn split(relative: &[u8]) -> (&[u8], &[u8]) {
    match relative.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (&relative[..slash], &relative[slash + 1..]),
        None => (b"", relative),
    }
}

/// True for file systems whose files are the host's kernel: processes, devices, settings. Reading
/// one is no reading of a file.
pub(crate) fn is_kernel_file_system(file: &impl std::os::fd::AsFd) -> bool {
    // linux/magic.h
    const PROC: i64 = 0x9fa0;
    const SYSFS: i64 = 0x6265_6572;
    const DEVPTS: i64 = 0x1cd1;
    const DEBUGFS: i64 = 0x6462_6720;
    const TRACEFS: i64 = 0x7472_6163;
    const SECURITYFS: i64 = 0x7363_6673;
    const CGROUP: i64 = 0x0027_e0eb;
    const CGROUP2: i64 = 0x6367_7270;
    const BPF: i64 = 0xcafe_4a11;
    const CONFIGFS: i64 = 0x6265_6570;
    rustix::fs::fstatfs(file).is_ok_and(|found| {
        [
            PROC, SYSFS, DEVPTS, DEBUGFS, TRACEFS, SECURITYFS, CGROUP, CGROUP2, BPF, CONFIGFS,
        ]
        .contains(&found.f_type)
    })
}
