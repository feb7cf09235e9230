//! What the personality asks of its embedder, and tells it.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::notice::Notice;

/// Where guest output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What the personality asks of its embedder.
pub trait Host {
    /// Takes output of the guest. One system call gives one or more pieces of at most
    /// [`OUTPUT_PIECE`] bytes.
    fn output(&mut self, stream: Stream, bytes: &[u8]);

    /// Waits for `duration` on the guest's behalf, but not past the guest's deadline. False
    /// means that the deadline is reached and the guest is to be stopped. With a zero duration
    /// it only asks whether there is time left.
    fn sleep(&mut self, duration: Duration) -> bool;

    /// A descriptor that can be read from once the guest is to be stopped early; from then on
    /// [`Self::sleep`] says that there is no time left.
    fn interrupt(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The program did not get what it asked for. Told the first time per program (over all its
    /// forks) and kind, and then at the hundredth, the ten thousandth time, and so on: `count` says
    /// which this is.
    fn notice(&mut self, notice: Notice<'_>, count: u64);

    /// In an audit ([`audit_exec_memory`](crate::ProcessOptions::audit_exec_memory)): the program
    /// asked for memory that is both writable and executable, or that is executable after it was
    /// writable.
    fn exec_memory(&mut self) {}

    /// In an audit ([`Permissions::audit`](crate::Permissions::audit)): the program used `path` by
    /// `call`, and was about to change it if `write`.
    fn used(&mut self, call: &'static str, path: &[u8], write: bool) {
        let _ = (call, path, write);
    }

    /// In an audit ([`ConnectRules::audit`](crate::ConnectRules::audit)): the program sent a socket
    /// there, which no rule allows; `to` is one that would.
    fn connected(&mut self, to: &str) {
        let _ = to;
    }
}

/// The most bytes that [`Host::output`] gets at a time.
pub const OUTPUT_PIECE: usize = 64 * 1024;

/// How the guest goes on after a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The result is in the registers; run on.
    Continue,
    /// The program ended itself.
    Exit {
        /// Exit status, 0 to 255.
        status: i32,
    },
    /// A signal ended the program.
    Signal {
        /// Signal number, 1 to 64.
        number: i32,
    },
    /// The program waits for something that nobody can ever do.
    Deadlock,
    /// The time budget ended during the call ([`Host::sleep`] said so).
    Deadline,
}
