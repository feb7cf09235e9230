//! The dirty ring: KVM's list of the pages that a guest wrote first (KVM API, 8.29).
//!
//! Entries are harvested by reading them; they are *recycled*, and their pages write-protected
//! again, only when we say so. A warm request therefore adds no entry and costs nothing.

use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kvm_bindings::{
    KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_DIRTY_LOG_PAGE_OFFSET,
    kvm_dirty_gfn,
};
use kvm_ioctls::{Kvm, VmFd};

use super::ioctls::count_ioctl;
use crate::EngineError;
use crate::units::to_usize;

/// Bytes of an entry.
pub(super) const ENTRY_SIZE: u64 = 16;
/// The entry holds a page (`KVM_DIRTY_GFN_F_DIRTY`).
const DIRTY: u32 = 1;
/// The entry may be recycled (`KVM_DIRTY_GFN_F_RESET`).
const RESET: u32 = 2;
/// `KVM_RESET_DIRTY_RINGS`, `_IO(KVMIO, 0xc7)` of linux/kvm.h; kvm-ioctls does not wrap it
/// without also taking over the ring.
const KVM_RESET_DIRTY_RINGS: libc::c_ulong = 0xaec7;

/// The capability under which this KVM offers the ring.
pub(super) fn capability(kvm: &Kvm) -> Option<u32> {
    [KVM_CAP_DIRTY_LOG_RING_ACQ_REL, KVM_CAP_DIRTY_LOG_RING]
        .into_iter()
        .find(|cap| kvm.check_extension_raw(u64::from(*cap)) > 0)
}

/// The ring of one vCPU, mapped.
#[derive(Debug)]
pub(crate) struct DirtyRing {
    entries: NonNull<kvm_dirty_gfn>,
    count: u32,
    /// Entries read so far, and entries given back so far; both wrap.
    harvested: u32,
    recycled: u32,
    /// Keeps the machine's descriptor open.
    vm: Arc<VmFd>,
}

// SAFETY: the mapping is owned by this object; the kernel writes entries only while the vCPU
// runs, which takes the owner of this object by `&mut`.
unsafe impl Send for DirtyRing {}

impl DirtyRing {
    pub(super) fn map(vcpu: RawFd, vm: Arc<VmFd>, count: u32) -> Result<Self, EngineError> {
        let length = to_usize(u64::from(count) * ENTRY_SIZE);
        let offset = i64::from(KVM_DIRTY_LOG_PAGE_OFFSET) * 4096;
        // SAFETY: a new shared mapping of the vCPU's ring at an address the kernel chooses.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                vcpu,
                offset,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(EngineError::last_os("mmap of the dirty ring"));
        }
        let entries = NonNull::new(base.cast()).ok_or(EngineError::Internal("null ring"))?;
        Ok(Self {
            entries,
            count,
            harvested: 0,
            recycled: 0,
            vm,
        })
    }

    /// The entry with a running number, and its flags as the atomic that they are shared as.
    fn entry(&self, number: u32) -> (&AtomicU32, *const kvm_dirty_gfn) {
        let index = to_usize(u64::from(number % self.count));
        // SAFETY: `index` is below `count`, so the entry lies in the mapping; its flags are
        // 4-byte aligned and, by the KVM API, accessed atomically by both sides.
        unsafe {
            let entry = self.entries.as_ptr().add(index);
            (AtomicU32::from_ptr(&raw mut (*entry).flags), entry)
        }
    }

    /// The next page that was logged, as (slot, page number in the slot).
    pub(crate) fn next(&mut self) -> Option<(u32, u64)> {
        let (flags, entry) = self.entry(self.harvested);
        if flags.load(Ordering::Acquire) & DIRTY == 0 || self.pending() == self.count {
            return None;
        }
        // SAFETY: the acquire load above saw the entry published; the kernel does not touch it
        // again until it is recycled.
        let (slot, offset) = unsafe { ((*entry).slot, (*entry).offset) };
        self.harvested = self.harvested.wrapping_add(1);
        Some((slot, offset))
    }

    /// Entries that were harvested and not recycled: their pages are writable without a fault.
    pub(crate) fn pending(&self) -> u32 {
        self.harvested.wrapping_sub(self.recycled)
    }

    /// How many pages can be logged before the ring is full, at most.
    pub(crate) fn free(&self) -> u32 {
        self.count.saturating_sub(self.pending())
    }

    /// Recycles the oldest `count` pending entries: their pages are write-protected and will be
    /// logged again.
    pub(crate) fn recycle(&mut self, count: u32) -> Result<(), EngineError> {
        for _ in 0..count.min(self.pending()) {
            let (flags, _) = self.entry(self.recycled);
            flags.store(RESET, Ordering::Release);
            self.recycled = self.recycled.wrapping_add(1);
        }
        count_ioctl();
        // SAFETY: an ioctl without argument on the machine's descriptor, which the ring
        // keeps open.
        if unsafe { libc::ioctl(self.vm.as_raw_fd(), KVM_RESET_DIRTY_RINGS, 0) } < 0 {
            return Err(EngineError::last_os("KVM_RESET_DIRTY_RINGS"));
        }
        Ok(())
    }
}

impl Drop for DirtyRing {
    fn drop(&mut self) {
        let length = to_usize(u64::from(self.count) * ENTRY_SIZE);
        // It cannot fail: a whole mapping of a device, which joins no other, so that none is split.
        // SAFETY: mapped by `map` with this length; nothing borrows it any more.
        unsafe { libc::munmap(self.entries.as_ptr().cast(), length) };
    }
}
