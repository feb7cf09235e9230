/* The contract between TinyKVM guest programs and their host: numbers and structs.
 *
 * Generated from crates/abi; do not edit. Programs include tinykvm.h, not this file.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TINYKVM_ABI_H
#define TINYKVM_ABI_H

#ifndef __cplusplus
#include <stdbool.h>
#endif
#include <stddef.h>
#include <stdint.h>

/* ---- I/O ports ---- */

/**
 * Hypercalls: a 32-bit write of the call number.
 */
#define TINYKVM_PORT_HYPERCALL 0

/**
 * The engine's own channel for system calls: its `syscall` entry stub writes here. Not a
 * contract; a program that writes here itself only confuses itself.
 */
#define TINYKVM_PORT_SYSCALL 16

/**
 * The engine's own channel for CPU exceptions: its stubs write to this port plus the exception
 * vector (0..=31). A program that writes here itself ends as if it had caused that exception.
 */
#define TINYKVM_PORT_EXCEPTION 128

/* ---- Hypercalls: numbers, arguments, results ---- */

/**
 * Ends the run normally. Only the host's own return stub has a use for it.
 */
#define TINYKVM_CALL_STOP 0xffff

/**
 * `void register_func(int index, fn)`: registers a callback; only before
 * the wait call.
 */
#define TINYKVM_CALL_REGISTER_FUNC 0x10000

/**
 * `void wait_for_requests(void)`: the program is initialised. Does not return.
 */
#define TINYKVM_CALL_WAIT_FOR_REQUESTS 0x10001

/**
 * `void wait_for_requests_paused(struct kvm_request *)`: as `WAIT_FOR_REQUESTS`, but each
 * request resumes the program here, with the struct filled. Also
 * `int wait_for_socket_events_paused(struct kvm_socket_event *, size_t n)`.
 */
#define TINYKVM_CALL_WAIT_FOR_REQUESTS_PAUSED 0x10002

/**
 * `long sys_set_cacheable(bool, long ttl_ms, long grace_ms, long keep_ms)`: 0, or -1 outside a
 * backend fetch.
 */
#define TINYKVM_CALL_SET_CACHEABLE 0x10005

/**
 * `void sys_backend_response(int16_t status, const void *ctype, size_t ctlen, const void *body,
 * size_t blen, const struct BackendResponseExtra *)`: answers the request. A program that is
 * reset after each request never comes back from it.
 */
#define TINYKVM_CALL_BACKEND_RESPONSE 0x10010

/**
 * `void storage_return(const void *, size_t)`: the result of a storage function, which then
 * goes on.
 */
#define TINYKVM_CALL_STORAGE_RETURN 0x10011

/**
 * `begin_streaming_response(int16_t status, const void *ctype, size_t ctlen, size_t total,
 * content_stream_func, const void *arg)`: answers piece by piece. Does not return.
 */
#define TINYKVM_CALL_BEGIN_STREAMING_RESPONSE 0x10012

/**
 * `storage_noreturn(const void *, size_t)`: the result of a storage function, which ends here.
 */
#define TINYKVM_CALL_STORAGE_NORETURN 0x10013

/**
 * `long sys_http_append(int where, const char *field, size_t len)`: adds a header field; its
 * index, or table full.
 */
#define TINYKVM_CALL_HTTP_APPEND 0x10020

/**
 * `long sys_http_set(int where, const char *field, size_t len)`: replaces the field of that
 * name or adds one; a name without a colon removes it.
 */
#define TINYKVM_CALL_HTTP_SET 0x10021

/**
 * `unsigned sys_http_find(int where, const char *name, size_t len, char *out, size_t outlen)`:
 * copies the whole field and gives its length; 0 if there is none or `out` is too small.
 */
#define TINYKVM_CALL_HTTP_FIND 0x10022

/**
 * `unsigned long sys_http_method(char *out, size_t outlen)`: copies the request method.
 */
