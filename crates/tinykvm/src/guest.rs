//! What the layers above the engine see of a stopped guest: its registers, its memory and its
//! address space.
//!
//! [`Guest`] is a trait so that a Linux personality or a guest API can be tested on a plain
//! byte buffer, without KVM. The engine's [`Booting`](crate::Booting) and
//! [`Fork`](crate::Fork) implement it.

use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

/// General-purpose registers as user-mode code sees them. After a system call `rip` is the
/// instruction behind `syscall` and `rflags` the caller's flags, whatever the trap path was.
pub use kvm_bindings::kvm_regs as Registers;

/// Size of a guest page in bytes (x86-64 base page, Intel SDM volume 3, 5.5).
pub const PAGE_SIZE: u64 = 4096;

/// A guest address range that is not mapped, or not with the needed permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("bad guest address {address:#x}, length {length}")]
pub struct BadAddress {
    /// First byte of the range that was asked for.
    pub address: u64,
    /// Length of that range in bytes.
    pub length: u64,
}

/// What code may do with a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Protection {
    /// Loads are allowed. (On x86-64 every accessible page is readable.)
    pub read: bool,
    /// Stores are allowed.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
}

impl Protection {
    /// No access at all: a guard page or a reservation.
    pub const NONE: Self = Self {
        read: false,
        write: false,
        execute: false,
    };
    /// Read-only data.
    pub const READ: Self = Self {
        read: true,
        write: false,
        execute: false,
    };
    /// Ordinary data.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
        execute: false,
    };
    /// Code.
    pub const READ_EXECUTE: Self = Self {
        read: true,
        write: false,
        execute: true,
    };

    /// True if neither loads, stores nor fetches are allowed.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// Where a new mapping should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere; the engine chooses.
    Anywhere,
    /// At this page-aligned address if it is free, else anywhere.
    Hint(u64),
    /// Exactly here, replacing what is mapped there.
    Fixed(u64),
    /// Exactly here, and only if nothing is mapped there.
    FixedFree(u64),
    /// At the lowest free place of [`Placement::LOW`].
    Low,
}

impl Placement {
    /// Where `MAP_32BIT` puts mappings: the second gigabyte.
    pub const LOW: std::ops::Range<u64> = 0x4000_0000..0x8000_0000;
}

/// What a program says about a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// It is to be zero in every fork (`MADV_WIPEONFORK`).
    WipeOnFork,
    /// It is to be in a fork as it was.
    KeepOnFork,
    /// A stack: it grows when what lies just below is touched (`MAP_GROWSDOWN`).
    GrowsDown,
    /// What is there comes from where the program writes: it may not become executable, as if it
    /// had been writable.
    Written,
}

/// Why an address-space operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapError {
    /// Address or length is not page-aligned, zero, or outside the user half.
    #[error("address {address:#x} or length {length:#x} is not valid for a mapping")]
    Invalid {
        /// The address asked for.
        address: u64,
        /// The length asked for.
        length: u64,
    },
    /// The program's memory limit, or the address space, is used up.
    #[error("no memory is left for a mapping of {} KiB", .length.div_ceil(1024))]
    NoMemory {
        /// The length asked for.
        length: u64,
    },
    /// `FixedFree` found something mapped there.
    #[error("address {address:#x} is already mapped")]
    Occupied {
        /// The address asked for.
        address: u64,
    },
    /// Both writable and executable, or first one and then the other, which the program may not
    /// have.
    #[error("memory that is or was writable may not be executable")]
    WriteExecute,
}

/// The two segment bases that user-mode code owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    /// `%fs`: thread-local storage.
    Fs,
    /// `%gs`: the per-vCPU record of the guest ABI.
    Gs,
}

/// Vector state of one guest thread: an XSAVE area in the standard format (Intel SDM volume 1,
/// 13.4), of the components that the guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorState(Arc<[u8]>);

impl VectorState {
    /// Takes an XSAVE area. What is no proper one faults when the guest loads it.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The area.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A mapped part of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedRange {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// What may be done with it.
    pub allow: Protection,
    /// It may be written, or could be before.
    pub written: bool,
}

