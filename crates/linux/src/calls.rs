//! The system calls, one file per family. The kernel state that they work on is in `process` and
//! `objects`, under the same names.

pub(crate) mod clock;
pub(crate) mod clone;
pub(crate) mod descriptor;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod futex;
pub(crate) mod io;
pub(crate) mod ioctl;
pub(crate) mod kill;
pub(crate) mod lock;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod network;
pub(crate) mod path;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod signal;
pub(crate) mod signalfd;
pub(crate) mod sigreturn;
pub(crate) mod sigwait;
pub(crate) mod stream;
pub(crate) mod system;
pub(crate) mod thread;
pub(crate) mod timer;
pub(crate) mod timerfd;
pub(crate) mod transfer;