#define TINYKVM_CALL_HTTP_METHOD 0x10023

/**
 * `int sys_regex_compile(const char *, size_t)`: a handle.
 */
#define TINYKVM_CALL_REGEX_COMPILE 0x10030

/**
 * `void sys_regex_free(int)`.
 */
#define TINYKVM_CALL_REGEX_FREE 0x10031

/**
 * `int sys_regex_match(int, const char *, size_t)`: positive on a match, -1 without.
 */
#define TINYKVM_CALL_REGEX_MATCH 0x10032

/**
 * `long sys_regex_subst(int, const char *buf, const char *subst, char *dst, size_t dstlen,
 * int flags)`: the number of bytes written, with the NUL.
 */
#define TINYKVM_CALL_REGEX_SUBST 0x10033

/**
 * `int sys_regex_copyto(int, int from, int to)`: copies all matching header fields.
 */
#define TINYKVM_CALL_REGEX_COPYTO 0x10035

/**
 * `long sys_set_filter(begin, chunk, end, struct filter_output *, unsigned flags)`: the program
 * filters bodies with these functions (what they do). 0; fills the struct. Only
 * before the wait call.
 */
#define TINYKVM_CALL_SET_FILTER 0x10040

/**
 * `void sys_filter_write(const void *data, size_t len)`: hands on what is in the
 * output buffer, and then `data`; the buffer is empty after.
 * Only in the chunk and end functions of a filter.
 */
#define TINYKVM_CALL_FILTER_WRITE 0x10041

/**
 * An older form of registering a callback: accepted, does nothing.
 */
#define TINYKVM_CALL_OLD_SET_BACKEND 0x10100

/**
 * `void sys_sockets_write(struct kvm_socket_event *, size_t n)`.
 */
#define TINYKVM_CALL_SOCKETS_WRITE 0x10500

/**
 * `struct shared_memory_info shared_memory_area(void)`: start in RAX, end in RDX.
 */
#define TINYKVM_CALL_SHARED_MEMORY_AREA 0x10700

/**
 * `int sys_make_ephemeral(int)`: whether the VM is reset after each request; 0, or -1 if the
 * program may not choose. Only before the wait call.
 */
#define TINYKVM_CALL_MAKE_EPHEMERAL 0x10703

/**
 * `int sys_is_storage(void)`: 1 in the storage VM, else 0.
 */
#define TINYKVM_CALL_IS_STORAGE 0x10706

/**
 * `long sys_storage_allow(fn)`: lets requests call this storage function.
 */
#define TINYKVM_CALL_STORAGE_ALLOW 0x10707

/**
 * `long storage_callv(fn, size_t n, const struct virtbuffer, void *dst, size_t dstlen)`:
 * calls a function in the storage VM.
 */
#define TINYKVM_CALL_STORAGE_CALLV 0x10708

/**
 * `long sys_storage_task(fn, const void *data, size_t len, uint64_t start_ms,
 * uint64_t period_ms)`: schedules a function in the storage VM.
 */
#define TINYKVM_CALL_STORAGE_TASK 0x10709

/**
 * `long stop_storage_task(long id)`.
 */
#define TINYKVM_CALL_STOP_STORAGE_TASK 0x1070a

/**
 * `long multiprocess(size_t n, fn, ...)`: runs a function on further vCPUs.
 */
#define TINYKVM_CALL_MULTIPROCESS 0x10710

/**
 * `long multiprocess_array(size_t n, fn, void *array, size_t element_size)`.
 */
#define TINYKVM_CALL_MULTIPROCESS_ARRAY 0x10711

/**
 * `long multiprocess_clone(size_t n, void *stacks, size_t stack_size)`.
 */
#define TINYKVM_CALL_MULTIPROCESS_CLONE 0x10712

/**
 * `long multiprocess_wait(void)`: waits until the further vCPUs have finished.
 */
#define TINYKVM_CALL_MULTIPROCESS_WAIT 0x10713

