//! A file of the host.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::ReadWriteFlags;

use crate::objects::metadata::{Metadata, host_metadata};
use crate::wire::errno::{EFBIG, Errno};

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
