//! Writing page tables in guest memory.

use super::book::Frames;
use super::guest_memory::{GuestMemory, Loads};
use crate::plan::layout::MAIN_PHYSICAL;
use crate::plan::page_table::TableMemory;
use crate::{EngineError, PAGE_SIZE};

/// Page tables in guest memory, with frames to grow them.
#[derive(Debug)]
pub(crate) struct Editor<'a> {
    memory: &'a mut GuestMemory,
    frames: &'a mut Frames,
}

impl<'a> Editor<'a> {
    /// An editor of the tables in `memory`.
    pub(crate) fn new(memory: &'a mut GuestMemory, frames: &'a mut Frames) -> Self {
        Self { memory, frames }
    }

    /// Gives `memory` an empty top table.
    pub(crate) fn with_root(
        memory: &'a mut GuestMemory,
        frames: &'a mut Frames,
    ) -> Result<Self, EngineError> {
        let mut editor = Self::new(memory, frames);
        let root = editor
            .allocate()
            .ok_or(EngineError::Internal("no room for page tables"))?;
        editor.memory.root = root;
        Ok(editor)
    }

    /// Guest-physical address of the top table.
    pub(crate) fn root(&self) -> u64 {
        self.memory.root
    }

    /// Takes up to `count` frames that follow each other: the first, and how many.
    pub(crate) fn take_frames(&mut self, count: u64) -> Option<(u64, u64)> {
        self.frames.take_run(count)
    }

    /// Bytes of main memory.
    pub(crate) fn main_length(&self) -> u64 {
        self.memory.main.length() as u64
    }
}

impl TableMemory for Editor<'_> {
    fn load(&self, physical: u64) -> u64 {
        Loads(self.memory).load(physical)
    }

    fn store(&mut self, physical: u64, entry: u64) {
        self.memory.forget_walks();
        let before = self.load(physical);
        let forked = self.memory.tracker.is_some();
        if let Some(place) = self.memory.engine_memory_mut(physical, 8) {
            place.copy_from_slice(&entry.to_le_bytes());
            self.memory.edits.note(physical, before, entry, forked);
        }
    }

    fn allocate(&mut self) -> Option<u64> {
        self.frames
            .take()
            .map(|frame| MAIN_PHYSICAL + frame * PAGE_SIZE)
    }
}
