//! Opening what is granted.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno as HostErrno;

use crate::access::grant::{Grant, Parent, split};
use crate::access::place::Place;
use crate::access::request::Request;
use crate::access::synthetic::Node;
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Less;
use crate::rules::beneath::DIRECTORY;
use crate::wire::errno::{EACCES, EBUSY, ELOOP};
use crate::wire::file::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};

impl Grant {
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

    /// Opens it, or finds what is made up for the program where a link leads, if that can be read or
    /// written as it is asked for.
    pub(crate) fn open_any(
        &self,
        context: &mut Context<'_>,
        flags: OFlags,
        mode: Mode,
    ) -> Result<Opened, Failure> {
        let mut flags = flags.union(OFlags::CLOEXEC);
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
        let (above, name) = split(&self.relative);
        let parent = match self.open_here(above, DIRECTORY, Mode::empty()) {
            Err(HostErrno::XDEV | HostErrno::LOOP) => {
                walked = self.walk_on_host(context, false)?;
                grant = &walked;
                let (above, _) = split(&grant.relative);
                grant.open_here(above, DIRECTORY, Mode::empty())
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
            path: crate::rules::paths::shown(&self.path),
            tree: grant.directory.clone().filter(|_| !grant.by_name),
        })
    }

    /// As [`Self::parent_in`], of the file that a link at the end leads to if the request said so.
    pub(crate) fn real_parent(&self, context: &mut Context<'_>) -> Result<Parent, Failure> {
        if self.is_root {
            return Ok(Parent {
                directory: self.place(context)?,
                name: b".".to_vec(),
                path: crate::rules::paths::shown(&self.path),
                tree: None,
            });
        }
        if self.follow && !self.walked {
            return self.walk_on_host(context, true)?.real_parent(context);
        }
        self.parent_in(context)
    }

    /// Tells the host that more was asked for than is granted.
    pub(crate) fn refuse(&self, context: &mut Context<'_>, less: Less) -> Failure {
        crate::access::tell::denied(context, &self.path, &self.path, less)
    }

    /// Fails if something is about to be changed that is no file as others.
    fn check_change(&self, context: &mut Context<'_>, file: &OwnedFd) -> Result<(), Failure> {
        if self.right.changes() && !self.may_open(file) {
            return Err(self.refuse(context, Less::Special));
        }
        Ok(())
    }

    /// What it is after following all links by the program's paths.
    fn walk(&self, context: &mut Context<'_>, follow: bool) -> Result<Place, Failure> {
        let clean = crate::access::walk::walked(context, &self.path, self.right, follow)?;
        let request = Request {
            directory: crate::wire::file::AT_FDCWD,
            path: crate::rules::paths::shown(&clean),
            follow,
            right: self.right,
        };
        let less = match crate::access::place::place(context, &clean, &request, true) {
            Some(place) if !self.right.changes() => return Ok(place),
            Some(Place::Synthetic(node, path)) if node.takes_writes() => {
                return Ok(Place::Synthetic(node, path));
            }
            Some(Place::Host(grant)) if grant.writable => return Ok(Place::Host(grant)),
            Some(Place::Host(_)) => Less::ReadOnly,
            Some(Place::Synthetic(..)) => Less::MadeUp,
            None => {
                return Err(crate::access::tell::missing(
                    context, &self.path, &clean, self.right,
                ));
            }
        };
        Err(crate::access::tell::denied(
            context, &self.path, &clean, less,
        ))
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
            let path = crate::rules::paths::shown(&self.path);
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
