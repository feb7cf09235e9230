//! Whether a program may write to a file that it has open, by whatever name.
//!
//! A file can be reached by several rules: the same directory granted twice, one within the other,
//! a bind mount, another name of the same file (a hard link). So the file itself is asked where it
//! lies, and the rules about every name that leads there.

use std::os::fd::{AsFd, AsRawFd};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, StatxFlags};
use rustix::process::Uid;

use crate::rules::paths::{is_below, normal};
use crate::rules::permissions::{Anchor, Permissions};

/// A mount of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    id: u64,
    /// The file system, as the host numbers it.
    device: Vec<u8>,
    /// What of the file system is shown; the empty path is all of it.
    root: Vec<u8>,
    /// Where; the root is the empty path.
    point: Vec<u8>,
}

/// Where a file lies.
struct Place<'a> {
    mount: &'a Mount,
    /// In the host's file system.
    path: Vec<u8>,
    /// Within the file system of the mount.
    inner: Vec<u8>,
}

impl Permissions {
    /// True if some rule lets the program write to a file of the host, or if that can't be told.
    /// The rule of an audit does not count.
    pub(crate) fn may_write(&self, file: &impl AsFd) -> bool {
        let rules = self.grants.iter().chain(&self.state);
        let own = rules.filter(|grant| grant.writable && !(self.audit && grant.shown.is_empty()));
        let mut trees = Vec::new();
        let Ok(found) = rustix::fs::fstat(file) else {
            return true;
        };
        for grant in own {
            match &grant.anchor {
                Anchor::Tree(directory) => trees.push((grant.shown.as_slice(), directory)),
                Anchor::Name(directory, name) => {
                    let there = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
                    if there.is_ok_and(|there| same(&there, &found)) {
                        return true;
                    }
                }
                Anchor::Link(_) | Anchor::Missing => {}
            }
        }
        if trees.is_empty() {
            return false;
        }
        let reached = mounts().and_then(|mounts| {
            let place = place(file, &mounts)?;
            let mut reached = false;
            for (shown, directory) in trees {
                let tree = self::place(directory, &mounts)?;
                reached |= self.is_reached(shown, &tree, &place, &mounts);
                reached |= found.st_nlink > 1
                    && is_changed_by(rustix::process::geteuid(), &found)
                    && shows_device(&tree, &place.mount.device, &mounts);
            }
            Some(reached)
        });
        reached.unwrap_or(true)
    }

    /// True if a file lies in a tree that is shown as `shown`, and the rule that decides there
    /// lets it be written.
    fn is_reached(&self, shown: &[u8], tree: &Place<'_>, file: &Place<'_>, all: &[Mount]) -> bool {
        let writable = |path: Vec<u8>| {
            let decides = self.find(&path);
            decides.is_some_and(|(grant, _)| grant.writable)
        };
        let at = |start: Vec<u8>, root: &[u8]| {
            let rest = rest(&file.inner, root)?;
            Some([start.as_slice(), rest].concat())
        };
        let device = &file.mount.device;
        if *device == tree.mount.device && at(shown.to_vec(), &tree.inner).is_some_and(writable) {
            return true;
        }
        let below = all.iter().filter(|mount| mount.device == *device);
        below
            .filter_map(|mount| Some((mount, rest(&mount.point, &tree.path)?)))
            .filter_map(|(mount, way)| at([shown, way].concat(), &mount.root))
            .any(writable)
    }
}

/// True if files of a file system are in a tree: as far as names go, any of them may be.
fn shows_device(tree: &Place<'_>, device: &[u8], mounts: &[Mount]) -> bool {
    let below = |mount: &Mount| rest(&mount.point, &tree.path).is_some();
    tree.mount.device == device
        || mounts
            .iter()
            .any(|mount| mount.device == device && below(mount))
}

/// True if a user may write to a file, or let himself do so.
fn is_changed_by(user: Uid, found: &Stat) -> bool {
    user.is_root() || found.st_uid == user.as_raw() || found.st_mode & 0o022 != 0
}

fn same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

/// What is left of a path at or below a directory.
fn rest<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if path == directory {
        return Some(b"");
    }
    is_below(path, directory).then(|| &path[directory.len()..])
}

fn place<'a>(file: &impl AsFd, mounts: &'a [Mount]) -> Option<Place<'a>> {
    let file = file.as_fd();
    let found = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    let mount = mounts.iter().find(|mount| mount.id == found.stx_mnt_id)?;
    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
    let path = rustix::fs::readlink(own, Vec::new()).ok()?;
    let path = normal(path.as_bytes());
    let inner = [&mount.root, rest(&path, &mount.point)?].concat();
    Some(Place { mount, path, inner })
}

/// All mounts that this process sees.
fn mounts() -> Option<Vec<Mount>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open("/proc/self/mountinfo", flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(file), &mut text).ok()?;
    let lines = text.split(|&byte| byte == b'\n');
    lines.filter(|line| !line.is_empty()).map(mount).collect()
}

/// A line of `/proc/self/mountinfo`: number, number of the parent, device, root, mount point, ...
fn mount(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = fields.nth(1)?.to_vec();
    let root = normal(&unescaped(fields.next()?));
    let point = normal(&unescaped(fields.next()?));
    Some(Mount {
        id,
        device,
        root,
        point,
    })
}

/// Blanks, tabs, newlines and backslashes are octal there.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut left = field;
    while let [first, rest @ ..] = left {
        left = rest;
        match (first, rest) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..]) => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                left = &rest[3..];
            }
            (other, _) => out.push(*other),
        }
    }
    out
}

#[cfg(test)]
mod tests;