/**
 * `void get_meminfo(struct meminfo *)`.
 */
#define TINYKVM_CALL_MEMINFO 0x10a00

/**
 * The engine's own: end of a call into another VM.
 */
#define TINYKVM_CALL_REMOTE_DISCONNECT 0x1f778

/**
 * `long sys_fetch(const char *url, size_t len, struct curl_op *, struct curl_fields *,
 * struct curl_options *)`: an HTTP request of the guest's own.
 */
#define TINYKVM_CALL_FETCH 0x20000

/**
 * Declared by older headers, never implemented: -ENOSYS.
 */
#define TINYKVM_CALL_REQUEST 0x20001

/**
 * `void sys_log(const char *, size_t)`: one entry in the log.
 */
#define TINYKVM_CALL_LOG 0x7f000

/**
 * `void sys_breakpoint(void)`: stops here for a debugger, if one is allowed.
 */
#define TINYKVM_CALL_BREAKPOINT 0x7f7f7

/**
 * `int sys_is_debug(void)`: 1 if the program was loaded for debugging, else 0.
 */
#define TINYKVM_CALL_IS_DEBUG 0x7fdeb

/* ---- Callbacks: indices of register_func ---- */

/**
 * `void get(const char *url, const char *arg)`: a request without a body, whatever its method.
 */
#define TINYKVM_CALLBACK_GET 1

/**
 * `void post(const char *url, const char *arg, const char *ctype, const uint8_t *data,
 * size_t len)`: a request with a body, whatever its method. `data` is page-aligned, writable
 * and not NUL-terminated; NULL if `STREAM_POST` has already consumed the body.
 */
#define TINYKVM_CALLBACK_POST 2

/**
 * `void request(const struct kvm_request *)`: every request; takes precedence over `GET` and
 * `POST`.
 */
#define TINYKVM_CALLBACK_REQUEST 3

/**
 * `long stream_post(const char *url, const char *arg, const char *ctype, const uint8_t *data,
 * size_t len, size_t off)`: one segment of a request body. Must return `len`.
 */
#define TINYKVM_CALLBACK_STREAM_POST 4

/**
 * `void on_error(const char *url, const char *arg, const char *exception)`: the request failed
 * in this VM; the last chance to respond, within one second.
 */
#define TINYKVM_CALLBACK_ON_ERROR 5

/**
 * `void live_update(void)`: called in the old storage VM before a new program replaces it.
 */
#define TINYKVM_CALLBACK_LIVE_UPDATE 6

/**
 * `void live_restore(size_t len)`: called in the new storage VM, to take over `len` bytes.
 */
#define TINYKVM_CALLBACK_LIVE_RESTORE 7

/**
 * `void prepare_for_pause(int system_id)`: called once in every socket-server VM.
 */
#define TINYKVM_CALLBACK_SOCKET_PREPARE 12

/**
 * Number of indices; 0 and those without a name here can be registered but are never called.
 */
#define TINYKVM_CALLBACK_COUNT 13

/* ---- Whose headers: the first argument of the HTTP calls ---- */

/**
 * The headers of the request.
 */
#define TINYKVM_REQUEST 0

/**
 * The headers of the response.
 */
#define TINYKVM_RESPONSE 1

/**
 * The backend request; the same as `REQUEST` in a backend fetch, and an error elsewhere.
 */
#define TINYKVM_BACKEND_REQUEST 4

/**
 * The backend response; the same as `RESPONSE` in a backend fetch, and an error elsewhere.
 */
#define TINYKVM_BACKEND_RESPONSE 5

/* ---- Filters of bodies ---- */

/**
 * Answer of `begin`: the body is none of the filter's business. It goes on unchanged.
 */
#define TINYKVM_FILTER_PASS 0

/**
 * Answer of `begin`: `chunk` gets the body part by part, as it comes.
 */
#define TINYKVM_FILTER_TRANSFORM 1

