//! Memory of a VM: which addresses a program has, the page tables that say so, the frames behind
//! them, and which of their pages a request changed.

pub(crate) mod access;
pub(crate) mod address_space;
pub(crate) mod ahead;
pub(crate) mod answers;
pub(crate) mod around;
pub(crate) mod book;
pub(crate) mod dirty;
pub(crate) mod editor;
pub(crate) mod edits;
pub(crate) mod file_slot;
pub(crate) mod frozen;
pub(crate) mod guest_memory;
pub(crate) mod paging;
pub(crate) mod slots;
pub(crate) mod system;
