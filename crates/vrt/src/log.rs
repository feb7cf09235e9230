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

/// The longest record that is written, also if Varnish would take longer ones.
const RECORD_MAX: usize = 250;
/// The least that there has to be room for behind a prefix.
const ROOM_MIN: usize = 16;
/// What a record begins with, behind its prefix, that goes on with one that was too long.
const CONTINUED: &str = "...";
/// The longest prefix.
const PREFIX_MAX: usize = 160;

/// Whose text it is, which each of its records says: all before the first colon and space.
fn prefix(text: &str) -> &str {
    text.find(": ")
        .filter(|at| *at <= PREFIX_MAX)
        .and_then(|at| text.get(..at + 2))
        .unwrap_or_default()
}

/// The longest record now: Varnish cuts at its parameter `vsl_reclen`, the byte behind the text
/// included. It is 255 as a rule, and 16 at least.
fn record_max() -> usize {
    // SAFETY: the parameters are there as long as the process; Varnish changes them at any time.
    let most = unsafe { (&raw const (*ffi::cache_param).vsl_reclen).read_volatile() };
    usize::try_from(most).map_or(RECORD_MAX, |most| {
        most.saturating_sub(1).clamp(ROOM_MIN - 1, RECORD_MAX)
    })
}

/// The records of a text, of `most` bytes at most: one a line, none for an empty one, and more for
/// one that is too long. Where there is no room for a prefix, they go on with dots alone, so that
/// none can look like the beginning of another text.
fn records(text: &str, most: usize, mut sink: impl FnMut(&str)) {
    let prefix = prefix(text);
    let (prefix, next) = match prefix.len() + CONTINUED.len() + ROOM_MIN <= most {
        true => (prefix, prefix),
        false => ("", CONTINUED),
    };
    let lines = text.lines().filter(|line| !line.trim_end().is_empty());
    for (index, line) in lines.enumerate() {
        let (mut start, mut rest) = if index == 0 {
            (String::new(), line)
        } else {
            (next.to_owned(), line)
        };
        loop {
            let room = most.saturating_sub(start.len()).max(4);
            let end = rest.floor_char_boundary(room);
            if start.is_empty() {
                sink(&rest[..end]);
            } else {
                sink(&format!("{start}{}", &rest[..end]));
            }
            rest = &rest[end..];
            if rest.is_empty() {
                break;
            }
            start = format!("{prefix}{CONTINUED}");
        }
    }
}

/// The first record of a text and the further ones.
pub(crate) fn split(text: &str) -> (String, Vec<String>) {
    let mut all = Vec::new();
    records(text, record_max(), |record| all.push(record.to_owned()));
    let rest = all.split_off(all.len().min(1));
    (all.pop().unwrap_or_default(), rest)
}

/// Writes `text` outside of any transaction, one record a line. Only in the raw log.
pub fn log_global(tag: Tag, text: &str) {
    records(text, record_max(), |record| {
        let record = c_text(record);
        // SAFETY: a valid string; the function copies it.
        unsafe { ffi::tinykvm_vsl_global(tag.raw(), record.as_ptr()) };
    });
}

/// Writes `text` to a transaction's log, one record a line.
///
/// # Safety
/// `vsl` is the log of a transaction of this thread.
pub(crate) unsafe fn log_to(vsl: *mut ffi::vsl_log, tag: Tag, text: &str) {
    records(text, record_max(), |record| {
        let range = record.as_bytes().as_ptr_range();
        let text = ffi::txt {
            b: range.start.cast(),
            e: range.end.cast(),
        };
        // SAFETY: the log is the caller's; the record is copied.
        unsafe { ffi::VSLbt(vsl, tag.raw(), text) };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        records(text, RECORD_MAX, |record| seen.push(record.to_owned()));
        seen
    }

    #[test]
    fn a_record_a_line_each_says_whose_it_is() {
        assert_eq!(
            seen("p says: one\n\n two: 2\r\nthree"),
            ["p says: one", "p says:  two: 2", "p says: three"]
        );
        assert_eq!(seen("nobody's"), ["nobody's"]);
        assert!(seen("").is_empty());
    }

    #[test]
    fn nothing_of_a_long_line_is_lost() {
        for length in [0, 1, 200, 242, 243, 500, 5000] {
            let text = "\u{e4}".repeat(length / 2) + &"x".repeat(length % 2);
            let records = seen(&format!("p says: {text}"));
            let mut whole = String::new();
            for (index, record) in records.iter().enumerate() {
                assert!(record.len() <= RECORD_MAX, "{record}");
                let start = if index == 0 {
                    "p says: "
                } else {
                    "p says: ..."
                };
                whole += record.strip_prefix(start).expect("a prefix");
            }
            assert_eq!(whole, text);
        }
        // Without anything that says whose it is.
        let records = seen(&"y".repeat(600));
        assert!(records[1..].iter().all(|record| record.starts_with("...")));
    }

    #[test]
    fn a_short_record_leaves_nothing_out_and_begins_like_no_other_text() {
        for most in [15, 16, 20, 40, 100, 250] {
            for length in [0, 1, 10, 255, 256, 511, 1023, 4095] {
                let text = "p says: ".to_owned() + &"\u{e4}z".repeat(length / 3) + "\ntinykvm q: x";
                let mut seen: Vec<String> = Vec::new();
                records(&text, most, |record| seen.push(record.to_owned()));
                let mut whole = String::new();
                for (index, record) in seen.iter().enumerate() {
                    assert!(record.len() <= most, "{record}");
                    let rest = record.strip_prefix("p says: ").unwrap_or(record);
                    let marked = index == 0 || rest.len() < record.len() || rest.starts_with("...");
                    assert!(marked, "{record}");
                    whole += rest.strip_prefix("...").unwrap_or(rest);
                }
                let expected = text.strip_prefix("p says: ").unwrap();
                assert_eq!(whole, expected.replace('\n', ""), "{most} {length}");
            }
        }
    }
}
