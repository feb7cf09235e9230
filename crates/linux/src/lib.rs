//! The Linux personality: answers the system calls of a program that runs in a virtual machine
//! without a kernel of its own.
//!
//! A [`Process`] is the kernel state that the program can see: signal actions, descriptors,
//! limits, names. It is cheap to clone and to reset, because a fork of a virtual machine gets a
//! clone of the template's process and goes back to it after every request. Everything else is
//! in the [`Guest`](tinykvm::Guest) (registers, memory, address space) or with the embedder,
//! behind the trait [`Host`]. Nothing here needs KVM, so everything is tested on plain buffers.
//!
//! ```text
//! Process::syscall ── table ──> one handler per call ──> result in RAX, then who runs, signals
//!                        │         memory, descriptor, io, poll, path, lock, signal, frame,
//!                        │         thread, futex, time, system
//!                        └ what the call needs from the host ──> access::find
//! ```
//!
//! Rules that hold for every call:
//! * A bad pointer is `EFAULT`. Guest memory is copied once and then looked at.
//! * Counts and lengths from the guest are bounded; long work asks the [`Host`] between pieces
//!   whether the time budget still holds.
//! * No handler waits by itself: what would block says what it waits for, and is made again when
//!   that may have come. The scheduler waits in [`Host::sleep`] or for host descriptors; where
//!   nothing could ever wake the program, that ends as [`Flow::Deadlock`].
//! * What a program does not get is told once per program ([`Notice`]). An unknown call is `ENOSYS`.

#![forbid(unsafe_code)]

mod access;
mod account;
mod block;
mod clone;
mod close;
mod connect_rules;
mod context;
mod descriptor;
mod epoll;
mod errno;
mod eventfd;
mod frame;
mod futex;
mod io;
mod kill;
mod lock;
mod look;
mod memfd;
mod memory;
mod network;
mod notice;
mod object;
mod objects;
mod pair;
mod path;
mod pending;
mod permissions;
mod pipe;
mod poll;
mod process;
mod readiness;
mod robust;
mod scheduler;
mod signal;
mod sigwait;
mod slab;
mod stack;
mod stat;
mod synthetic;
mod system;
mod table;
mod thread;
mod threads;
mod time;
mod timer;
mod timerfd;
mod vdso;
mod vectors;
mod wire;

#[cfg(test)]
mod tests;

use std::os::fd::BorrowedFd;
use std::time::Duration;

pub use connect_rules::{ConnectRuleError, ConnectRules, resolvers_in};
pub use notice::{Full, Lacking, Less, Notice, Path as NoticePath};
pub use permissions::{Extent, GrantError, PathRule, Permissions};
pub use process::{Process, ProcessOptions};
pub use stack::StartError;
pub use vdso::VDSO;

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

    /// In an audit ([`ProcessOptions::audit_exec_memory`]): the program asked for memory that is
    /// both writable and executable, or that is executable after it was writable.
    fn exec_memory(&mut self) {}

    /// In an audit ([`Permissions::audit`]): the program used `path` by `call`, and was about to
    /// change it if `write`.
    fn used(&mut self, call: &'static str, path: &[u8], write: bool) {
        let _ = (call, path, write);
    }

    /// In an audit ([`ConnectRules::audit`]): the program sent a socket there, which no rule allows;
    /// `to` is one that would.
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