/**
 * Answer of `begin`: `chunk` gets the whole body in one piece, which is limited by the
 * configuration (`max_body`). It is not called for an empty body.
 */
#define TINYKVM_FILTER_WHOLE_BODY 2

/**
 * Flag of `set_filter`: the filter wants the body as it is sent or stored, with its content
 * encoding (gzip), not decoded.
 */
#define TINYKVM_FILTER_ENCODED 1

/**
 * Flag in `FilterStart`: the body is on its way to a client, not to
 * the cache.
 */
#define TINYKVM_FILTER_DELIVERY 1

/**
 * Length of a body that nobody knows yet.
 */
#define TINYKVM_FILTER_UNKNOWN_LENGTH 18446744073709551615ull

/* ---- Socket events ---- */

/**
 * A client connected.
 */
#define TINYKVM_SOCKET_CONNECT 0

/**
 * Never delivered; data arrives with `WRITABLE`.
 */
#define TINYKVM_SOCKET_READ 1

/**
 * Data arrived (`data` is set), or the socket can be written to (`data` is NULL).
 */
#define TINYKVM_SOCKET_WRITABLE 2

/**
 * The client is gone.
 */
#define TINYKVM_SOCKET_DISCONNECT 3

/* ---- Values with a meaning of their own ---- */

/**
 * Value of `KvmRequestHeader::field_colon` for a
 * field without a colon.
 */
#define TINYKVM_NO_COLON 4294967295

/**
 * Result of `http_append` and `http_set` when no more headers fit, zero-extended to 64 bits.
 */
#define TINYKVM_HEADER_TABLE_FULL 4294967295

/**
 * Bit of `KvmRequest::info_flags`: this is not a client's
 * request but one that warms the program up.
 */
#define TINYKVM_REQUEST_WARMUP 1

/**
 * What an unknown call returns: `-ENOSYS`.
 */
#define TINYKVM_UNKNOWN_CALL -38

/* ---- Limits ---- */

/**
 * Most headers that `KvmRequest` can carry; with more the call fails.
 */
#define TINYKVM_LIMIT_REQUEST_HEADERS 64

/**
 * Most headers in `BackendResponseExtra`.
 */
#define TINYKVM_LIMIT_RESPONSE_HEADERS 64

/**
 * Shortest header field that is valid: `a: b`.
 */
#define TINYKVM_LIMIT_FIELD_MIN 4

/**
 * Longest header field in bytes.
 */
#define TINYKVM_LIMIT_FIELD_MAX 65535

/**
 * Longest content type of a response in bytes.
 */
#define TINYKVM_LIMIT_CONTENT_TYPE_MAX 4095

/**
 * Smallest status that a program may respond with.
 */
#define TINYKVM_LIMIT_STATUS_MIN 200

/**
 * Largest status that a program may respond with.
 */
#define TINYKVM_LIMIT_STATUS_MAX 599

/**
 * Lowest address of an extra struct or its header array that is taken for a pointer.
 */
#define TINYKVM_LIMIT_POINTER_MIN 4096

/**
 * Size of the memory block that holds the strings of a request in paused mode.
 */
#define TINYKVM_LIMIT_PAUSED_BLOCK 65536

/**
 * Time in milliseconds that `ON_ERROR` has.
 */
#define TINYKVM_LIMIT_ON_ERROR_MS 1000

/**
 * Longest text of one `LOG` call; the length is cut to 16 bits.
 */
#define TINYKVM_LIMIT_LOG_MAX 65535

/**
 * Most buffers of one `STORAGE_CALLV`.
 */
#define TINYKVM_LIMIT_STORAGE_BUFFERS 64

/**
 * Longest argument of a `STORAGE_TASK` in bytes.
 */
#define TINYKVM_LIMIT_STORAGE_TASK_ARGUMENT 2097152

/**
 * Most timers of one program.
 */
