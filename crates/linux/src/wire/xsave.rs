//! Vector state in a signal frame, as Linux lays it out (asm/sigcontext.h): an XSAVE area whose
//! legacy part says, in bytes that the processor does not use, how large the whole is.
//!
//! ```text
//!   area            FXSAVE area, 512 bytes; from 464 on: magic 1, size with magic 2,
//!                   components, size
//!   area + 512      XSAVE header, then the extended components
//!   area + size     magic 2
//! ```

use tinykvm::{Guest, VectorState};

use crate::wire::record::{u32_at, u64_at};

/// `FP_XSTATE_MAGIC1`, `FP_XSTATE_MAGIC2`.
const MAGIC: [u32; 2] = [0x4650_5853, 0x4650_5845];
/// Size of the legacy part.
const LEGACY: usize = 512;
/// `struct _fpx_sw_bytes` in the legacy part.
const SOFTWARE: usize = 464;
/// The set of components in the header (`XSTATE_BV`), and all of the header.
const COMPONENTS: usize = 512;
const HEADER: usize = 64;
/// x87 and SSE, which are in the legacy part.
const BASIC: u64 = 3;

/// The bytes of a vector state in a frame.
pub(crate) fn to_frame(state: &VectorState) -> Vec<u8> {
    let mut bytes = state.bytes().to_vec();
    let size = bytes.len();
    if size < LEGACY + HEADER {
        return bytes;
    }
    // So that what a handler writes to the legacy part counts.
    let present = u64_at(&bytes, COMPONENTS) | BASIC;
    bytes[COMPONENTS..COMPONENTS + 8].copy_from_slice(&present.to_le_bytes());
    bytes[SOFTWARE..LEGACY].fill(0);
    let short = u32::try_from(size).unwrap_or(0);
    let words = [(0, MAGIC[0]), (4, short + 4), (16, short)];
    for (at, word) in words {
        bytes[SOFTWARE + at..SOFTWARE + at + 4].copy_from_slice(&word.to_le_bytes());
    }
    let all = components(size);
    bytes[SOFTWARE + 8..SOFTWARE + 16].copy_from_slice(&all.to_le_bytes());
    bytes.extend_from_slice(&MAGIC[1].to_le_bytes());
    bytes
}

/// The components that an area of this size has room for, of those that a thread owns: where they
/// are is the processor's (Intel SDM volume 1, 13.5).
fn components(size: usize) -> u64 {
    /// AVX, AVX-512, protection keys, and what AMX has.
    const USER: [u32; 7] = [2, 5, 6, 7, 9, 17, 18];
    if std::arch::x86_64::__cpuid(0).eax < 0xd {
        return BASIC;
    }
    USER.into_iter().fold(BASIC, |set, component| {
        let place = std::arch::x86_64::__cpuid_count(0xd, component);
        let end = u64::from(place.eax) + u64::from(place.ebx);
        let there = place.eax != 0 && end <= size as u64;
        set | u64::from(there) << component
    })
}

/// The vector state that a frame says, of the size of `now`: all of it, or, where the frame does
/// not bear the marks of a whole area, its legacy part. `None` if it cannot be read.
pub(crate) fn from_frame(guest: &dyn Guest, at: u64, now: &VectorState) -> Option<VectorState> {
    let size = now.bytes().len();
    let mut bytes = vec![0; size];
    if at == 0 {
        return Some(VectorState::new(&bytes));
    }
    if size < LEGACY + HEADER {
        guest.read(at, &mut bytes).ok()?;
        return Some(VectorState::new(&bytes));
    }
    guest.read(at, &mut bytes[..LEGACY]).ok()?;
    let mut end = [0; 4];
    let whole = u32_at(&bytes, SOFTWARE) == MAGIC[0]
        && u64::from(u32_at(&bytes, SOFTWARE + 16)) == size as u64
        && guest.read(at + size as u64, &mut end).is_ok()
        && u32::from_le_bytes(end) == MAGIC[1];
    if whole {
        guest.read(at + LEGACY as u64, &mut bytes[LEGACY..]).ok()?;
    } else {
        bytes[COMPONENTS..COMPONENTS + 8].copy_from_slice(&BASIC.to_le_bytes());
    }
    bytes[SOFTWARE..LEGACY].fill(0);
    Some(VectorState::new(&bytes))
}
