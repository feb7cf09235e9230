//! Opening what lies beneath a directory of the host, by no way that leads elsewhere.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// By links, too, as long as none leads out. openat2(2) says to refuse magic links as well: that
/// [`ResolveFlags::BENEATH`] does so by itself may change.
pub(crate) const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// By no link at all.
pub(crate) const WITHOUT_LINKS: ResolveFlags = BENEATH.union(ResolveFlags::NO_SYMLINKS);

/// As a place, to be looked at: to open a FIFO or a device does something by itself. A link at the
/// end is the link.
pub(crate) const PLACE: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// As the place of a directory, to start from.
pub(crate) const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A path beneath a directory, as openat2(2) takes it: `.` is the directory itself.
pub(crate) fn relative(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}

/// What is at a path whose parts are no links, as a [`PLACE`].
pub(crate) fn look(directory: &impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    let mode = Mode::empty();
    rustix::fs::openat2(directory, relative(path), PLACE, mode, WITHOUT_LINKS)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, fstat};
    use rustix::io::FdFlags;

    use super::*;

    #[test]
    fn a_look_opens_nothing_and_follows_nothing() {
        let name = format!("tinykvm-beneath-{}", std::process::id());
        let top = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&top);
        std::fs::create_dir_all(top.join("dir/inner")).unwrap();
        symlink("dir", top.join("link")).unwrap();
        // To open it for reading would wait for a writer.
        rustix::fs::mknodat(CWD, top.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        let directory = rustix::fs::open(&top, DIRECTORY, Mode::empty()).unwrap();
        let not_one = rustix::fs::open(top.join("fifo"), DIRECTORY, Mode::empty());
        let kind = |path: &str| {
            let found = look(&directory, path.as_bytes())?;
            let flags = rustix::io::fcntl_getfd(&found)?;
            assert!(flags.contains(FdFlags::CLOEXEC), "{path}");
            Ok(FileType::from_raw_mode(fstat(&found)?.st_mode))
        };
        let found = [
            "",
            "dir/inner",
            "link",
            "fifo",
            "link/inner",
            "link/",
            "dir/..",
            "..",
            "/",
            "none",
        ]
        .map(kind);
        let _ = std::fs::remove_dir_all(&top);
        assert_eq!(not_one.unwrap_err(), Errno::NOTDIR);
        assert_eq!(
            found,
            [
                Ok(FileType::Directory),
                Ok(FileType::Directory),
                Ok(FileType::Symlink),
                Ok(FileType::Fifo),
                Err(Errno::LOOP),
                Err(Errno::LOOP),
                Ok(FileType::Directory),
                Err(Errno::XDEV),
                Err(Errno::XDEV),
                Err(Errno::NOENT),
            ]
        );
    }
}
