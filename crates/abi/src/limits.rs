//! Sizes that the host enforces.

/// Most headers that [`KvmRequest`](crate::structs::KvmRequest) can carry; with more the call fails.
pub const REQUEST_HEADERS: u16 = 64;

/// Most headers in [`BackendResponseExtra`](crate::structs::BackendResponseExtra).
pub const RESPONSE_HEADERS: u16 = 64;

/// Shortest header field that is valid: `a: b`.
pub const FIELD_MIN: u32 = 4;

/// Longest header field in bytes.
pub const FIELD_MAX: u32 = 65_535;

/// Longest content type of a response in bytes.
pub const CONTENT_TYPE_MAX: u16 = 4095;

/// Smallest status that a program may respond with.
pub const STATUS_MIN: u16 = 200;

/// Largest status that a program may respond with.
pub const STATUS_MAX: u16 = 599;

/// Lowest address of an extra struct or its header array that is taken for a pointer.
pub const POINTER_MIN: u64 = 0x1000;

/// Size of the memory block that holds the strings of a request in paused mode.
pub const PAUSED_BLOCK: u64 = 65_536;

/// Time in milliseconds that [`ON_ERROR`](crate::callbacks::ON_ERROR) has.
pub const ON_ERROR_MS: u32 = 1000;

/// Longest text of one [`LOG`](crate::calls::LOG) call; the length is cut to 16 bits.
pub const LOG_MAX: u16 = 65_535;

/// Most buffers of one [`STORAGE_CALLV`](crate::calls::STORAGE_CALLV).
pub const STORAGE_BUFFERS: u32 = 64;

/// Longest argument of a [`STORAGE_TASK`](crate::calls::STORAGE_TASK) in bytes.
pub const STORAGE_TASK_ARGUMENT: u32 = 2_097_152;

/// Most timers of one program.
pub const STORAGE_TIMERS: u32 = 15;

/// Most compiled regular expressions of one VM.
pub const REGEXES: u32 = 64;

/// Longest URL of a [`FETCH`](crate::calls::FETCH) in bytes.
pub const FETCH_URL: u32 = 1024;

/// Most events of one [`SOCKETS_WRITE`](crate::calls::SOCKETS_WRITE).
pub const SOCKETS_WRITE_EVENTS: u32 = 32;
