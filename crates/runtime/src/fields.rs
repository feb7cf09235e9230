//! Header fields that come from a guest: what is let through, and what the calls on them return.

use thiserror::Error;

use crate::framing::{Rule, rule};
use crate::text::{cut, printable};
use crate::transaction::{FieldError, Side, Transaction};

/// The longest field or header name that a guest may hand over.
pub(crate) const FIELD_MAX: usize = 0xFFFF;
/// The shortest field: `N: v`.
const FIELD_MIN: usize = 4;
/// What `append` and `set` return when the header table is full: -1 as a 32-bit number.
pub(crate) const TABLE_FULL: u64 = 0xFFFF_FFFF;

/// Why a header field, or a header name, of a guest is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum FieldRefused {
    /// Shorter than 4 or longer than 65535 bytes.
    #[error("a header field of {length} bytes; 4 to 65535 are allowed")]
    Length {
        /// Its length.
        length: usize,
    },
    /// Not of the form `Name: value`.
    #[error("the header field \"{field}\" is not of the form \"Name: value\"")]
    Form {
        /// The field, shortened.
        field: String,
    },
    /// Contains a byte that would end or split the field on the wire.
    #[error("the header field \"{field}\" contains control byte {byte:#04x}")]
    Control {
        /// The field, shortened.
        field: String,
        /// The first such byte.
        byte: u8,
    },
    /// A name to look for that no field can have.
    #[error("\"{name}\" is not a header name")]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// The transaction did not take it.
    #[error("header field: {0}")]
    Store(#[from] FieldError),
}

/// Fails unless `field` is `Name: value`: a token, a colon, one space, and a value that neither
/// starts the field's end nor contains control bytes (a tab is one, too, at the end).
pub(crate) fn validate(field: &[u8]) -> Result<(), FieldRefused> {
    let length = field.len();
    if !(FIELD_MIN..=FIELD_MAX).contains(&length) {
        return Err(FieldRefused::Length { length });
    }
    if let Some(&byte) = field.iter().find(|&&byte| is_control(byte)) {
        return Err(FieldRefused::Control {
            field: shown(field),
            byte,
        });
    }
    let form = || FieldRefused::Form {
        field: shown(field),
    };
    let colon = name_length(field).ok_or_else(form)?;
    let (name, value) = field.split_at(colon);
    let blank_end = matches!(field.last(), Some(b' ' | b'\t'));
    if name.iter().copied().all(is_token) && value.get(1) == Some(&b' ') && !blank_end {
        Ok(())
    } else {
        Err(form())
    }
}

/// The length of the field's name: the position of its first colon, if that is not the first byte.
fn name_length(field: &[u8]) -> Option<usize> {
    field
        .iter()
        .position(|&byte| byte == b':')
        .filter(|&at| at > 0)
}

/// Fails unless a field could have this name.
pub(crate) fn validate_name(name: &[u8]) -> Result<(), FieldRefused> {
    let bad = |byte: &u8| matches!(byte, b':' | b' ' | 0) || is_control(*byte);
    if name.is_empty() || name.iter().any(bad) {
        return Err(FieldRefused::Name { name: shown(name) });
    }
    Ok(())
}

/// Adds a field. The value is what the guest's call returns.
pub(crate) fn append(
    transaction: &mut dyn Transaction,
    side: Side,
    field: &[u8],
) -> Result<u64, FieldRefused> {
    validate(field)?;
    let (name, value) = split(field);
    match rule(name, side, transaction.announces_length()) {
        Rule::Ignored => Ok(0),
        Rule::Length => announce(transaction, field, value),
        Rule::One if transaction.find(side, name).is_some() => Ok(0),
        Rule::One | Rule::Free => stored(transaction.append(side, field).map(u64::from)),
    }
}

/// Name and value of a valid field.
fn split(field: &[u8]) -> (&[u8], &[u8]) {
    let (name, value) = field.split_at(name_length(field).unwrap_or(0));
    (name, value.get(1..).unwrap_or_default().trim_ascii())
}

/// The filter's last word on the length of its output.
fn announce(
    transaction: &mut dyn Transaction,
    field: &[u8],
    value: &[u8],
) -> Result<u64, FieldRefused> {
    let digits = value.iter().all(u8::is_ascii_digit);
    let length = std::str::from_utf8(value)
        .ok()
        .filter(|_| digits)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| FieldRefused::Form {
            field: shown(field),
        })?;
    transaction.announce_length(Some(length));
    Ok(0)
}

/// True if a program's touch of that field does nothing.
pub(crate) fn is_ignored(transaction: &dyn Transaction, side: Side, field: &[u8]) -> bool {
    let name = field.split(|&byte| byte == b':').next().unwrap_or_default();
    rule(name, side, transaction.announces_length()) == Rule::Ignored
}

