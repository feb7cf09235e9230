//! Programs in their three stages: [`Booting`], [`Template`], [`Fork`].
//!
//! A program boots in a VM of its own on shared memory. [`Booting::freeze`] ends that VM and
//! seals the memory. Each [`Fork`] is a VM with a private copy-on-write view of it; a fork is
//! called, and [`Fork::reset`] copies back the pages that the dirty ring named.
//!
//! ```text
//! life      what a program goes through, and what becomes of a fork
//! vcpu      one VM: entering it, why it stopped, how it goes on
//! memory    address space, page tables, frames, slots, and which pages changed
//! flavour   how this KVM runs guests
//! ```

mod flavour;
mod life;
mod memory;
mod vcpu;

pub use flavour::Flavour;
pub use life::backtrace::backtrace;
pub use life::booting::{BootOptions, Booting, Loaded};
pub use life::fork::{Fork, Pieces, ResetReport};
pub use life::template::Template;
pub use vcpu::engine::Engine;
pub use vcpu::exit::{Exception, Exit};
