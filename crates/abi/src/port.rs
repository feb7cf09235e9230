//! I/O ports. User-mode code can reach all of them, so the host trusts nothing that arrives.

/// Hypercalls: a 32-bit write of the call number.
pub const PORT_HYPERCALL: u16 = 0;

/// The engine's own channel for system calls: its `syscall` entry stub writes here. Not a
/// contract; a program that writes here itself only confuses itself.
pub const PORT_SYSCALL: u16 = 0x10;

/// The engine's own channel for CPU exceptions: its stubs write to this port plus the exception
/// vector (0..=31). A program that writes here itself ends as if it had caused that exception.
pub const PORT_EXCEPTION: u16 = 0x80;
