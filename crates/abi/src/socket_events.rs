//! Values of [`KvmSocketEvent::event`](crate::structs::KvmSocketEvent::event).

/// A client connected.
pub const CONNECT: i32 = 0;

/// Never delivered; data arrives with [`WRITABLE`].
pub const READ: i32 = 1;

/// Data arrived (`data` is set), or the socket can be written to (`data` is NULL).
pub const WRITABLE: i32 = 2;

/// The client is gone.
pub const DISCONNECT: i32 = 3;
