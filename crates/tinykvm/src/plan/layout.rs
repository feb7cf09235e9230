//! The memory map of a guest.
//!
//! ```text
//! guest-physical                           guest-virtual
//! 0x0000_1000  host page (own slot)        0x0000_0000_0000  never mapped (null page and below 64 KiB)
//! 0x40_0000_0000 files, a slot each
//! 0x0020_0000  main memory = the memfd     image, then the heap
//!   +0x0000    GDT                         0x7d80_0000_0000  window on main memory, supervisor only
//!                                          0x7e00_0000_0000  arena: anonymous mappings
//!   +0x1000    IDT                         0x7fff_0000_0000  interpreter of a dynamic program
//!   +0x2000    exception stubs             0x7fff_e000_0000  top of the stack: fresh random bytes first; a guard below it
//!   +0x3000    TSS, I/O bitmap (3 pages)   0x7fff_ff80_0000  the engine's pages:
//!   +0x6000    exception stack               +0x00000  memfd +0..+0x7000, supervisor only
//!   +0x7000    user stubs                    +0x10000  user stubs (RX)
//!   +0x8000    vector image (4 pages)        +0x11000  vector image (R; RW while booting)
//!   +0xc000    vector area (4 pages)         +0x18000  vector area (RW), under PVM only
//!   +0x10000   vDSO image (R X)              +0x20000  host page (R): clock, vCPU record
//!   +0x20000   page tables and frames        +0x21000  vDSO image (R X)
//! ```

use std::ops::RangeInclusive;

/// Bytes of memory that a program can have: the least holds the engine's pages, a stack and a small
/// program; the most, in whole mebibytes, ends where the files begin.
pub(crate) const MEMORY: RangeInclusive<u64> =
    (2 << 20)..=((FILES_PHYSICAL - MAIN_PHYSICAL - FIRST_FRAME) >> 20 << 20);

/// Guest-physical address of the page that the host writes before every call.
pub(crate) const HOST_PAGE_PHYSICAL: u64 = 0x1000;
/// Guest-physical address of main memory. 2 MB aligned, so that 2 MB mappings are possible.
pub(crate) const MAIN_PHYSICAL: u64 = 0x20_0000;

/// Memory slot of the beginning of main memory.
pub(crate) const MAIN_SLOT: u32 = 0;
/// Memory slot of the host page.
pub(crate) const HOST_PAGE_SLOT: u32 = 1;
/// Memory slot that comes and goes to make KVM forget translations.
pub(crate) const FLUSH_SLOT: u32 = 2;
/// Where that slot lies: a page that no page table names.
pub(crate) const FLUSH_PHYSICAL: u64 = 0x1_0000;
/// Memory slot of the first file; the others follow.
pub(crate) const FIRST_FILE_SLOT: u32 = 3;
/// Most files in slots.
pub(crate) const MOST_FILES: usize = 64;
/// Memory slot of the second part of main memory, behind all files; the others follow.
pub(crate) const MORE_MAIN_SLOT: u32 = 256;

/// Offset of the global descriptor table in main memory.
pub(crate) const GDT: u64 = 0;
/// Offset of the interrupt descriptor table.
pub(crate) const IDT: u64 = 0x1000;
/// Offset of the exception stubs, [`STUB_SIZE`] bytes each.
pub(crate) const EXCEPTION_STUBS: u64 = 0x2000;
/// Bytes from one exception stub to the next.
pub(crate) const STUB_SIZE: u64 = 16;
/// Offset of the task state segment; its I/O bitmap follows.
pub(crate) const TSS: u64 = 0x3000;
/// Offset of the exception stack page.
pub(crate) const EXCEPTION_STACK: u64 = 0x6000;
/// Offset of the page with user-mode stubs.
pub(crate) const USER_STUBS: u64 = 0x7000;
/// Offset of the vector-state image (an XSAVE area).
pub(crate) const VECTOR_IMAGE: u64 = 0x8000;
/// Bytes reserved for the vector-state image.
pub(crate) const VECTOR_IMAGE_SIZE: u64 = 0x4000;
/// Offset of the memory in which the guest itself saves and loads the vector state of threads.
/// Its first words are for the stub that does it.
pub(crate) const VECTOR_AREA: u64 = 0xc000;
/// Offset of the state (an XSAVE area) in it.
pub(crate) const VECTOR_AREA_STATE: u64 = VECTOR_AREA + 64;
/// Bytes reserved for it.
pub(crate) const VECTOR_AREA_SIZE: u64 = 0x4000;
/// Offset of the vDSO image.
pub(crate) const VDSO: u64 = 0x1_0000;
/// Bytes reserved for the vDSO image.
pub(crate) const VDSO_SIZE: u64 = 0x1_0000;
/// Offset of the first page that is handed out for page tables and mappings.
pub(crate) const FIRST_FRAME: u64 = 0x2_0000;

