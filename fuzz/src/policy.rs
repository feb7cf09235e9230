//! What the program under test may have of the host.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tinykvm_linux::{Host, Notice, Process, ProcessOptions, Stream};
use tinykvm_testkit::FakeGuest;

/// Numbers that a call may have.
const NUMBERS: u64 = 512;

/// How much is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Nothing.
    Deny,
    /// All kinds of rules, for what is the fuzzer's own: files below a directory for temporary ones,
    /// and somebody who listens on this machine.
    Allow,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            _ => Err(format!("{text} is no policy")),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        })
    }
}

/// Says whether a call is known.
#[derive(Debug, Default)]
struct Asker {
    unknown: bool,
}

impl Host for Asker {
    fn output(&mut self, _: Stream, _: &[u8]) {}

    fn sleep(&mut self, _: Duration) -> bool {
        false
    }

    fn notice(&mut self, notice: Notice<'_>, _: u64) {
        self.unknown |= matches!(notice, Notice::UnknownCall { .. });
    }
}

/// The numbers of the calls that are known.
pub(crate) fn implemented(options: &ProcessOptions) -> Vec<u64> {
    let known = |&number: &u64| {
        let mut asker = Asker::default();
        let mut guest = FakeGuest::new();
        guest.set_syscall(number, [u64::MAX; 6]);
        // A new process: what is unknown is told once per program.
        let mut process = Process::new(options);
        process.syscall(&mut guest, &mut asker);
        !asker.unknown
    };
    (0..NUMBERS).filter(known).collect()
}
