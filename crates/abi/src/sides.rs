//! Whose headers an HTTP call means: its first argument, `where`.
//!
//! In a backend fetch these are the backend request and the backend response. In a client-side
//! call they are the client's request and the response to it.

/// The headers of the request.
pub const REQUEST: i32 = 0;

/// The headers of the response.
pub const RESPONSE: i32 = 1;

/// The backend request; the same as [`REQUEST`] in a backend fetch, and an error elsewhere.
pub const BACKEND_REQUEST: i32 = 4;

/// The backend response; the same as [`RESPONSE`] in a backend fetch, and an error elsewhere.
pub const BACKEND_RESPONSE: i32 = 5;
