//! The rest of what a program can ask its host.

use tinykvm_abi::calls;
use tinykvm_abi::limits::LOG_MAX;
use tinykvm_abi::structs::Meminfo;

use crate::sys;

/// Writes one entry to Varnish's log. `println!` and `eprintln!` do it too, line by line.
pub fn log(text: &str) {
    let end = text.floor_char_boundary(usize::from(LOG_MAX));
    sys::call_text(calls::LOG, None, &text.as_bytes()[..end]);
}

/// The operator does not let the program choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

impl std::fmt::Display for NotAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the program may not choose this")
    }
}

impl std::error::Error for NotAllowed {}

/// Chooses whether the program is reset after each request, as it is by default. Only before
/// the program serves.
///
/// # Errors
/// [`NotAllowed`].
pub fn make_ephemeral(ephemeral: bool) -> Result<(), NotAllowed> {
    match sys::call_plain(calls::MAKE_EPHEMERAL, [u64::from(ephemeral), 0, 0]) {
        0 => Ok(()),
        _ => Err(NotAllowed),
    }
}

/// True if the program was loaded for debugging.
#[must_use]
pub fn is_debug() -> bool {
    sys::call_plain(calls::IS_DEBUG, [0; 3]) == 1
}

/// True inside a TinyKVM VM, false when the program was started by hand.
#[must_use]
pub fn is_sandboxed() -> bool {
    std::env::var_os("KVM_NAME").is_some()
}

/// Memory limits and use of this VM, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Memory {
    /// Limit of the program's memory.
    pub program_limit: u64,
    /// Limit of what a request may change.
    pub request_limit: u64,
    /// What the current request has changed.
    pub request_used: u64,
}

/// Memory limits and use.
#[must_use]
pub fn memory() -> Memory {
    let mut bytes = [0; 32];
    sys::meminfo(&mut bytes);
    let info = Meminfo::from_bytes(&bytes);
    Memory {
        program_limit: info.max_memory,
        request_limit: info.max_reqmem,
        request_used: info.reqmem_current,
    }
}

/// The number of the virtual CPU that this runs on, and that of its VM among those that serve
/// the program's requests.
#[must_use]
pub fn vcpu() -> (u32, u32) {
    sys::vcpu_record()
}
