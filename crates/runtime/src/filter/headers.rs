//! Header fields of a response whose body a program changes.

use std::time::Duration;

use crate::fields;
use crate::transaction::{BodyError, FieldError, Log, Side, Transaction};

/// Fields about the very bytes of the body, which are wrong for other bytes: RFC 9110 8.6, RFC 9530,
/// RFC 3230, RFC 1864.
const ABOUT_BYTES: [&[u8]; 5] = [
    b"Content-Length",
    b"Content-MD5",
    b"Content-Digest",
    b"Repr-Digest",
    b"Digest",
];
const ETAG: &[u8] = b"ETag";

/// A transaction that remembers which fields of the response a program changed.
pub(super) struct Recorder<'a> {
    transaction: &'a mut dyn Transaction,
    /// Names of the fields that it set or removed.
    changed: Vec<Vec<u8>>,
    announced: Option<u64>,
}

/// What became of the fields.
pub(super) struct Adjusted {
    /// The program changed something.
    pub(super) changed: bool,
    /// It announces the length of what it will write.
    pub(super) announced: Option<u64>,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(transaction: &'a mut dyn Transaction) -> Self {
        Self {
            transaction,
            changed: Vec::new(),
            announced: None,
        }
    }

    fn note(&mut self, side: Side, field: &[u8]) {
        if side == Side::Response {
            let name = field.split(|&byte| byte == b':').next();
            self.changed.push(name.unwrap_or_default().to_vec());
        }
    }

    fn has_changed(&self, name: &[u8]) -> bool {
        self.changed
            .iter()
            .any(|other| other.eq_ignore_ascii_case(name))
    }

    /// Removes or weakens what the program has left as it was, and would be wrong now.
    pub(super) fn adjust(self) -> Adjusted {
        for name in ABOUT_BYTES {
            if !self.has_changed(name) {
                while self.transaction.remove(Side::Response, name).is_some() {}
            }
        }
        // However it was written before, and how often: it is there once.
        let announced = self.announced.filter(|length| {
            let field = format!("Content-Length: {length}");
            let appended = self.transaction.append(Side::Response, field.as_bytes());
            appended.is_ok()
        });
        if !self.has_changed(ETAG)
            && let Some((_, field)) = self.transaction.find(Side::Response, ETAG)
        {
            weaken(self.transaction, &field[ETAG.len() + 1..]);
        }
        Adjusted {
            changed: !self.changed.is_empty() || self.announced.is_some(),
            announced,
        }
    }
}

impl Log for Recorder<'_> {
    fn log(&mut self, line: &str) {
        self.transaction.log(line);
    }

    fn error(&mut self, line: &str) {
        self.transaction.error(line);
    }
}

impl Transaction for Recorder<'_> {
    fn is_backend_fetch(&self) -> bool {
        self.transaction.is_backend_fetch()
    }

    fn field_count(&self, side: Side) -> Option<usize> {
        self.transaction.field_count(side)
    }

    fn field(&self, side: Side, index: usize) -> Option<Vec<u8>> {
        self.transaction.field(side, index)
    }

    fn find(&self, side: Side, name: &[u8]) -> Option<(usize, Vec<u8>)> {
        self.transaction.find(side, name)
    }

    fn append(&mut self, side: Side, field: &[u8]) -> Result<u32, FieldError> {
        self.note(side, field);
        self.transaction.append(side, field)
    }

    fn replace(&mut self, side: Side, index: usize, field: &[u8]) -> Result<(), FieldError> {
        self.note(side, field);
        self.transaction.replace(side, index, field)
    }

    fn remove(&mut self, side: Side, name: &[u8]) -> Option<u32> {
        self.note(side, name);
        self.transaction.remove(side, name)
    }

    fn announces_length(&self) -> bool {
        true
    }

    fn announce_length(&mut self, length: Option<u64>) {
        self.announced = length;
    }

    fn set_cacheable(
        &mut self,
        cacheable: bool,
        ttl: Duration,
        grace: Duration,
        keep: Duration,
    ) -> bool {
        self.transaction.set_cacheable(cacheable, ttl, grace, keep)
    }

    fn read_body(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), BodyError>,
    ) -> Result<(), BodyError> {
        self.transaction.read_body(sink)
    }

    fn body_length(&self) -> Option<u64> {
        self.transaction.body_length()
    }
}

