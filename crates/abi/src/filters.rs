//! Filters of bodies: what their functions answer, and what they are told.
//!
//! A filter is three functions. `int begin(const struct filter_start *)` sees the headers, may
//! change those of the response, and says what is to happen with the body. `int chunk(const
//! uint8_t *data, size_t len)` gets the body part by part, or whole; `int end(void)` comes behind
//! the last part. Both write any amount of output, and return 0 if all is well. The program's
//! memory lasts from `begin` to `end`; its stack begins anew in each function.

/// Answer of `begin`: the body is none of the filter's business. It goes on unchanged.
pub const PASS: u32 = 0;

/// Answer of `begin`: `chunk` gets the body part by part, as it comes.
pub const TRANSFORM: u32 = 1;

/// Answer of `begin`: `chunk` gets the whole body in one piece, which is limited by the
/// configuration (`max_body`). It is not called for an empty body.
pub const WHOLE_BODY: u32 = 2;

/// Flag of `set_filter`: the filter wants the body as it is sent or stored, with its content
/// encoding (gzip), not decoded.
pub const ENCODED: u32 = 1;

/// Flag in [`FilterStart`](crate::structs::FilterStart): the body is on its way to a client, not to
/// the cache.
pub const DELIVERY: u16 = 1;

/// Length of a body that nobody knows yet.
pub const UNKNOWN_LENGTH: u64 = 18_446_744_073_709_551_615;
