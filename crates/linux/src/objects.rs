//! What a descriptor can stand for: state, and what can be done with it without a call under way.
//! Objects name each other by number, so that a set of events can watch another one.

pub(crate) mod account;
pub(crate) mod device;
pub(crate) mod directory;
pub(crate) mod epoll;
pub(crate) mod eventfd;
pub(crate) mod file;
pub(crate) mod kept;
pub(crate) mod memfd;
pub(crate) mod metadata;
pub(crate) mod object;
pub(crate) mod options;
pub(crate) mod pair;
pub(crate) mod pipe;
pub(crate) mod readiness;
pub(crate) mod signalfd;
pub(crate) mod slab;
pub(crate) mod socket;
pub(crate) mod timerfd;
