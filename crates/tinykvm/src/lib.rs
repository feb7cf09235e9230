//! The engine: boots an ELF program in KVM, freezes it, forks it, calls it and resets it.
//!
//! It knows neither Linux nor HTTP: a stopped guest says what it wants ([`Exit`]), and the
//! layers above answer through the [`Guest`] trait.
//!
//! ```text
//! Image -> Booting -> freeze() -> Template -> fork() -> Fork -> begin, call, run, end, reset
//! ```
//!
//! A guest is hostile. It may execute any instruction at ring 3, write to any port, and point
//! anywhere; the host looks only at what the processor and KVM vouch for.

mod arch;
mod error;
mod guest;
mod kvm;
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
pub use machine::{
    BootOptions, Booting, Engine, Exception, Exit, Flavour, Fork, Limits, Loaded, Pieces,
    ResetReport, Template, backtrace,
};
pub use plan::elf::{ElfError, Image};
