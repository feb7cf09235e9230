//! All unsafe code of this crate: the hypercall, and views of what the host wrote into memory.

use std::arch::asm;
use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::{with_exposed_provenance, with_exposed_provenance_mut};

use tinykvm_abi::calls;
use tinykvm_abi::structs::{FilterOutput, FilterStart, KvmRequest, KvmRequestHeader};

/// Something whose address can be given to the host.
pub(crate) fn address<T>(value: &T) -> u64 {
    std::ptr::from_ref(value).expose_provenance() as u64
}

/// The address of a slice's first element.
pub(crate) fn slice_address<T>(value: &[T]) -> u64 {
    value.as_ptr().expose_provenance() as u64
}

/// As [`slice_address`], for memory that the host writes to.
pub(crate) fn slice_address_mut<T>(value: &mut [T]) -> u64 {
    value.as_mut_ptr().expose_provenance() as u64
}

/// Asks the host for something. Only inside a VM: elsewhere, `out` ends the process.
///
/// # Safety
/// Addresses among the arguments must belong to memory that the call may read, or write, as the
/// contract of this call says.
unsafe fn call(number: u32, arguments: [u64; 6]) -> u64 {
    let [rdi, rsi, rdx, rcx, r8, r9] = arguments;
    let result;
    // SAFETY: the host changes RAX, and memory as the caller has promised to permit. All other
    // registers, the flags and the stack stay as they are.
    unsafe {
        asm!(
            "out 0, eax",
            inlateout("rax") u64::from(number) => result,
            in("rdi") rdi, in("rsi") rsi, in("rdx") rdx, in("rcx") rcx, in("r8") r8, in("r9") r9,
            options(nostack, preserves_flags),
        );
    }
    result
}

/// A call whose arguments are plain numbers.
pub(crate) fn call_plain(number: u32, arguments: [u64; 3]) -> u64 {
    let takes_no_address = [
        calls::MAKE_EPHEMERAL,
        calls::IS_STORAGE,
        calls::IS_DEBUG,
        calls::WAIT_FOR_REQUESTS,
    ];
    assert!(takes_no_address.contains(&number));
    let [a, b, c] = arguments;
    // SAFETY: none of these calls uses an argument as an address.
    unsafe { call(number, [a, b, c, 0, 0, 0]) }
}

/// Whether and how long the response may be cached, in milliseconds.
pub(crate) fn set_cacheable(cacheable: bool, ttl: u64, grace: u64, keep: u64) -> u64 {
    // SAFETY: the call uses no argument as an address.
    unsafe {
        call(
            calls::SET_CACHEABLE,
            [u64::from(cacheable), ttl, grace, keep, 0, 0],
        )
    }
}

/// A call that reads `text`, after one other argument for those that have one.
pub(crate) fn call_text(number: u32, side: Option<i32>, text: &[u8]) -> u64 {
    assert!([calls::HTTP_APPEND, calls::HTTP_SET, calls::LOG].contains(&number));
    let (at, len) = (slice_address(text), text.len() as u64);
    let arguments = match side {
        Some(side) => [u64::from(side.unsigned_abs()), at, len, 0, 0, 0],
        None => [at, len, 0, 0, 0, 0],
    };
    // SAFETY: these calls only read `text`, which is borrowed for their duration.
    unsafe { call(number, arguments) }
}

/// Copies a whole header field to `out`, or gives its length if `out` is empty.
pub(crate) fn http_find(side: i32, name: &[u8], out: &mut [u8]) -> u64 {
    let out_at = if out.is_empty() {
        0
    } else {
        slice_address_mut(out)
    };
    let (at, len) = (slice_address(name), name.len() as u64);
    let side = u64::from(side.unsigned_abs());
    // SAFETY: the call reads `name` and writes at most `out.len()` bytes to `out`; a NULL `out`
    // is not written to.
    unsafe {
        call(
            calls::HTTP_FIND,
            [side, at, len, out_at, out.len() as u64, 0],
        )
    }
}

/// Copies the request method to `out`.
pub(crate) fn http_method(out: &mut [u8]) -> u64 {
    // SAFETY: the call writes at most `out.len()` bytes to `out`.
    unsafe {
        call(
            calls::HTTP_METHOD,
            [slice_address_mut(out), out.len() as u64, 0, 0, 0, 0],
        )
    }
}

