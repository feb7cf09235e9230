//! The part of the address space that belongs to programs.

use crate::wire::errno::{EFAULT, Errno};

/// First address above user memory (`TASK_SIZE_MAX` with 4-level page tables).
pub(crate) const USER_END: u64 = 0x7fff_ffff_f000;

/// The most bytes that one call reads or writes (`MAX_RW_COUNT` in linux/fs.h).
pub(crate) const LONGEST_TRANSFER: u64 = 0x7fff_f000;

/// Fails unless `address..address + length` lies in the user half. Says nothing about mappings.
pub(crate) fn check_user_range(address: u64, length: u64) -> Result<(), Errno> {
    match address.checked_add(length) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(EFAULT),
    }
}
