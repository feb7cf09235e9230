//! Strings of VCL.

use std::ffi::{CStr, CString, c_char};

use crate::ffi;

/// The bytes of a VCL string; `None` for an unset one.
///
/// # Safety
/// `string` is NULL or points to a NUL-terminated string that outlives `'a`. Varnish keeps the
/// strings that it gives to a function until the task ends.
#[must_use]
pub unsafe fn bytes<'a>(string: *const c_char) -> Option<&'a [u8]> {
    if string.is_null() {
        return None;
    }
    // SAFETY: not NULL; the caller keeps the rest.
    Some(unsafe { CStr::from_ptr(string) }.to_bytes())
}

/// The parts of a VCL string that was not put together, each `None` if it is unset.
///
/// # Safety
/// `strands` is NULL or points to a structure of which every string outlives `'a`.
#[must_use]
pub unsafe fn strands<'a>(strands: *const ffi::strands) -> Vec<Option<&'a [u8]>> {
    // SAFETY: NULL or valid, as the caller says.
    let Some(list) = (unsafe { strands.as_ref() }) else {
        return Vec::new();
    };
    let count = usize::try_from(list.n).unwrap_or(0);
    (0..count)
        // SAFETY: `p` has `n` elements, and each is a string of VCL.
        .map(|index| unsafe { bytes(*list.p.add(index)) })
        .collect()
}

/// Text for C; a NUL inside becomes a replacement character.
pub(crate) fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| {
        let clean = text.replace('\0', "\u{fffd}");
        CString::new(clean).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_is_none_and_empty_is_empty() {
        // SAFETY: NULL, and a literal.
        unsafe {
            assert_eq!(bytes(std::ptr::null()), None);
            assert_eq!(bytes(c"".as_ptr()), Some(&b""[..]));
        }
    }

    #[test]
    fn strands_keep_their_order_and_their_gaps() {
        let mut parts = [c"a".as_ptr(), std::ptr::null(), c"c".as_ptr()];
        let list = ffi::strands {
            n: 3,
            p: parts.as_mut_ptr(),
        };
        // SAFETY: three literals.
        let seen = unsafe { strands(&raw const list) };
        assert_eq!(seen, [Some(&b"a"[..]), None, Some(&b"c"[..])]);
        // SAFETY: NULL.
        assert!(unsafe { strands(std::ptr::null()) }.is_empty());
    }

    #[test]
    fn text_with_nul_stays_whole() {
        assert_eq!(c_text("a\0b").to_str().unwrap(), "a\u{fffd}b");
    }
}
