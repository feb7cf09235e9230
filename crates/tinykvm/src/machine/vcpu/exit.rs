//! Why a guest stopped.

use std::fmt;

use crate::Registers;

/// Why [`run`](crate::Fork::run) returned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Exit {
    /// A system call: number in `rax`, arguments in `rdi rsi rdx r10 r8 r9`. The answer goes to
    /// `rax`; the next `run` goes on behind it.
    Syscall,
    /// A call of the guest ABI, arguments in `rdi rsi rdx rcx r8 r9`, answered in `rax`.
    Hypercall {
        /// The call's number.
        number: u32,
    },
    /// The function that was entered has returned.
    Returned {
        /// What it returned.
        value: u64,
    },
    /// A processor exception.
    Exception(Exception),
    /// The time limit.
    Deadline,
    /// The time slice that [`Guest::set_time_slice`](crate::Guest::set_time_slice) asked for.
    TimeSlice,
    /// The limit on private memory.
    MemoryLimit,
    /// A triple fault, or a state that KVM cannot go on from.
    Shutdown {
        /// `KVM_EXIT_*` of linux/kvm.h.
        reason: u32,
    },
}

/// A processor exception in the guest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exception {
    /// Vector, 0 to 31 (Intel SDM volume 3, table 6-1).
    pub vector: u8,
    /// Error code; 0 for vectors that have none.
    pub error_code: u64,
    /// The address that was accessed, for a page fault (CR2); else 0.
    pub address: u64,
    /// The registers at the faulting instruction.
    pub registers: Registers,
}

/// Names of the vectors that a guest can raise.
const NAMES: [(u8, &str); 16] = [
    (0, "divide error"),
    (1, "debug exception"),
    (3, "breakpoint"),
    (4, "overflow"),
    (5, "bound range exceeded"),
    (6, "invalid opcode"),
    (7, "device not available"),
    (8, "double fault"),
    (10, "invalid TSS"),
    (11, "segment not present"),
    (12, "stack-segment fault"),
    (13, "general protection fault"),
    (14, "page fault"),
    (16, "x87 floating-point error"),
    (17, "alignment check"),
    (19, "SIMD floating-point exception"),
];

/// The vector of a page fault.
pub(crate) const PAGE_FAULT: u8 = 14;
/// The vector of a general protection fault.
pub(crate) const GENERAL_PROTECTION: u8 = 13;

impl Exception {
    /// What the exception is called.
    #[must_use]
    pub fn name(&self) -> &'static str {
        let found = NAMES.iter().find(|(vector, _)| *vector == self.vector);
        found.map_or("reserved exception", |(_, name)| name)
    }

    /// The registers in four lines, for a log.
    #[must_use]
    pub fn register_lines(&self) -> [String; 4] {
        let r = &self.registers;
        [
            format!(
                "rax={:016x} rbx={:016x} rcx={:016x} rdx={:016x} rsi={:016x}",
                r.rax, r.rbx, r.rcx, r.rdx, r.rsi
            ),
            format!(
                "rdi={:016x} rbp={:016x} rsp={:016x} r8 ={:016x} r9 ={:016x}",
                r.rdi, r.rbp, r.rsp, r.r8, r.r9
            ),
            format!(
                "r10={:016x} r11={:016x} r12={:016x} r13={:016x} r14={:016x}",
                r.r10, r.r11, r.r12, r.r13, r.r14
            ),
            format!(
                "r15={:016x} rip={:016x} rflags={:08x}",
                r.r15, r.rip, r.rflags
            ),
        ]
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at rip {:#x}", self.name(), self.registers.rip)?;
        if self.vector == PAGE_FAULT {
            let access = match self.error_code {
                code if code & 16 != 0 => "fetch from",
                code if code & 2 != 0 => "write to",
                _ => "read of",
            };
            let kind = if self.error_code & 1 != 0 {
                "protected"
            } else {
                "unmapped"
            };
            write!(f, ", {access} {kind} address {:#x}", self.address)?;
        } else if self.error_code != 0 {
            write!(f, ", error code {:#x}", self.error_code)?;
        }
        Ok(())
    }
}