/// Sets (`Name: value`) or removes (`Name`) a field; nothing happens for an empty one. The value
/// is what the guest's call returns.
pub(crate) fn set(
    transaction: &mut dyn Transaction,
    side: Side,
    field: &[u8],
) -> Result<u64, FieldRefused> {
    if field.is_empty() {
        return Ok(0);
    }
    if !field.contains(&b':') {
        validate_name(field)?;
        match rule(field, side, transaction.announces_length()) {
            Rule::Ignored => return Ok(0),
            Rule::Length => {
                transaction.announce_length(None);
                return Ok(0);
            }
            Rule::One | Rule::Free => {}
        }
        return Ok(transaction.remove(side, field).map_or(0, u64::from));
    }
    validate(field)?;
    let (name, value) = split(field);
    match rule(name, side, transaction.announces_length()) {
        Rule::Ignored => return Ok(0),
        Rule::Length => return announce(transaction, field, value),
        Rule::One | Rule::Free => {}
    }
    match transaction.find(side, name) {
        Some((index, _)) => stored(
            transaction
                .replace(side, index, field)
                .map(|()| u64::try_from(index).unwrap_or(0)),
        ),
        None => stored(transaction.append(side, field).map(u64::from)),
    }
}

/// A full table is a result; everything else that prevents storing ends the call.
fn stored(result: Result<u64, FieldError>) -> Result<u64, FieldRefused> {
    match result {
        Err(FieldError::TableFull) => Ok(TABLE_FULL),
        other => Ok(other?),
    }
}

/// Bytes that have no place in a field. A tab may stand within a value.
fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Bytes of which names consist (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The start of guest-given bytes, for a message.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 80;
    let mut text = printable(&bytes[..cut(bytes, LONGEST)]).into_owned();
    if bytes.len() > LONGEST {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::PlainTransaction;

    #[test]
    fn fields_that_pass() {
        for field in ["X-Value: 1", "a: b", "Date: a:b c", "N: v\tw", "X: \u{e9}"] {
            assert_eq!(validate(field.as_bytes()), Ok(()), "{field:?}");
        }
    }

    #[test]
    fn malformed_fields_are_refused() {
        for field in [
            "",
            "a:b",
            "X-Value: 1 ",
            "X-Value:",
            "X-Value: ",
            "X-Value:1",
            ": value",
            " X: 1",
            "X Y: 1",
            "Xvalue",
            "X: a\r\nSet-Cookie: b",
            "X: a\nb",
            "X: a\0b",
            "X: \x07bel",
            "X\r: 1",
            "X: a\t",
            "X: \x7f1",
        ] {
            assert!(validate(field.as_bytes()).is_err(), "{field:?}");
        }
        assert!(validate(&[b'x'; FIELD_MAX + 1]).is_err());
        let mut longest = b"X: ".to_vec();
        longest.resize(FIELD_MAX, b'y');
        assert_eq!(validate(&longest), Ok(()));
    }

    #[test]
    fn names_to_find() {
        assert!(validate_name(b"Host").is_ok());
        for name in ["", "a:b", "a b", "a\0", "a\n"] {
            assert!(validate_name(name.as_bytes()).is_err(), "{name:?}");
        }
    }

    #[test]
    fn set_replaces_appends_and_removes() {
        let mut tx = PlainTransaction::backend();
        let side = Side::Response;
        assert_eq!(append(&mut tx, side, b"X-A: 1"), Ok(5));
        assert_eq!(append(&mut tx, side, b"X-A: 2"), Ok(6));
        assert_eq!(set(&mut tx, side, b"x-a: 3"), Ok(5));
        assert_eq!(set(&mut tx, side, b"X-B: 4"), Ok(7));
        assert_eq!(tx.response(), ["x-a: 3", "X-A: 2", "X-B: 4"]);
        assert_eq!(set(&mut tx, side, b"X-A"), Ok(5));
        assert_eq!(set(&mut tx, side, b"X-Missing"), Ok(0));
        assert_eq!(set(&mut tx, side, b""), Ok(0));
        assert_eq!(tx.response(), ["X-A: 2", "X-B: 4"]);
        assert!(set(&mut tx, side, b"bad:field").is_err());
        assert!(set(&mut tx, side, b"bad name").is_err());
    }

    #[test]
    fn a_full_table_is_a_result_and_a_full_workspace_is_not() {
        let mut tx = PlainTransaction::backend();
        tx.fail_append = Some(FieldError::TableFull);
        assert_eq!(append(&mut tx, Side::Response, b"X-A: 1"), Ok(TABLE_FULL));
        assert_eq!(set(&mut tx, Side::Response, b"X-A: 1"), Ok(TABLE_FULL));
        tx.fail_append = Some(FieldError::NoWorkspace);
        assert_eq!(
            append(&mut tx, Side::Response, b"X-A: 1"),
            Err(FieldRefused::Store(FieldError::NoWorkspace))
        );
    }

    #[test]
    fn what_does_nothing_is_told_apart() {
        let tx = PlainTransaction::backend();
        let ignored = |field: &str| is_ignored(&tx, Side::Response, field.as_bytes());
        for field in ["Connection", "connection: close", "Transfer-Encoding:x"] {
            assert!(ignored(field), "{field}");
        }
        for field in ["", "X-Value", "X-Value: Connection", "Content-Type: a/b"] {
            assert!(!ignored(field), "{field}");
        }
    }

    #[test]
    fn long_fields_are_shown_by_their_beginnings() {
        assert_eq!(shown(&[b'x'; 80]), "x".repeat(80));
        assert_eq!(shown(&[b'x'; 81]), "x".repeat(80) + "...");
        assert_eq!(shown(b""), "");
    }
}