#define TINYKVM_LIMIT_STORAGE_TIMERS 15

/**
 * Most compiled regular expressions of one VM.
 */
#define TINYKVM_LIMIT_REGEXES 64

/**
 * Longest URL of a `FETCH` in bytes.
 */
#define TINYKVM_LIMIT_FETCH_URL 1024

/**
 * Most events of one `SOCKETS_WRITE`.
 */
#define TINYKVM_LIMIT_SOCKETS_WRITE_EVENTS 32

/* ---- Structs in guest memory ---- */

/**
 * One header of a request.
 */
struct kvm_request_header {
  /**
   * The whole field, `Name: value`.
   */
  const char *field;
  /**
   * Index of its first colon, or 4294967295 if it has none.
   */
  uint32_t field_colon;
  /**
   * Its length without the NUL.
   */
  uint32_t field_len;
};

/**
 * A request, as the request callback and the paused mode see it.
 */
struct kvm_request {
  /**
   * The request method.
   */
  const char *method;
  /**
   * The URL given in VCL.
   */
  const char *url;
  /**
   * The argument given in VCL.
   */
  const char *arg;
  /**
   * The content type of the request body; empty if there is no body.
   */
  const char *content_type;
  /**
   * Length of `method`.
   */
  uint16_t method_len;
  /**
   * Length of `url`.
   */
  uint16_t url_len;
  /**
   * Length of `arg`.
   */
  uint16_t arg_len;
  /**
   * Length of `content_type`.
   */
  uint16_t content_type_len;
  /**
   * The request body, or NULL.
   */
  const uint8_t *content;
  /**
   * Length of the request body.
   */
  uint64_t content_len;
  /**
   * All request headers, or NULL.
   */
  const struct kvm_request_header *headers;
  /**
   * Number of `headers`.
   */
  uint16_t num_headers;
  /**
   * Bit 0: a warmup request, not a client's.
   */
  uint16_t info_flags;
  /**
   * Zero.
   */
  uint32_t reserved0;
  /**
   * Fresh random values.
   */
  uint64_t prng[2];
  /**
   * Zero.
   */
  uint64_t reserved1[2];
};

/**
 * One header of a response. It behaves like `http_set`: without a colon it removes.
 */
struct ResponseHeader {
  /**
   * The whole field, `Name: value`; no NUL needed.
   */
  const char *field;
  /**
   * Its length, of which the host uses the low 32 bits. 0: skipped.
   */
  uint64_t field_len;
};

/**
 * What a response can carry besides status, content type and body.
 */
struct BackendResponseExtra {
  /**
   * Headers to set. Must be a valid address even if `num_headers` is 0.
   */
  const struct ResponseHeader *headers;
  /**
   * Number of `headers`.
   */
  uint16_t num_headers;
  /**
   * The response may be cached, for the times below; otherwise they are ignored.
   */
  bool cached;
  /**
   * Seconds that the response is fresh.
   */
  float ttl;
  /**
   * Seconds beyond `ttl` that it may be delivered while a fresh one is fetched.
   */
  float grace;
  /**
   * Seconds beyond `grace` that it is kept for conditional requests.
   */
  float keep;
  /**
   * Zero.
   */
  uint64_t reserved[4];
};

/**
 * Memory limits and use of this VM, in bytes.
 */
struct meminfo {
  /**
   * Limit of the program's memory.
   */
  uint64_t max_memory;
  /**
   * Limit of what a request may change.
   */
  uint64_t max_reqmem;
  /**
   * Capacity for changes that this VM has now.
   */
  uint64_t reqmem_upper;
  /**
   * What the current request has changed.
   */
  uint64_t reqmem_current;
};

/**
 * One piece of a streamed response, returned in RAX and RDX.
 */
struct streaming_content {
  /**
   * The piece.
   */
  const void *data;
  /**
   * Its length.
   */
  uint64_t len;
};

/**
 * One buffer that is passed to a storage function.
 */
