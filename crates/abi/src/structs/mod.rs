//! Structs that host and guest exchange in guest memory (x86-64, little-endian).
//!
//! Their layout is the contract: sizes and offsets are asserted below, and programs that were
//! compiled years ago depend on every one. Pointers are 64-bit guest addresses here, whatever
//! machine this is compiled for; the names of their types say what they point to.

mod bytes;
#[macro_use]
mod layout;

use bytes::{Reader, Writer};

/// Address of a NUL-terminated string.
pub type CStringAddress = u64;
/// Address of text that need not end in a NUL.
pub type TextAddress = u64;
/// Address of octets that are only read.
pub type OctetsAddress = u64;
/// Address of anything that is only read.
pub type BytesAddress = u64;
/// Address of anything that is also written.
pub type BufferAddress = u64;
/// Address of an array of [`KvmRequestHeader`].
pub type RequestHeadersAddress = u64;
/// Address of an array of [`ResponseHeader`].
pub type ResponseHeadersAddress = u64;
/// 0 or 1 in one byte.
pub type Flag = u8;

/// One header of a request.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvmRequestHeader {
    /// The whole field, `Name: value`.
    pub field: CStringAddress,
    /// Index of its first colon, or 4294967295 if it has none.
    pub field_colon: u32,
    /// Its length without the NUL.
    pub field_len: u32,
}

layout!(KvmRequestHeader, "kvm_request_header", 16, { field: 0, field_colon: 8, field_len: 12 });

impl KvmRequestHeader {
    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        let mut to = Writer::<16>::new();
        to.u64(0, self.field)
            .u32(8, self.field_colon)
            .u32(12, self.field_len);
        to.bytes
    }

    /// Reads the struct from guest memory.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let from = Reader(bytes);
        Self {
            field: from.u64(0),
            field_colon: from.u32(8),
            field_len: from.u32(12),
        }
    }
}

/// A request, as the request callback and the paused mode see it.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvmRequest {
    /// The request method.
    pub method: CStringAddress,
    /// The URL given in VCL.
    pub url: CStringAddress,
    /// The argument given in VCL.
    pub arg: CStringAddress,
    /// The content type of the request body; empty if there is no body.
    pub content_type: CStringAddress,
    /// Length of `method`.
    pub method_len: u16,
    /// Length of `url`.
    pub url_len: u16,
    /// Length of `arg`.
    pub arg_len: u16,
    /// Length of `content_type`.
    pub content_type_len: u16,
    /// The request body, or NULL.
    pub content: OctetsAddress,
    /// Length of the request body.
    pub content_len: u64,
    /// All request headers, or NULL.
    pub headers: RequestHeadersAddress,
    /// Number of `headers`.
    pub num_headers: u16,
    /// Bit 0: a warmup request, not a client's.
    pub info_flags: u16,
    /// Zero.
    pub reserved0: u32,
    /// Fresh random values.
    pub prng: [u64; 2],
    /// Zero.
    pub reserved1: [u64; 2],
}

layout!(KvmRequest, "kvm_request", 104, {
    method: 0, url: 8, arg: 16, content_type: 24,
    method_len: 32, url_len: 34, arg_len: 36, content_type_len: 38,
    content: 40, content_len: 48, headers: 56, num_headers: 64, info_flags: 66,
    reserved0: 68, prng: 72, reserved1: 88,
});

impl KvmRequest {
    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 104] {
        let mut to = Writer::<104>::new();
        to.u64(0, self.method)
            .u64(8, self.url)
            .u64(16, self.arg)
            .u64(24, self.content_type);
        to.u16(32, self.method_len).u16(34, self.url_len);
        to.u16(36, self.arg_len).u16(38, self.content_type_len);
        to.u64(40, self.content)
            .u64(48, self.content_len)
            .u64(56, self.headers);
        to.u16(64, self.num_headers)
            .u16(66, self.info_flags)
            .u32(68, self.reserved0);
        to.u64(72, self.prng[0]).u64(80, self.prng[1]);
        to.u64(88, self.reserved1[0]).u64(96, self.reserved1[1]);
        to.bytes
    }

    /// Reads the struct from guest memory.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 104]) -> Self {
        let from = Reader(bytes);
        Self {
            method: from.u64(0),
            url: from.u64(8),
            arg: from.u64(16),
            content_type: from.u64(24),
            method_len: from.u16(32),
            url_len: from.u16(34),
            arg_len: from.u16(36),
            content_type_len: from.u16(38),
            content: from.u64(40),
            content_len: from.u64(48),
            headers: from.u64(56),
            num_headers: from.u16(64),
            info_flags: from.u16(66),
            reserved0: from.u32(68),
            prng: [from.u64(72), from.u64(80)],
            reserved1: [from.u64(88), from.u64(96)],
        }
    }
}

/// One header of a response. It behaves like `http_set`: without a colon it removes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    /// The whole field, `Name: value`; no NUL needed.
    pub field: TextAddress,
    /// Its length, of which the host uses the low 32 bits. 0: skipped.
    pub field_len: u64,
}

