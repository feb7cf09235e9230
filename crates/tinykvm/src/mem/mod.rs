//! Every `mmap` and every raw pointer into guest memory.
//!
//! [`Memfd`] is a program's guest-physical memory; [`Mapping`] is one view of it, shared while
//! the program boots and private (copy-on-write by the host's kernel) in a fork. [`FileMapping`]
//! is a file that guests read in place.

mod file_mapping;
mod large_pages;
mod mapping;
mod memfd;

pub(crate) use file_mapping::{FileKey, FileMapping};
pub(crate) use mapping::{Mapping, Sharing};
pub(crate) use memfd::{LARGE_PAGE, Memfd, well_filled};