struct virtbuffer {
  /**
   * The bytes.
   */
  void *data;
  /**
   * Their number.
   */
  uint64_t len;
};

/**
 * The memory that all VMs of a program share, returned in RAX and RDX.
 */
struct shared_memory_info {
  /**
   * Its first byte; all ones if there is none.
   */
  void *ptr;
  /**
   * One past its last byte; all ones if there is none.
   */
  void *end;
};

/**
 * A fetch and its result. Zero it before each use.
 */
struct curl_op {
  /**
   * Status of the response.
   */
  uint32_t status;
  /**
   * Length of `post_buffer`.
   */
  uint32_t post_buflen;
  /**
   * Body to send with POST; NULL for GET.
   */
  const void *post_buffer;
  /**
   * Buffer for the response headers; NULL: allocated by the host.
   */
  void *headers;
  /**
   * Size of that buffer; below 64 no headers are stored. Afterwards their length.
   */
  uint32_t headers_length;
  /**
   * Zero.
   */
  uint32_t unused1;
  /**
   * Buffer for the response body; NULL: allocated by the host.
   */
  void *content;
  /**
   * Size of that buffer; afterwards the length of the body.
   */
  uint32_t content_length;
  /**
   * Length of `ctype`; afterwards with its NUL.
   */
  uint32_t ctlen;
  /**
   * Content type of the request, then of the response.
   */
  uint8_t ctype[128];
};

/**
 * Request headers of a fetch; the first empty slot ends the list.
 */
struct curl_fields {
  /**
   * Whole fields, `Name: value`.
   */
  const char *ptr[12];
  /**
   * Their lengths.
   */
  uint16_t len[12];
};

/**
 * How a fetch is done.
 */
struct curl_options {
  /**
   * Interface or source address to use, or NULL.
   */
  const char *interface;
  /**
   * Zero.
   */
  const char *unused;
  /**
   * Follow redirects.
   */
  bool follow_location;
  /**
   * Fetch only the headers.
   */
  bool dummy_fetch;
  /**
   * Use TCP fast open.
   */
  bool tcp_fast_open;
  /**
   * Do not compare the certificate's name with the host's.
   */
  bool dont_verify_host;
  /**
   * Zero.
   */
  uint32_t unused_opt5;
};

/**
 * One event of a socket server.
 */
struct kvm_socket_event {
  /**
   * The guest's descriptor of the socket; after a write, the bytes written or `-errno`.
   */
  int32_t fd;
  /**
   * What happened.
   */
  int32_t event;
  /**
   * The client's address, on connect.
   */
  const char *remote;
  /**
   * An argument, on connect.
   */
  const char *arg;
  /**
   * Data that arrived, or that is to be written.
   */
  const uint8_t *data;
  /**
   * Length of `data`.
   */
  uint64_t data_len;
};

/**
 * A body that is about to be filtered.
 */
struct filter_start {
  /**
   * The request method.
   */
  const char *method;
  /**
   * The URL of the request.
   */
  const char *url;
  /**
   * The argument given in VCL.
   */
  const char *arg;
  /**
   * The configuration given in VCL.
   */
  const char *config;
  /**
   * Length of `method`.
   */
  uint32_t method_len;
  /**
   * Length of `url`.
   */
  uint32_t url_len;
  /**
   * Length of `arg`.
   */
  uint32_t arg_len;
  /**
   * Length of `config`.
   */
  uint32_t config_len;
  /**
   * All headers of the request, or NULL.
   */
  const struct kvm_request_header *request_headers;
  /**
   * All headers of the response, or NULL.
   */
  const struct kvm_request_header *response_headers;
  /**
   * Number of `request_headers`.
   */
  uint32_t num_request_headers;
  /**
   * Number of `response_headers`.
   */
  uint32_t num_response_headers;
  /**
   * Length of the body, or `UNKNOWN_LENGTH`.
   */
  uint64_t length;
  /**
   * Status of the response.
   */
  uint16_t status;
  /**
   * Bit 0: the body is on its way to a client.
   */
  uint16_t flags;
  /**
   * Zero.
   */
  uint32_t reserved;
  /**
   * Fresh random values.
   */
  uint64_t prng[2];
};

