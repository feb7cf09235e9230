//! Where lines go that belong to no request: what happens while programs are loaded.

use std::sync::{Mutex, PoisonError};

/// What a program used in an audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used<'a> {
    /// A path.
    Path {
        /// The system call.
        call: &'static str,
        /// The path, absolute.
        path: &'a [u8],
        /// It was to be changed.
        write: bool,
    },
    /// A place that a socket went to, as a rule of `connect`.
    Place(&'a str),
    /// Memory to write and to execute.
    ExecMemory,
}

/// In which form a rule is suggested that a program lacks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wording {
    /// As VCL: `tinykvm.allow(...)`.
    #[default]
    Vcl,
    /// As a key of the configuration that the command was given.
    Config,
}

/// A log for what belongs to no request.
pub trait Journal: Send + Sync {
    /// An informative line.
    fn log(&self, line: &str);

    /// A line about something that went wrong.
    fn error(&self, line: &str);

    /// How those who read this log write rules.
    fn wording(&self) -> Wording {
        Wording::default()
    }

    /// A program looked for something that no rule is about, and that is not on the host either,
    /// of which a line would tell, the `first` or a later one of the same. False: it is to be
    /// logged like others.
    fn looked_in_vain(&self, first: bool) -> bool {
        let _ = first;
        false
    }

    /// In an audit ([`Programs::audit`](crate::Programs::audit)): what the program used.
    fn used(&self, used: Used<'_>) {
        let _ = used;
    }
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Silent;

impl Journal for Silent {
    fn log(&self, _: &str) {}

    fn error(&self, _: &str) {}
}

/// Keeps lines until there is a log for them. Another journal may have them at once.
pub(crate) struct Lines<'a> {
    lines: Mutex<Vec<String>>,
    also: Option<&'a dyn Journal>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(also: Option<&'a dyn Journal>) -> Self {
        Self {
            lines: Mutex::default(),
            also,
        }
    }

    /// What was logged, in order.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let lines = self.lines.into_inner();
        lines.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal for Lines<'_> {
    fn log(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(line.to_owned());
        if let Some(also) = self.also {
            also.log(line);
        }
    }

    fn error(&self, line: &str) {
        self.log(line);
    }

    fn used(&self, used: Used<'_>) {
        if let Some(also) = self.also {
            also.used(used);
        }
    }
}
