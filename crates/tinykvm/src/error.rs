//! Errors of the engine.

use std::io;

use thiserror::Error;

use crate::Limits;
use crate::plan::elf::ElfError;

/// What went wrong in the engine. Everything a guest can cause is an [`Exit`](crate::Exit), not
/// an error; after an error the VM it happened in is to be dropped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The KVM device could not be opened.
    #[error("cannot open {path}: {source}")]
    Device {
        /// The device file.
        path: String,
        /// The reason.
        source: io::Error,
    },
    /// The host's KVM lacks something the engine needs.
    #[error("KVM on this host lacks {name}")]
    Missing {
        /// The KVM capability or processor feature.
        name: &'static str,
    },
    /// A KVM or memory system call failed.
    #[error("{operation}: {source}")]
    System {
        /// The system call or ioctl, and on what.
        operation: &'static str,
        /// The reason.
        source: io::Error,
    },
    /// KVM did not take, or give back, a memory slot.
    #[error("KVM_SET_USER_MEMORY_REGION, slot {slot} at {address:#x}, {size} bytes: {source}")]
    Slot {
        /// The slot's number.
        slot: u32,
        /// Where it begins in guest-physical memory.
        address: u64,
        /// Its size in bytes; 0: it is taken away.
        size: u64,
        /// The reason.
        source: io::Error,
    },
    /// The vCPU stopped in a way that the guest alone cannot cause.
    #[error("the vCPU stopped with KVM exit reason {reason} at rip {rip:#x}")]
    UnexpectedExit {
        /// `KVM_EXIT_*` of linux/kvm.h.
        reason: u32,
        /// Where the guest was.
        rip: u64,
    },
    /// The program cannot be loaded.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// The program does not fit into its memory limit.
    #[error(
        "no room is left for {what}, which needs {} KiB, in a memory of {} KiB",
        .needed.div_ceil(1024), .limit / 1024
    )]
    NoMemory {
        /// What did not fit.
        what: &'static str,
        /// Bytes it needs.
        needed: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// No program can have so much memory, or so little.
    #[error(
        "the memory limit is {limit} bytes, where {} to {} MiB are possible",
        Limits::MEMORY.start() >> 20, Limits::MEMORY.end() >> 20
    )]
    MemoryRange {
        /// The limit in bytes.
        limit: u64,
    },
    /// The program's image lies where its interpreter's must go, or the stack.
    #[error(
        "the program's addresses are not free: its image overlaps its interpreter's or the stack"
    )]
    ImagesOverlap,
    /// The program's image has memory that is writable and executable.
    #[error("the program has a segment that is writable and executable, which it may not have")]
    WriteExecute,
    /// A guest range that the engine itself set up is not there: a bug, reported instead of a
    /// panic.
    #[error("internal guest mapping is broken: {0}")]
    Internal(&'static str),
}

impl EngineError {
    /// An error of the system call `operation`, from `errno`.
    pub(crate) fn last_os(operation: &'static str) -> Self {
        Self::System {
            operation,
            source: io::Error::last_os_error(),
        }
    }

    /// An error of the ioctl `operation`, as kvm-ioctls reports it.
    pub(crate) fn ioctl(operation: &'static str, error: kvm_ioctls::Error) -> Self {
        Self::System {
            operation,
            source: io::Error::from_raw_os_error(error.errno()),
        }
    }
}
