//! Rules that would help, in the form in which whoever reads of them writes rules.

use crate::journal::Wording;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule<'a> {
    /// A path.
    Path {
        /// As the program named it.
        path: &'a str,
        /// How much of it.
        extent: Extent,
        /// To be changed, too.
        write: bool,
    },
    /// The system's libraries.
    Libraries,
    /// A place where sockets may go.
    Connect(&'a str),
    /// Memory to write and to execute.
    ExecMemory,
}

/// How much of a path a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// A file.
    File,
    /// The names in a directory.
    Names,
    /// All that is in a directory.
    Tree,
}

/// A rule for this program.
pub(super) fn advice(wording: Wording, program: &str, rule: Rule<'_>) -> String {
    match wording {
        Wording::Vcl => vcl(program, rule),
        Wording::Config => format!("in --config: {}", json(rule)),
    }
}

fn vcl(program: &str, rule: Rule<'_>) -> String {
    match rule {
        Rule::Path {
            path,
            extent,
            write,
        } => {
            let right = if write { "write" } else { "read" };
            let path = match extent {
                Extent::Tree => with_slash(path),
                Extent::File | Extent::Names => path.to_owned(),
            };
            format!("tinykvm.allow({program:?}, {right}, {path:?})")
        }
        Rule::Libraries => format!("tinykvm.allow({program:?}, read, \"libraries\")"),
        Rule::Connect(place) => format!("tinykvm.allow({program:?}, connect, {place:?})"),
        Rule::ExecMemory => format!("tinykvm.allow({program:?}, exec_memory)"),
    }
}

fn json(rule: Rule<'_>) -> String {
    let path = |text: String| format!("\"allowed_paths\": [{text}]");
    match rule {
        Rule::Path {
            path: name,
            extent,
            write,
        } => path(match (extent, write) {
            // Of a directory, that is all that is in it.
            (Extent::File | Extent::Tree, false) => format!("{name:?}"),
            (Extent::File | Extent::Tree, true) => {
                format!("{{\"real\": {name:?}, \"writable\": true}}")
            }
            (Extent::Names, _) => format!("{{\"real\": {name:?}, \"prefix\": false}}"),
        }),
        Rule::Libraries => "\"libraries\": true".to_owned(),
        Rule::Connect(place) => format!("\"connect\": [{place:?}]"),
        Rule::ExecMemory => "\"executable_heap\": true".to_owned(),
    }
}

fn with_slash(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}
