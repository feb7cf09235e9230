//! What was found out.

use std::fmt;

/// How good something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    /// Works, but somebody might be surprised.
    Notice,
    Bad,
}

/// Something found out, and what to do about it.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) what: String,
    pub(super) remedy: Vec<String>,
}

impl Finding {
    pub(super) fn good(what: impl Into<String>) -> Self {
        Self::new(Level::Good, what)
    }

    pub(super) fn notice(what: impl Into<String>) -> Self {
        Self::new(Level::Notice, what)
    }

    pub(super) fn bad(what: impl Into<String>) -> Self {
        Self::new(Level::Bad, what)
    }

    pub(super) fn new(level: Level, what: impl Into<String>) -> Self {
        Self {
            level,
            what: what.into(),
            remedy: Vec::new(),
        }
    }

    pub(super) fn remedy(mut self, line: impl Into<String>) -> Self {
        self.remedy.push(line.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = match self.level {
            Level::Good => "[ok]",
            Level::Notice => "[--]",
            Level::Bad => "[!!]",
        };
        writeln!(f, "{mark} {}", self.what)?;
        for line in &self.remedy {
            writeln!(f, "       {line}")?;
        }
        Ok(())
    }
}
