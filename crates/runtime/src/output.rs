//! What a program prints, as lines of a log.

use std::mem;

use tinykvm_linux::Stream;

use crate::notices::Pending;
use crate::text::{cut, own_line, printable};

/// How many bytes of output one call may log.
const BYTES_MAX: usize = 64 * 1024;
/// How many lines of output one call may log.
const LINES_MAX: usize = 1000;
/// How many lines of the host's own about what the program does one call may log.
const NOTES_MAX: usize = 100;
/// A line that is longer goes on in a further one.
const LINE_MAX: usize = 4096;
/// What a line begins with that goes on with one that was too long.
const CONTINUED: &str = "...";
/// How much of the latest output is remembered, to explain why a program did not start.
const TAIL_MAX: usize = 1024;

/// Where lines go.
pub(crate) type Sink<'a> = dyn FnMut(&str) + 'a;

/// Turns writes into log lines, `NAME says: TEXT`, and bounds them.
///
/// A line is logged when its end was written, or when the call ends: writers without a buffer of
/// their own give a byte at a time. Standard output and error have a line each.
#[derive(Debug, Default)]
pub(crate) struct Output {
    lines: [Line; 2],
    count: Count,
    notes: usize,
    tail: Option<Vec<u8>>,
    /// What is told about the program when it does not run.
    pub(crate) pending: Vec<Pending>,
    /// The last that a program which starts was refused, if it can be why it fails.
    pub(crate) refused: Option<String>,
}

/// The line that a stream is in the middle of.
#[derive(Debug, Default)]
struct Line {
    begun: Vec<u8>,
    /// The beginning of it was logged, as it was too long.
    continued: bool,
}

/// What one call has logged.
#[derive(Debug, Default)]
struct Count {
    bytes: usize,
    lines: usize,
    /// Bytes that were not logged.
    lost: usize,
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
        for line in &mut self.lines {
            line.begun.clear();
            line.continued = false;
        }
        self.count = Count::default();
        self.notes = 0;
    }

    /// Takes one write of the program `name` and gives the lines that it completes to `sink`.
    pub(crate) fn write(&mut self, name: &str, stream: Stream, bytes: &[u8], sink: &mut Sink<'_>) {
        if let Some(tail) = &mut self.tail {
            tail.extend_from_slice(bytes);
            tail.drain(..tail.len().saturating_sub(TAIL_MAX));
        }
        let (line, count) = (&mut self.lines[index(stream)], &mut self.count);
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            line.add(&rest[..end], name, count, sink);
            line.end(name, count, sink);
            rest = &rest[end + 1..];
        }
        line.add(rest, name, count, sink);
    }

    /// A whole text that the program wants to be logged.
    pub(crate) fn text(&mut self, name: &str, bytes: &[u8], sink: &mut Sink<'_>) {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        // What was begun on standard output goes on behind it.
        let kept = mem::take(&mut self.lines[index(Stream::Out)]);
        self.write(name, Stream::Out, bytes, sink);
        if !bytes.is_empty() {
            self.lines[index(Stream::Out)].end(name, &mut self.count, sink);
        }
        self.lines[index(Stream::Out)] = kept;
    }

    /// The call ends, or something is to be said about what was printed so far: lines that are not
    /// complete are logged, and how much was not.
    pub(crate) fn flush(&mut self, name: &str, sink: &mut Sink<'_>) {
        for line in &mut self.lines {
            if !line.begun.is_empty() {
                line.end(name, &mut self.count, sink);
            }
            line.continued = false;
        }
        let lost = mem::take(&mut self.count.lost);
        if lost > 0 {
            sink(&own_line(
                name,
                &format!("{lost} bytes of its output were not logged"),
            ));
        }
    }

    /// Logs a line of the host's own about what the program does.
    pub(crate) fn note(&mut self, name: &str, line: &str, sink: &mut Sink<'_>) {
        self.notes = self.notes.saturating_add(1);
        if self.notes <= NOTES_MAX {
            sink(&own_line(name, line));
        } else if self.notes == NOTES_MAX + 1 {
            let what = "more of that: in this call it is not told any more";
            sink(&own_line(name, what));
        }
    }

    /// The last lines that were printed, for a message, the last one first; empty if there are none.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.tail.as_deref().unwrap_or_default();
        let mut lines: Vec<_> = tail.split(|&byte| byte == b'\n').collect();
        if tail.len() == TAIL_MAX && lines.len() > 1 {
            // The beginning of it is not there.
            lines.remove(0);
        }
        let lines = lines.iter().rev().map(|line| line.trim_ascii());
        let lines: Vec<_> = lines
            .filter(|line| !line.is_empty())
            .map(printable)
            .collect();
        lines.join(" | ")
    }
}

fn index(stream: Stream) -> usize {
    match stream {
        Stream::Out => 0,
        Stream::Err => 1,
    }
}

impl Line {
    /// Adds to the line. Of a line that gets too long the beginning is logged.
    fn add(&mut self, bytes: &[u8], name: &str, count: &mut Count, sink: &mut Sink<'_>) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if count.is_full() {
                count.lost = count.lost.saturating_add(rest.len() + self.begun.len());
                self.begun.clear();
                return;
            }
            // One more than a line has, so that it is known whether there is more.
            let room = LINE_MAX + 1 - self.begun.len().min(LINE_MAX);
            let (now, later) = rest.split_at(rest.len().min(room));
            self.begun.extend_from_slice(now);
            rest = later;
            if self.begun.len() > LINE_MAX {
                let end = cut(&self.begun, LINE_MAX);
                self.log(end, name, count, sink);
                self.begun.drain(..end);
                self.continued = true;
            }
        }
    }

    /// The line ends here.
    fn end(&mut self, name: &str, count: &mut Count, sink: &mut Sink<'_>) {
        if self.begun.last() == Some(&b'\r') {
            self.begun.pop();
        }
        if !(self.continued && self.begun.is_empty()) {
            self.log(self.begun.len(), name, count, sink);
        }
        self.begun.clear();
        self.continued = false;
    }

    fn log(&self, end: usize, name: &str, count: &mut Count, sink: &mut Sink<'_>) {
        let text = &self.begun[..end];
        if count.admit(text.len(), name, sink) {
            let continued = if self.continued { CONTINUED } else { "" };
            sink(&format!("{name} says: {continued}{}", printable(text)));
        }
    }
}

impl Count {
    fn is_full(&self) -> bool {
        self.lines > LINES_MAX
    }

    /// Counts one line; false if it is one too many.
    fn admit(&mut self, length: usize, name: &str, sink: &mut Sink<'_>) -> bool {
        if !self.is_full() {
            self.lines += 1;
            self.bytes = self.bytes.saturating_add(length);
            if self.lines <= LINES_MAX && self.bytes <= BYTES_MAX {
                return true;
            }
            self.lines = LINES_MAX + 1;
            let what = format!(
                "output limit reached ({LINES_MAX} lines, {} KiB): what follows is not logged",
                BYTES_MAX / 1024
            );
            sink(&own_line(name, &what));
        }
        self.lost = self.lost.saturating_add(length);
        false
    }
}

#[cfg(test)]
mod tests;
