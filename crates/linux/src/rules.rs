//! What a program may have of the host, as its configuration says it.

pub(crate) mod beneath;
pub(crate) mod connect;
pub(crate) mod paths;
pub(crate) mod permissions;