layout!(ResponseHeader, "ResponseHeader", 16, { field: 0, field_len: 8 });

impl ResponseHeader {
    /// Reads the struct from guest memory.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 16]) -> Self {
        let from = Reader(bytes);
        Self {
            field: from.u64(0),
            field_len: from.u64(8),
        }
    }

    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 16] {
        let mut to = Writer::<16>::new();
        to.u64(0, self.field).u64(8, self.field_len);
        to.bytes
    }
}

/// What a response can carry besides status, content type and body.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BackendResponseExtra {
    /// Headers to set. Must be a valid address even if `num_headers` is 0.
    pub headers: ResponseHeadersAddress,
    /// Number of `headers`.
    pub num_headers: u16,
    /// The response may be cached, for the times below; otherwise they are ignored.
    pub cached: Flag,
    /// Seconds that the response is fresh.
    pub ttl: f32,
    /// Seconds beyond `ttl` that it may be delivered while a fresh one is fetched.
    pub grace: f32,
    /// Seconds beyond `grace` that it is kept for conditional requests.
    pub keep: f32,
    /// Zero.
    pub reserved: [u64; 4],
}

layout!(BackendResponseExtra, "BackendResponseExtra", 56, {
    headers: 0, num_headers: 8, cached: 10, ttl: 12, grace: 16, keep: 20, reserved: 24,
});

impl BackendResponseExtra {
    /// Reads the struct from guest memory. The floats are whatever the guest wrote: NaN,
    /// infinite or negative.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 56]) -> Self {
        let from = Reader(bytes);
        Self {
            headers: from.u64(0),
            num_headers: from.u16(8),
            cached: from.u8(10),
            ttl: from.f32(12),
            grace: from.f32(16),
            keep: from.f32(20),
            reserved: [from.u64(24), from.u64(32), from.u64(40), from.u64(48)],
        }
    }

    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 56] {
        let mut to = Writer::<56>::new();
        to.u64(0, self.headers)
            .u16(8, self.num_headers)
            .u8(10, self.cached);
        to.f32(12, self.ttl).f32(16, self.grace).f32(20, self.keep);
        for (index, value) in self.reserved.iter().enumerate() {
            to.u64(24 + 8 * index, *value);
        }
        to.bytes
    }
}

/// Memory limits and use of this VM, in bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meminfo {
    /// Limit of the program's memory.
    pub max_memory: u64,
    /// Limit of what a request may change.
    pub max_reqmem: u64,
    /// Capacity for changes that this VM has now.
    pub reqmem_upper: u64,
    /// What the current request has changed.
    pub reqmem_current: u64,
}

layout!(Meminfo, "meminfo", 32, {
    max_memory: 0, max_reqmem: 8, reqmem_upper: 16, reqmem_current: 24,
});

impl Meminfo {
    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        let mut to = Writer::<32>::new();
        to.u64(0, self.max_memory).u64(8, self.max_reqmem);
        to.u64(16, self.reqmem_upper).u64(24, self.reqmem_current);
        to.bytes
    }

    /// Reads the struct from guest memory.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        let from = Reader(bytes);
        Self {
            max_memory: from.u64(0),
            max_reqmem: from.u64(8),
            reqmem_upper: from.u64(16),
            reqmem_current: from.u64(24),
        }
    }
}

/// One piece of a streamed response, returned in RAX and RDX.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamingContent {
    /// The piece.
    pub data: BytesAddress,
    /// Its length.
    pub len: u64,
}

layout!(StreamingContent, "streaming_content", 16, { data: 0, len: 8 });

/// One buffer that is passed to a storage function.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VirtBuffer {
    /// The bytes.
    pub data: BufferAddress,
    /// Their number.
    pub len: u64,
}

layout!(VirtBuffer, "virtbuffer", 16, { data: 0, len: 8 });

/// The memory that all VMs of a program share, returned in RAX and RDX.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SharedMemoryInfo {
    /// Its first byte; all ones if there is none.
    pub ptr: BufferAddress,
    /// One past its last byte; all ones if there is none.
    pub end: BufferAddress,
}

layout!(SharedMemoryInfo, "shared_memory_info", 16, { ptr: 0, end: 8 });

/// A fetch and its result. Zero it before each use.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurlOp {
    /// Status of the response.
    pub status: u32,
    /// Length of `post_buffer`.
    pub post_buflen: u32,
    /// Body to send with POST; NULL for GET.
    pub post_buffer: BytesAddress,
    /// Buffer for the response headers; NULL: allocated by the host.
    pub headers: BufferAddress,
    /// Size of that buffer; below 64 no headers are stored. Afterwards their length.
    pub headers_length: u32,
    /// Zero.
    pub unused1: u32,
    /// Buffer for the response body; NULL: allocated by the host.
    pub content: BufferAddress,
    /// Size of that buffer; afterwards the length of the body.
    pub content_length: u32,
    /// Length of `ctype`; afterwards with its NUL.
    pub ctlen: u32,
    /// Content type of the request, then of the response.
    pub ctype: [u8; 128],
}

