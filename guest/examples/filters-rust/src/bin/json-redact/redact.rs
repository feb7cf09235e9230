//! The filter: reads JSON byte by byte, and writes what may be seen.

use std::borrow::Cow;
use std::io::{self, Write};

use memchr::memchr2;
use tinykvm_guest::filter::Error;

use crate::paths::{Paths, Rest};

/// Objects and lists in each other; more is not JSON that anybody wants.
const DEEPEST: usize = 512;
/// How long a name may be, with the white space around it: it is held until its value comes.
const LONGEST_NAME: usize = 65536;

/// What is written in the place of a value.
pub(crate) enum Instead {
    /// The member goes, with its name.
    Nothing,
    Text(String),
}

pub(crate) struct Redact {
    paths: Paths,
    instead: Instead,
    at: Place,
    /// The objects and lists that are open.
    open: Vec<Open>,
    /// In an object: what has come since the last member, without its comma. Only with the value
    /// it is known whether it is to be written.
    held: Vec<u8>,
    /// A name as it is written, with its escapes.
    name: Vec<u8>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Where a value has to come, or on top of the document may.
    Value,
    FirstValue,
    Name,
    FirstName,
    Colon,
    /// Behind a value in an object or a list.
    Behind,
    Scalar,
    String,
    StringEscape,
    InName,
    NameEscape,
}

struct Open {
    is_list: bool,
    /// What may lead on from here.
    rests: Vec<Rest>,
    /// A member has been written: the next one needs a comma.
    written: bool,
}

/// What happens with what comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Write,
    Hold,
    /// It belongs to a value that is not to be seen. So many were open when that began.
    Hide {
        open: usize,
    },
}

impl Redact {
    pub(crate) fn new(paths: Paths, instead: Instead) -> Self {
        Self {
            paths,
            instead,
            at: Place::Value,
            open: Vec::new(),
            held: Vec::new(),
            name: Vec::new(),
            fate: Fate::Write,
        }
    }

    pub(crate) fn feed(&mut self, data: &[u8], out: &mut impl Write) -> Result<(), Error> {
        let mut rest = data;
        while let Some(&byte) = rest.first() {
            // Each says how many bytes of the rest it has dealt with.
            let used = match self.at {
                Place::String | Place::InName => self.string(rest, out)?,
                Place::StringEscape => self.escape(Place::String, rest, out)?,
                Place::NameEscape => self.escape(Place::InName, rest, out)?,
                Place::Scalar => self.scalar(rest, out)?,
                _ if is_space(byte) => {
                    let used = run(rest, is_space);
                    self.put(&rest[..used], out)?;
                    used
                }
                _ => {
                    self.sign(byte, out)?;
                    1
                }
            };
            rest = &rest[used..];
        }
        Ok(())
    }

    pub(crate) fn finish(&self) -> Result<(), Error> {
        match self.at {
            Place::Value | Place::Scalar if self.open.is_empty() => Ok(()),
            _ => Err("the JSON is not complete".into()),
        }
    }

    fn put(&mut self, data: &[u8], out: &mut impl Write) -> Result<(), Error> {
        match self.fate {
            Fate::Write => out.write_all(data)?,
            Fate::Hold if self.held.len() + data.len() > LONGEST_NAME => {
                return Err("a name is too long".into());
            }
            Fate::Hold => self.held.extend_from_slice(data),
            Fate::Hide { .. } => {}
        }
        Ok(())
    }

    fn string(&mut self, data: &[u8], out: &mut impl Write) -> Result<usize, Error> {
        let in_name = self.at == Place::InName;
        let end = memchr2(b'"', b'\\', data);
        let used = end.map_or(data.len(), |end| end + 1);
        self.put(&data[..used], out)?;
        if in_name {
            self.name.extend_from_slice(&data[..end.unwrap_or(used)]);
        }
        match (end.map(|end| data[end]), in_name) {
            (Some(b'"'), true) => self.at = Place::Colon,
            (Some(b'"'), false) => self.value_ends(),
            (Some(_), true) => self.at = Place::NameEscape,
            (Some(_), false) => self.at = Place::StringEscape,
            (None, _) => {}
        }
        Ok(used)
    }

    fn escape(&mut self, string: Place, data: &[u8], out: &mut impl Write) -> Result<usize, Error> {
        self.put(&data[..1], out)?;
        if string == Place::InName {
            self.name.extend([b'\\', data[0]]);
        }
        self.at = string;
        Ok(1)
    }

