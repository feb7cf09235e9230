//! GDT, IDT and TSS as bytes (Intel SDM volume 3, chapters 3, 6 and 8).

use crate::plan::layout;
use crate::units::to_usize;

/// Selector of the ring-0 code segment.
pub(crate) const KERNEL_CODE: u16 = 0x08;
/// Selector of the ring-0 data segment.
pub(crate) const KERNEL_DATA: u16 = 0x10;
/// Selector base that `sysret` adds 8 and 16 to.
pub(crate) const USER_BASE: u16 = 0x1b;
/// Selector of the ring-3 data segment.
pub(crate) const USER_DATA: u16 = 0x23;
/// Selector of the ring-3 code segment.
pub(crate) const USER_CODE: u16 = 0x2b;
/// Selector of the task state segment.
pub(crate) const TASK: u16 = 0x30;
/// Bytes of the GDT: six 8-byte descriptors and the 16-byte TSS descriptor.
pub(crate) const GDT_SIZE: u16 = 8 * 8;
/// Exception vectors. There are no interrupts in a guest: it has no interrupt controller.
pub(crate) const VECTORS: u8 = 32;
/// Bytes of the IDT.
pub(crate) const IDT_SIZE: u16 = 32 * 16;
/// Bytes of the TSS proper (SDM volume 3, figure 8-11).
const TSS_SIZE: u64 = 104;
/// Bytes of a complete I/O permission bitmap and its terminating byte.
const IO_BITMAP_SIZE: u64 = 65536 / 8 + 1;
/// Limit of the task segment: TSS, I/O bitmap and terminator.
pub(crate) const TASK_LIMIT: u32 = 104 + 65536 / 8;

/// The exception vectors whose frame has an error code (SDM volume 3, table 6-1).
pub(crate) fn has_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

/// The global descriptor table. Code and data are flat; the TSS lies at `base + TSS`.
pub(crate) fn gdt(base: u64) -> [u64; 8] {
    let task = base + layout::TSS;
    let low = u64::from(TASK_LIMIT & 0xffff)
        | (task & 0xff_ffff) << 16
        | 0x8b << 40
        | u64::from(TASK_LIMIT >> 16) << 48
        | (task >> 24 & 0xff) << 56;
    [
        0,
        0x00af_9b00_0000_ffff, // ring 0 code, 64-bit
        0x00cf_9300_0000_ffff, // ring 0 data
        0x00af_fb00_0000_ffff, // ring 3 code: unused, what a 32-bit sysret would load
        0x00cf_f300_0000_ffff, // ring 3 data
        0x00af_fb00_0000_ffff, // ring 3 code, 64-bit
        low,
        task >> 32,
    ]
}

/// The interrupt descriptor table: a gate to each stub, all on IST 1, so that no exception
/// ever pushes its frame to an address that the guest chose.
pub(crate) fn idt(base: u64) -> Vec<u8> {
    let mut table = Vec::with_capacity(usize::from(IDT_SIZE));
    for vector in 0..u64::from(VECTORS) {
        let stub = base + layout::EXCEPTION_STUBS + vector * layout::STUB_SIZE;
        // int3 and into may be raised by ring 3 itself.
        let kind: u64 = if matches!(vector, 3 | 4) { 0xee } else { 0x8e };
        let low = (stub & 0xffff)
            | u64::from(KERNEL_CODE) << 16
            | 1 << 32
            | kind << 40
            | (stub >> 16 & 0xffff) << 48;
        table.extend_from_slice(&low.to_le_bytes());
        table.extend_from_slice(&(stub >> 32).to_le_bytes());
    }
    table
}

/// The task state segment with an I/O bitmap of zeros: ring 3 may use every port. (Hardware
/// takes IOPL 3 from RFLAGS instead; PVM loses IOPL at `syscall` but honours the bitmap.)
pub(crate) fn task_segment(base: u64) -> Vec<u8> {
    let mut task = vec![0; to_usize(TSS_SIZE + IO_BITMAP_SIZE)];
    let stack = (base + layout::EXCEPTION_STACK + crate::PAGE_SIZE).to_le_bytes();
    task[4..12].copy_from_slice(&stack); // RSP0
    task[36..44].copy_from_slice(&stack); // IST1
    task[102..104].copy_from_slice(&104u16.to_le_bytes()); // I/O bitmap offset
    if let Some(last) = task.last_mut() {
        *last = 0xff;
    }
    task
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_points_to_its_stub_on_the_exception_stack() {
        let base = layout::SYSTEM;
        let table = idt(base);
        for vector in [0usize, 3, 14, 31] {
            let gate = &table[vector * 16..vector * 16 + 16];
            let low = u64::from_le_bytes(gate[..8].try_into().unwrap());
            let high = u64::from_le_bytes(gate[8..].try_into().unwrap());
            let stub = (low & 0xffff) | (low >> 48) << 16 | high << 32;
            assert_eq!(stub, base + layout::EXCEPTION_STUBS + vector as u64 * 16);
            assert_eq!(low >> 32 & 7, 1, "interrupt stack table 1");
        }
    }

    #[test]
    fn the_tss_descriptor_carries_base_and_limit() {
        let table = gdt(layout::SYSTEM);
        let base = (table[6] >> 16 & 0xff_ffff) | (table[6] >> 56) << 24 | table[7] << 32;
        assert_eq!(base, layout::SYSTEM + layout::TSS);
        assert_eq!(table[6] & 0xffff, u64::from(TASK_LIMIT));
        assert_eq!(task_segment(0).len() as u64, u64::from(TASK_LIMIT) + 1);
    }
}
