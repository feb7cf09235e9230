//! What a program prints, as lines of a log.

use std::fmt::Write as _;

/// How many bytes of output one call may log.
const BYTES_MAX: usize = 64 * 1024;
/// How many lines of output one call may log.
const LINES_MAX: usize = 1000;
/// How much of the latest output is remembered, to explain why a program did not start.
const TAIL_MAX: usize = 1024;

/// Turns writes into log lines: `<name> says: <text>`, and bounds them.
///
/// A write that goes on with a line that an earlier one did not end is logged without the prefix.
#[derive(Debug, Default)]
pub(crate) struct Output {
    unfinished: bool,
    bytes: usize,
    lines: usize,
    line: String,
    tail: Option<Vec<u8>>,
}

impl Output {
    /// Output of which the end is remembered.
    pub(crate) fn with_tail() -> Self {
        Self {
            tail: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// A new call begins: the limits count from zero.
    pub(crate) fn begin(&mut self) {
        self.unfinished = false;
        self.bytes = 0;
        self.lines = 0;
    }

    /// Takes one write of the program `name` and gives the lines to `sink`.
    pub(crate) fn write(&mut self, name: &str, bytes: &[u8], sink: &mut dyn FnMut(&str)) {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(bytes);
            tail.drain(..tail.len().saturating_sub(TAIL_MAX));
        }
        let (text, ended) = match bytes.strip_suffix(b"\n") {
            Some(text) => (text, true),
            None => (bytes, false),
        };
        if bytes.is_empty() {
            return;
        }
        for text in text.split(|&byte| byte == b'\n') {
            if !self.count(name, text.len(), sink) {
                return;
            }
            self.line.clear();
            if !self.unfinished {
                // Writing to a string does not fail.
                let _ = write!(self.line, "{name} says: ");
            }
            push_printable(&mut self.line, text);
            sink(&self.line);
            self.unfinished = false;
        }
        self.unfinished = !ended;
    }

    /// Logs a line of the host's own about what the program does, within the same limits.
    pub(crate) fn note(&mut self, name: &str, line: &str, sink: &mut dyn FnMut(&str)) {
        if self.count(name, line.len(), sink) {
            sink(line);
        }
    }

    /// Counts one line; false if it is one too many.
    fn count(&mut self, name: &str, length: usize, sink: &mut dyn FnMut(&str)) -> bool {
        if self.lines > LINES_MAX {
            return false;
        }
        self.lines += 1;
        self.bytes = self.bytes.saturating_add(length);
        if self.lines <= LINES_MAX && self.bytes <= BYTES_MAX {
            return true;
        }
        self.lines = LINES_MAX + 1;
        self.line.clear();
        let _ = write!(self.line, "{name}: output limit reached");
        sink(&self.line);
        false
    }

    /// The last lines that were written, for a message; empty if there are none.
    pub(crate) fn tail(&self) -> String {
        let tail = self.tail.as_deref().unwrap_or_default();
        let mut text = String::new();
        push_printable(&mut text, tail.trim_ascii());
        text
    }
}

/// Appends text without anything that could disturb a log or a terminal.
fn push_printable(line: &mut String, bytes: &[u8]) {
    for piece in String::from_utf8_lossy(bytes).chars() {
        let harmless = !piece.is_control() || piece == '\t';
        line.push(if harmless {
            piece
        } else {
            char::REPLACEMENT_CHARACTER
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[&str]) -> Vec<String> {
        let mut output = Output::with_tail();
        let mut lines = Vec::new();
        for write in writes {
            output.write("p", write.as_bytes(), &mut |line| {
                lines.push(line.to_owned())
            });
        }
        lines
    }

    #[test]
    fn one_newline_is_stripped_and_lines_are_split() {
        assert_eq!(lines(&["hello\n"]), ["p says: hello"]);
        assert_eq!(lines(&["a\nb\n"]), ["p says: a", "p says: b"]);
        assert_eq!(lines(&["\n"]), ["p says: "]);
        assert!(lines(&[""]).is_empty());
    }

    #[test]
    fn a_continued_line_has_no_prefix() {
        assert_eq!(
            lines(&["abc", "def\n", "ghi"]),
            ["p says: abc", "def", "p says: ghi"]
        );
    }

    #[test]
    fn control_characters_do_not_reach_the_log() {
        assert_eq!(
            lines(&["a\x1b[2J\r\tz\0\n"]),
            ["p says: a\u{fffd}[2J\u{fffd}\tz\u{fffd}"]
        );
    }

    #[test]
    fn lines_and_bytes_are_bounded_per_call() {
        let many = "x\n".repeat(LINES_MAX + 5);
        let lines_of_many = lines(&[&many, "more\n"]);
        assert_eq!(lines_of_many.len(), LINES_MAX + 1);
        assert_eq!(lines_of_many[LINES_MAX], "p: output limit reached");
        let long = "y".repeat(40_000);
        let lines_of_long = lines(&[&long, "\n", &long, "more\n"]);
        assert_eq!(
            lines_of_long.last().expect("lines"),
            "p: output limit reached"
        );
        assert!(lines_of_long.len() < 5);
    }

    #[test]
    fn the_limits_are_per_call() {
        let mut output = Output::default();
        let mut count = 0;
        let many = "x\n".repeat(LINES_MAX + 5);
        for _ in 0..2 {
            output.begin();
            output.write("p", many.as_bytes(), &mut |_| count += 1);
        }
        assert_eq!(count, 2 * (LINES_MAX + 1));
    }

    #[test]
    fn the_tail_is_short() {
        let mut output = Output::with_tail();
        output.write("p", "z".repeat(5000).as_bytes(), &mut |_| {});
        output.write("p", b"the end\n", &mut |_| {});
        let tail = output.tail();
        assert!(tail.ends_with("zthe end"));
        assert_eq!(tail.len(), TAIL_MAX - 1);
    }
}
