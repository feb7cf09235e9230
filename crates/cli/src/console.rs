//! What the terminal shows, and exit statuses.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use tinykvm_runtime::{ConfigError, Journal, Verdict, printable};

/// Exit status for wrong arguments.
pub(crate) const USAGE: u8 = 2;

/// What keeps a command from doing its work.
#[derive(Debug)]
pub(crate) enum Error {
    /// The configuration.
    Config(ConfigError),
    /// A file or stream.
    Io {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// Something else that the user gave.
    Argument(String),
}

impl Error {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io {
            what: what.into(),
            source,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Argument(what) => f.write_str(what),
        }
    }
}

/// The exit status that tells a verdict.
pub(crate) fn status(verdict: Verdict) -> ExitCode {
    ExitCode::from(match verdict {
        Verdict::Ok => 0,
        Verdict::NotLoaded => 3,
        Verdict::NoKvm => 4,
        Verdict::Overload => 5,
        _ => 1,
    })
}

/// Writes a body to standard output: byte by byte as it is, except on a terminal, to which what a
/// program made does nothing.
pub(crate) fn print_body(bytes: &[u8]) -> Result<(), Error> {
    if !io::stdout().is_terminal() {
        return print(bytes);
    }
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, "\n"),
            None => (line, ""),
        };
        print(format!("{}{end}", printable(text)).as_bytes())?;
    }
    Ok(())
}

/// Writes to standard output. That nobody reads any more is no error.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", error))
        }
        _ => Ok(()),
    }
}

/// Shows a program's own output on standard output, or with its prefix on standard error if that is
/// for the answer, and everything else on standard error.
#[derive(Debug)]
pub(crate) struct Terminal {
    prefix: String,
    to_stdout: bool,
}

impl Terminal {
    /// For the program `name`.
    pub(crate) fn new(name: &str, to_stdout: bool) -> Self {
        Self {
            prefix: format!("{name} says: "),
            to_stdout,
        }
    }
}

impl Journal for Terminal {
    fn log(&self, line: &str) {
        match line.strip_prefix(&self.prefix) {
            Some(text) if self.to_stdout => {
                // Nobody to tell if that fails.
                let _ = print(format!("{text}\n").as_bytes());
            }
            // There are lines of others, too: the prefix tells them apart.
            _ => eprintln!("{line}"),
        }
    }

    // The failure that this is about is what the command's result says.
    fn error(&self, _: &str) {}
}
