//! Control registers, segments and model-specific registers of a fresh vCPU.

use std::arch::x86_64::__cpuid_count;

use kvm_bindings::{CpuId, kvm_msr_entry, kvm_segment, kvm_sregs};

use super::descriptors::{
    GDT_SIZE, IDT_SIZE, KERNEL_CODE, KERNEL_DATA, TASK, TASK_LIMIT, USER_BASE, USER_CODE, USER_DATA,
};
use crate::plan::layout;
use crate::units::to_usize;

/// CR0: PG, AM, WP, NE, ET, MP, PE.
const CR0: u64 = 0x8005_0033;
/// EFER: SCE, LME, LMA, NXE.
const EFER: u64 = 0xd01;
const CR4_PAE: u64 = 1 << 5;
const CR4_OSFXSR: u64 = 1 << 9;
const CR4_OSXMMEXCPT: u64 = 1 << 10;
const CR4_UMIP: u64 = 1 << 11;
const CR4_FSGSBASE: u64 = 1 << 16;
const CR4_OSXSAVE: u64 = 1 << 18;
const CR4_SMEP: u64 = 1 << 20;
/// XCR0 components: x87, SSE, AVX, and the three of AVX-512.
const XCR0_X87_SSE: u64 = 0x3;
const XCR0_AVX: u64 = 0x4;
const XCR0_AVX512: u64 = 0xe0;
/// An XSAVE area of x87 and SSE, with its header.
const LEGACY_SIZE: u32 = 576;
/// The largest that there is room for.
const LARGEST_SIZE: u32 = 0x4000 - 64;

/// RFLAGS of user code: IOPL 3 (the guest ABI's `out` from ring 3), interrupts off, and the bit
/// that is always one.
pub(crate) const USER_RFLAGS: u64 = 0x3002;
/// The I/O privilege level field of RFLAGS.
pub(crate) const IOPL: u64 = 0x3000;
/// Flags that `syscall` clears: TF, IF, DF, IOPL, NT, AC.
pub(super) const SYSCALL_MASK: u64 = 0x47700;

const MSR_STAR: u32 = 0xc000_0081;
const MSR_LSTAR: u32 = 0xc000_0082;
const MSR_SFMASK: u32 = 0xc000_0084;

/// What KVM supports of the processor's optional features. CR4 and XCR0 must be chosen from
/// this, never from the host's own `cpuid`: KVM refuses the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// CR4 for user code.
    pub(crate) cr4: u64,
    /// XCR0 to set, or `None` if KVM does not virtualise XSAVE.
    pub(crate) xcr0: Option<u64>,
    /// Bytes of an XSAVE area (standard format) with all components that user code has.
    pub(crate) vector_size: usize,
}

impl Features {
    /// Reads them off the CPUID table that KVM supports.
    pub(crate) fn of(cpuid: &CpuId) -> Self {
        let register = |function, index, pick: fn(&kvm_bindings::kvm_cpuid_entry2) -> u32| {
            cpuid
                .as_slice()
                .iter()
                .find(|entry| entry.function == function && entry.index == index)
                .map_or(0, pick)
        };
        let basic = register(1, 0, |entry| entry.ecx);
        let seven_b = register(7, 0, |entry| entry.ebx);
        let seven_c = register(7, 0, |entry| entry.ecx);
        let end_of = |component| {
            let size = register(0xd, component, |entry| entry.eax);
            register(0xd, component, |entry| entry.ebx) + size
        };
        let when = |bit: bool, value| if bit { value } else { 0 };
        let xsave = basic >> 26 & 1 != 0;
        let components = u64::from(register(0xd, 0, |entry| entry.eax));
        let group = |mask| when(components & mask == mask, mask);
        let xcr0 = xsave.then(|| XCR0_X87_SSE | group(XCR0_AVX) | group(XCR0_AVX512));
        let vector_size = match xcr0 {
            Some(xcr0) => (2..32)
                .filter(|component| xcr0 >> component & 1 != 0)
                .map(end_of)
                .fold(LEGACY_SIZE, u32::max),
            // KVM leaves XCR0 as it is in the host.
            None => __cpuid_count(0xd, 0).ebx,
        };
        Self {
            cr4: CR4_PAE
                | CR4_OSFXSR
                | CR4_OSXMMEXCPT
                | when(xsave, CR4_OSXSAVE)
                | when(seven_b & 1 != 0, CR4_FSGSBASE)
                | when(seven_b >> 7 & 1 != 0, CR4_SMEP)
                | when(seven_c >> 2 & 1 != 0, CR4_UMIP),
            xcr0,
            vector_size: to_usize(u64::from(vector_size.clamp(LEGACY_SIZE, LARGEST_SIZE))),
        }
    }
}

impl Features {
    /// The same without supervisor-mode execution prevention.
    pub(crate) fn without_smep(self) -> Self {
        Self {
            cr4: self.cr4 & !CR4_SMEP,
            ..self
        }
    }
}

fn segment(selector: u16, kind: u8, ring: u8, code: bool) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: u32::MAX,
        selector,
        type_: kind,
        present: 1,
        dpl: ring,
        db: u8::from(!code),
        s: 1,
        l: u8::from(code),
        g: 1,
        ..kvm_segment::default()
    }
}

/// Special registers for user code, on top of `fresh` (what a new vCPU has).
pub(crate) fn user_mode(fresh: &kvm_sregs, features: Features, root: u64, gs: u64) -> kvm_sregs {
    let data = segment(USER_DATA, 3, 3, false);
    let mut special = *fresh;
    special.cr0 = CR0;
    special.cr3 = root;
    special.cr4 = features.cr4;
    special.efer = EFER;
    special.cs = segment(USER_CODE, 11, 3, true);
    special.ss = data;
    special.ds = data;
    special.es = data;
    special.fs = data;
    special.gs = kvm_segment { base: gs, ..data };
    special.tr = kvm_segment {
        base: layout::SYSTEM + layout::TSS,
        limit: TASK_LIMIT,
        selector: TASK,
        type_: 11,
        present: 1,
        ..kvm_segment::default()
    };
    // There are no local descriptors. A fresh vCPU has a table at 0 with a limit of 64 KiB.
    special.ldt = kvm_segment {
        unusable: 1,
        ..kvm_segment::default()
    };
    special.gdt.base = layout::SYSTEM + layout::GDT;
    special.gdt.limit = GDT_SIZE - 1;
    special.idt.base = layout::SYSTEM + layout::IDT;
    special.idt.limit = IDT_SIZE - 1;
    special
}

/// Puts the two segments that make ring 3 into `special`.
pub(crate) fn enter_user_mode(special: &mut kvm_sregs) {
    special.cs = segment(USER_CODE, 11, 3, true);
    special.ss = segment(USER_DATA, 3, 3, false);
}

/// Puts the two segments that make ring 0 into `special`.
pub(crate) fn enter_kernel_mode(special: &mut kvm_sregs) {
    special.cs = segment(KERNEL_CODE, 11, 0, true);
    special.ss = segment(KERNEL_DATA, 3, 0, false);
}

/// The model-specific registers behind `syscall` and `sysret`.
pub(crate) fn syscall_registers(entry: u64) -> [kvm_msr_entry; 3] {
    let star = u64::from(USER_BASE) << 48 | u64::from(KERNEL_CODE) << 32;
    let msr = |index, data| kvm_msr_entry {
        index,
        data,
        ..kvm_msr_entry::default()
    };
    [
        msr(MSR_STAR, star),
        msr(MSR_LSTAR, entry),
        msr(MSR_SFMASK, SYSCALL_MASK),
    ]
}