/**
 * Where a filter writes its output: a buffer of the host's, in guest memory. The program adds to
 * `length`; the host takes what is there when a function of the filter returns.
 */
struct filter_output {
  /**
   * The buffer.
   */
  void *data;
  /**
   * Its size.
   */
  uint64_t capacity;
  /**
   * How much of it is filled.
   */
  uint64_t length;
};

/* ---- Layout ---- */

#ifdef __cplusplus
#define TINYKVM_ASSERT static_assert
#else
#define TINYKVM_ASSERT __extension__ _Static_assert
#endif
#define TINYKVM_SIZE(name, size) \
    TINYKVM_ASSERT(sizeof(struct name) == size, "size of " #name)
#define TINYKVM_OFFSET(name, field, offset) \
    TINYKVM_ASSERT(offsetof(struct name, field) == offset, "offset of " #field)

TINYKVM_SIZE(kvm_request_header, 16);
TINYKVM_OFFSET(kvm_request_header, field, 0);
TINYKVM_OFFSET(kvm_request_header, field_colon, 8);
TINYKVM_OFFSET(kvm_request_header, field_len, 12);
TINYKVM_SIZE(kvm_request, 104);
TINYKVM_OFFSET(kvm_request, method, 0);
TINYKVM_OFFSET(kvm_request, url, 8);
TINYKVM_OFFSET(kvm_request, arg, 16);
TINYKVM_OFFSET(kvm_request, content_type, 24);
TINYKVM_OFFSET(kvm_request, method_len, 32);
TINYKVM_OFFSET(kvm_request, url_len, 34);
TINYKVM_OFFSET(kvm_request, arg_len, 36);
TINYKVM_OFFSET(kvm_request, content_type_len, 38);
TINYKVM_OFFSET(kvm_request, content, 40);
TINYKVM_OFFSET(kvm_request, content_len, 48);
TINYKVM_OFFSET(kvm_request, headers, 56);
TINYKVM_OFFSET(kvm_request, num_headers, 64);
TINYKVM_OFFSET(kvm_request, info_flags, 66);
TINYKVM_OFFSET(kvm_request, reserved0, 68);
TINYKVM_OFFSET(kvm_request, prng, 72);
TINYKVM_OFFSET(kvm_request, reserved1, 88);
TINYKVM_SIZE(ResponseHeader, 16);
TINYKVM_OFFSET(ResponseHeader, field, 0);
TINYKVM_OFFSET(ResponseHeader, field_len, 8);
TINYKVM_SIZE(BackendResponseExtra, 56);
TINYKVM_OFFSET(BackendResponseExtra, headers, 0);
TINYKVM_OFFSET(BackendResponseExtra, num_headers, 8);
TINYKVM_OFFSET(BackendResponseExtra, cached, 10);
TINYKVM_OFFSET(BackendResponseExtra, ttl, 12);
TINYKVM_OFFSET(BackendResponseExtra, grace, 16);
TINYKVM_OFFSET(BackendResponseExtra, keep, 20);
TINYKVM_OFFSET(BackendResponseExtra, reserved, 24);
TINYKVM_SIZE(meminfo, 32);
TINYKVM_OFFSET(meminfo, max_memory, 0);
TINYKVM_OFFSET(meminfo, max_reqmem, 8);
TINYKVM_OFFSET(meminfo, reqmem_upper, 16);
TINYKVM_OFFSET(meminfo, reqmem_current, 24);
TINYKVM_SIZE(streaming_content, 16);
TINYKVM_OFFSET(streaming_content, data, 0);
TINYKVM_OFFSET(streaming_content, len, 8);
TINYKVM_SIZE(virtbuffer, 16);
TINYKVM_OFFSET(virtbuffer, data, 0);
TINYKVM_OFFSET(virtbuffer, len, 8);
TINYKVM_SIZE(shared_memory_info, 16);
TINYKVM_OFFSET(shared_memory_info, ptr, 0);
TINYKVM_OFFSET(shared_memory_info, end, 8);
TINYKVM_SIZE(curl_op, 176);
TINYKVM_OFFSET(curl_op, status, 0);
TINYKVM_OFFSET(curl_op, post_buflen, 4);
TINYKVM_OFFSET(curl_op, post_buffer, 8);
TINYKVM_OFFSET(curl_op, headers, 16);
TINYKVM_OFFSET(curl_op, headers_length, 24);
TINYKVM_OFFSET(curl_op, unused1, 28);
TINYKVM_OFFSET(curl_op, content, 32);
TINYKVM_OFFSET(curl_op, content_length, 40);
TINYKVM_OFFSET(curl_op, ctlen, 44);
TINYKVM_OFFSET(curl_op, ctype, 48);
TINYKVM_SIZE(curl_fields, 120);
TINYKVM_OFFSET(curl_fields, ptr, 0);
TINYKVM_OFFSET(curl_fields, len, 96);
TINYKVM_SIZE(curl_options, 24);
TINYKVM_OFFSET(curl_options, interface, 0);
TINYKVM_OFFSET(curl_options, unused, 8);
TINYKVM_OFFSET(curl_options, follow_location, 16);
TINYKVM_OFFSET(curl_options, dummy_fetch, 17);
TINYKVM_OFFSET(curl_options, tcp_fast_open, 18);
TINYKVM_OFFSET(curl_options, dont_verify_host, 19);
TINYKVM_OFFSET(curl_options, unused_opt5, 20);
TINYKVM_SIZE(kvm_socket_event, 40);
TINYKVM_OFFSET(kvm_socket_event, fd, 0);
TINYKVM_OFFSET(kvm_socket_event, event, 4);
TINYKVM_OFFSET(kvm_socket_event, remote, 8);
TINYKVM_OFFSET(kvm_socket_event, arg, 16);
TINYKVM_OFFSET(kvm_socket_event, data, 24);
TINYKVM_OFFSET(kvm_socket_event, data_len, 32);
TINYKVM_SIZE(filter_start, 104);
TINYKVM_OFFSET(filter_start, method, 0);
TINYKVM_OFFSET(filter_start, url, 8);
TINYKVM_OFFSET(filter_start, arg, 16);
TINYKVM_OFFSET(filter_start, config, 24);
TINYKVM_OFFSET(filter_start, method_len, 32);
TINYKVM_OFFSET(filter_start, url_len, 36);
TINYKVM_OFFSET(filter_start, arg_len, 40);
TINYKVM_OFFSET(filter_start, config_len, 44);
TINYKVM_OFFSET(filter_start, request_headers, 48);
TINYKVM_OFFSET(filter_start, response_headers, 56);
TINYKVM_OFFSET(filter_start, num_request_headers, 64);
TINYKVM_OFFSET(filter_start, num_response_headers, 68);
TINYKVM_OFFSET(filter_start, length, 72);
TINYKVM_OFFSET(filter_start, status, 80);
TINYKVM_OFFSET(filter_start, flags, 82);
TINYKVM_OFFSET(filter_start, reserved, 84);
TINYKVM_OFFSET(filter_start, prng, 88);
TINYKVM_SIZE(filter_output, 24);
TINYKVM_OFFSET(filter_output, data, 0);
TINYKVM_OFFSET(filter_output, capacity, 8);
TINYKVM_OFFSET(filter_output, length, 16);

#undef TINYKVM_OFFSET
#undef TINYKVM_SIZE
#undef TINYKVM_ASSERT

#endif /* TINYKVM_ABI_H */