/// Fills a `struct meminfo`.
pub(crate) fn meminfo(out: &mut [u8; 32]) {
    // SAFETY: the call writes exactly 32 bytes.
    unsafe { call(calls::MEMINFO, [slice_address_mut(out), 0, 0, 0, 0, 0]) };
}

/// Answers the request. Everything that the arguments refer to must be borrowed by the caller.
pub(crate) fn backend_response(status: u16, content_type: &[u8], body: &[u8], extra: &[u8; 56]) {
    let arguments = [
        u64::from(status),
        slice_address(content_type),
        content_type.len() as u64,
        slice_address(body),
        body.len() as u64,
        slice_address(extra),
    ];
    // SAFETY: the call reads the two slices, `extra`, and what the addresses in `extra` refer to;
    // the host checks those, so that a wrong one fails the request and no more.
    unsafe { call(calls::BACKEND_RESPONSE, arguments) };
}

/// The functions that the host calls have one of these types.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Callback {
    /// Takes every request.
    Request(extern "C" fn(*const KvmRequest)),
    /// Takes failures.
    OnError(extern "C" fn(*const c_char, *const c_char, *const c_char)),
}

/// Has the host call a function.
pub(crate) fn register(callback: Callback) {
    let (index, function) = match callback {
        Callback::Request(function) => (tinykvm_abi::callbacks::REQUEST, function as usize),
        Callback::OnError(function) => (tinykvm_abi::callbacks::ON_ERROR, function as usize),
    };
    // SAFETY: the function lives for ever and has the type that the host calls by this index.
    unsafe {
        call(
            calls::REGISTER_FUNC,
            [u64::from(index), function as u64, 0, 0, 0, 0],
        )
    };
}

/// The functions of a filter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FilterCallbacks {
    pub(crate) begin: extern "C" fn(*const FilterStart) -> c_int,
    pub(crate) chunk: extern "C" fn(*const u8, usize) -> c_int,
    pub(crate) end: extern "C" fn() -> c_int,
}

/// The output buffer of the filter, as the host sees it: a struct that both sides change, in turn.
struct SharedOutput(UnsafeCell<FilterOutput>);

// SAFETY: only one thread of a filter writes output: that which the host has called, and handlers
// are never called while it is at that.
unsafe impl Sync for SharedOutput {}

static OUTPUT: SharedOutput = SharedOutput(UnsafeCell::new(FilterOutput {
    data: 0,
    capacity: 0,
    length: 0,
}));

/// Has the host filter bodies with these functions.
pub(crate) fn set_filter(callbacks: FilterCallbacks, flags: u32) {
    let output = OUTPUT.0.get().expose_provenance() as u64;
    let FilterCallbacks { begin, chunk, end } = callbacks;
    let arguments = [
        begin as usize as u64,
        chunk as usize as u64,
        end as usize as u64,
        output,
        u64::from(flags),
        0,
    ];
    // SAFETY: the functions live for ever and have the types that the host calls them with; the
    // call fills the struct, which lives for ever, too.
    unsafe { call(calls::SET_FILTER, arguments) };
}

/// What is free in the output buffer; at least one byte.
pub(crate) fn filter_room() -> (*mut u8, usize) {
    // SAFETY: the host changes the struct in calls only, and nothing else here refers to it.
    let mut output = unsafe { OUTPUT.0.get().read_volatile() };
    if output.length >= output.capacity {
        filter_write(&[]);
        // SAFETY: as above.
        output = unsafe { OUTPUT.0.get().read_volatile() };
    }
    let start = with_exposed_provenance_mut::<u8>(to_usize(output.data));
    let (length, capacity) = (to_usize(output.length), to_usize(output.capacity));
    // SAFETY: within the buffer that the host has given.
    (unsafe { start.add(length) }, capacity - length)
}

/// So much of the room was filled.
///
/// # Safety
/// Not more than [`filter_room`] said, since the last call of the host.
pub(crate) unsafe fn filter_wrote(length: usize) {
    // SAFETY: as in `filter_room`.
    unsafe {
        let mut output = OUTPUT.0.get().read_volatile();
        output.length += length as u64;
        OUTPUT.0.get().write_volatile(output);
    }
}

