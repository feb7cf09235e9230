//! Symbolic links that a program leaves on the host stay inside of what was granted.
//!
//! For the program itself that makes no difference: links are followed in its own paths. But others
//! look at these files, too, and the host's kernel follows what it finds. So a link that a program
//! makes leads no further up than to the directory that was granted, and neither a move of it nor
//! of a directory above changes that. Links that others made may lead anywhere, and do so after a
//! move as before: those with `..` in front are not moved to where they would lead further up.
//!
//! Two moves at a time could together do what neither may. So there is one at a time in this
//! process, each a matter of microseconds. Looking for links in a directory takes longer: that is
//! done before, and counts if no link has come to a place meanwhile.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RenameFlags};

use crate::access::grant::Parent;
use crate::access::tell;
use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Less;
use crate::wire::errno::{EXDEV, Errno};
use crate::wire::file::{S_IFDIR, S_IFLNK, S_IFMT};

/// The most names that are looked at in a directory that moves. Programs that are told that it
/// can't be moved (`EXDEV`) copy it.
const MOST_NAMES: usize = 10_000;
/// The deepest that directories are looked at.
const DEEPEST: usize = 200;
/// How often a look is begun anew because links came meanwhile.
const LOOKS: usize = 3;

/// How often a link was made or moved.
static CHANGES: Mutex<u64> = Mutex::new(0);

fn changes() -> MutexGuard<'static, u64> {
    CHANGES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many directories a link's target goes up before it goes down; `None` if it is absolute, or
/// goes up later, which leads who knows where.
fn ups(target: &[u8]) -> Option<usize> {
    let (mut ups, mut down) = (0, target.first() == Some(&b'/'));
    for part in target.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if down => return None,
            b".." => ups += 1,
            _ => down = true,
        }
    }
    (target.first() != Some(&b'/')).then_some(ups)
}

/// Makes a link, if it stays inside.
pub(super) fn make(
    context: &mut Context<'_>,
    target: &[u8],
    place: &Parent,
) -> Result<(), Failure> {
    let mut changes = changes();
    let inside = ups(target)
        .zip(place.depth())
        .is_some_and(|(ups, depth)| ups <= depth);
    if !inside {
        drop(changes);
        return Err(tell::denied(context, &place.path, target, Less::Link));
    }
    *changes += 1;
    rustix::fs::symlinkat(target, &place.directory, &place.name).map_err(Errno::from)?;
    Ok(())
}

/// What a name stands for, as far as moving it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    /// Nothing that leads anywhere.
    Plain,
    /// Something that leads this far up from the directory that it lies in.
    Leads(usize),
    /// It leads who knows where, or is too much to look at.
    Unknown,
}

/// Gives a file a second name, if it is no link that would then lead out.
pub(super) fn second_name(
    context: &mut Context<'_>,
    from: &Parent,
    to: &Parent,
) -> Result<(), Failure> {
    let mut changes = changes();
    let here = same_place(from, to)?;
    if kind(from)? == S_IFLNK {
        if !here && !fits(link(from)?, to) {
            drop(changes);
            return Err(tell::denied(context, &to.path, &to.path, Less::Link));
        }
        *changes += 1;
    }
    rustix::fs::linkat(
        &from.directory,
        &from.name,
        &to.directory,
        &to.name,
        AtFlags::empty(),
    )
    .map_err(Errno::from)?;
    Ok(())
}

/// Renames, if no link then leads out that did not before.
pub(super) fn rename(
    context: &mut Context<'_>,
    from: &Parent,
    to: &Parent,
    flags: RenameFlags,
) -> Result<(), Failure> {
    let both = flags.contains(RenameFlags::EXCHANGE);
    let pairs: &[(&Parent, &Parent)] = if both {
        &[(from, to), (to, from)]
    } else {
        &[(from, to)]
    };
    let mut looks = Vec::new();
    for _ in 0..LOOKS {
        let mut changes = changes();
        let mut again = false;
        if !same_place(from, to)? {
            for (index, (from, to)) in pairs.iter().enumerate() {
                let moved = match kind(from)? {
                    S_IFLNK => link(from)?,
                    S_IFDIR if is_no_higher(from, to) => Moved::Plain,
                    S_IFDIR => match looks.get(index) {
                        Some(&(seen, number, moved)) if seen == *changes && number == id(from)? => {
                            moved
                        }
                        _ => {
                            again = true;
                            break;
                        }
                    },
                    _ => continue,
                };
                if moved == Moved::Unknown {
                    return Err(EXDEV.into());
                }
                if !fits(moved, to) {
                    drop(changes);
                    return Err(tell::denied(context, &to.path, &to.path, Less::Link));
                }
            }
            if !again {
                // What moves may hold links, which somebody else looks for.
                *changes += 1;
            }
        }
        if !again {
            rustix::fs::renameat_with(&from.directory, &from.name, &to.directory, &to.name, flags)
                .map_err(Errno::from)?;
            return Ok(());
        }
        let seen = *changes;
        drop(changes);
        looks.clear();
        for (from, _) in pairs {
            looks.push((seen, id(from)?, look(from)));
            context.checkpoint()?;
        }
    }
    Err(EXDEV.into())
}

