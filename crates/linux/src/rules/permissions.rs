//! What a program may have of the host, as its configuration says it.

mod reach;

use std::fmt;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};
use thiserror::Error;

use crate::rules::beneath::{self, BENEATH, DIRECTORY, PLACE};

/// One rule about paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// The path as the program sees it: absolute.
    pub shown: Vec<u8>,
    /// The path on the host. For [`Extent::Link`]: where the link points, as the program sees it.
    pub real: PathBuf,
    /// How much it grants.
    pub extent: Extent,
    /// It may be changed, too.
    pub writable: bool,
}

/// How much a rule grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This file, or if it is a directory, its names, but nothing in it.
    Exact,
    /// A directory and everything below it.
    Tree,
    /// A symbolic link that only the program sees.
    Link,
}

/// Why a rule grants nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    /// The path as seen by the program can't be one.
    #[error("\"{path}\" is not an absolute path")]
    NotAbsolute {
        /// The path.
        path: String,
    },
    /// There is nothing there.
    #[error("{}: {reason}", path.display())]
    Missing {
        /// The path on the host.
        path: PathBuf,
        /// What the host says.
        reason: String,
    },
    /// A tree of kernel objects holds more than files.
    #[error("{}: only single files of this file system can be granted", path.display())]
    Kernel {
        /// The path on the host.
        path: PathBuf,
    },
}

/// What holds a grant's place in the host's file system.
#[derive(Debug, Clone)]
pub(crate) enum Anchor {
    /// The directory that everything lies beneath.
    Tree(Arc<OwnedFd>),
    /// A name in a directory. The name is looked up each time: a file that is replaced by a
    /// rename is seen.
    Name(Arc<OwnedFd>, Vec<u8>),
    /// A link to another path of the program.
    Link(Vec<u8>),
    /// Nothing was there when it was granted.
    Missing,
}

/// A rule with what it grants.
#[derive(Debug, Clone)]
pub(crate) struct PathGrant {
    /// Absolute, without `.`, `..` and doubled slashes; `/` is the empty path.
    pub(crate) shown: Vec<u8>,
    pub(crate) anchor: Anchor,
    pub(crate) writable: bool,
}

/// What a program may have of the host. Empty at first: nothing.
#[derive(Default)]
pub struct Permissions {
    grants: Vec<PathGrant>,
    state: Option<PathGrant>,
    local_time: Option<Vec<u8>>,
    audit: bool,
}

impl fmt::Debug for Permissions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self
            .grants
            .iter()
            .map(|grant| String::from_utf8_lossy(&grant.shown));
        out.debug_list().entries(shown).finish()
    }
}

impl Permissions {
    /// Everything that the user of this process may do, reported to
    /// [`Host::used`](crate::host::Host::used). Not for programs that are not trusted.
    ///
    /// # Errors
    /// [`GrantError::Missing`] if the root directory can't be opened.
    pub fn audit() -> Result<Self, GrantError> {
        let mut all = Self {
            audit: true,
            ..Self::default()
        };
        all.allow(&PathRule {
            shown: b"/".to_vec(),
            real: PathBuf::from("/"),
            extent: Extent::Tree,
            writable: true,
        })?;
        Ok(all)
    }

    /// True for [`Self::audit`].
    pub(crate) fn is_audit(&self) -> bool {
        self.audit
    }

    /// True if this is an audit, and no rule is about this path.
    #[must_use]
    pub fn is_audited(&self, path: &[u8]) -> bool {
        let path = crate::rules::paths::normal(path);
        self.audit
            && self
                .find(&path)
                .is_some_and(|(grant, _)| grant.shown.is_empty())
    }

    /// Adds a rule. Of rules that concern a path, the one with the longest path decides; of several
    /// for the same path, the first; it is writable if any of them says so.
    ///
    /// The directory is opened now. What was asked for may be missing: then the program is told
    /// that it does not exist, and the caller gets an error to report.
    ///
    /// # Errors
    /// See [`GrantError`].
    pub fn allow(&mut self, rule: &PathRule) -> Result<(), GrantError> {
        if rule.shown.first() != Some(&b'/') || rule.shown.contains(&0) {
            return Err(GrantError::NotAbsolute {
                path: String::from_utf8_lossy(&rule.shown).into_owned(),
            });
        }
        let shown = crate::rules::paths::normal(&rule.shown);
        let (anchor, result) = match anchor(rule) {
            Ok(anchor) => (anchor, Ok(())),
            Err(error @ GrantError::Kernel { .. }) => return Err(error),
            Err(error) => (Anchor::Missing, Err(error)),
        };
        if let Some(known) = self.grants.iter_mut().find(|grant| grant.shown == shown) {
            known.writable |= rule.writable;
            let tree = matches!(anchor, Anchor::Tree(_));
            if matches!(known.anchor, Anchor::Missing)
                || tree && matches!(known.anchor, Anchor::Name(..))
            {
                known.anchor = anchor;
            }
            return result;
        }
        self.grants.push(PathGrant {
            shown,
            anchor,
            writable: rule.writable,
        });
        result
    }

    /// Lets the program read and write `file` as the path `state`, relative to any directory.
    ///
    /// # Errors
    /// [`GrantError::Missing`] if the directory of the file does not exist.
    pub fn allow_state(&mut self, file: &Path) -> Result<(), GrantError> {
        self.state = Some(PathGrant {
            shown: b"/state".to_vec(),
            anchor: in_parent(file)?,
            writable: true,
        });
        Ok(())
    }