/// Makes an entity tag a weak one: other bytes, the same meaning (RFC 9110 8.8.1). One that can't
/// be stored is removed.
fn weaken(transaction: &mut dyn Transaction, value: &[u8]) {
    let value = value.trim_ascii();
    if value.starts_with(b"W/") {
        return;
    }
    let weak = [b"ETag: W/", value].concat();
    if fields::set(transaction, Side::Response, &weak).is_err() {
        transaction.remove(Side::Response, ETAG);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::PlainTransaction;

    fn adjusted(
        fields: &[&str],
        change: impl FnOnce(&mut dyn Transaction),
    ) -> (Vec<String>, Adjusted) {
        let mut transaction = PlainTransaction::backend();
        let bytes = fields.iter().map(|field| field.as_bytes().to_vec());
        transaction.response = Some(bytes.collect());
        let mut recorder = Recorder::new(&mut transaction);
        change(&mut recorder);
        let adjusted = recorder.adjust();
        (transaction.response(), adjusted)
    }

    #[test]
    fn what_is_about_the_bytes_goes_and_tags_become_weak() {
        let fields = [
            "Content-Length: 5",
            "ETag: \"x\"",
            "Content-MD5: abc",
            "X: y",
        ];
        let (left, adjusted) = adjusted(&fields, |_| {});
        assert_eq!(left, ["ETag: W/\"x\"", "X: y"]);
        assert!(!adjusted.changed);
        assert_eq!(adjusted.announced, None);
    }

    #[test]
    fn what_the_program_says_stays() {
        let fields = ["Content-Length: 5", "ETag: \"x\""];
        let (left, adjusted) = adjusted(&fields, |transaction| {
            fields::set(transaction, Side::Response, b"Content-Length: 5").unwrap();
            fields::set(transaction, Side::Response, b"ETag: \"x\"").unwrap();
        });
        assert_eq!(left, ["ETag: \"x\"", "Content-Length: 5"]);
        assert!(adjusted.changed);
        assert_eq!(adjusted.announced, Some(5));
    }

    #[test]
    fn an_announced_length_replaces_every_other_one() {
        let side = Side::Response;
        for old in [
            &[][..],
            &["content-length: 9"],
            &["Content-Length: 9", "CONTENT-LENGTH: 8"],
        ] {
            for new in [
                "Content-Length: 5",
                "content-length: 5",
                "Content_Length: 5",
            ] {
                for add in [fields::append, fields::set] {
                    let (left, adjusted) = adjusted(old, |transaction| {
                        assert_eq!(add(transaction, side, b"Content-Length: 7"), Ok(0));
                        assert_eq!(add(transaction, side, new.as_bytes()), Ok(0));
                    });
                    assert_eq!(left, ["Content-Length: 5"], "{old:?} {new}");
                    assert_eq!(adjusted.announced, Some(5));
                }
            }
            let (left, adjusted) = adjusted(old, |transaction| {
                fields::append(transaction, side, b"Content-Length: 5").unwrap();
                assert_eq!(fields::set(transaction, side, b"content-length"), Ok(0));
            });
            assert!(left.is_empty());
            assert_eq!(adjusted.announced, None);
        }
        for wrong in ["-1", "+5", "5, 5", "0x5", "99999999999999999999"] {
            adjusted(&[], |transaction| {
                let field = format!("Content-Length: {wrong}");
                assert!(
                    fields::set(transaction, side, field.as_bytes()).is_err(),
                    "{wrong}"
                );
            });
        }
    }
}
