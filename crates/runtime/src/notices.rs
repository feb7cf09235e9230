//! What a program asked for in vain, as texts for the log that say what would help.

mod advice;
mod look;

use tinykvm_linux::{Full, Lacking, Less, Notice, NoticePath};

use crate::fields::shown;
use crate::journal::Wording;
use crate::text::size;
use advice::{Rule, advice};
use look::Look;

/// A text that is told when the program does not run: how long a look at the host takes is nothing
/// that it should be able to measure.
#[derive(Debug)]
pub(crate) struct Pending {
    start: String,
    /// What was refused.
    look: Look,
    end: String,
}

/// The text of what had to wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Looked {
    pub(crate) text: String,
    /// Nothing was there to be had: the program looked, as interpreters do in many places.
    pub(crate) in_vain: bool,
    /// It was not told before.
    pub(crate) first: bool,
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
pub(crate) fn telling(
    (program, wording): (&str, Wording),
    max_memory: u64,
    notice: &Notice<'_>,
    count: u64,
) -> Telling {
    let end = match count {
        1 => String::new(),
        count => format!(" ({count} times by now)"),
    };
    let text = match notice {
        Notice::Absent(path) => {
            return Telling::Later(Pending {
                start: of_path(path),
                look: Look::new(path),
                end,
            });
        }
        Notice::Denied(path, Less::ReadOnly) => {
            return Telling::Later(Pending {
                start: of_path(path),
                look: Look::read_only(path),
                end,
            });
        }
        Notice::Denied(path, less) => format!("{} is denied: {}", of_path(path), why(*less)),
        Notice::Unreachable { call, to } => format!(
            "{call} of {to:?} is denied: no rule allows it ({})",
            advice(wording, program, Rule::Connect(to))
        ),
        Notice::Query {
            call,
            name: Some(name),
        } => format!(
            "{call} of {:?} is denied: no rule allows to ask DNS for this name ({})",
            format!("dns:{name}"),
            advice(wording, program, Rule::Connect(&format!("{name}:PORT")))
        ),
        Notice::Query { call, name: None } => {
            format!("{call} of \"dns\" is denied: this is no plain query")
        }
        Notice::Serve { call, at } => {
            format!("{call} of {at:?} is denied: programs take no connections")
        }
        Notice::ExecMemory { call } => format!(
            "{call} of memory to write and to execute is denied ({})",
            advice(wording, program, Rule::ExecMemory)
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
        Notice::Full { call, what } => format!("{call}: {}", of_full(*what)),
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

impl Pending {
    /// The text, after a look at whether the host has what no rule is about.
    pub(crate) fn look(&self, program: &str, wording: Wording) -> Looked {
        let Self { start, look, end } = self;
        let found = look.found();
        Looked {
            text: format!(
                "{start} is denied: {}{end}",
                found.text(look, program, wording)
            ),
            in_vain: look.is_in_vain(&found),
            first: end.is_empty(),
        }
    }
}

fn of_full(what: Full) -> &'static str {
    match what {
        Full::Descriptors => "no descriptor is free (1024 at most, or what it set itself)",
        Full::Sockets => "there are as many of these as there can be (64 sockets)",
        Full::Locks => "there are as many record locks as there can be (1024)",
        Full::Threads => "there are as many threads as there can be (256)",
        Full::Timers => "there are as many timers as there can be (128)",
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

fn why(less: Less) -> &'static str {
    match less {
        Less::ReadOnly => "it is not granted to be changed",
        Less::MadeUp => "it is made up for the program and can't be changed",
        Less::Special => "it is no plain file or directory, and no rule grants others",
        Less::Link => "links are made only where they stay inside of what is granted",
    }
}

#[cfg(test)]
mod tests;
