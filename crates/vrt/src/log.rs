//! Records in the shared memory log.

use crate::ffi;
use crate::strings::c_text;

/// Under which tag a record appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `Debug`.
    Debug,
    /// `Error`: a request went wrong.
    Error,
    /// `VCL_Error`: VCL asked for something that can't be done.
    VclError,
    /// `VCL_Log`: what a program says.
    VclLog,
}

impl Tag {
    fn raw(self) -> ffi::VSL_tag_e {
        match self {
            Self::Debug => ffi::SLT_Debug,
            Self::Error => ffi::SLT_Error,
            Self::VclError => ffi::SLT_VCL_Error,
            Self::VclLog => ffi::SLT_VCL_Log,
        }
    }
}

/// The records of a text: one a line, and none for an empty one.
fn records(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_end().is_empty())
}

/// Writes `text` outside of any transaction, one record a line. Only in the raw log.
pub fn log_global(tag: Tag, text: &str) {
    for record in records(text) {
        let record = c_text(record);
        // SAFETY: a valid string; the function copies it.
        unsafe { ffi::tinykvm_vsl_global(tag.raw(), record.as_ptr()) };
    }
}

/// Writes `text` to a transaction's log, one record a line.
///
/// # Safety
/// `vsl` is the log of a transaction of this thread.
pub(crate) unsafe fn log_to(vsl: *mut ffi::vsl_log, tag: Tag, text: &str) {
    for record in records(text) {
        let range = record.as_bytes().as_ptr_range();
        let text = ffi::txt {
            b: range.start.cast(),
            e: range.end.cast(),
        };
        // SAFETY: the log is the caller's; the record is copied.
        unsafe { ffi::VSLbt(vsl, tag.raw(), text) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_a_line() {
        let seen: Vec<_> = records("one\n\n two\r\nthree").collect();
        assert_eq!(seen, ["one", " two", "three"]);
        assert_eq!(records("").count(), 0);
    }
}