/// Virtual address of the engine's own pages.
pub(crate) const SYSTEM: u64 = 0x7fff_ff80_0000;
/// Virtual address of the user-mode stubs.
pub(crate) const SYSTEM_USER_STUBS: u64 = SYSTEM + 0x1_0000;
/// Virtual address of the vector-state image.
pub(crate) const SYSTEM_VECTOR_IMAGE: u64 = SYSTEM + 0x1_1000;
/// Virtual address of the vector area.
pub(crate) const SYSTEM_VECTOR_AREA: u64 = SYSTEM + 0x1_8000;
/// Virtual address of the host page. The vDSO finds it one page below itself.
pub(crate) const SYSTEM_HOST_PAGE: u64 = SYSTEM + 0x2_0000;
/// Virtual address of the vDSO image.
pub(crate) const SYSTEM_VDSO: u64 = SYSTEM + 0x2_1000;

/// Lowest address a program may map: as Linux' default `vm.mmap_min_addr`.
pub(crate) const USER_START: u64 = 0x1_0000;
/// End of what a program may map. The engine's pages and a gap lie above.
pub(crate) const USER_END: u64 = 0x7fff_f000_0000;
/// Where ring 0 sees all of main memory: the tables that it edits are there. Not for users.
pub(crate) const WINDOW: u64 = 0x7d80_0000_0000;
/// End of the window: it has an entry of the top table to itself.
pub(crate) const WINDOW_END: u64 = 0x7e00_0000_0000;
/// Guest-physical address of the first file that is mapped in a slot of its own.
pub(crate) const FILES_PHYSICAL: u64 = 1 << 38;
/// End of those: what every processor with 39 address bits can reach.
pub(crate) const FILES_PHYSICAL_END: u64 = 1 << 39;
/// Where a position-independent program is loaded: where Linux would do it (without
/// randomisation), up to 2 MB alignment.
pub(crate) const IMAGE_BASE: u64 = 0x5555_5540_0000;
/// End of the addresses that an image may use.
pub(crate) const IMAGE_END: u64 = 0x7000_0000_0000;
/// Where the interpreter of a dynamically linked program is loaded.
pub(crate) const INTERPRETER_BASE: u64 = ARENA_END;
/// End of the addresses that it may use; a gap and the stack lie above.
pub(crate) const INTERPRETER_END: u64 = INTERPRETER_BASE + (256 << 20);
/// First address of the arena for mappings whose place the engine chooses.
pub(crate) const ARENA: u64 = 0x7e00_0000_0000;
/// End of the arena.
pub(crate) const ARENA_END: u64 = 0x7fff_0000_0000;
/// First address for mappings that do not fit into the arena: reservations of many terabytes.
pub(crate) const LOW_ARENA: u64 = 0x1000_0000_0000;
/// First address above the stack.
pub(crate) const STACK_TOP: u64 = 0x7fff_e000_0000;
/// Largest stack: Linux' default limit. Small programs get a quarter of their memory.
pub(crate) const STACK_SIZE: u64 = 8 << 20;
/// Random bytes at the top of the stack, fresh in each call.
pub(crate) const RANDOM_SIZE: usize = 16;
/// Where they are: in a page that most calls write anyway, so that a reset has little to do.
pub(crate) const RANDOM: u64 = STACK_TOP - RANDOM_SIZE as u64;

/// Offset in the host page of the byte that makes the stub of system calls save vector state.
pub(crate) const HOST_PAGE_KEEP: u64 = 1024;
/// Offset in the host page of RAX, RCX, RDX and RIP behind the stub that loads vector state.
pub(crate) const HOST_PAGE_TARGET: u64 = 1032;
/// Offset in the host page of the numbers of system calls that are answered without the host.
pub(crate) const HOST_PAGE_NUMBERS: u64 = 1064;
/// Offset of their results.
pub(crate) const HOST_PAGE_VALUES: u64 = 1104;
/// Offset of the vCPU record in the host page.
pub(crate) const HOST_PAGE_VCPU_RECORD: u64 = 2048;