    fn scalar(&mut self, data: &[u8], out: &mut impl Write) -> Result<usize, Error> {
        let used = run(data, is_scalar);
        self.put(&data[..used], out)?;
        if used < data.len() {
            self.value_ends();
        }
        Ok(used)
    }

    /// A byte that is no white space, and not in a string, a number or a word.
    fn sign(&mut self, byte: u8, out: &mut impl Write) -> Result<(), Error> {
        let in_list = self.open.last().is_some_and(|open| open.is_list);
        match (self.at, byte) {
            (Place::FirstValue, b']') | (Place::FirstName, b'}') => self.close(byte, out)?,
            (Place::Behind, b']') if in_list => self.close(byte, out)?,
            (Place::Behind, b'}') if !in_list => self.close(byte, out)?,
            (Place::Value | Place::FirstValue, _) => self.value_begins(byte, out)?,
            (Place::Name | Place::FirstName, b'"') => {
                self.put(b"\"", out)?;
                self.name.clear();
                self.at = Place::InName;
            }
            (Place::Colon, b':') => {
                self.put(b":", out)?;
                self.at = Place::Value;
            }
            (Place::Behind, b',') if in_list => {
                self.put(b",", out)?;
                self.at = Place::Value;
            }
            (Place::Behind, b',') => {
                self.hold();
                self.at = Place::Name;
            }
            _ => return Err(unexpected(byte)),
        }
        Ok(())
    }

    /// Waits with what comes until it is known whether it may be seen.
    fn hold(&mut self) {
        if self.fate == Fate::Write {
            self.fate = Fate::Hold;
        }
    }

    fn value_begins(&mut self, byte: u8, out: &mut impl Write) -> Result<(), Error> {
        let rests = match self.open.last() {
            _ if matches!(self.fate, Fate::Hide { .. }) => Some(Vec::new()),
            None => Some(self.paths.top()),
            Some(open) if open.is_list => Some(open.rests.clone()),
            Some(open) => self.paths.below(&open.rests, &unescape(&self.name)),
        };
        if self.fate == Fate::Hold {
            self.member_begins(rests.is_some(), out)?;
        }
        self.put(&[byte], out)?;
        match byte {
            b'{' | b'[' => {
                if self.open.len() == DEEPEST {
                    return Err("the JSON is too deep".into());
                }
                let is_list = byte == b'[';
                self.open.push(Open {
                    is_list,
                    rests: rests.unwrap_or_default(),
                    written: false,
                });
                if is_list {
                    self.at = Place::FirstValue;
                } else {
                    self.hold();
                    self.at = Place::FirstName;
                }
            }
            b'"' => self.at = Place::String,
            byte if is_scalar(byte) => self.at = Place::Scalar,
            _ => return Err(unexpected(byte)),
        }
        Ok(())
    }

    /// Writes what was held, or what is in the place of the member.
    fn member_begins(&mut self, may_be_seen: bool, out: &mut impl Write) -> io::Result<()> {
        self.fate = match may_be_seen {
            true => Fate::Write,
            false => Fate::Hide {
                open: self.open.len(),
            },
        };
        let instead = match &self.instead {
            _ if may_be_seen => "",
            Instead::Text(text) => text,
            Instead::Nothing => {
                self.held.clear();
                return Ok(());
            }
        };
        if let Some(open) = self.open.last_mut() {
            if open.written {
                out.write_all(b",")?;
            }
            open.written = true;
        }
        out.write_all(&self.held)?;
        self.held.clear();
        out.write_all(instead.as_bytes())
    }

    fn close(&mut self, byte: u8, out: &mut impl Write) -> io::Result<()> {
        if self.fate == Fate::Hold {
            self.fate = Fate::Write;
            out.write_all(&self.held)?;
            self.held.clear();
        }
        if self.fate == Fate::Write {
            out.write_all(&[byte])?;
        }
        self.open.pop();
        self.value_ends();
        Ok(())
    }

    fn value_ends(&mut self) {
        let open = self.open.len();
        if self.fate == (Fate::Hide { open }) {
            self.fate = Fate::Write;
        }
        self.at = match open {
            0 => Place::Value,
            _ => Place::Behind,
        };
    }
}

