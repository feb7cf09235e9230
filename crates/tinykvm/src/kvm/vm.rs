//! One virtual machine and its memory slots.

use std::ops::Range;
use std::sync::Arc;

use kvm_bindings::{
    KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY, kvm_enable_cap, kvm_userspace_memory_region,
};
use kvm_ioctls::VmFd;

use super::ioctls::count_ioctl;
use super::{Device, DirtyRing, Vcpu, dirty_ring, retry};
use crate::EngineError;
use crate::mem::Mapping;

/// How often `KVM_CREATE_VM` is tried: the kernel gives up when a signal comes meanwhile, as one of
/// the watchdog may.
const CREATE_TRIES: u32 = 5;

fn create(device: &Device) -> Result<VmFd, EngineError> {
    let interrupted = |error: &kvm_ioctls::Error| error.errno() == libc::EINTR;
    retry(CREATE_TRIES, interrupted, || device.kvm().create_vm())
        .map_err(|error| EngineError::ioctl("KVM_CREATE_VM", error))
}

/// How KVM treats a memory slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlotKind {
    /// Plain memory.
    Plain,
    /// First writes to each page are logged in the dirty ring.
    Logged,
    /// The guest cannot write it.
    ReadOnly,
}

impl SlotKind {
    fn flags(self) -> u32 {
        match self {
            Self::Plain => 0,
            Self::Logged => KVM_MEM_LOG_DIRTY_PAGES,
            Self::ReadOnly => KVM_MEM_READONLY,
        }
    }
}

/// A virtual machine. Dropping it ends its memory slots.
#[derive(Debug)]
pub(crate) struct Vm {
    fd: Arc<VmFd>,
    ring_entries: u32,
}

impl Vm {
    /// Creates a machine; with a dirty ring if `ring_entries` is not 0.
    pub(crate) fn new(device: &Device, ring_entries: u32) -> Result<Self, EngineError> {
        let fd = Arc::new(create(device)?);
        let mut vm = Self {
            fd,
            ring_entries: 0,
        };
        if ring_entries > 0 {
            vm.enable_ring(device, ring_entries)?;
        }
        Ok(vm)
    }

    /// Enables the ring, with more entries if this processor needs a larger one (Intel's page
    /// modification log reserves 512).
    fn enable_ring(&mut self, device: &Device, wanted: u32) -> Result<(), EngineError> {
        let cap = dirty_ring::capability(device.kvm()).ok_or(EngineError::Missing {
            name: "KVM_CAP_DIRTY_LOG_RING",
        })?;
        let mut entries = wanted;
        loop {
            let size = u64::from(entries) * dirty_ring::ENTRY_SIZE;
            let request = kvm_enable_cap {
                cap,
                args: [size, 0, 0, 0],
                ..Default::default()
            };
            match self.fd.enable_cap(&request) {
                Ok(()) => break,
                Err(error) if error.errno() == libc::EINVAL && entries < 4 * wanted => entries *= 2,
                Err(error) => {
                    return Err(EngineError::ioctl("KVM_ENABLE_CAP(DIRTY_LOG_RING)", error));
                }
            }
        }
        self.ring_entries = entries;
        Ok(())
    }

    /// Gives the guest `memory` at a guest-physical address.
    ///
    /// The caller keeps `memory` alive for as long as this machine runs, or until the slot is
    /// [removed](Self::remove_memory).
    pub(crate) fn add_memory(
        &self,
        slot: u32,
        guest: u64,
        memory: &Mapping,
        kind: SlotKind,
    ) -> Result<(), EngineError> {
        let size = memory.length() as u64;
        self.set_slot(slot, guest, size, memory.host_address(), kind.flags())
    }

    /// As [`Self::add_memory`], of a part of `memory` whose beginning is at `guest`.
    pub(crate) fn add_part(
        &self,
        slot: u32,
        guest: u64,
        memory: &Mapping,
        part: Range<u64>,
        kind: SlotKind,
    ) -> Result<(), EngineError> {
        if part.start > part.end || part.end > memory.length() as u64 {
            return Err(EngineError::Internal("a slot outside of its memory"));
        }
        let (size, address) = (part.end - part.start, memory.host_address() + part.start);
        self.set_slot(slot, guest + part.start, size, address, kind.flags())
    }

    /// Takes a slot's memory away from the guest. KVM forgets every translation that it cached, as
    /// with [`Self::flush`]. The mapping may be dropped afterwards.
    pub(crate) fn remove_memory(
        &self,
        slot: u32,
        guest: u64,
        memory: &Mapping,
    ) -> Result<(), EngineError> {
        self.set_slot(slot, guest, 0, memory.host_address(), 0)
    }

    /// Makes KVM forget every translation that it cached, by adding and deleting a slot: the one
    /// way that takes back access under both flavours.
    pub(crate) fn flush(
        &self,
        slot: u32,
        guest: u64,
        scratch: &Mapping,
    ) -> Result<(), EngineError> {
        let (size, address) = (scratch.length() as u64, scratch.host_address());
        self.set_slot(slot, guest, size, address, 0)?;
        self.set_slot(slot, guest, 0, address, 0)
    }

    fn set_slot(
        &self,
        slot: u32,
        guest_phys_addr: u64,
        memory_size: u64,
        userspace_addr: u64,
        flags: u32,
    ) -> Result<(), EngineError> {
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr,
            memory_size,
            userspace_addr,
        };
        count_ioctl();
        // SAFETY: the range lies in a live mapping of ours (size 0 takes a slot away), and each
        // owner of a `Vm` keeps its mappings until the slot is removed or the machine is gone
        // (fields drop in order).
        unsafe { self.fd.set_user_memory_region(region) }.map_err(|error| EngineError::Slot {
            slot,
            address: guest_phys_addr,
            size: memory_size,
            source: std::io::Error::from_raw_os_error(error.errno()),
        })
    }

    /// Creates the machine's vCPU.
    pub(crate) fn vcpu(&self, device: &Device) -> Result<Vcpu, EngineError> {
        let fd = self
            .fd
            .create_vcpu(0)
            .map_err(|error| EngineError::ioctl("KVM_CREATE_VCPU", error))?;
        Vcpu::new(fd, device)
    }

    /// The dirty ring of `vcpu`, or `None` if the machine has none.
    pub(crate) fn ring(&self, vcpu: &Vcpu) -> Result<Option<DirtyRing>, EngineError> {
        if self.ring_entries == 0 {
            return Ok(None);
        }
        DirtyRing::map(vcpu.descriptor(), Arc::clone(&self.fd), self.ring_entries).map(Some)
    }
}
