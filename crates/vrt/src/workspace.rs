//! Memory that lives as long as the task.

use std::ffi::{c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use thiserror::Error;

use crate::ffi;

/// The workspace has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("out of workspace: {wanted} bytes wanted, {free} free")]
pub struct NoRoom {
    /// Bytes asked for.
    pub wanted: usize,
    /// Bytes there were.
    pub free: usize,
}

/// A workspace. What is allocated stays until Varnish rolls it back, at the end of the task.
#[derive(Debug)]
pub struct Workspace<'c> {
    raw: NonNull<ffi::ws>,
    context: PhantomData<&'c ()>,
}

impl<'c> Workspace<'c> {
    /// # Safety
    /// `raw` is NULL or points to a workspace that this thread alone uses during `'c`.
    pub(crate) unsafe fn from_raw(raw: *mut ffi::ws) -> Option<Self> {
        let raw = NonNull::new(raw)?;
        // SAFETY: not NULL, and points to a workspace.
        (unsafe { raw.as_ref() }.magic == ffi::WS_MAGIC).then_some(Self {
            raw,
            context: PhantomData,
        })
    }

    /// How many bytes are left.
    #[must_use]
    pub fn free(&mut self) -> usize {
        // SAFETY: a valid workspace without a reservation; the one made here is given back whole.
        unsafe {
            let free = ffi::WS_ReserveAll(self.raw.as_ptr());
            ffi::WS_Release(self.raw.as_ptr(), 0);
            free as usize
        }
    }

    /// Allocates `size` bytes, aligned for any type.
    ///
    /// Unlike Varnish's own allocation this leaves no mark of overflow when it fails: whether the
    /// task goes on is for the caller to say.
    ///
    /// # Errors
    /// The workspace is full.
    pub fn allocate(&mut self, size: usize) -> Result<NonNull<c_void>, NoRoom> {
        // SAFETY: a valid workspace without a reservation: nobody else uses it meanwhile.
        let free = unsafe { ffi::WS_ReserveAll(self.raw.as_ptr()) } as usize;
        // SAFETY: the reservation that was just made begins at the free pointer.
        let start = unsafe { self.raw.as_ref() }.f.cast::<c_void>();
        // Varnish rounds up, and never past the end, which is rounded already.
        let granted = u32::try_from(size).ok().filter(|_| size <= free);
        // SAFETY: not more than was reserved.
        unsafe { ffi::WS_Release(self.raw.as_ptr(), granted.unwrap_or(0)) };
        match (granted, NonNull::new(start)) {
            (Some(_), Some(start)) => Ok(start),
            _ => Err(NoRoom { wanted: size, free }),
        }
    }

    /// Copies bytes and puts a NUL behind them.
    ///
    /// # Errors
    /// The workspace is full.
    pub fn copy_string(&mut self, bytes: &[u8]) -> Result<*const c_char, NoRoom> {
        let start = self.allocate(bytes.len().saturating_add(1))?.cast::<u8>();
        // SAFETY: that many bytes were allocated for us, so they don't overlap the source.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), start.as_ptr(), bytes.len());
            start.as_ptr().add(bytes.len()).write(0);
        }
        Ok(start.as_ptr().cast::<c_char>().cast_const())
    }

    /// Makes a string of at most `length` bytes: `fill` writes it and returns how long it became.
    ///
    /// # Errors
    /// The workspace is full; `fill` was not called.
    pub fn make_string(
        &mut self,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> Result<*const c_char, NoRoom> {
        let start = self.allocate(length.saturating_add(1))?.cast::<u8>();
        // SAFETY: `length + 1` bytes were allocated for us; all of them are written here before
        // anybody reads one.
        let bytes = unsafe {
            start.as_ptr().write_bytes(0, length + 1);
            std::slice::from_raw_parts_mut(start.as_ptr(), length)
        };
        let end = fill(bytes).min(length);
        // SAFETY: not behind the last byte.
        unsafe { start.as_ptr().add(end).write(0) };
        Ok(start.as_ptr().cast::<c_char>().cast_const())
    }

    /// Runs a function of Varnish that puts something here, as if nothing had been lost before.
    ///
    /// When anything finds no room, as a header field too many does, Varnish marks the workspace,
    /// and some of its functions give up from then on, without a word, however much room there is.
    ///
    /// # Errors
    /// What the function wanted to store is lost. Afterwards the mark is at least what it was.
    pub(crate) fn unmarked<T>(&mut self, function: impl FnOnce() -> T) -> Result<T, NoRoom> {
        let raw = self.raw.as_ptr();
        // SAFETY: a valid workspace. The mark is the case of the first letter of its name.
        let lost = unsafe {
            let lost = ffi::WS_Overflowed(raw) != 0;
            let letter = &mut (*raw).id[0];
            *letter = letter.cast_unsigned().to_ascii_lowercase().cast_signed();
            lost
        };
        let free = self.free();
        let result = function();
        // SAFETY: a valid workspace.
        unsafe {
            if ffi::WS_Overflowed(raw) != 0 {
                let wanted = free.saturating_add(1);
                return Err(NoRoom { wanted, free });
            }
            if lost {
                ffi::WS_MarkOverflow(raw);
            }
        }
        Ok(result)
    }

    /// Allocates room for a value of C, all zero.
    ///
    /// # Errors
    /// The workspace is full.
    ///
    /// # Safety
    /// All-zero bytes are a valid `T`.
    pub(crate) unsafe fn zeroed<T>(&mut self) -> Result<NonNull<T>, NoRoom> {
        let start = self.allocate(size_of::<T>())?.cast::<T>();
        // SAFETY: allocated for a `T`; workspace memory is aligned for pointers, which is as
        // much as the structures of C that are put there need.
        unsafe { start.as_ptr().write_bytes(0, 1) };
        Ok(start)
    }
}
