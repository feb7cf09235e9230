//! Anonymous files that hold guest-physical memory.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use crate::EngineError;

/// An anonymous memory file (`memfd_create(2)`).
#[derive(Debug)]
pub(crate) struct Memfd {
    file: File,
    length: u64,
}

impl Memfd {
    /// Creates a file of `length` zero bytes. No page of it is allocated yet.
    pub(crate) fn new(length: u64) -> Result<Self, EngineError> {
        // SAFETY: the name is a NUL-terminated constant; the call has no other memory effects.
        let fd = unsafe {
            libc::memfd_create(
                c"tinykvm-template".as_ptr(),
                libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING,
            )
        };
        if fd < 0 {
            return Err(EngineError::last_os("memfd_create"));
        }
        // SAFETY: `fd` is a fresh descriptor that nothing else owns.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(length).map_err(|source| EngineError::System {
            operation: "ftruncate of a memfd",
            source,
        })?;
        Ok(Self { file, length })
    }

    /// Its length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Its descriptor, for `mmap`.
    pub(super) fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// The ranges with memory behind them that begin at `offset` or later: start and end. All else
    /// is zero. Where the kernel can't tell, all that is left counts as one range.
    pub(crate) fn data(&self, offset: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let seek = move |from: u64, whence| {
            let from = i64::try_from(from).unwrap_or(i64::MAX);
            // SAFETY: moves the position of a descriptor that we own and otherwise never use.
            let at = unsafe { libc::lseek(self.file.as_raw_fd(), from, whence) };
            let Ok(at) = u64::try_from(at) else {
                let error = std::io::Error::last_os_error().raw_os_error();
                // ENXIO: nothing more up to the end of the file.
                let nothing = error == Some(libc::ENXIO) || whence == libc::SEEK_HOLE;
                return if nothing {
                    self.length
                } else {
                    u64::try_from(from).unwrap_or(self.length)
                };
            };
            at
        };
        let mut at = offset;
        std::iter::from_fn(move || {
            let start = seek(at, libc::SEEK_DATA);
            at = seek(start, libc::SEEK_HOLE);
            (start < at).then_some((start, at))
        })
    }

    /// How many bytes of a range have memory behind them.
    pub(crate) fn allocated(&self, offset: u64, length: u64) -> u64 {
        let end = offset + length;
        self.data(offset)
            .take_while(|(start, _)| *start < end)
            .map(|(start, stop)| stop.min(end) - start)
            .sum()
    }

    /// Makes contents and size immutable for ever. Fails while a writable shared mapping exists.
    pub(crate) fn seal(&self) -> Result<(), EngineError> {
        let seals =
            libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: a plain system call on a descriptor that we own.
        if unsafe { libc::fcntl(self.file.as_raw_fd(), libc::F_ADD_SEALS, seals) } < 0 {
            return Err(EngineError::last_os("fcntl(F_ADD_SEALS)"));
        }
        Ok(())
    }
}
