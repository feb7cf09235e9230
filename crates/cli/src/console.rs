//! What the terminal shows, and exit statuses.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tinykvm_runtime::{ConfigError, Journal, Verdict, Wording, printable};

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
    /// Nobody reads standard output any more.
    Unread,
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
            Self::Unread => f.write_str("nobody reads standard output any more"),
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

/// A line for standard error. That nobody can read it is no reason to stop, or to panic.
pub(crate) fn tell(line: &str) {
    tell_text(&format!("{line}\n"));
}

/// The same for a text with its line ends.
pub(crate) fn tell_text(text: &str) {
    let mut error = io::stderr().lock();
    let _ = error
        .write_all(text.as_bytes())
        .and_then(|()| error.flush());
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

/// Writes to standard output.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Unread),
        Err(error) => Err(Error::io("standard output", error)),
        Ok(()) => Ok(()),
    }
}

/// Why lines of a program could not be printed: what calls the journal can do nothing about it.
static LOST: OnceLock<Error> = OnceLock::new();

/// The status of a command that is done, unless something that it should have printed is lost.
pub(crate) fn checked(status: ExitCode) -> Result<ExitCode, Error> {
    match LOST.get() {
        None | Some(Error::Unread) => Ok(status),
        Some(error) => Err(Error::Argument(error.to_string())),
    }
}

/// Tells why a program can't be used.
pub(crate) fn not_ready(verdict: Verdict, reason: &str) -> ExitCode {
    say!("tinykvm: {verdict}: {reason}");
    status(verdict)
}

/// What a program looked for that no rule is about and that the host does not have either: at their
/// start interpreters do so by the dozen. Unless each is to be told, it is one line at the end.
#[derive(Debug)]
pub(crate) struct InVain {
    name: String,
    verbose: bool,
    count: AtomicU64,
}

impl InVain {
    /// For the program `name`. `verbose`: each is told.
    pub(crate) fn new(name: &str, verbose: bool) -> Self {
        Self {
            name: name.to_owned(),
            verbose,
            count: AtomicU64::new(0),
        }
    }

    /// Counts one; false if it is to be told.
    pub(crate) fn count(&self, first: bool) -> bool {
        if first && !self.verbose {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        !self.verbose
    }

    /// Tells how many there were.
    pub(crate) fn tell(&self) {
        if let Some(line) = self.line() {
            tell(&line);
        }
    }

    fn line(&self) -> Option<String> {
        let count = self.count.swap(0, Ordering::Relaxed);
        let paths = if count == 1 { "path" } else { "paths" };
        (count > 0).then(|| {
            format!(
                "tinykvm {}: it looked for {count} {paths} that no rule is about and that are not \
                 there on the host either, as interpreters do (-v shows them)",
                self.name
            )
        })
    }
}

/// Shows a program's own output on standard output, or with its prefix on standard error if that is
/// for the answer, and everything else on standard error.
#[derive(Debug)]
pub(crate) struct Terminal {
    prefix: String,
    to_stdout: bool,
    in_vain: Arc<InVain>,
}

impl Terminal {
    /// For the program `name`.
    pub(crate) fn new(name: &str, to_stdout: bool, in_vain: Arc<InVain>) -> Self {
        Self {
            prefix: format!("{name} says: "),
            to_stdout,
            in_vain,
        }
    }
}

impl Journal for Terminal {
    fn log(&self, line: &str) {
        match line.strip_prefix(&self.prefix) {
            Some(text) if self.to_stdout => {
                if let Err(error) = print(format!("{text}\n").as_bytes()) {
                    // The first one counts.
                    let _ = LOST.set(error);
                }
            }
            // There are lines of others, too: the prefix tells them apart.
            _ => tell(line),
        }
    }

    // The failure that this is about is what the command's result says.
    fn error(&self, _: &str) {}

    fn wording(&self) -> Wording {
        Wording::Config
    }

    fn looked_in_vain(&self, first: bool) -> bool {
        self.in_vain.count(first)
    }
}
