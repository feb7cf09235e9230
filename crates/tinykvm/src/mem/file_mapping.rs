//! A host file that guests read in place.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use super::{Mapping, large_pages};
use crate::EngineError;
use crate::units::to_usize;

/// From this length on it matters in which pages the host keeps a file.
const LONG_FILE: u64 = 32 << 20;

/// Which file it is, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileKey {
    device: u64,
    inode: u64,
    /// Bytes of it.
    pub(crate) length: u64,
}

impl FileKey {
    /// The key of a regular file.
    pub(crate) fn of(file: BorrowedFd<'_>) -> Option<Self> {
        let about = File::from(file.try_clone_to_owned().ok()?)
            .metadata()
            .ok()?;
        about.is_file().then(|| Self {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
        })
    }
}

/// A read-only mapping of a part of a file. Its memory is the host's page cache. The host itself
/// never reads the mapping, because a file that became shorter would end the process; it reads
/// the file.
#[derive(Debug, Clone)]
pub(crate) struct FileMapping {
    mapping: Arc<Mapping>,
    file: Arc<File>,
    key: FileKey,
    offset: u64,
}

impl FileMapping {
    /// Maps `length` bytes (whole pages, none of them behind the file's end) from `offset` on.
    /// `lasting`: for so long that it pays to have the host keep the file in large pages.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        length: u64,
        lasting: bool,
    ) -> Result<Self, EngineError> {
        let failed = |source| EngineError::System {
            operation: "mapping a file",
            source,
        };
        let key = FileKey::of(file).ok_or(EngineError::Internal("no regular file"))?;
        let file = File::from(file.try_clone_to_owned().map_err(failed)?);
        let mapping = Mapping::of_host_file(file.as_raw_fd(), offset, to_usize(length))?;
        let mapping = Arc::new(mapping);
        if lasting && length >= LONG_FILE {
            large_pages::prefer(&mapping, file.as_raw_fd(), offset);
        }
        Ok(Self {
            mapping,
            file: Arc::new(file),
            key,
            offset,
        })
    }

    /// Where in this mapping `length` bytes of a file from `offset` on are, if they are.
    pub(crate) fn place_of(&self, key: &FileKey, offset: u64, length: u64) -> Option<u64> {
        let place = offset.checked_sub(self.offset)?;
        let inside = place.checked_add(length)? <= self.length();
        (inside && *key == self.key).then_some(place)
    }

    /// The mapping, to give to KVM.
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Bytes of it.
    pub(crate) fn length(&self) -> u64 {
        self.mapping.length() as u64
    }

    /// Copies what is at `at` of the mapping; zeros behind the file's end. False if the file is
    /// shorter than it was.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> bool {
        let end = self.key.length.saturating_sub(self.offset);
        let there = to_usize(end.saturating_sub(at)).min(out.len());
        let (bytes, rest) = out.split_at_mut(there);
        rest.fill(0);
        self.file.read_exact_at(bytes, self.offset + at).is_ok()
    }
}
