//! One vCPU: its shared page, and running it.
//!
//! Registers travel in the synced-register area of the shared page (`KVM_CAP_SYNC_REGS`), so
//! that a warm call needs no ioctl but `KVM_RUN`.

use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use kvm_bindings::{
    KVM_EXIT_DIRTY_RING_FULL, KVM_EXIT_HLT, KVM_EXIT_IO, KVM_EXIT_IO_IN, KVM_EXIT_MEMORY_FAULT,
    KVM_EXIT_MMIO, KVM_EXIT_SHUTDOWN, KVM_SYNC_X86_REGS, KVM_SYNC_X86_SREGS, Msrs, kvm_device_attr,
    kvm_msr_entry, kvm_regs, kvm_run, kvm_sregs, kvm_sync_regs, kvm_vcpu_events, kvm_xcr, kvm_xcrs,
    kvm_xsave,
};
use kvm_ioctls::VcpuFd;

use super::Device;
use super::ioctls::count_ioctl;
use crate::{EngineError, VectorState};

/// Why a vCPU stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The guest wrote this value to this port.
    Out {
        /// I/O port.
        port: u16,
        /// The value, zero-extended.
        value: u32,
    },
    /// The guest read from a port; it gets zeros.
    In,
    /// A signal arrived, or `immediate_exit` was set.
    Interrupted,
    /// The dirty ring has no room left.
    RingFull,
    /// Triple fault or `hlt`.
    Shutdown,
    /// The guest accessed physical memory that is not there.
    NoMemory {
        /// The guest-physical address.
        physical: u64,
    },
    /// Anything else, as `KVM_EXIT_*`.
    Other(u32),
}

impl Stop {
    /// The exit as `KVM_EXIT_*`, where it is the guest's end.
    pub(crate) fn end(self) -> u32 {
        match self {
            Self::NoMemory { .. } => KVM_EXIT_MMIO,
            Self::Other(reason) => reason,
            _ => KVM_EXIT_SHUTDOWN,
        }
    }
}

/// A vCPU with its shared page.
#[derive(Debug)]
pub(crate) struct Vcpu {
    fd: VcpuFd,
    shared: NonNull<kvm_run>,
    runs: u64,
    /// RIP at the `out` that the last run ended with, as KVM reports it.
    out_at: Option<u64>,
}

// SAFETY: `shared` points into the mapping that `fd` owns and moves with it; a vCPU may run on
// any thread, one at a time (KVM serialises, and `run` takes `&mut self`).
unsafe impl Send for Vcpu {}

impl Vcpu {
    pub(super) fn new(mut fd: VcpuFd, device: &Device) -> Result<Self, EngineError> {
        fd.set_cpuid2(device.cpuid())
            .map_err(|error| EngineError::ioctl("KVM_SET_CPUID2", error))?;
        if let Some(value) = device.features().xcr0 {
            let mut xcrs = kvm_xcrs {
                nr_xcrs: 1,
                ..kvm_xcrs::default()
            };
            xcrs.xcrs[0] = kvm_xcr {
                xcr: 0,
                value,
                ..kvm_xcr::default()
            };
            fd.set_xcrs(&xcrs)
                .map_err(|error| EngineError::ioctl("KVM_SET_XCRS", error))?;
        }
        let shared = NonNull::from(fd.get_kvm_run());
        let mut vcpu = Self {
            fd,
            shared,
            runs: 0,
            out_at: None,
        };
        vcpu.share_clock();
        vcpu.shared_mut().kvm_valid_regs = u64::from(KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS);
        Ok(vcpu)
    }

    /// Makes the guest's time stamp counter equal to the host's, where KVM can (5.16). Whether
    /// it worked is measured at the first run.
    fn share_clock(&self) {
        let offset = 0i64;
        let attribute = kvm_device_attr {
            group: kvm_bindings::KVM_VCPU_TSC_CTRL,
            attr: u64::from(kvm_bindings::KVM_VCPU_TSC_OFFSET),
            addr: &raw const offset as u64,
            flags: 0,
        };
        // A KVM without it leaves the offset as it is, which the first run detects.
        // SAFETY: the argument and the value it points to live until the call returns.
        unsafe {
            libc::ioctl(
                self.fd.as_raw_fd(),
                KVM_SET_DEVICE_ATTR,
                &raw const attribute,
            );
        }
    }

    fn shared(&self) -> &kvm_run {
        // SAFETY: the page is mapped for as long as `fd` lives. Another thread writes only
        // `immediate_exit`, by raw pointer; the kernel writes only during `run`.
        unsafe { self.shared.as_ref() }
    }

    fn shared_mut(&mut self) -> &mut kvm_run {
        // SAFETY: as `shared`, and `&mut self` makes it exclusive.
        unsafe { self.shared.as_mut() }
    }

