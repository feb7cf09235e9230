//! Where the bytes of a program come from.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A program's file: its bytes, or the open file that they are read from when they are needed.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Bytes(Arc<Vec<u8>>),
    File { file: Arc<File>, length: u64 },
}

impl Source {
    /// Its length when it was opened.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }

    /// Fills `out` with what is at `offset`; false if that is not all there (a file may have
    /// become shorter).
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> bool {
        match self {
            Self::Bytes(bytes) => {
                let found = usize::try_from(offset)
                    .ok()
                    .and_then(|offset| bytes.get(offset..)?.get(..out.len()));
                found.is_some_and(|found| {
                    out.copy_from_slice(found);
                    true
                })
            }
            Self::File { file, .. } => file.read_exact_at(out, offset).is_ok(),
        }
    }

    /// The bytes of a range, if they are all there and at most `limit`.
    pub(crate) fn range(&self, offset: u64, length: u64, limit: usize) -> Option<Vec<u8>> {
        let inside = offset.checked_add(length)? <= self.length();
        let size = usize::try_from(length).ok().filter(|size| *size <= limit)?;
        if !inside {
            return None;
        }
        let mut bytes = vec![0; size];
        self.read(offset, &mut bytes).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_and_its_bytes_read_alike() {
        let path = std::env::current_exe().unwrap();
        let bytes = Arc::new(std::fs::read(&path).unwrap());
        let length = bytes.len() as u64;
        let file = Arc::new(File::open(path).unwrap());
        let (file, bytes) = (Source::File { file, length }, Source::Bytes(bytes));
        let ranges = [
            (0, 64),
            (100, 1000),
            (length - 1, 1),
            (length, 0),
            (length - 1, 2),
        ];
        for (offset, size) in ranges.into_iter().chain([(u64::MAX, 1), (0, 5000)]) {
            let found = file.range(offset, size, 4096);
            assert_eq!(found, bytes.range(offset, size, 4096), "{offset} {size}");
            assert_eq!(
                found.is_some(),
                offset.saturating_add(size) <= length && size <= 4096
            );
        }
    }
}
