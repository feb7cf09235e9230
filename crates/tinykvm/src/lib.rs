//! The engine: boots an ELF program in KVM, freezes it, forks it, calls it and resets it.
//!
//! It knows neither Linux nor HTTP: a stopped guest says what it wants ([`Exit`]), and the
//! layers above answer through the [`Guest`] trait.
//!
//! ```text
//! Image -> Booting -> freeze() -> Template -> fork() -> Fork -> begin, call, run, end, reset
//! ```
//!
//! # Layers
//!
//! ```text
//! machine      programs as they boot, freeze and fork; their memory and vCPU
//! kvm          every ioctl, and what goes with them
//! arch, mem    tables and code that the processor wants; every mmap of guest memory
//! error        what can go wrong
//! limits       what a program may use
//! plan         where everything is: the layout, ELF files, page tables
//! units        conversions between integers
//! guest        what the layers above see of a guest
//! ```
//!
//! A guest is hostile. It may execute any instruction at ring 3, write to any port, and point
//! anywhere; the host looks only at what the processor and KVM vouch for.

mod arch;
mod error;
mod guest;
mod kvm;
mod limits;
mod machine;
mod mem;
mod plan;
mod units;

pub use arch::x86_64::stubs::MOST_ANSWERS;
pub use error::EngineError;
pub use guest::{
    Advice, BadAddress, Guest, MapError, MappedRange, PAGE_SIZE, Placement, Protection, Registers,
    Segment, VectorState,
};
pub use kvm::{DEVICE_PATH_VARIABLE, Requirement, Stopper, ioctl_count, requirements};
pub use limits::Limits;
pub use machine::{
    BootOptions, Booting, Engine, Exception, Exit, Flavour, Fork, Loaded, Pieces, ResetReport,
    Template, backtrace,
};
pub use plan::elf::{ElfError, Image};