    /// Where the watchdog sets `immediate_exit`.
    pub(super) fn immediate_exit(&self) -> *mut u8 {
        // SAFETY: a field address within the mapped page.
        unsafe { &raw mut (*self.shared.as_ptr()).immediate_exit }
    }

    fn synced(&self) -> &kvm_sync_regs {
        // SAFETY: the union is only ever used as the register area.
        unsafe { &self.shared().s.regs }
    }

    fn synced_mut(&mut self) -> &mut kvm_sync_regs {
        // SAFETY: as `synced`.
        unsafe { &mut self.shared_mut().s.regs }
    }

    /// The general registers at the last stop.
    pub(crate) fn registers(&self) -> &kvm_regs {
        &self.synced().regs
    }

    /// The general registers, to be loaded at the next run.
    pub(crate) fn registers_mut(&mut self) -> &mut kvm_regs {
        self.shared_mut().kvm_dirty_regs |= u64::from(KVM_SYNC_X86_REGS);
        &mut self.synced_mut().regs
    }

    /// The special registers at the last stop.
    pub(crate) fn special(&self) -> &kvm_sregs {
        &self.synced().sregs
    }

    /// The special registers, to be loaded at the next run. Costs some microseconds there.
    pub(crate) fn special_mut(&mut self) -> &mut kvm_sregs {
        self.shared_mut().kvm_dirty_regs |= u64::from(KVM_SYNC_X86_SREGS);
        &mut self.synced_mut().sregs
    }

    /// The special registers of the vCPU as it is, by ioctl.
    pub(crate) fn fetch_special(&self) -> Result<kvm_sregs, EngineError> {
        self.fd
            .get_sregs()
            .map_err(|error| EngineError::ioctl("KVM_GET_SREGS", error))
    }

    /// Forgets exceptions and interrupts that KVM was about to deliver.
    pub(crate) fn clear_events(&self) -> Result<(), EngineError> {
        count_ioctl();
        self.fd
            .set_vcpu_events(&kvm_vcpu_events::default())
            .map_err(|error| EngineError::ioctl("KVM_SET_VCPU_EVENTS", error))
    }

    /// Loads model-specific registers.
    pub(crate) fn set_msrs(&self, entries: &[kvm_msr_entry]) -> Result<(), EngineError> {
        let internal = |_| EngineError::Internal("too many MSRs");
        let msrs = Msrs::from_entries(entries).map_err(internal)?;
        match self.fd.set_msrs(&msrs) {
            Ok(done) if done == entries.len() => Ok(()),
            Ok(_) => Err(EngineError::Missing {
                name: "the SYSCALL registers (MSR)",
            }),
            Err(error) => Err(EngineError::ioctl("KVM_SET_MSRS", error)),
        }
    }

    /// Frequency of the guest's time stamp counter in kHz, if it is stable.
    pub(crate) fn clock_khz(&self) -> Option<u32> {
        // A KVM that cannot say it (EIO) has none that is stable: guests then ask the host for time.
        self.fd.get_tsc_khz().ok().filter(|khz| *khz > 0)
    }

    pub(super) fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// How often `KVM_RUN` was called.
    pub(crate) fn runs(&self) -> u64 {
        self.runs
    }

    /// Clears a leftover `immediate_exit`.
    pub(super) fn clear_immediate_exit(&mut self) {
        // SAFETY: a byte in the mapped page; volatile, for the watchdog's thread writes it too.
        unsafe { self.immediate_exit().write_volatile(0) };
    }

    /// Keeps the next run from entering the guest, as the watchdog does.
    pub(crate) fn set_immediate_exit(&mut self) {
        // SAFETY: as above.
        unsafe { self.immediate_exit().write_volatile(1) };
    }

    /// RIP at the `out` that the last run ended with, as KVM reports it.
    pub(crate) fn out_at(&self) -> Option<u64> {
        self.out_at
    }

    /// Lets KVM finish the `out` that the last run ended with. Otherwise it would step over an
    /// instruction at the same address, whoever gets there next. The registers are then to be set.
    /// The caller looks whether a deadline has passed meanwhile.
    pub(crate) fn finish_out(&mut self) -> Result<(), EngineError> {
        self.registers_mut().rip = 0;
        self.set_immediate_exit();
        let stop = self.run();
        self.clear_immediate_exit();
        stop.map(drop)
    }