/// True if what leads so far up stays inside at a place.
fn fits(moved: Moved, to: &Parent) -> bool {
    match moved {
        Moved::Plain => true,
        // Beside a single file there is nothing that was granted.
        Moved::Leads(ups) => to.depth().is_some_and(|depth| ups <= depth),
        Moved::Unknown => false,
    }
}

/// True if a directory has at least as many directories above it as before that were granted.
fn is_no_higher(from: &Parent, to: &Parent) -> bool {
    from.depth()
        .zip(to.depth())
        .is_some_and(|(from, to)| to >= from)
}

fn same_place(from: &Parent, to: &Parent) -> Result<bool, Errno> {
    let (from, to) = (
        rustix::fs::fstat(&from.directory)?,
        rustix::fs::fstat(&to.directory)?,
    );
    Ok((from.st_dev, from.st_ino) == (to.st_dev, to.st_ino))
}

fn kind(place: &Parent) -> Result<u32, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statat(&place.directory, &place.name, flags)?;
    Ok(found.st_mode & S_IFMT)
}

fn id(place: &Parent) -> Result<(u64, u64), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let found = rustix::fs::statat(&place.directory, &place.name, flags)?;
    Ok((found.st_dev, found.st_ino))
}

/// Where a link leads. An absolute one leads there from everywhere.
fn link(place: &Parent) -> Result<Moved, Errno> {
    let target = rustix::fs::readlinkat(&place.directory, &place.name, Vec::new())?;
    Ok(leads(target.as_bytes()))
}

fn leads(target: &[u8]) -> Moved {
    match ups(target) {
        Some(ups) => Moved::Leads(ups),
        None if target.first() == Some(&b'/') => Moved::Plain,
        None => Moved::Unknown,
    }
}

/// How far up the links in a directory lead, from the directory that this one lies in.
fn look(place: &Parent) -> Moved {
    let mut left = MOST_NAMES;
    let mut furthest = None;
    match look_in(&place.directory, &place.name, 0, &mut left, &mut furthest) {
        Ok(()) => furthest.map_or(Moved::Plain, Moved::Leads),
        Err(_) => Moved::Unknown,
    }
}

/// The same for a directory `depth` below; fails if that can't be told.
fn look_in(
    above: &OwnedFd,
    name: &[u8],
    depth: usize,
    left: &mut usize,
    furthest: &mut Option<usize>,
) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(above, name, flags, Mode::empty())?;
    let mut below = Vec::new();
    let mut buffer = Vec::with_capacity(32 * 1024);
    let mut entries = RawDir::new(&directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        *left = left.checked_sub(1).ok_or(EXDEV)?;
        let found = rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        match found.st_mode & S_IFMT {
            S_IFDIR if depth == DEEPEST => return Err(EXDEV),
            S_IFDIR => below.push(name.to_vec()),
            S_IFLNK => {
                let target = rustix::fs::readlinkat(&directory, entry.file_name(), Vec::new())?;
                match leads(target.as_bytes()) {
                    // One up is the directory itself.
                    Moved::Leads(ups) => {
                        let out = ups.checked_sub(depth + 1);
                        *furthest = (*furthest).max(out);
                    }
                    Moved::Plain => {}
                    Moved::Unknown => return Err(EXDEV),
                }
            }
            _ => {}
        }
    }
    for name in below {
        look_in(&directory, &name, depth + 1, left, furthest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_targets_lead_up() {
        let cases: [(&str, Option<usize>); 10] = [
            ("file", Some(0)),
            (".", Some(0)),
            ("./a//b/", Some(0)),
            ("..", Some(1)),
            (".././../file", Some(2)),
            ("../a/b", Some(1)),
            ("a/..", None),
            ("../a/../..", None),
            ("/", None),
            ("/a", None),
        ];
        for (target, expected) in cases {
            assert_eq!(ups(target.as_bytes()), expected, "{target}");
        }
    }
}
