//! A frozen program.

use std::sync::Arc;
use std::time::Duration;

use kvm_bindings::kvm_sregs;

use crate::Registers;
use crate::machine::memory::frozen::FrozenMemory;
use crate::machine::vcpu::engine::Engine;
use crate::plan::elf::Image;

/// A program as it was at the freeze: sealed memory, registers, address space. It cannot run;
/// its [forks](Self::fork) can. Share it as an [`Arc`].
#[derive(Debug)]
pub struct Template {
    pub(crate) engine: &'static Engine,
    pub(crate) image: Arc<Image>,
    pub(crate) memory: Arc<FrozenMemory>,
    pub(crate) registers: Registers,
    pub(crate) special: kvm_sregs,
    /// Where the stacks of called functions start: zeroed memory below the program's own frames.
    pub(crate) call_stack: u64,
    /// The program switches threads: system calls save vector state.
    pub(crate) keeps_vectors: bool,
    pub(crate) slice: Option<Duration>,
}

impl Template {
    /// The program's file.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }
}
