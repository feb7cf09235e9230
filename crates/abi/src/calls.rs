//! Hypercall numbers, with what each takes (RDI, RSI, RDX, RCX, R8, R9) and gives (RAX).
//!
//! "Fails the call" means that the host ends this run at once: a request is then answered by the
//! program's error function, or with status 500. Calls that give nothing leave RAX as it is.

/// Ends the run normally. Only the host's own return stub has a use for it.
pub const STOP: u32 = 0xFFFF;

/// `void register_func(int index, fn)`: registers a [callback](crate::callbacks); only before
/// the wait call.
pub const REGISTER_FUNC: u32 = 0x10000;

/// `void wait_for_requests(void)`: the program is initialised. Does not return.
pub const WAIT_FOR_REQUESTS: u32 = 0x10001;

/// `void wait_for_requests_paused(struct kvm_request *)`: as [`WAIT_FOR_REQUESTS`], but each
/// request resumes the program here, with the struct filled. Also
/// `int wait_for_socket_events_paused(struct kvm_socket_event *, size_t n)`.
pub const WAIT_FOR_REQUESTS_PAUSED: u32 = 0x10002;

/// `long sys_set_cacheable(bool, long ttl_ms, long grace_ms, long keep_ms)`: 0, or -1 outside a
/// backend fetch.
pub const SET_CACHEABLE: u32 = 0x10005;

/// `void sys_backend_response(int16_t status, const void *ctype, size_t ctlen, const void *body,
/// size_t blen, const struct BackendResponseExtra *)`: answers the request. A program that is
/// reset after each request never comes back from it.
pub const BACKEND_RESPONSE: u32 = 0x10010;

/// `void storage_return(const void *, size_t)`: the result of a storage function, which then
/// goes on.
pub const STORAGE_RETURN: u32 = 0x10011;

/// `begin_streaming_response(int16_t status, const void *ctype, size_t ctlen, size_t total,
/// content_stream_func, const void *arg)`: answers piece by piece. Does not return.
pub const BEGIN_STREAMING_RESPONSE: u32 = 0x10012;

/// `storage_noreturn(const void *, size_t)`: the result of a storage function, which ends here.
pub const STORAGE_NORETURN: u32 = 0x10013;

/// `long sys_http_append(int where, const char *field, size_t len)`: adds a header field; its
/// index, or [table full](crate::values::HEADER_TABLE_FULL).
pub const HTTP_APPEND: u32 = 0x10020;

/// `long sys_http_set(int where, const char *field, size_t len)`: replaces the field of that
/// name or adds one; a name without a colon removes it.
pub const HTTP_SET: u32 = 0x10021;

/// `unsigned sys_http_find(int where, const char *name, size_t len, char *out, size_t outlen)`:
/// copies the whole field and gives its length; 0 if there is none or `out` is too small.
pub const HTTP_FIND: u32 = 0x10022;

/// `unsigned long sys_http_method(char *out, size_t outlen)`: copies the request method.
pub const HTTP_METHOD: u32 = 0x10023;

/// `int sys_regex_compile(const char *, size_t)`: a handle.
pub const REGEX_COMPILE: u32 = 0x10030;

/// `void sys_regex_free(int)`.
pub const REGEX_FREE: u32 = 0x10031;

/// `int sys_regex_match(int, const char *, size_t)`: positive on a match, -1 without.
pub const REGEX_MATCH: u32 = 0x10032;

/// `long sys_regex_subst(int, const char *buf, const char *subst, char *dst, size_t dstlen,
/// int flags)`: the number of bytes written, with the NUL.
pub const REGEX_SUBST: u32 = 0x10033;

/// `int sys_regex_copyto(int, int from, int to)`: copies all matching header fields.
pub const REGEX_COPYTO: u32 = 0x10035;

/// `long sys_set_filter(begin, chunk, end, struct filter_output *, unsigned flags)`: the program
/// filters bodies with these functions ([what they do](crate::filters)). 0; fills the struct. Only
/// before the wait call.
pub const SET_FILTER: u32 = 0x10040;

/// `void sys_filter_write(const void *data, size_t len)`: hands on what is in the
/// [output buffer](crate::structs::FilterOutput), and then `data`; the buffer is empty after.
/// Only in the chunk and end functions of a filter.
pub const FILTER_WRITE: u32 = 0x10041;

/// An older form of registering a callback: accepted, does nothing.
pub const OLD_SET_BACKEND: u32 = 0x10100;

/// `void sys_sockets_write(struct kvm_socket_event *, size_t n)`.
pub const SOCKETS_WRITE: u32 = 0x10500;

/// `struct shared_memory_info shared_memory_area(void)`: start in RAX, end in RDX.
pub const SHARED_MEMORY_AREA: u32 = 0x10700;

