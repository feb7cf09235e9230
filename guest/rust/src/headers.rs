//! HTTP headers of the transaction: those of the request as the backend would get it, and those
//! of the response. [`Request`](crate::Request) and [`Response`](crate::Response) have methods
//! for the common cases.

use tinykvm_abi::values::HEADER_TABLE_FULL;
use tinykvm_abi::{calls, limits, sides};

use crate::sys;

/// Whose headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

impl Side {
    fn number(self) -> i32 {
        match self {
            Self::Request => sides::REQUEST,
            Self::Response => sides::RESPONSE,
        }
    }
}

/// There is no room for another header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableFull;

impl std::fmt::Display for TableFull {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no room for another header")
    }
}

impl std::error::Error for TableFull {}

/// Adds a header, even if there is one of that name.
///
/// # Errors
/// [`TableFull`].
///
/// # Panics
/// If name or value cannot be in a header.
pub fn append(side: Side, name: &str, value: &str) -> Result<(), TableFull> {
    change(calls::HTTP_APPEND, side, &field(name, value))
}

/// Replaces the header of that name, or adds one.
///
/// # Errors
/// [`TableFull`].
///
/// # Panics
/// If name or value cannot be in a header.
pub fn set(side: Side, name: &str, value: &str) -> Result<(), TableFull> {
    change(calls::HTTP_SET, side, &field(name, value))
}

/// Removes the first header of that name; true if there was one.
///
/// # Panics
/// If this cannot be a header's name.
pub fn remove(side: Side, name: &str) -> bool {
    check_name(name);
    sys::call_text(calls::HTTP_SET, Some(side.number()), name.as_bytes()) != 0
}

/// The value of the first header of that name.
///
/// # Panics
/// If this cannot be a header's name.
#[must_use]
pub fn get(side: Side, name: &str) -> Option<Vec<u8>> {
    check_name(name);
    let len = sys::http_find(side.number(), name.as_bytes(), &mut []);
    let mut field = vec![0; usize::try_from(len).ok()?];
    if field.is_empty() || sys::http_find(side.number(), name.as_bytes(), &mut field) != len {
        return None;
    }
    Some(field.get(name.len() + 1..)?.trim_ascii().to_vec())
}

/// The request method; `None` where nothing is being fetched.
#[must_use]
pub fn method() -> Option<String> {
    let mut out = [0; 64];
    let len = usize::try_from(sys::http_method(&mut out)).ok()?;
    let method = out.get(..len).filter(|method| !method.is_empty())?;
    Some(String::from_utf8_lossy(method).into_owned())
}

fn change(number: u32, side: Side, field: &str) -> Result<(), TableFull> {
    match sys::call_text(number, Some(side.number()), field.as_bytes()) {
        full if full == u64::from(HEADER_TABLE_FULL) => Err(TableFull),
        _ => Ok(()),
    }
}

/// `Name: value`, if both are possible. The host would fail the request without saying why.
pub(crate) fn field(name: &str, value: &str) -> String {
    check_name(name);
    let value = value.trim_matches([' ', '\t']);
    let possible = !value.is_empty() && !value.bytes().any(|byte| byte < b' ' && byte != b'\t');
    assert!(possible, "header {name}: {value:?} is not a possible value");
    let field = format!("{name}: {value}");
    assert!(
        field.len() <= limits::FIELD_MAX as usize,
        "header {name} is too long"
    );
    field
}

fn check_name(name: &str) {
    let possible = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    assert!(
        !name.is_empty() && name.bytes().all(possible),
        "{name:?} is not a header's name"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_name_colon_space_value() {
        assert_eq!(field("X-A", "b c "), "X-A: b c");
    }

    #[test]
    #[should_panic(expected = "not a possible value")]
    fn a_value_cannot_smuggle_in_another_header() {
        field("X-A", "b\r\nSet-Cookie: c");
    }

    #[test]
    #[should_panic(expected = "not a header's name")]
    fn a_name_has_no_colon() {
        field("X:A", "b");
    }
}
