//! A frozen program.

use std::sync::Arc;
use std::time::Duration;

use kvm_bindings::kvm_sregs;

use super::book::Book;
use super::core::Core;
use super::dirty::{FilledPages, Tracker};
use super::engine::Engine;
use super::fork::Fork;
use super::guest_memory::FileSlot;
use crate::mem::{Mapping, Memfd, Sharing};
use crate::plan::elf::Image;
use crate::{EngineError, Registers};

/// A program as it was at the freeze: sealed memory, registers, address space. It cannot run;
/// its [forks](Self::fork) can. Share it as an [`Arc`].
#[derive(Debug)]
pub struct Template {
    pub(super) engine: &'static Engine,
    pub(super) image: Arc<Image>,
    pub(super) memfd: Memfd,
    /// Where that memory is not zero.
    pub(super) filled: Arc<FilledPages>,
    /// The frozen memory, to copy back from.
    pub(super) view: Mapping,
    pub(super) root: u64,
    /// Files that are read in place.
    pub(super) files: Vec<FileSlot>,
    pub(super) book: Book,
    pub(super) registers: Registers,
    pub(super) special: kvm_sregs,
    /// Where the stacks of called functions start: zeroed memory below the program's own frames.
    pub(super) call_stack: u64,
    pub(super) request_pages: u64,
    /// The program switches threads: system calls save vector state.
    pub(super) keeps_vectors: bool,
    pub(super) slice: Option<Duration>,
}

impl Template {
    /// Creates a fork: a VM with a private view of the frozen memory.
    ///
    /// # Errors
    /// [`EngineError`] if KVM or the host's memory refuses.
    pub fn fork(self: &Arc<Self>) -> Result<Fork, EngineError> {
        let main = Mapping::of_file(&self.memfd, Sharing::Private)?;
        let ring = Tracker::ring_entries(self.request_pages);
        let mut core = Core::new(self.engine, main, self.root, self.book.clone(), ring)?;
        core.template = Some(Arc::clone(self));
        core.forget_threads(self);
        for file in &self.files {
            core.add_file(file)?;
        }
        core.start_vcpu(Some(&self.special), 0)?;
        Ok(Fork::new(core, Arc::clone(self)))
    }

    /// The program's file.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Pages that a fork may have for itself.
    pub(super) fn request_pages(&self) -> u64 {
        self.request_pages
    }
}
