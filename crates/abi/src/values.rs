//! Values with a meaning of their own, in results and struct fields.

/// Value of [`KvmRequestHeader::field_colon`](crate::structs::KvmRequestHeader::field_colon) for a
/// field without a colon.
pub const NO_COLON: u32 = 4_294_967_295;

/// Result of `http_append` and `http_set` when no more headers fit, zero-extended to 64 bits.
pub const HEADER_TABLE_FULL: u32 = 4_294_967_295;

/// Bit of [`KvmRequest::info_flags`](crate::structs::KvmRequest::info_flags): this is not a client's
/// request but one that warms the program up.
pub const REQUEST_WARMUP: u16 = 1;

/// What an unknown call returns: `-ENOSYS`.
pub const UNKNOWN_CALL: i64 = -38;
