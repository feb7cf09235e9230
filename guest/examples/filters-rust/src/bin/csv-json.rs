//! Makes JSON of CSV: an array with an object for each line, whose names are in the first line.
//!
//! The argument in VCL can be `numbers`: what looks like a number is one. Without it everything is
//! text. The configuration is the separator, if it is not the comma; a tab is written as `tab`.

use std::io::{self, Write};
use std::iter;
use std::sync::LazyLock;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use regex::bytes::Regex;
use tinykvm_guest::filter::{self, Action, Error, Filter, Output, Start};
use tinykvm_guest::headers::{self, Side};

fn main() {
    LazyLock::force(&NUMBER);
    filter::serve(begin)
}

fn begin(start: &Start<'_>) -> Action {
    let content_type = start.response_header("Content-Type").unwrap_or_default();
    let is_encoded = start.response_header("Content-Encoding").is_some();
    if is_encoded || !content_type.to_ascii_lowercase().starts_with("text/csv") {
        return Action::Pass;
    }
    if let Err(error) = headers::set(Side::Response, "Content-Type", "application/json") {
        return Action::fail(error);
    }
    let separator = match &*start.config() {
        "tab" => b'\t',
        config => config.bytes().next().unwrap_or(b','),
    };
    Action::transform(Table::new(separator, start.argument() == "numbers"))
}

/// What a number looks like in JSON.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?-u)^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$";
    Regex::new(pattern).expect("a pattern")
});

/// Longer numbers stay text: not every reader of JSON would see all of their digits.
const LONGEST_NUMBER: usize = 15;

/// The filter. It holds one line.
struct Table {
    /// The first bytes, until there are three of them. They may be a byte order mark, which the
    /// reader knows if it sees all of it.
    begun: Option<Vec<u8>>,
    reader: Reader,
    line: Line,
    /// Of each column, as JSON, with the colon; nothing before the first line has ended.
    names: Option<Vec<String>>,
    numbers: bool,
    rows: usize,
}

impl Table {
    fn new(separator: u8, numbers: bool) -> Self {
        Self {
            begun: Some(Vec::new()),
            reader: ReaderBuilder::new().delimiter(separator).build(),
            line: Line::default(),
            names: None,
            numbers,
            rows: 0,
        }
    }

    fn feed(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<()> {
        let Some(mut begun) = self.begun.take() else {
            return self.read(data, out);
        };
        begun.extend_from_slice(data);
        if begun.len() < 3 {
            self.begun = Some(begun);
            return Ok(());
        }
        self.read(&begun, out)
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some(begun) = self.begun.take() {
            self.read(&begun, out)?;
        }
        // Nothing as input means the end. There may be a last line without a line feed.
        while self.step(b"", out)?.is_some() {}
        out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" })
    }

    fn read(&mut self, mut data: &[u8], out: &mut impl Write) -> io::Result<()> {
        while !data.is_empty() {
            let used = self.step(data, out)?.unwrap_or(data.len());
            data = &data[used..];
        }
        Ok(())
    }

    /// Reads up to the end of the line, and says how much that was; nothing if there is no more.
    fn step(&mut self, data: &[u8], out: &mut impl Write) -> io::Result<Option<usize>> {
        let line = &mut self.line;
        let (result, used, text, fields) = self.reader.read_record(
            data,
            &mut line.text[line.text_used..],
            &mut line.ends[line.ends_used..],
        );
        line.text_used += text;
        line.ends_used += fields;
        match result {
            ReadRecordResult::OutputFull => line.text.resize(2 * line.text.len(), 0),
            ReadRecordResult::OutputEndsFull => line.ends.resize(2 * line.ends.len(), 0),
            ReadRecordResult::Record => {
                self.row(out)?;
                self.line.clear();
            }
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::End => return Ok(None),
        }
        Ok(Some(used))
    }

    fn row(&mut self, out: &mut impl Write) -> io::Result<()> {
        let Some(names) = &self.names else {
            let name = |field: &[u8]| string(field) + ":";
            self.names = Some(self.line.fields().map(name).collect());
            return Ok(());
        };
        out.write_all(if self.rows == 0 { b"[\n{" } else { b",\n{" })?;
        self.rows += 1;
        // A line may be too short. What is too much has no name, and so no place in an object.
        for (column, (name, field)) in names.iter().zip(self.line.fields()).enumerate() {
            if column > 0 {
                out.write_all(b",")?;
            }
            out.write_all(name.as_bytes())?;
            if self.numbers && field.len() <= LONGEST_NUMBER && NUMBER.is_match(field) {
                out.write_all(field)?;
            } else {
                out.write_all(string(field).as_bytes())?;
            }
        }
        out.write_all(b"}")
    }
}

/// What has been read of a line.
struct Line {
    text: Vec<u8>,
    text_used: usize,
    /// Where in the text each field ends.
    ends: Vec<usize>,
    ends_used: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            text: vec![0; 4096],
            text_used: 0,
            ends: vec![0; 64],
            ends_used: 0,
        }
    }
}