/// Hands on what is in the output buffer, and then `data`.
pub(crate) fn filter_write(data: &[u8]) {
    // SAFETY: the call reads `data`, which is borrowed for its duration, and the buffer.
    unsafe {
        call(
            calls::FILTER_WRITE,
            [slice_address(data), data.len() as u64, 0, 0, 0, 0],
        )
    };
}

/// Fills as much of the output buffer as there is room for, and returns how much that was.
pub(crate) fn filter_copy(data: &[u8]) -> usize {
    let (to, room) = filter_room();
    let length = data.len().min(room);
    // SAFETY: that much room there is; the buffer is the host's, so `data` is elsewhere.
    unsafe {
        std::ptr::copy_nonoverlapping(data.as_ptr(), to, length);
        filter_wrote(length);
    }
    length
}

/// What the host passed to the begin function.
///
/// # Safety
/// `start` must be the argument of that function.
pub(crate) unsafe fn filter_start<'a>(start: *const FilterStart) -> &'a FilterStart {
    // SAFETY: the host passes the address of a filled, aligned struct.
    unsafe { &*start }
}

/// What the host passed to the chunk function.
///
/// # Safety
/// They must be the arguments of that function.
pub(crate) unsafe fn chunk<'a>(data: *const u8, length: usize) -> &'a [u8] {
    // SAFETY: the host passes that much memory, which it does not touch until the function returns.
    unsafe { std::slice::from_raw_parts(data, length) }
}

/// Waits for the next request and fills the struct. What it refers to stays valid until the next
/// wait.
pub(crate) fn wait_paused(request: &mut KvmRequest) {
    let at = std::ptr::from_mut(request).expose_provenance();
    // SAFETY: the call writes one `KvmRequest` to `request`. Unlike the others it may also use
    // the stack below the stack pointer, hence no `nostack`.
    unsafe {
        asm!(
            "out 0, eax",
            inlateout("rax") u64::from(calls::WAIT_FOR_REQUESTS_PAUSED) => _,
            in("rdi") at, in("rsi") 0_u64, in("rdx") 0_u64,
        );
    }
}

/// Bytes that the host wrote.
///
/// # Safety
/// `address` and `len` must come from the host, and the result must not outlive the request.
pub(crate) unsafe fn bytes<'a>(address: u64, len: u64) -> &'a [u8] {
    if address == 0 || len == 0 {
        return &[];
    }
    let (address, len) = (to_usize(address), to_usize(len));
    // SAFETY: the caller promises that this is memory that the host has filled. The host does
    // not touch it while the request runs, and nothing in this crate writes to it.
    unsafe { std::slice::from_raw_parts(with_exposed_provenance(address), len) }
}

/// So many headers at that address.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn headers<'a>(address: u64, count: usize) -> &'a [KvmRequestHeader] {
    if address == 0 || count == 0 {
        return &[];
    }
    let first = with_exposed_provenance(to_usize(address));
    // SAFETY: as in `bytes`; the host aligns the array to 8 bytes.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// The request that the host passed to a callback.
///
/// # Safety
/// `request` must be the argument of the request callback.
pub(crate) unsafe fn request<'a>(request: *const KvmRequest) -> &'a KvmRequest {
    // SAFETY: the host passes the address of a filled, aligned struct.
    unsafe { &*request }
}

/// A string that the host passed to a callback.
///
/// # Safety
/// `text` must be a string argument of a callback.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> &'a [u8] {
    // SAFETY: such arguments are never NULL and end in a NUL.
    unsafe { CStr::from_ptr(text) }.to_bytes()
}

/// The two numbers of the per-vCPU record: vCPU and VM.
pub(crate) fn vcpu_record() -> (u32, u32) {
    let (cpu, vm): (u32, u32);
    // SAFETY: in a VM, GS points to a record of 16 bytes; this only reads it.
    unsafe {
        asm!(
            "mov {cpu:e}, gs:[0]",
            "mov {vm:e}, gs:[4]",
            cpu = out(reg) cpu,
            vm = lateout(reg) vm,
            options(nostack, preserves_flags, readonly),
        );
    }
    (cpu, vm)
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "guests are 64-bit programs"
)]
fn to_usize(value: u64) -> usize {
    value as usize
}
