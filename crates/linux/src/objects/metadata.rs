//! What is known about a file or another object, and the structures in which `stat` says it.

use std::os::fd::AsFd;

use crate::wire::errno::Errno;
use crate::wire::file::{S_IFDIR, S_IFMT};
use crate::wire::ids::USER_ID;
use crate::wire::record::Record;

/// Preferred size of a transfer, which C libraries take for their buffers.
const BLOCK: u32 = 4096;

/// A time of a file: seconds since 1970 and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct FileTime {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// What is known about a file or another object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Metadata {
    /// File type and permissions.
    pub(crate) mode: u32,
    /// Number within the file system.
    pub(crate) inode: u64,
    /// Major and minor number of the file system.
    pub(crate) device: (u32, u32),
    /// Number of names.
    pub(crate) links: u32,
    /// Owner.
    pub(crate) user: u32,
    /// Group.
    pub(crate) group: u32,
    /// Major and minor number of a device file.
    pub(crate) special: (u32, u32),
    /// Length in bytes.
    pub(crate) size: u64,
    /// Space in units of 512 bytes.
    pub(crate) blocks: u64,
    /// Last read.
    pub(crate) accessed: FileTime,
    /// Last change of contents.
    pub(crate) modified: FileTime,
    /// Last change of metadata.
    pub(crate) changed: FileTime,
    /// When it was made.
    pub(crate) born: Option<FileTime>,
}

impl Metadata {
    /// Something of the program's own, with one name.
    pub(crate) fn own(mode: u32) -> Self {
        Self {
            mode,
            links: 1,
            user: USER_ID,
            group: USER_ID,
            ..Self::default()
        }
    }

    /// Something that is made up for the program, and root's. Each path has a number of its own.
    pub(crate) fn made_up(mode: u32, path: &[u8]) -> Self {
        Self {
            inode: number_of(path),
            links: if mode & S_IFMT == S_IFDIR { 2 } else { 1 },
            user: 0,
            group: 0,
            ..Self::own(mode)
        }
    }

    /// True if both are about one file.
    pub(crate) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// True if it is a directory.
    pub(crate) fn is_directory(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR
    }

    /// `struct stat` (asm/stat.h).
    pub(crate) fn stat(&self) -> Record<144> {
        let time = |record: Record<144>, offset, time: FileTime| {
            record
                .u64(offset, time.seconds.cast_unsigned())
                .u64(offset + 8, u64::from(time.nanoseconds))
        };
        let record = Record::new()
            .u64(0, device_number(self.device))
            .u64(8, self.inode)
            .u64(16, u64::from(self.links))
            .u32(24, self.mode)
            .u32(28, self.user)
            .u32(32, self.group)
            .u64(40, device_number(self.special))
            .u64(48, self.size)
            .u64(56, u64::from(BLOCK))
            .u64(64, self.blocks);
        let record = time(record, 72, self.accessed);
        let record = time(record, 88, self.modified);
        time(record, 104, self.changed)
    }

    /// `struct statx` (linux/stat.h).
    pub(crate) fn statx(&self) -> Record<256> {
        /// `STATX_BASIC_STATS`
        const BASIC: u32 = 0x7ff;
        /// `STATX_BTIME`
        const BORN: u32 = 0x800;
        let time = |record: Record<256>, offset, time: FileTime| {
            record
                .u64(offset, time.seconds.cast_unsigned())
                .u32(offset + 8, time.nanoseconds)
        };
        let born = if self.born.is_some() { BORN } else { 0 };
        let [mode_low, mode_high, ..] = self.mode.to_le_bytes();
        let record = Record::new()
            .u32(0, BASIC | born)
            .u32(4, BLOCK)
            .u32(16, self.links)
            .u32(20, self.user)
            .u32(24, self.group)
            .bytes(28, &[mode_low, mode_high])
            .u64(32, self.inode)
            .u64(40, self.size)
            .u64(48, self.blocks)
            .u32(128, self.special.0)
            .u32(132, self.special.1)
            .u32(136, self.device.0)
            .u32(140, self.device.1);
        let record = time(record, 64, self.accessed);
        let record = time(record, 80, self.born.unwrap_or_default());
        let record = time(record, 96, self.changed);
        time(record, 112, self.modified)
    }
}

/// A number that stays the same for a path (FNV-1a).
pub(crate) fn number_of(path: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    path.iter().fold(0xcbf2_9ce4_8422_2325, step) >> 1 | 1 << 32
}

/// A device number as `struct stat` has it (`new_encode_dev` in linux/kdev_t.h).
fn device_number((major, minor): (u32, u32)) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    minor & 0xff | major << 8 | (minor & !0xff) << 12
}

/// Who is who in the metadata of host files: the user of this process is the program's user, root
/// is root, and everybody else is nobody.
const NOBODY: u32 = 65534;

/// What the host says about one of its files, with the program's users.
pub(crate) fn host_metadata(file: &impl AsFd) -> Result<Metadata, Errno> {
    let found = rustix::fs::fstat(file)?;
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let owner = |id: u32, own: u32| match id {
        id if id == own => USER_ID,
        0 => 0,
        _ => NOBODY,
    };
    let device = |number: u64| (rustix::fs::major(number), rustix::fs::minor(number));
    let time = |seconds: i64, nanoseconds: u64| FileTime {
        seconds,
        nanoseconds: u32::try_from(nanoseconds).unwrap_or(0),
    };
    Ok(Metadata {
        mode: found.st_mode,
        inode: found.st_ino,
        device: device(found.st_dev),
        links: u32::try_from(found.st_nlink).unwrap_or(u32::MAX),
        user: owner(found.st_uid, user),
        group: owner(found.st_gid, group),
        special: device(found.st_rdev),
        size: u64::try_from(found.st_size).unwrap_or(0),
        blocks: u64::try_from(found.st_blocks).unwrap_or(0),
        accessed: time(found.st_atime, found.st_atime_nsec),
        modified: time(found.st_mtime, found.st_mtime_nsec),
        changed: time(found.st_ctime, found.st_ctime_nsec),
        born: None,
    })
}
