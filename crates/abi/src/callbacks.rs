//! Indices of [`REGISTER_FUNC`](crate::calls::REGISTER_FUNC): functions of the guest that the
//! host calls. All strings that they get are NUL-terminated, writable and never NULL; they live
//! until the request ends.

/// `void get(const char *url, const char *arg)`: a request without a body, whatever its method.
pub const GET: u32 = 1;

/// `void post(const char *url, const char *arg, const char *ctype, const uint8_t *data,
/// size_t len)`: a request with a body, whatever its method. `data` is page-aligned, writable
/// and not NUL-terminated; NULL if [`STREAM_POST`] has already consumed the body.
pub const POST: u32 = 2;

/// `void request(const struct kvm_request *)`: every request; takes precedence over [`GET`] and
/// [`POST`].
pub const REQUEST: u32 = 3;

/// `long stream_post(const char *url, const char *arg, const char *ctype, const uint8_t *data,
/// size_t len, size_t off)`: one segment of a request body. Must return `len`.
pub const STREAM_POST: u32 = 4;

/// `void on_error(const char *url, const char *arg, const char *exception)`: the request failed
/// in this VM; the last chance to respond, within [one second](crate::limits::ON_ERROR_MS).
pub const ON_ERROR: u32 = 5;

/// `void live_update(void)`: called in the old storage VM before a new program replaces it.
pub const LIVE_UPDATE: u32 = 6;

/// `void live_restore(size_t len)`: called in the new storage VM, to take over `len` bytes.
pub const LIVE_RESTORE: u32 = 7;

/// `void prepare_for_pause(int system_id)`: called once in every socket-server VM.
pub const SOCKET_PREPARE: u32 = 12;

/// Number of indices; 0 and those without a name here can be registered but are never called.
pub const COUNT: u32 = 13;
