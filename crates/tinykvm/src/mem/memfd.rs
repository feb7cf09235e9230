//! Anonymous files that hold guest-physical memory.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};

use crate::EngineError;

/// Size of a large page (x86-64, second level).
pub(crate) const LARGE_PAGE: usize = 2 << 20;

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

/// Where, in a file of `length` bytes, the large pages begin that are filled by half or more. `data`
/// are the ranges with memory behind them, in ascending order; each is looked at once.
pub(crate) fn well_filled(data: impl Iterator<Item = (u64, u64)>, length: u64) -> Vec<u64> {
    let large = LARGE_PAGE as u64;
    let mut pages: Vec<(u64, u64)> = Vec::new();
    for (mut at, end) in data {
        while at < end {
            let place = at - at % large;
            let stop = (place + large).min(end);
            match pages.last_mut() {
                Some((last, filled)) if *last == place => *filled += stop - at,
                _ => pages.push((place, stop - at)),
            }
            at = stop;
        }
    }
    let whole = |&(place, filled): &(u64, u64)| filled >= large / 2 && place + large <= length;
    pages.retain(whole);
    pages.into_iter().map(|(place, _)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: u64 = LARGE_PAGE as u64;

    #[test]
    fn large_pages_that_are_filled_by_half_are_found_in_one_look() {
        let half = LARGE / 2;
        let ranges = [
            // Two parts of one, which together are enough; less than half; exactly half.
            (0, 4096),
            (8192, half + 4096),
            (LARGE, LARGE + half - 4096),
            (3 * LARGE - half, 3 * LARGE),
            // One range over four: part, whole, whole, part.
            (6 * LARGE - 4096, 8 * LARGE + half),
            // The file ends in the last.
            (9 * LARGE, 10 * LARGE - 4096),
        ];
        let found = well_filled(ranges.into_iter(), 10 * LARGE - 4096);
        let found: Vec<_> = found.into_iter().map(|place| place / LARGE).collect();
        assert_eq!(found, [0, 2, 6, 7, 8]);
        assert_eq!(well_filled(std::iter::empty(), LARGE), [0; 0]);
        assert_eq!(well_filled([(0, LARGE)].into_iter(), LARGE), [0]);
    }
}
