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
//! Process::syscall ── run/table ──> one handler per call, in calls/ ──> result in RAX,
//!                        │                                             then who runs, signals
//!                        └ what the call needs from the host ──> access
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
//!
//! # Layers
//!
//! What a concept *is* lies in `process` or `objects`; its calls lie in `calls`, under the same
//! name. A module uses only what stands in lines below its own.
//!
//! ```text
//! run        the table of calls, who runs, delivery of signals, start of a program
//! calls      the handlers, one file per family of calls
//! access     which file a path means, and whether the program may have it
//! call       what a handler sees: arguments, guest memory, state, waiting
//! process    state of the process: threads, signals, timers, limits, descriptors, locks
//! objects    what a descriptor can stand for: pipes, sockets, files, timers, sets of events
//! host       what the embedder is asked and told
//! rules      what the configuration grants: paths and addresses
//! notice     what a program asked for in vain
//! wire       numbers, flags and structures of the system-call interface
//! ```

#![forbid(unsafe_code)]

mod access;
mod call;
mod calls;
mod host;
mod notice;
mod objects;
mod process;
mod rules;
mod run;
mod wire;

#[cfg(test)]
mod tests;

pub use host::{Flow, Host, OUTPUT_PIECE, Stream};
pub use notice::{Full, Lacking, Less, Notice, Path as NoticePath};
pub use process::Process;
pub use process::options::ProcessOptions;
pub use rules::connect::{ConnectRuleError, ConnectRules, resolvers_in};
pub use rules::permissions::{Extent, GrantError, PathRule, Permissions};
pub use run::start::StartError;
pub use wire::vdso::VDSO;