/// A stopped guest: everything a system-call or guest-API handler may look at and change.
pub trait Guest {
    /// The registers at the stop.
    fn registers(&self) -> &Registers;

    /// The registers, to change before the guest goes on.
    fn registers_mut(&mut self) -> &mut Registers;

    /// Replaces all general registers. Unlike after [`Self::registers_mut`] the guest goes on with
    /// exactly these, as after an interrupt: RCX and R11 too, which a return from a system call
    /// overwrites.
    fn set_context(&mut self, registers: &Registers);

    /// The vector state at the stop. Where KVM fails it is that of a new thread, and nobody gets to
    /// see it: the guest does not go on, but the next run tells the error.
    fn vector_state(&mut self) -> VectorState;

    /// The vector state to go on with. Where KVM fails the guest does not go on: the next run tells
    /// the error.
    fn set_vector_state(&mut self, state: &VectorState);

    /// Results of system calls, by number, that the guest is to get without asking: nobody hears of
    /// these calls any more. They replace those given before, and hold over resets. The
    /// engine takes the first [`MOST_ANSWERS`](crate::MOST_ANSWERS) of them, a fake may take none; the
    /// other calls are asked for as ever.
    fn set_answers(&mut self, answers: &[(u32, u64)]) {
        let _ = answers;
    }

    /// Lets the guest run for `slice` of wall time (rounded up to what the timer can do), from the
    /// next run on and over system calls; then a run ends in user code with
    /// [`Exit::TimeSlice`](crate::Exit::TimeSlice), and a slice of the same length starts with the
    /// next. `None`: no slices.
    fn set_time_slice(&mut self, slice: Option<Duration>);

    /// Wall time until the current call's budget ends.
    fn time_left(&self) -> Duration;

    /// The base address of `%fs` or `%gs`.
    fn segment_base(&self, segment: Segment) -> u64;

    /// Sets the base address of `%fs` or `%gs`.
    fn set_segment_base(&mut self, segment: Segment, base: u64);

    /// Copies guest memory at `address` into `out`.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte of the range is not readable by user-mode code; `out` is then
    /// unspecified.
    fn read(&self, address: u64, out: &mut [u8]) -> Result<(), BadAddress>;

