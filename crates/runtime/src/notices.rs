//! What a program asked for in vain, as texts for the log that say what would help.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use tinykvm_linux::{Lacking, Less, Notice, NoticePath};

use crate::fields::shown;

/// A text that is told when the program does not run: how long a look at the host takes is nothing
/// that it should be able to measure.
#[derive(Debug)]
pub(crate) struct Pending {
    start: String,
    /// What no rule is about.
    path: Vec<u8>,
    write: bool,
    end: String,
}

/// What is to be told of a notice.
#[derive(Debug)]
pub(crate) enum Telling {
    Now(String),
    Later(Pending),
}

/// The text for a notice that came `count` times by now.
///
/// `max_memory` is the limit that mappings have.
pub(crate) fn telling(program: &str, max_memory: u64, notice: &Notice<'_>, count: u64) -> Telling {
    let end = match count {
        1 => String::new(),
        count => format!(" ({count} times by now)"),
    };
    let text = match notice {
        Notice::Absent(path) => {
            return Telling::Later(Pending {
                start: of_path(path),
                path: path.meant().to_vec(),
                write: path.write,
                end,
            });
        }
        Notice::Denied(path, less) => format!("{} is denied: {}", of_path(path), why(path, *less)),
        Notice::Unreachable { call, to } => format!(
            "{call} of {to:?} is denied: no rule allows it (tinykvm.allow({program:?}, connect, {to:?}))"
        ),
        Notice::Query {
            call,
            name: Some(name),
        } => format!(
            "{call} of {:?} is denied: no rule allows to ask DNS for this name \
             (tinykvm.allow({program:?}, connect, \"{name}:PORT\"))",
            format!("dns:{name}")
        ),
        Notice::Query { call, name: None } => {
            format!("{call} of \"dns\" is denied: this is no plain query")
        }
        Notice::Serve { call, at } => {
            format!("{call} of {at:?} is denied: programs take no connections")
        }
        Notice::ExecMemory { call } => format!(
            "{call} of memory to write and to execute is denied \
             (tinykvm.allow({program:?}, exec_memory))"
        ),
        Notice::NoMemory { call, request } => format!(
            "{call}: no memory is left for what the host holds for the program ({})",
            if *request {
                "max_request_memory"
            } else {
                "max_memory"
            }
        ),
        Notice::NoMapping { call, length } => format!(
            "{call}: no memory is left for a mapping of {} (max_memory is {})",
            size(*length),
            size(max_memory)
        ),
        Notice::Lacking { call, what } => format!(
            "{call}: {}",
            match what {
                Lacking::Process => "a program is one process and can't start others",
                Lacking::SharedMapping => {
                    "a file can't be changed by a mapping (MAP_SHARED with PROT_WRITE)"
                }
                Lacking::HugePages => "there are no huge pages to ask for",
            }
        ),
        Notice::UnknownCall { number, name } => match name {
            Some(name) => format!("system call {name} ({number}) is not implemented"),
            None => format!("system call {number} does not exist"),
        },
        Notice::Many => {
            "more is denied than is told one by one: from here on it is only counted".to_owned()
        }
    };
    Telling::Now(format!("{text}{end}"))
}

/// True for what a program dies of sooner or later: it was refused memory.
pub(crate) fn is_about_memory(notice: &Notice<'_>) -> bool {
    matches!(notice, Notice::NoMapping { .. } | Notice::NoMemory { .. })
}

/// A size in MiB, rounded up, or what is less than that in bytes.
fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes {
        ..MIB => format!("{bytes} bytes"),
        _ => format!("{} MiB", bytes.div_ceil(MIB)),
    }
}

impl Pending {
    /// The text, after a look at whether the host has what no rule is about.
    pub(crate) fn text(&self, program: &str) -> String {
        let Self {
            start, path, end, ..
        } = self;
        if std::fs::symlink_metadata(OsStr::from_bytes(path)).is_err() {
            return format!(
                "{start} is denied: no rule is about it; not there on the host either{end}"
            );
        }
        let right = if self.write { "write" } else { "read" };
        let path = shown(path);
        format!(
            "{start} is denied: no rule is about it (tinykvm.allow({program:?}, {right}, {path:?})){end}"
        )
    }
}

/// The call and its path, with where that leads.
fn of_path(path: &NoticePath<'_>) -> String {
    let given = shown(path.path);
    match path.target {
        None => format!("{} of {given:?}", path.call),
        Some(target) => format!(
            "{} of {given:?}, which leads to {:?},",
            path.call,
            shown(target)
        ),
    }
}

fn why(path: &NoticePath<'_>, less: Less) -> Cow<'static, str> {
    match less {
        Less::ReadOnly => format!(
            "it is not granted to be changed (a rule with write about {:?})",
            shown(path.meant())
        )
        .into(),
        Less::MadeUp => "it is made up for the program and can't be changed".into(),
        Less::Special => "it is no plain file or directory".into(),
        Less::Link => "links are made only where they stay inside of what is granted".into(),
    }
}

#[cfg(test)]
mod tests;
