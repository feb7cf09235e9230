//! Host mappings of guest memory.
//!
//! Invariants that the `unsafe` blocks rely on:
//! - `base..base + length` is mapped from construction to drop, by this object alone;
//! - the guest runs only inside [`Vcpu::run`](crate::kvm::Vcpu), which takes the owner of the
//!   mapping by `&mut`: while a shared borrow of the bytes exists, no vCPU writes them.

use std::ptr::NonNull;

use super::Memfd;
use super::memfd::LARGE_PAGE;
use crate::EngineError;
use crate::units::to_usize;

/// How a mapping relates to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Writes go to the file: a program that boots.
    Shared,
    /// Writes stay in this mapping: a fork.
    Private,
    /// No writes: the frozen state to copy back from.
    ReadOnly,
}

/// A mapped range of host memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping is plain memory owned by this object; sharing follows the borrow rules.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` allows only reads.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `file`.
    pub(crate) fn of_file(file: &Memfd, sharing: Sharing) -> Result<Self, EngineError> {
        let (protection, flags) = match sharing {
            Sharing::Shared => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
            Sharing::Private => (
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_NORESERVE,
            ),
            // Private, because kernels before 6.7 refuse any shared mapping of a sealed memfd.
            Sharing::ReadOnly => (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_NORESERVE),
        };
        Self::map(
            to_usize(file.length()),
            protection,
            flags,
            file.descriptor(),
            0,
        )
    }

    /// Maps a part of a host file, for guests to read: nothing here may read it, see
    /// [`FileMapping`](super::FileMapping). Its address is aligned like the offset in the file.
    pub(super) fn of_host_file(
        descriptor: i32,
        offset: u64,
        length: usize,
    ) -> Result<Self, EngineError> {
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let mapping = Self::map(length, libc::PROT_READ, flags, descriptor, offset)?;
        // SAFETY: advice on a mapping of ours; it changes no contents, and may fail.
        unsafe {
            libc::madvise(mapping.base.as_ptr().cast(), length, libc::MADV_HUGEPAGE);
        }
        Ok(mapping)
    }

    /// Maps `length` bytes of zeroed anonymous memory.
    pub(crate) fn anonymous(length: usize) -> Result<Self, EngineError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Self::map(length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
    }

    fn map(
        length: usize,
        protection: i32,
        flags: i32,
        fd: i32,
        file_offset: u64,
    ) -> Result<Self, EngineError> {
        let file_offset = i64::try_from(file_offset)
            .map_err(|_| EngineError::Internal("a file offset out of range"))?;
        let align = if length >= LARGE_PAGE {
            LARGE_PAGE
        } else {
            4096
        };
        let map = |at: *mut libc::c_void, length, protection, flags, fd, offset| {
            // SAFETY: a new mapping where the kernel chooses, or (MAP_FIXED) inside the range that
            // was reserved just before and that nothing else uses.
            let base = unsafe { libc::mmap(at, length, protection, flags, fd, offset) };
            if base == libc::MAP_FAILED {
                return Err(EngineError::last_os("mmap of guest memory"));
            }
            Ok(base)
        };
        // Large pages need an address that is aligned like the file offset: reserve more, map
        // inside, give back the ends.
        let reserve = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let spare = align - 4096;
        let start = map(
            std::ptr::null_mut(),
            length + spare,
            libc::PROT_NONE,
            reserve,
            -1,
            0,
        )?
        .cast::<u8>();
        let beyond = to_usize(file_offset.unsigned_abs()) % align;
        let head = (start.align_offset(align) + beyond) % align;
        let base = start.wrapping_add(head);
        // Where the kernel refuses (ENOMEM: a process has only so many mappings), the ends stay
        // reserved: addresses, of which there are plenty, and no memory.
        // SAFETY: both ends lie in the reservation and not in the mapping that stays.
        let unmap = |at: *mut u8, length: usize| unsafe {
            if length > 0 {
                libc::munmap(at.cast(), length);
            }
        };
        unmap(start, head);
        unmap(base.wrapping_add(length), spare - head);
        if let Err(error) = map(
            base.cast(),
            length,
            protection,
            flags | libc::MAP_FIXED,
            fd,
            file_offset,
        ) {
            unmap(base, length);
            return Err(error);
        }
        let base = NonNull::new(base).ok_or(EngineError::Internal("mmap returned null"))?;
        Ok(Self { base, length })
    }

    /// Makes the kernel back a range of this shared mapping of a memfd with large pages, where it
    /// can. It works whatever the administrator's setting for transparent huge pages is.
    pub(crate) fn collapse(&mut self, offset: u64, length: usize) {
        let Some(range) = self.bytes_mut(offset, length) else {
            return;
        };
        // SAFETY: the range lies in this mapping; contents do not change. Failure is harmless:
        // the pages stay small.
        unsafe { libc::madvise(range.as_mut_ptr().cast(), length, libc::MADV_COLLAPSE) };
    }

    /// Length in bytes.
    pub(crate) fn length(&self) -> usize {
        self.length
    }

    /// The host address, for `KVM_SET_USER_MEMORY_REGION`.
    pub(crate) fn host_address(&self) -> u64 {
        self.base.as_ptr() as u64
    }

    /// The bytes `offset..offset + length`, or `None` if they are not all inside.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: the range is inside the mapping (checked above) and readable; by the module's
        // invariant nothing writes it while `self` is borrowed.
        Some(unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(offset), length) })
    }

    /// The bytes `offset..offset + length` to write, or `None` if they are not all inside.
    /// Not for [`Sharing::ReadOnly`] mappings.
    pub(crate) fn bytes_mut(&mut self, offset: u64, length: usize) -> Option<&mut [u8]> {
        let offset = usize::try_from(offset).ok()?;
        if offset.checked_add(length)? > self.length {
            return None;
        }
        // SAFETY: as `bytes`, and `&mut self` makes the borrow exclusive.
        Some(unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr().add(offset), length) })
    }

    /// Reads the 64-bit value at an 8-byte aligned offset; 0 outside the mapping.
    pub(crate) fn load(&self, offset: u64) -> u64 {
        self.bytes(offset, 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    }

    /// Gives the memory of a page-aligned range of this shared mapping of a memfd back: it reads
    /// as zero from now on.
    pub(crate) fn punch(&mut self, offset: u64, length: usize) {
        let Some(range) = self.bytes_mut(offset, length) else {
            return;
        };
        // SAFETY: the range lies in this mapping, which is exclusively borrowed.
        let result = unsafe { libc::madvise(range.as_mut_ptr().cast(), length, libc::MADV_REMOVE) };
        if result != 0 {
            range.fill(0);
        }
    }

    /// Drops this private mapping's own copies of the pages of a page-aligned range.
    ///
    /// # Errors
    /// If the range is none of this mapping, or the kernel keeps the pages, as it does if they are
    /// locked: what was written to them is still there then.
    pub(crate) fn drop_private_pages(
        &mut self,
        offset: u64,
        length: usize,
    ) -> Result<(), EngineError> {
        let range = self
            .bytes_mut(offset, length)
            .ok_or(EngineError::Internal("private pages to be dropped"))?;
        // SAFETY: the range lies in this mapping, which is exclusively borrowed.
        let result =
            unsafe { libc::madvise(range.as_mut_ptr().cast(), length, libc::MADV_DONTNEED) };
        if result != 0 {
            return Err(EngineError::last_os("madvise(MADV_DONTNEED)"));
        }
        Ok(())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range was mapped by `map` and nothing borrows it any more.
        let result = unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
        if result != 0 {
            // ENOMEM: the kernel had joined it with a neighbour, and has no mapping left to split it
            // off. Its addresses stay taken; its memory is given back, as far as it can be.
            // SAFETY: as above.
            unsafe {
                libc::madvise(self.base.as_ptr().cast(), self.length, libc::MADV_DONTNEED);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_pages_that_the_kernel_keeps_are_an_error() {
        let mut mapping = Mapping::anonymous(4096).unwrap();
        mapping.bytes_mut(0, 1).unwrap()[0] = 1;
        let page = mapping.bytes_mut(0, 4096).unwrap().as_mut_ptr();
        // SAFETY: locks a page of a mapping of ours, which does not change it.
        assert_eq!(unsafe { libc::mlock(page.cast(), 4096) }, 0);
        let refused = mapping.drop_private_pages(0, 4096);
        assert!(
            matches!(refused, Err(EngineError::System { operation, .. }) if operation.contains("DONTNEED"))
        );
        assert_eq!(mapping.bytes(0, 1).unwrap(), [1]);
        // SAFETY: as above.
        assert_eq!(unsafe { libc::munlock(page.cast(), 4096) }, 0);
        mapping.drop_private_pages(0, 4096).unwrap();
        assert_eq!(mapping.bytes(0, 1).unwrap(), [0]);
        assert!(mapping.drop_private_pages(4096, 4096).is_err());
    }
}