    /// The vector state, by ioctl: the first `size` bytes of an XSAVE area, with only those of
    /// `components` (as in XCR0). KVM knows of more than the guest may use.
    pub(crate) fn xsave(&self, size: usize, components: u64) -> Result<VectorState, EngineError> {
        count_ioctl();
        let area = self
            .fd
            .get_xsave()
            .map_err(|error| EngineError::ioctl("KVM_GET_XSAVE", error))?;
        let mut bytes: Vec<u8> = area.region.iter().flat_map(|w| w.to_le_bytes()).collect();
        let header = &mut bytes[XSTATE_BV..XSTATE_BV + 8];
        for (byte, allowed) in header.iter_mut().zip(components.to_le_bytes()) {
            *byte &= allowed;
        }
        Ok(VectorState::new(&bytes[..size.min(bytes.len())]))
    }

    /// Loads vector state by ioctl. False if it is not a proper one.
    pub(crate) fn set_xsave(&self, state: &[u8]) -> Result<bool, EngineError> {
        let mut area = kvm_xsave::default();
        for (word, bytes) in area.region.iter_mut().zip(state.chunks_exact(4)) {
            *word = u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        count_ioctl();
        // SAFETY: KVM copies one page, the size of the structure; no larger component is ever
        // enabled in XCR0.
        match unsafe { self.fd.set_xsave(&area) } {
            Ok(()) => Ok(true),
            Err(error) if error.errno() == libc::EINVAL => Ok(false),
            Err(error) => Err(EngineError::ioctl("KVM_SET_XSAVE", error)),
        }
    }

    /// Runs the guest until it stops.
    ///
    /// # Errors
    /// [`EngineError::System`] if `KVM_RUN` fails other than by a signal.
    pub(crate) fn run(&mut self) -> Result<Stop, EngineError> {
        self.runs += 1;
        self.out_at = None;
        count_ioctl();
        // `VcpuFd::run` would decode into borrowed slices that we do not need.
        // SAFETY: KVM_RUN has no argument; all memory it touches is registered with the machine
        // and owned, exclusively borrowed, by the caller.
        let result = unsafe { libc::ioctl(self.fd.as_raw_fd(), KVM_RUN, 0) };
        if result < 0 {
            let error = EngineError::last_os("KVM_RUN");
            let EngineError::System { source, .. } = &error else {
                return Err(error);
            };
            return match source.raw_os_error() {
                Some(libc::EINTR | libc::EAGAIN) => Ok(Stop::Interrupted),
                // Memory behind a page is gone: a file that guests read became shorter.
                Some(libc::EFAULT) => Ok(Stop::Other(KVM_EXIT_MEMORY_FAULT)),
                // The ring was full on entry already (KVM API, 8.29).
                _ => Err(error),
            };
        }
        Ok(self.stop())
    }

    fn stop(&mut self) -> Stop {
        let shared = self.shared();
        match shared.exit_reason {
            KVM_EXIT_IO => {
                let rip = self.registers().rip;
                // SAFETY: the exit reason says that `io` is the valid member.
                let io = unsafe { shared.__bindgen_anon_1.io };
                let offset = crate::units::to_usize(io.data_offset);
                // SAFETY: the kernel put `size` (at most 4) bytes at this offset of the area
                // that it sized, page-aligned behind the structure.
                let data = unsafe { self.shared.as_ptr().cast::<u8>().add(offset) };
                if u32::from(io.direction) == KVM_EXIT_IO_IN {
                    // SAFETY: as above; `count` elements of `size` bytes.
                    unsafe { data.write_bytes(0, usize::from(io.size) * io.count as usize) };
                    return Stop::In;
                }
                self.out_at = Some(rip);
                let mut value = [0; 4];
                let size = usize::from(io.size).min(4);
                // SAFETY: as above.
                unsafe { std::ptr::copy_nonoverlapping(data, value.as_mut_ptr(), size) };
                Stop::Out {
                    port: io.port,
                    value: u32::from_le_bytes(value),
                }
            }
            KVM_EXIT_DIRTY_RING_FULL => Stop::RingFull,
            KVM_EXIT_SHUTDOWN | KVM_EXIT_HLT => Stop::Shutdown,
            KVM_EXIT_MMIO => {
                // SAFETY: the exit reason says that `mmio` is the valid member.
                let mmio = unsafe { shared.__bindgen_anon_1.mmio };
                Stop::NoMemory {
                    physical: mmio.phys_addr,
                }
            }
            other => Stop::Other(other),
        }
    }
}

/// `KVM_SET_DEVICE_ATTR`, `_IOW(KVMIO, 0xe1, struct kvm_device_attr)` of linux/kvm.h;
/// kvm-ioctls has it for vCPUs of other architectures only.
const KVM_SET_DEVICE_ATTR: libc::c_ulong = 0x4018_aee1;

/// Offset in an XSAVE area of the set of components that it has.
const XSTATE_BV: usize = 512;

/// `KVM_RUN`, `_IO(KVMIO, 0x80)` of linux/kvm.h.
const KVM_RUN: libc::c_ulong = 0xae80;