layout!(CurlOp, "curl_op", 176, {
    status: 0, post_buflen: 4, post_buffer: 8, headers: 16, headers_length: 24, unused1: 28,
    content: 32, content_length: 40, ctlen: 44, ctype: 48,
});

/// Request headers of a fetch; the first empty slot ends the list.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurlFields {
    /// Whole fields, `Name: value`.
    pub ptr: [TextAddress; 12],
    /// Their lengths.
    pub len: [u16; 12],
}

layout!(CurlFields, "curl_fields", 120, { ptr: 0, len: 96 });

/// How a fetch is done.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CurlOptions {
    /// Interface or source address to use, or NULL.
    pub interface: CStringAddress,
    /// Zero.
    pub unused: CStringAddress,
    /// Follow redirects.
    pub follow_location: Flag,
    /// Fetch only the headers.
    pub dummy_fetch: Flag,
    /// Use TCP fast open.
    pub tcp_fast_open: Flag,
    /// Do not compare the certificate's name with the host's.
    pub dont_verify_host: Flag,
    /// Zero.
    pub unused_opt5: u32,
}

layout!(CurlOptions, "curl_options", 24, {
    interface: 0, unused: 8, follow_location: 16, dummy_fetch: 17, tcp_fast_open: 18,
    dont_verify_host: 19, unused_opt5: 20,
});

/// One event of a socket server.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KvmSocketEvent {
    /// The guest's descriptor of the socket; after a write, the bytes written or `-errno`.
    pub fd: i32,
    /// What happened.
    pub event: i32,
    /// The client's address, on connect.
    pub remote: CStringAddress,
    /// An argument, on connect.
    pub arg: CStringAddress,
    /// Data that arrived, or that is to be written.
    pub data: OctetsAddress,
    /// Length of `data`.
    pub data_len: u64,
}

layout!(KvmSocketEvent, "kvm_socket_event", 40, {
    fd: 0, event: 4, remote: 8, arg: 16, data: 24, data_len: 32,
});

/// A body that is about to be filtered.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterStart {
    /// The request method.
    pub method: CStringAddress,
    /// The URL of the request.
    pub url: CStringAddress,
    /// The argument given in VCL.
    pub arg: CStringAddress,
    /// The configuration given in VCL.
    pub config: CStringAddress,
    /// Length of `method`.
    pub method_len: u32,
    /// Length of `url`.
    pub url_len: u32,
    /// Length of `arg`.
    pub arg_len: u32,
    /// Length of `config`.
    pub config_len: u32,
    /// All headers of the request, or NULL.
    pub request_headers: RequestHeadersAddress,
    /// All headers of the response, or NULL.
    pub response_headers: RequestHeadersAddress,
    /// Number of `request_headers`.
    pub num_request_headers: u32,
    /// Number of `response_headers`.
    pub num_response_headers: u32,
    /// Length of the body, or [`UNKNOWN_LENGTH`](crate::filters::UNKNOWN_LENGTH).
    pub length: u64,
    /// Status of the response.
    pub status: u16,
    /// Bit 0: the body is [on its way to a client](crate::filters::DELIVERY).
    pub flags: u16,
    /// Zero.
    pub reserved: u32,
    /// Fresh random values.
    pub prng: [u64; 2],
}

layout!(FilterStart, "filter_start", 104, {
    method: 0, url: 8, arg: 16, config: 24,
    method_len: 32, url_len: 36, arg_len: 40, config_len: 44,
    request_headers: 48, response_headers: 56,
    num_request_headers: 64, num_response_headers: 68,
    length: 72, status: 80, flags: 82, reserved: 84, prng: 88,
});

impl FilterStart {
    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 104] {
        let mut to = Writer::<104>::new();
        to.u64(0, self.method).u64(8, self.url);
        to.u64(16, self.arg).u64(24, self.config);
        to.u32(32, self.method_len).u32(36, self.url_len);
        to.u32(40, self.arg_len).u32(44, self.config_len);
        to.u64(48, self.request_headers);
        to.u64(56, self.response_headers);
        to.u32(64, self.num_request_headers);
        to.u32(68, self.num_response_headers);
        to.u64(72, self.length).u16(80, self.status);
        to.u16(82, self.flags).u32(84, self.reserved);
        to.u64(88, self.prng[0]).u64(96, self.prng[1]);
        to.bytes
    }
}

/// Where a filter writes its output: a buffer of the host's, in guest memory. The program adds to
/// `length`; the host takes what is there when a function of the filter returns.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FilterOutput {
    /// The buffer.
    pub data: BufferAddress,
    /// Its size.
    pub capacity: u64,
    /// How much of it is filled.
    pub length: u64,
}

layout!(FilterOutput, "filter_output", 24, { data: 0, capacity: 8, length: 16 });

impl FilterOutput {
    /// The struct as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 24] {
        let mut to = Writer::<24>::new();
        to.u64(0, self.data);
        to.u64(8, self.capacity).u64(16, self.length);
        to.bytes
    }
}

#[cfg(test)]
mod tests;
