//! Sockets: pairs within the program, and connections to where the rules allow.
//!
//! ```text
//! calls, header ──> message (bytes, addresses, descriptors; waiting) ──> Endpoint ──┬─> Pair
//!                                                                                   └─> Socket ── permit ──> host
//! ```
//!
//! A socket gets its host socket at the first permitted use: a program without rules never has
//! any. Host sockets never wait; the scheduler does, within the guest's budget. They belong to
//! the request that made them: a reset closes them, and those that are open at the freeze are
//! closed there and broken in every fork.

mod address;
mod calls;
mod dns;
mod header;
mod message;
mod options;
mod pair;
mod permit;
mod socket;

pub(crate) use calls::{
    accept, bind, connect, getpeername, getsockname, getsockopt, ioctl, listen, recvfrom, sendto,
    setsockopt, shutdown, socket, socketpair,
};
pub(crate) use header::{recvmmsg, recvmsg, sendmmsg, sendmsg};
pub(crate) use message::{read, write};
pub(crate) use options::Options;
pub(crate) use pair::PairEnd;
pub(crate) use socket::{Socket, SocketId};

#[cfg(test)]
mod tests;