fn run(data: &[u8], of: fn(u8) -> bool) -> usize {
    let end = data.iter().position(|&byte| !of(byte));
    end.unwrap_or(data.len())
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

fn unexpected(byte: u8) -> Error {
    format!("this is not JSON: {:?}", char::from(byte)).into()
}

/// The name that is meant: `pass\u0077ord` is one that others read as `password`.
fn unescape(name: &[u8]) -> Cow<'_, str> {
    let name = String::from_utf8_lossy(name);
    if !name.contains('\\') {
        return name;
    }
    let mut units = Vec::with_capacity(name.len());
    let mut rest = &*name;
    while let Some(at) = rest.find('\\') {
        units.extend(rest[..at].encode_utf16());
        rest = &rest[at + 1..];
        let escaped = rest.chars().next().unwrap_or('\\');
        rest = &rest[escaped.len_utf8().min(rest.len())..];
        let unit = match escaped {
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'u' => {
                let digits = rest.get(..4).unwrap_or_default();
                rest = &rest[digits.len()..];
                u16::from_str_radix(digits, 16).unwrap_or(0xfffd)
            }
            other => u16::try_from(u32::from(other)).unwrap_or(0xfffd),
        };
        units.push(unit);
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    fn redact(paths: &str, instead: &str, parts: &[&[u8]]) -> Result<String, Error> {
        let instead = match instead {
            "remove" => Instead::Nothing,
            text => Instead::Text(text.to_string()),
        };
        let mut filter = Redact::new(Paths::parse(paths), instead);
        let mut out = Vec::new();
        for part in parts {
            filter.feed(part, &mut out)?;
        }
        filter.finish()?;
        Ok(String::from_utf8(out)?)
    }

    #[track_caller]
    fn check(paths: &str, instead: &str, input: &str, expected: &str) {
        for parts in cuts(input.as_bytes()) {
            let output = redact(paths, instead, &parts).unwrap();
            assert_eq!(output, expected, "{parts:?}");
        }
    }

    #[test]
    fn values_are_replaced() {
        check(
            "user.email, **.password",
            "null",
            r#"{"user" : {"email": "a\"b}", "id":1 }, "x":[{"password":{"a":[1]},"b":-1e5}]} "#,
            r#"{"user" : {"email": null, "id":1 }, "x":[{"password":null,"b":-1e5}]} "#,
        );
    }

    #[test]
    fn members_are_removed() {
        check(
            "a,c",
            "remove",
            r#"{ "a":1, "b":2, "c":[] }"#,
            r#"{ "b":2 }"#,
        );
        check(
            "a,b",
            "remove",
            r#"[{"a":{"b":1}, "b": "" }, 7]"#,
            "[{ }, 7]",
        );
        check(
            "a",
            "remove",
            "{\"b\":true,\n \"a\":false,\n \"c\":{ }}",
            "{\"b\":true,\n \"c\":{ }}",
        );
    }

    #[test]
    fn names_have_escapes() {
        check(
            "päss",
            "0",
            r#"{"p\u00E4ss":1,"p\\u00e4ss":2}"#,
            r#"{"p\u00E4ss":0,"p\\u00e4ss":2}"#,
        );
        check(
            "a\"/\n😀",
            "0",
            r#"{"a\"\/\n\ud83d\ude00":1}"#,
            r#"{"a\"\/\n\ud83d\ude00":0}"#,
        );
    }

    #[test]
    fn lists_have_no_part_in_a_path() {
        check(
            "a.b",
            "0",
            r#"{"a":[[{"b":1}],{"b":2}]}"#,
            r#"{"a":[[{"b":0}],{"b":0}]}"#,
        );
        check(
            "a",
            "0",
            r#"[{"a":[1]},{"b":{"a":1}}]"#,
            r#"[{"a":0},{"b":{"a":1}}]"#,
        );
    }

    #[test]
    fn nothing_and_several() {
        check("a", "0", " ", " ");
        check("a", "0", "1 \"a\" null", "1 \"a\" null");
        check("a", "0", "{\"a\":1}\n{\"a\":2}\n", "{\"a\":0}\n{\"a\":0}\n");
    }

    #[test]
    fn what_is_not_json_fails() {
        for text in [
            "<",
            "{",
            "[",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"b\":1 \"a\":2}",
            "{\"b\":1,}",
            "[1}",
            "{\"b\":1]",
            "}",
            "]",
            ",",
            "\"a",
            "{\"a\":{\"b\" 1}}",
            "{\"b\":/**/1}",
            "\u{feff}{}",
        ] {
            assert!(redact("a", "0", &[text.as_bytes()]).is_err(), "{text}");
        }
        let deep = "[".repeat(DEEPEST + 1);
        assert!(redact("a", "0", &[deep.as_bytes()]).is_err());
        let long = format!("{{\"{}", "x".repeat(LONGEST_NAME));
        assert!(redact("a", "0", &[long.as_bytes()]).is_err());
    }
}
