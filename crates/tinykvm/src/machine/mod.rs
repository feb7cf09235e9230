//! Programs in their three stages: [`Booting`], [`Template`], [`Fork`].
//!
//! A program boots in a VM of its own on shared memory. [`Booting::freeze`] ends that VM and
//! seals the memory. Each [`Fork`] is a VM with a private copy-on-write view of it; a fork is
//! called, and [`Fork::reset`] copies back the pages that the dirty ring named.

mod access;
mod address_space;
mod ahead;
mod answers;
mod backtrace;
mod book;
mod booting;
mod clock;
mod context;
mod core;
mod delegate;
mod dirty;
mod editor;
mod edits;
mod engine;
mod exit;
mod failure;
mod files;
mod flush;
mod fork;
mod guest_memory;
mod lent;
mod paging;
mod probe;
mod slice;
mod slots;
mod system;
mod template;
mod vectors;

pub use backtrace::backtrace;
pub use booting::{BootOptions, Booting, Limits, Loaded};
pub use engine::Engine;
pub use exit::{Exception, Exit};
pub use fork::{Fork, Pieces, ResetReport};
pub use probe::Flavour;
pub use template::Template;
