//! A host file that guests read in place.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Mapping;
use crate::EngineError;
use crate::units::{page_up, to_usize};

/// A read-only mapping of a part of a file. Its memory is the host's page cache. The host itself
/// never reads the mapping, because a file that became shorter would end the process; it reads
/// the file.
#[derive(Debug, Clone)]
pub(crate) struct FileMapping {
    mapping: Arc<Mapping>,
    file: Arc<File>,
    offset: u64,
    /// Bytes of the file from `offset` on when it was mapped, at most the mapping's.
    length: u64,
}

impl FileMapping {
    /// Maps `length` bytes (whole pages) from `offset` on.
    pub(crate) fn new(file: &Arc<File>, offset: u64, length: u64) -> Result<Self, EngineError> {
        let about = file.metadata().map_err(|source| EngineError::System {
            operation: "fstat of a file to map",
            source,
        })?;
        let there = about.len().saturating_sub(offset);
        if page_up(there) < length {
            return Err(EngineError::System {
                operation: "mmap beyond the end of a file",
                source: std::io::Error::from_raw_os_error(libc::EINVAL),
            });
        }
        let mapping = Mapping::of_host_file(file.as_raw_fd(), offset, to_usize(length))?;
        Ok(Self {
            mapping: Arc::new(mapping),
            file: Arc::clone(file),
            offset,
            length: there.min(length),
        })
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
        let there = to_usize(self.length.saturating_sub(at)).min(out.len());
        let (bytes, rest) = out.split_at_mut(there);
        rest.fill(0);
        self.file.read_exact_at(bytes, self.offset + at).is_ok()
    }
}
