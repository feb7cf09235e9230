//! Pure plans: what goes where, as values. No system calls, no `unsafe`, no KVM.

pub(crate) mod elf;
pub(crate) mod layout;
pub(crate) mod page_table;