impl Line {
    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        let ends = &self.ends[..self.ends_used];
        let starts = iter::once(&0).chain(ends);
        starts
            .zip(ends)
            .map(|(&start, &end)| &self.text[start..end])
    }

    fn clear(&mut self) {
        self.text_used = 0;
        self.ends_used = 0;
    }
}

/// Text as a string of JSON. What is not UTF-8 becomes U+FFFD.
fn string(text: &[u8]) -> String {
    let mut string = String::with_capacity(text.len() + 2);
    string.push('"');
    for character in String::from_utf8_lossy(text).chars() {
        match character {
            '"' => string.push_str("\\\""),
            '\\' => string.push_str("\\\\"),
            '\n' => string.push_str("\\n"),
            '\r' => string.push_str("\\r"),
            '\t' => string.push_str("\\t"),
            '\0'..' ' => string += &format!("\\u{:04x}", u32::from(character)),
            _ => string.push(character),
        }
    }
    string.push('"');
    string
}

impl Filter for Table {
    fn chunk(&mut self, data: &[u8], out: &mut Output) -> Result<(), Error> {
        Ok(self.feed(data, out)?)
    }

    fn end(&mut self, out: &mut Output) -> Result<(), Error> {
        Ok(self.finish(out)?)
    }
}

#[cfg(test)]
mod tests {
    use filters_rust::cuts;

    use super::*;

    #[track_caller]
    fn check(input: &[u8], expected: &str) {
        for parts in cuts(input) {
            let mut out = Vec::new();
            let mut table = Table::new(b',', true);
            for part in &parts {
                table.feed(part, &mut out).unwrap();
            }
            table.finish(&mut out).unwrap();
            assert_eq!(str::from_utf8(&out), Ok(expected), "{parts:?}");
        }
    }

    #[test]
    fn a_line_becomes_an_object() {
        check(
            b"id,name\r\n1,\"Joe \"\"the, one\"\"\nDoe\"\r\n\r\n02,a\\b\x01",
            "[\n{\"id\":1,\"name\":\"Joe \\\"the, one\\\"\\nDoe\"},\n\
             {\"id\":\"02\",\"name\":\"a\\\\b\\u0001\"}\n]\n",
        );
    }

    #[test]
    fn lines_of_other_lengths() {
        check(
            b"a,b\n1\n2,3,4\n,\n",
            "[\n{\"a\":1},\n{\"a\":2,\"b\":3},\n{\"a\":\"\",\"b\":\"\"}\n]\n",
        );
    }

    #[test]
    fn nothing_but_names() {
        check(b"a,b\n", "[]\n");
        check(b"a", "[]\n");
    }

    #[test]
    fn a_byte_order_mark_and_bytes_that_are_no_text() {
        check(b"\xef\xbb\xbf\"a\"\n\xff\n", "[\n{\"a\":\"\u{fffd}\"}\n]\n");
    }

    #[test]
    fn a_line_of_any_length() {
        let field = "x".repeat(10_000);
        let names: Vec<String> = (0..1000).map(|column| format!("c{column}")).collect();
        let mut table = Table::new(b',', false);
        let mut out = Vec::new();
        let text = format!("{}\n{field}", names.join(","));
        table.feed(text.as_bytes(), &mut out).unwrap();
        table.finish(&mut out).unwrap();
        assert_eq!(out, format!("[\n{{\"c0\":\"{field}\"}}\n]\n").as_bytes());
    }
}
