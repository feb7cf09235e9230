//! How this host's KVM runs guests.

use std::fmt;

/// How KVM runs guests, which decides how system calls reach the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// SVM or VMX: `syscall` enters ring 0 inside the guest, and `sysretq` leaves it.
    Hardware,
    /// PVM, a KVM in software: `syscall` stays in ring 3, and the host returns to the caller.
    Pvm,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware virtualisation",
            Self::Pvm => "PVM (software)",
        })
    }
}