/// `int sys_make_ephemeral(int)`: whether the VM is reset after each request; 0, or -1 if the
/// program may not choose. Only before the wait call.
pub const MAKE_EPHEMERAL: u32 = 0x10703;

/// `int sys_is_storage(void)`: 1 in the storage VM, else 0.
pub const IS_STORAGE: u32 = 0x10706;

/// `long sys_storage_allow(fn)`: lets requests call this storage function.
pub const STORAGE_ALLOW: u32 = 0x10707;

/// `long storage_callv(fn, size_t n, const struct virtbuffer[], void *dst, size_t dstlen)`:
/// calls a function in the storage VM.
pub const STORAGE_CALLV: u32 = 0x10708;

/// `long sys_storage_task(fn, const void *data, size_t len, uint64_t start_ms,
/// uint64_t period_ms)`: schedules a function in the storage VM.
pub const STORAGE_TASK: u32 = 0x10709;

/// `long stop_storage_task(long id)`.
pub const STOP_STORAGE_TASK: u32 = 0x1070A;

/// `long multiprocess(size_t n, fn, ...)`: runs a function on further vCPUs.
pub const MULTIPROCESS: u32 = 0x10710;

/// `long multiprocess_array(size_t n, fn, void *array, size_t element_size)`.
pub const MULTIPROCESS_ARRAY: u32 = 0x10711;

/// `long multiprocess_clone(size_t n, void *stacks, size_t stack_size)`.
pub const MULTIPROCESS_CLONE: u32 = 0x10712;

/// `long multiprocess_wait(void)`: waits until the further vCPUs have finished.
pub const MULTIPROCESS_WAIT: u32 = 0x10713;

/// `void get_meminfo(struct meminfo *)`.
pub const MEMINFO: u32 = 0x10A00;

/// The engine's own: end of a call into another VM.
pub const REMOTE_DISCONNECT: u32 = 0x1F778;

/// `long sys_fetch(const char *url, size_t len, struct curl_op *, struct curl_fields *,
/// struct curl_options *)`: an HTTP request of the guest's own.
pub const FETCH: u32 = 0x20000;

/// Declared by older headers, never implemented: -ENOSYS.
pub const REQUEST: u32 = 0x20001;

/// `void sys_log(const char *, size_t)`: one entry in the log.
pub const LOG: u32 = 0x7F000;

/// `void sys_breakpoint(void)`: stops here for a debugger, if one is allowed.
pub const BREAKPOINT: u32 = 0x7F7F7;

/// `int sys_is_debug(void)`: 1 if the program was loaded for debugging, else 0.
pub const IS_DEBUG: u32 = 0x7FDEB;

/// The published name of a call, for logs.
#[must_use]
pub const fn name(number: u32) -> Option<&'static str> {
    Some(match number {
        STOP => "stop",
        REGISTER_FUNC => "register_func",
        WAIT_FOR_REQUESTS => "wait_for_requests",
        WAIT_FOR_REQUESTS_PAUSED => "wait_for_requests_paused",
        SET_CACHEABLE => "set_cacheable",
        BACKEND_RESPONSE => "backend_response",
        STORAGE_RETURN => "storage_return",
        BEGIN_STREAMING_RESPONSE => "begin_streaming_response",
        STORAGE_NORETURN => "storage_noreturn",
        HTTP_APPEND => "http_append",
        HTTP_SET => "http_set",
        HTTP_FIND => "http_find",
        HTTP_METHOD => "http_method",
        REGEX_COMPILE => "regex_compile",
        REGEX_FREE => "regex_free",
        REGEX_MATCH => "regex_match",
        REGEX_SUBST => "regex_subst",
        REGEX_COPYTO => "regex_copyto",
        OLD_SET_BACKEND => "set_backend",
        SOCKETS_WRITE => "sockets_write",
        SHARED_MEMORY_AREA => "shared_memory_area",
        MAKE_EPHEMERAL => "make_ephemeral",
        IS_STORAGE => "is_storage",
        STORAGE_ALLOW => "storage_allow",
        STORAGE_CALLV => "storage_callv",
        STORAGE_TASK => "storage_task",
        STOP_STORAGE_TASK => "stop_storage_task",
        MULTIPROCESS => "multiprocess",
        MULTIPROCESS_ARRAY => "multiprocess_array",
        MULTIPROCESS_CLONE => "multiprocess_clone",
        MULTIPROCESS_WAIT => "multiprocess_wait",
        MEMINFO => "get_meminfo",
        REMOTE_DISCONNECT => "remote_disconnect",
        FETCH => "fetch",
        REQUEST => "request",
        LOG => "log",
        BREAKPOINT => "breakpoint",
        IS_DEBUG => "is_debug",
        _ => return None,
    })
}
