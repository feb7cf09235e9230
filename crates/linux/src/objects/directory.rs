//! Directories: of the host, and those that lead to what is granted.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};

use crate::objects::metadata::{Metadata, number_of};
use crate::wire::errno::{EINVAL, Errno};
use crate::wire::file::S_IFDIR;

/// An open directory. Its position in the host's kernel is never used.
#[derive(Debug)]
pub(crate) struct Directory {
    /// As the program knows it, clean.
    path: Vec<u8>,
    contents: Contents,
    /// What was granted may be changed.
    changeable: bool,
}

#[derive(Debug)]
enum Contents {
    Host(Arc<OwnedFd>),
    Names(Vec<Vec<u8>>),
}

/// `DT_DIR`, `DT_UNKNOWN` in dirent.h.
const DT_DIR: u8 = 4;
const DT_UNKNOWN: u8 = 0;

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) inode: u64,
    /// Where a listing that goes on behind it starts.
    pub(crate) next: u64,
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
}

impl Directory {
    pub(crate) fn of_host(file: OwnedFd, path: Vec<u8>, changeable: bool) -> Self {
        Self {
            path,
            contents: Contents::Host(Arc::new(file)),
            changeable,
        }
    }

    pub(crate) fn synthetic(names: Vec<Vec<u8>>, path: Vec<u8>) -> Self {
        Self {
            path,
            contents: Contents::Names(names),
            changeable: false,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn held(&self) -> usize {
        let names = match &self.contents {
            Contents::Host(_) => 0,
            Contents::Names(names) => names.iter().map(|name| name.len() + 48).sum(),
        };
        self.path.len() + names
    }

    /// True if the program may change its metadata.
    pub(crate) fn is_changeable(&self) -> bool {
        self.changeable
    }

    /// As the program knows it, clean.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The host's descriptor, if it is the host's.
    pub(crate) fn host(&self) -> Option<&Arc<OwnedFd>> {
        match &self.contents {
            Contents::Host(file) => Some(file),
            Contents::Names(_) => None,
        }
    }

    /// What `stat` says.
    pub(crate) fn metadata(&self) -> Result<Metadata, Errno> {
        match &self.contents {
            Contents::Host(file) => crate::objects::metadata::host_metadata(file),
            Contents::Names(_) => Ok(Metadata::made_up(S_IFDIR | 0o555, &self.path)),
        }
    }

    /// Names from position `at` on, as long as `take` wants them. The host's directory is opened
    /// anew: forks have it in common, and the position in its kernel is one.
    pub(crate) fn list(&self, at: u64, mut take: impl FnMut(Name) -> bool) -> Result<(), Errno> {
        match &self.contents {
            Contents::Host(file) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let fresh =
                    rustix::fs::openat(file, ".", flags, Mode::empty()).map_err(Errno::from)?;
                if at != 0 {
                    i64::try_from(at).map_err(|_| EINVAL)?;
                    rustix::fs::seek(&fresh, SeekFrom::Start(at)).map_err(Errno::from)?;
                }
                let mut buffer = Vec::with_capacity(32 * 1024);
                let mut entries = RawDir::new(&fresh, buffer.spare_capacity_mut());
                while let Some(entry) = entries.next() {
                    let entry = entry.map_err(Errno::from)?;
                    let name = Name {
                        inode: entry.ino(),
                        next: entry.next_entry_cookie(),
                        kind: kind(entry.file_type()),
                        name: entry.file_name().to_bytes().to_vec(),
                    };
                    if !take(name) {
                        break;
                    }
                }
            }
            Contents::Names(names) => {
                let dots = [b".".to_vec(), b"..".to_vec()];
                let all = dots.iter().chain(names);
                for (next, name) in (1_u64..)
                    .zip(all)
                    .skip(usize::try_from(at).unwrap_or(usize::MAX))
                {
                    let dot = next <= 2;
                    let name = Name {
                        inode: number_of(&[&self.path, &b"/"[..], name].concat()),
                        next,
                        kind: if dot { DT_DIR } else { DT_UNKNOWN },
                        name: name.clone(),
                    };
                    if !take(name) {
                        break;
                    }
                }
            }
        }
        Ok(())
    }
}

/// `DT_*` in dirent.h.
fn kind(kind: rustix::fs::FileType) -> u8 {
    use rustix::fs::FileType;
    match kind {
        FileType::Fifo => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => DT_DIR,
        FileType::BlockDevice => 6,
        FileType::RegularFile => 8,
        FileType::Symlink => 10,
        FileType::Socket => 12,
        FileType::Unknown => DT_UNKNOWN,
    }
}
