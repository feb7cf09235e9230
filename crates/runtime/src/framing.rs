//! Which header fields a program may touch: the one place that decides, for every way to do so.
//!
//! Fields that say where a message ends, or that are about one connection, are the host's. A
//! program that could set them would split responses towards clients, and smuggle requests towards
//! backends. What a program does to them is ignored rather than refused: programs that were written
//! for a server of their own set them out of habit.

use crate::transaction::Side;

/// Fields of one connection, and of how a message is framed: RFC 9110 7.6.1, RFC 9112 6 and 7,
/// RFC 7540 3.2.1. Adding, replacing and removing them is ignored, in requests and in responses.
const OF_THE_CONNECTION: [&[u8]; 10] = [
    b"connection",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
    b"te",
    b"trailer",
    b"upgrade",
    b"http2-settings",
    b"expect",
    b"content-length",
];

/// What a program's touch of a field does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// What it says.
    Free,
    /// Nothing.
    Ignored,
    /// It says how long the output of the filter will be.
    Length,
    /// There is one such field: it can be replaced and removed, and added where there is none.
    One,
}

/// The rule for fields of that name. `filtering`: the program is asked what it makes of a response's
/// body.
pub(crate) fn rule(name: &[u8], side: Side, filtering: bool) -> Rule {
    // Some servers take an underscore for a hyphen.
    let name: Vec<u8> = name
        .iter()
        .map(|byte| match byte {
            b'_' => b'-',
            other => other.to_ascii_lowercase(),
        })
        .collect();
    match (name.as_slice(), side) {
        (b"content-length", Side::Response) if filtering => Rule::Length,
        (b"host", Side::Request) => Rule::One,
        (name, _) if OF_THE_CONNECTION.contains(&name) => Rule::Ignored,
        _ => Rule::Free,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::{append, set};
    use crate::plain::PlainTransaction;
    use crate::transaction::Transaction;

    const SIDES: [Side; 2] = [Side::Request, Side::Response];

    /// A name as it may be written.
    fn spellings(name: &[u8]) -> [Vec<u8>; 4] {
        let mut title = name.to_vec();
        title[0] = title[0].to_ascii_uppercase();
        let under = name
            .iter()
            .map(|&byte| if byte == b'-' { b'_' } else { byte });
        [
            name.to_vec(),
            name.to_ascii_uppercase(),
            title,
            under.collect(),
        ]
    }

    fn fields(transaction: &PlainTransaction, side: Side) -> Vec<Vec<u8>> {
        match side {
            Side::Request => transaction.request.clone(),
            Side::Response => transaction.response.clone().unwrap_or_default(),
        }
    }

    #[test]
    fn fields_of_the_connection_are_untouched_however_they_are_touched() {
        for name in OF_THE_CONNECTION.iter().flat_map(|name| spellings(name)) {
            for side in SIDES {
                for backend in [true, false] {
                    let field = [&name[..], b": old"].concat();
                    let new = [&name[..], b": 40"].concat();
                    for there in [vec![], vec![field.clone()], vec![field.clone(); 2]] {
                        let mut transaction = PlainTransaction::backend();
                        transaction.backend = backend;
                        transaction.request = there.clone();
                        transaction.response = Some(there.clone());
                        assert_eq!(append(&mut transaction, side, &new), Ok(0));
                        assert_eq!(set(&mut transaction, side, &new), Ok(0));
                        assert_eq!(set(&mut transaction, side, &name), Ok(0));
                        assert_eq!(fields(&transaction, side), there, "{name:?} {side:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_the_response_of_a_filter_has_a_length_to_announce() {
        for name in spellings(b"content-length") {
            assert_eq!(rule(&name, Side::Response, true), Rule::Length);
            assert_eq!(rule(&name, Side::Request, true), Rule::Ignored);
            assert_eq!(rule(&name, Side::Response, false), Rule::Ignored);
        }
        assert_eq!(
            rule(b"Transfer-Encoding", Side::Response, true),
            Rule::Ignored
        );
    }

    #[test]
    fn there_is_one_host() {
        let mut transaction = PlainTransaction::backend();
        let side = Side::Request;
        assert_eq!(append(&mut transaction, side, b"Host: a"), Ok(5));
        assert_eq!(append(&mut transaction, side, b"host: b"), Ok(0));
        assert_eq!(
            transaction.find(side, b"Host"),
            Some((5, b"Host: a".to_vec()))
        );
        assert_eq!(set(&mut transaction, side, b"HOST: c"), Ok(5));
        assert_eq!(transaction.request, [b"HOST: c".to_vec()]);
    }

    #[test]
    fn other_fields_are_the_programs() {
        for name in [
            "Content-Type",
            "Proxy-Authenticate",
            "X-Connection",
            "Content-Encoding",
        ] {
            for side in SIDES {
                assert_eq!(rule(name.as_bytes(), side, false), Rule::Free);
                assert_eq!(rule(name.as_bytes(), side, true), Rule::Free);
            }
        }
    }
}