    /// Copies `length` bytes of guest memory at `address` into a new vector.
    ///
    /// # Errors
    /// As [`Guest::read`].
    fn read_vec(&self, address: u64, length: usize) -> Result<Vec<u8>, BadAddress> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies `data` into guest memory at `address`.
    ///
    /// # Errors
    /// [`BadAddress`] if any byte of the range is not writable by user-mode code. Bytes before
    /// the first bad page may have been written.
    fn write(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress>;

    /// Fails unless every byte of `address..address + length` is readable.
    ///
    /// # Errors
    /// [`BadAddress`] naming the range.
    fn check_readable(&self, address: u64, length: u64) -> Result<(), BadAddress>;

    /// Maps `length` bytes (rounded up to pages) of zeroed private memory and returns the address.
    ///
    /// # Errors
    /// See [`MapError`].
    fn map(&mut self, place: Placement, length: u64, allow: Protection) -> Result<u64, MapError>;

    /// As [`Self::map`], for memory that will be touched only in parts: it need not fit into the
    /// memory limit (`MAP_NORESERVE`).
    ///
    /// # Errors
    /// See [`MapError`].
    fn reserve(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
    ) -> Result<u64, MapError> {
        self.map(place, length, allow)
    }

    /// Maps `length` bytes of a file from `offset` on, read-only, in place: all forks share the
    /// host's page cache. `None` if that cannot be done here: then the file is to be read into
    /// memory. A fork takes what it maps so away at its reset.
    ///
    /// # Errors
    /// See [`MapError`].
    fn map_file(
        &mut self,
        place: Placement,
        length: u64,
        allow: Protection,
        file: BorrowedFd<'_>,
        offset: u64,
    ) -> Result<Option<u64>, MapError> {
        let _ = (place, length, allow, file, offset);
        Ok(None)
    }

    /// Moves mapped memory to another place, where it has `length` bytes: what is cut off is gone,
    /// what is added is zero. With `keep` the old range stays mapped, and is zero.
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if part of the old range is not mapped, or as [`Self::map`].
    fn remap(
        &mut self,
        old: u64,
        old_length: u64,
        place: Placement,
        length: u64,
        keep: bool,
    ) -> Result<u64, MapError>;

    /// The host is about to hold so many bytes for the guest in all, beside its memory: of a fork,
    /// for this one alone. False if both together would come close to the limit (a
    /// sixty-fourth of it is for the guest); else they count from now on.
    fn hold(&mut self, bytes: u64) -> bool {
        let _ = bytes;
        true
    }

    /// The host holds so many bytes for the guest in all, which count from now on. If that passes
    /// the limit the guest ends with its next stop.
    fn holds(&mut self, bytes: u64) {
        let _ = bytes;
    }

    /// True if memory may be written and executed
    /// ([`Limits::allow_write_execute`](crate::Limits::allow_write_execute)).
    fn allows_write_execute(&self) -> bool;

    /// Copies `data` into mapped memory, whatever user-mode code may do there: the contents of a
    /// mapping that is not writable.
    ///
    /// # Errors
    /// [`BadAddress`] if part of it is not mapped, or memory is used up.
    fn populate(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress>;

    /// Notes what the program says about a range.
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if part of it is not mapped, [`MapError::Invalid`],
    /// [`MapError::WriteExecute`] for [`Advice::Written`] about what is executable.
    fn advise(&mut self, address: u64, length: u64, advice: Advice) -> Result<(), MapError>;

    /// Removes the mappings of a page-aligned range; holes in it are no error.
    ///
    /// # Errors
    /// [`MapError::Invalid`] for a bad range.
    fn unmap(&mut self, address: u64, length: u64) -> Result<(), MapError>;

    /// Changes what may be done with a range.
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if part of it is not mapped, [`MapError::WriteExecute`],
    /// [`MapError::Invalid`].
    fn protect(&mut self, address: u64, length: u64, allow: Protection) -> Result<(), MapError>;

    /// Makes the contents of a mapped range zero again (`MADV_DONTNEED`).
    ///
    /// # Errors
    /// [`MapError::NoMemory`] if part of it is not mapped, [`MapError::Invalid`].
    fn discard(&mut self, address: u64, length: u64) -> Result<(), MapError>;

    /// The mapped range that contains `address`, or else the next one above it: one with the same
    /// rights throughout. Heap and stack are included.
    fn mapped(&self, address: u64) -> Option<MappedRange>;

    /// Moves the end of the heap to `wanted` and returns where it is then; with a value that is
    /// not possible (0, say) it stays where it is.
    fn set_heap_end(&mut self, wanted: u64) -> u64;

    /// Wall-clock time since the Unix epoch, from the same source as the guest's clock page.
    fn realtime(&self) -> Duration;

    /// Monotonic time, from the same source as the guest's clock page.
    fn monotonic(&self) -> Duration;

    /// Reads a little-endian 64-bit value.
    ///
    /// # Errors
    /// As [`Guest::read`].
    fn read_u64(&self, address: u64) -> Result<u64, BadAddress> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Reads a string up to its NUL, which is not returned.
    ///
    /// # Errors
    /// [`BadAddress`] if memory ends, or `limit` bytes pass, before a NUL.
    fn read_c_string(&self, address: u64, limit: usize) -> Result<Vec<u8>, BadAddress> {
        let bad = BadAddress {
            address,
            length: limit as u64,
        };
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < limit {
            let room = usize::try_from(PAGE_SIZE - at % PAGE_SIZE).unwrap_or(1);
            let mut chunk = vec![0; room.min(limit - text.len())];
            self.read(at, &mut chunk)?;
            if let Some(end) = chunk.iter().position(|&byte| byte == 0) {
                text.extend_from_slice(&chunk[..end]);
                return Ok(text);
            }
            at = at.checked_add(chunk.len() as u64).ok_or(bad)?;
            text.extend_from_slice(&chunk);
        }
        Err(bad)
    }
}
