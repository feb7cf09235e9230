//! What a stopped vCPU stands in.

/// What the vCPU stands in, and so how it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The vCPU has the registers that it goes on with.
    Plain,
    /// A system call: RCX and R11 are overwritten on the way back.
    Syscall,
    /// Anything: it goes on in ring 3 with exactly the registers that are shown.
    Context,
}
