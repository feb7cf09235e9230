//! Sockets: pairs within the program, and connections to where the rules allow.
//!
//! ```text
//! socket, header ──> message (bytes, addresses, descriptors; waiting) ──> Endpoint ──┬─> pair
//!                                                                                    └─> host ── permit
//! ```
//!
//! A socket gets its host socket at the first permitted use: a program without rules never has
//! any. Host sockets never wait; the scheduler does, within the guest's budget. They belong to
//! the request that made them: a reset closes them, and those that are open at the freeze are
//! closed there and broken in every fork.

mod header;
mod host;
mod message;
mod pair;
mod permit;
mod socket;

pub(crate) use header::{recvmmsg, recvmsg, sendmmsg, sendmsg};
pub(crate) use message::{read, write};
pub(crate) use socket::{
    accept, bind, connect, getpeername, getsockname, getsockopt, ioctl, listen, recvfrom, sendto,
    setsockopt, shutdown, socket, socketpair,
};

#[cfg(test)]
mod tests;
