//! A file of the host.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::ReadWriteFlags;

use crate::context::{Answer, Context, Failure};
use crate::descriptor::DescriptionId;
use crate::errno::{EFBIG, ENOTTY, Errno};
use crate::stat::{FileTime, Metadata};
use crate::system::USER_ID;

/// An open file of the host. Its offset in the host's kernel is never used.
#[derive(Debug)]
pub(crate) struct HostFile {
    file: Arc<OwnedFd>,
    /// As the program knows it, clean.
    path: Vec<u8>,
    /// The program may write to it by this descriptor.
    writable: bool,
    /// What was granted may be changed, however this was opened.
    changeable: bool,
}

/// Who is who in the metadata of host files: the user of this process is the program's user, root
/// is root, and everybody else is nobody.
const NOBODY: u32 = 65534;

impl HostFile {
    pub(crate) fn new(file: OwnedFd, path: Vec<u8>, writable: bool, changeable: bool) -> Self {
        Self {
            file: Arc::new(file),
            path,
            writable,
            changeable,
        }
    }

    /// As the program knows it, clean.
    pub(crate) fn path(&self) -> &[u8] {
        &self.path
    }

    /// The host's descriptor.
    pub(crate) fn host(&self) -> &Arc<OwnedFd> {
        &self.file
    }

    /// True if the program may change the file by this descriptor.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// True if the program may change its metadata.
    pub(crate) fn is_changeable(&self) -> bool {
        self.changeable
    }

    /// Reads at a position.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> Result<usize, Errno> {
        if i64::try_from(at).is_err() {
            return Ok(0);
        }
        Ok(rustix::io::pread(&self.file, out, at)?)
    }

    /// Writes at a position, or at the end, and gives where that ended up.
    pub(crate) fn write(&self, at: u64, append: bool, bytes: &[u8]) -> Result<(usize, u64), Errno> {
        if i64::try_from(at.saturating_add(bytes.len() as u64)).is_err() {
            return Err(EFBIG);
        }
        if append {
            let parts = [std::io::IoSlice::new(bytes)];
            let flags = ReadWriteFlags::APPEND;
            let count = rustix::io::pwritev2(&self.file, &parts, 0, flags)?;
            return Ok((count, self.size()?));
        }
        let count = rustix::io::pwrite(&self.file, bytes, at)?;
        Ok((count, at + count as u64))
    }

    pub(crate) fn size(&self) -> Result<u64, Errno> {
        let found = rustix::fs::fstat(&self.file)?;
        Ok(u64::try_from(found.st_size).unwrap_or(0))
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, Errno> {
        host_metadata(&self.file)
    }
}

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

/// `FIONREAD` (asm-generic/ioctls.h): bytes up to the end.
pub(crate) fn ioctl_of_file(
    context: &mut Context<'_>,
    file: &HostFile,
    fd: i32,
    request: u32,
    argument: u64,
) -> Answer {
    const FIONREAD: u32 = 0x541b;
    if request != FIONREAD {
        return Err(ENOTTY.into());
    }
    let at = context.state().descriptors.get(fd)?.offset;
    let left = file.size()?.saturating_sub(at);
    let left = i32::try_from(left).unwrap_or(i32::MAX);
    context.write(argument, &left.to_le_bytes())?;
    Ok(0)
}

/// Writes at a position, or at the end, which then is where the offset is.
pub(crate) fn write_to_file(
    context: &mut Context<'_>,
    file: &HostFile,
    id: DescriptionId,
    at: u64,
    bytes: &[u8],
) -> Result<usize, Failure> {
    let append = context.state().descriptors.description(id)?.appends();
    let (count, end) = file.write(at, append, bytes)?;
    if append {
        let open = context.state_mut().descriptors.description_mut(id)?;
        open.offset = end;
    }
    Ok(count)
}