    /// Opens a file as the program could, before there is one: its dynamic loader, say.
    ///
    /// # Errors
    /// [`std::io::ErrorKind::PermissionDenied`] if it may not, or what the host says.
    pub fn open_for_reading(&self, path: &[u8]) -> std::io::Result<File> {
        let mut path = crate::rules::paths::normal(path);
        for _ in 0..8 {
            let denied = || std::io::Error::from(std::io::ErrorKind::PermissionDenied);
            let (grant, rest) = self.find(&path).ok_or_else(denied)?;
            let (directory, name) = match &grant.anchor {
                Anchor::Tree(directory) => (directory, rest),
                Anchor::Name(directory, name) => (directory, name.as_slice()),
                Anchor::Link(target) => {
                    path = crate::rules::paths::normal(target);
                    continue;
                }
                Anchor::Missing => return Err(std::io::ErrorKind::NotFound.into()),
            };
            let name = beneath::relative(name);
            match rustix::fs::openat2(directory, name, READING, Mode::empty(), BENEATH) {
                Ok(file) => return Ok(File::from(file)),
                // A link to elsewhere: it leads to what the program has there.
                Err(rustix::io::Errno::XDEV) => {
                    let link = rustix::fs::openat2(directory, name, PLACE, Mode::empty(), BENEATH)?;
                    let target = rustix::fs::readlinkat(&link, "", Vec::new())?.into_bytes();
                    let mut next = if target.first() == Some(&b'/') {
                        Vec::new()
                    } else {
                        [path.as_slice(), b"/../"].concat()
                    };
                    next.extend_from_slice(&target);
                    path = crate::rules::paths::normal(&next);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(rustix::io::Errno::LOOP.into())
    }

    /// True if the rules give the program a directory of this path, or one on the way to something.
    #[must_use]
    pub fn has_directory(&self, path: &[u8]) -> bool {
        let on_the_way = || !self.children(&crate::rules::paths::normal(path)).is_empty();
        let there = self.open_for_reading(path);
        there.is_ok_and(|file| file.metadata().is_ok_and(|data| data.is_dir())) || on_the_way()
    }

    /// Gives the program the host's time zone: the contents of a zone file.
    pub fn set_local_time(&mut self, zone: Vec<u8>) {
        self.local_time = Some(zone);
    }

    pub(crate) fn local_time(&self) -> Option<&[u8]> {
        self.local_time.as_deref()
    }

    /// The rule that decides about a path without `.` and `..`, and what is left of the path
    /// below it.
    pub(crate) fn find<'a>(&self, path: &'a [u8]) -> Option<(&PathGrant, &'a [u8])> {
        self.grants
            .iter()
            .filter_map(|grant| Some((grant, below(path, grant)?)))
            .max_by_key(|(grant, _)| grant.shown.len())
    }

    /// The program's state file.
    pub(crate) fn state(&self) -> Option<&PathGrant> {
        self.state.as_ref()
    }

    /// Names directly below `directory` on the way to something granted.
    pub(crate) fn children(&self, directory: &[u8]) -> Vec<Vec<u8>> {
        let paths = self.grants.iter().map(|grant| grant.shown.as_slice());
        crate::rules::paths::children(directory, paths)
    }

    /// True if something else is granted below `path`.
    pub(crate) fn has_below(&self, path: &[u8]) -> bool {
        self.grants
            .iter()
            .any(|grant| crate::rules::paths::is_below(&grant.shown, path))
    }

    /// True if some rule makes a link.
    pub(crate) fn has_link(&self) -> bool {
        let link = |grant: &PathGrant| matches!(grant.anchor, Anchor::Link(_));
        self.grants.iter().any(link)
    }
}

/// To be read, whatever it turns out to be: a FIFO is not waited for.
const READING: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);

/// What is left of a path below a grant; `None` if the grant is not about it.
fn below<'a>(path: &'a [u8], grant: &PathGrant) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(grant.shown.as_slice())?;
    match (rest, &grant.anchor) {
        ([], _) => Some(rest),
        ([b'/', rest @ ..], Anchor::Tree(_) | Anchor::Missing) => Some(rest),
        _ => None,
    }
}

fn missing(path: &Path, reason: &dyn fmt::Display) -> GrantError {
    GrantError::Missing {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn anchor(rule: &PathRule) -> Result<Anchor, GrantError> {
    match rule.extent {
        Extent::Link => Ok(Anchor::Link(rule.real.as_os_str().as_bytes().to_vec())),
        Extent::Exact => in_parent(&rule.real),
        Extent::Tree => {
            let directory = open_directory(&rule.real)?;
            if rule.real != Path::new("/") && is_kernel_file_system(&directory) {
                return Err(GrantError::Kernel {
                    path: rule.real.clone(),
                });
            }
            Ok(Anchor::Tree(Arc::new(directory)))
        }
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, GrantError> {
    rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()).map_err(|error| missing(path, &error))
}

/// The file's directory and its name there. Links in the path are followed now and never again.
fn in_parent(path: &Path) -> Result<Anchor, GrantError> {
    let real = std::fs::canonicalize(path);
    let real = real.or_else(|error| {
        // The file itself may come later.
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(error);
        };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        Ok(std::fs::canonicalize(parent)?.join(name))
    });
    let real = real.map_err(|error| missing(path, &error))?;
    match (real.parent(), real.file_name()) {
        (Some(parent), Some(name)) => Ok(Anchor::Name(
            Arc::new(open_directory(parent)?),
            name.as_bytes().to_vec(),
        )),
        _ => Ok(Anchor::Name(
            Arc::new(open_directory(&real)?),
            b".".to_vec(),
        )),
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

#[cfg(test)]
mod tests;
