//! A guest that is only a map of pages: no KVM, no code, everything deterministic.
//!
//! It is strict where the [`Guest`] trait leaves room, so that code which passes on it does not
//! depend on an engine's leniency: addresses and lengths of `unmap`, `protect` and `discard` must
//! be page-aligned, and clocks stand still until a test moves them.

mod areas;
mod guest;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tinykvm::{
    Advice, BadAddress, Guest, MapError, PAGE_SIZE, Placement, Protection, Registers, VectorState,
};

use areas::Areas;

/// First address of the heap; nothing else is placed below [`FakeGuest::MAP_START`].
const HEAP_START: u64 = 0x1000_0000;
/// The heap never ends above this address.
const HEAP_LIMIT: u64 = HEAP_START + (64 << 20);
/// One past the last user-mode address (the last page stays free, as on Linux).
const USER_END: u64 = 0x7fff_ffff_f000;
/// Bytes of one page, as the type of array lengths.
const PAGE_BYTES: usize = 4096;

/// One page of memory; a mapped page without one is all zero.
type Page = Box<[u8; PAGE_BYTES]>;

/// Time that passes for a [`FakeGuest`] while somebody else has it: a host that waits for it.
#[derive(Debug, Clone, Default)]
pub struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    /// Moves both clocks of the guest and of its clones forward.
    pub fn advance(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let next = self.nanoseconds().saturating_add(nanoseconds);
        self.0.store(next, Ordering::Relaxed);
    }

    fn nanoseconds(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn passed(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds())
    }
}

/// A guest for unit tests. See the [module documentation](self).
#[derive(Debug, Clone)]
pub struct FakeGuest {
    registers: Registers,
    fs_base: u64,
    gs_base: u64,
    areas: Areas,
    pages: BTreeMap<u64, Page>,
    heap_end: u64,
    scratch: u64,
    memory_limit: u64,
    allow_write_execute: bool,
    memory_left: u64,
    realtime: Duration,
    monotonic: Duration,
    clock: FakeClock,
    vectors: VectorState,
    /// What [`Guest::set_answers`] was given last.
    pub answers: Vec<(u32, u64)>,
    /// What [`Guest::set_time_slice`] was given last.
    pub slice: Option<Duration>,
    /// What [`Guest::advise`] was given.
    pub advice: Vec<(u64, u64, Advice)>,
    /// What [`Guest::time_left`] says.
    pub left: Duration,
}

impl Default for FakeGuest {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeGuest {
    /// The result that the guest would not ask for, of the system call in its registers.
    #[must_use]
    pub fn known_answer(&self) -> Option<u64> {
        let number = self.registers.rax & 0xffff_ffff;
        let mut known = self.answers.iter();
        let found = known.find(|(of, _)| u64::from(*of) == number);
        found.map(|(_, value)| *value)
    }

    /// Mappings with [`Placement::Anywhere`] go to the first free range from here on.
    pub const MAP_START: u64 = 0x7000_0000_0000;

    /// A guest with nothing mapped, zeroed registers, 1 GiB of memory, the wall clock at
    /// 1 700 000 000 s and the monotonic clock at 1000 s.
    #[must_use]
    pub fn new() -> Self {
        Self {
            registers: Registers {
                rflags: 2,
                ..Registers::default()
            },
            fs_base: 0,
            gs_base: 0,
            areas: Areas::default(),
            pages: BTreeMap::new(),
            heap_end: HEAP_START,
            scratch: 0,
            memory_limit: 1 << 30,
            allow_write_execute: false,
            memory_left: u64::MAX,
            realtime: Duration::from_secs(1_700_000_000),
            monotonic: Duration::from_secs(1000),
            clock: FakeClock::default(),
            vectors: VectorState::new(&[0; 576]),
            answers: Vec::new(),
            slice: None,
            advice: Vec::new(),
            left: Duration::MAX,
        }
    }

    /// Sets how many bytes may be mapped accessibly; more is [`MapError::NoMemory`].
    #[must_use]
    pub fn with_memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// How many bytes the host may hold for this guest.
    pub fn set_memory_left(&mut self, bytes: u64) {
        self.memory_left = bytes;
    }

    /// Permits mappings that are writable and executable, as for a JIT.
    #[must_use]
    pub fn with_write_execute(mut self) -> Self {
        self.allow_write_execute = true;
        self
    }

    /// Moves both clocks forward.
    pub fn advance(&mut self, time: Duration) {
        self.realtime += time;
        self.monotonic += time;
    }

    /// A hand on both clocks for somebody who does not have the guest.
    #[must_use]
    pub fn clock(&self) -> FakeClock {
        self.clock.clone()
    }

    /// Sets the wall clock, which may also go back.
    pub fn set_realtime(&mut self, since_epoch: Duration) {
        self.realtime = since_epoch;
    }

    /// Puts a system call into the registers: number in RAX, arguments in RDI, RSI, RDX, R10,
    /// R8, R9.
    pub fn set_syscall(&mut self, number: u64, arguments: [u64; 6]) {
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        self.registers = Registers {
            rax: number,
            rdi,
            rsi,
            rdx,
            r10,
            r8,
            r9,
            ..self.registers
        };
    }

    /// Puts a hypercall into the registers: number in RAX, arguments in RDI, RSI, RDX, RCX, R8,
    /// R9 (the fourth differs from a system call's).
    pub fn set_hypercall(&mut self, number: u32, arguments: [u64; 6]) {
        let [rdi, rsi, rdx, rcx, r8, r9] = arguments;
        self.registers = Registers {
            rax: u64::from(number),
            rdi,
            rsi,
            rdx,
            rcx,
            r8,
            r9,
            ..self.registers
        };
    }

    /// RAX as a call's result: negative numbers are errors.
    #[must_use]
    pub fn result(&self) -> i64 {
        i64::from_le_bytes(self.registers.rax.to_le_bytes())
    }

    /// Maps zeroed memory at exactly this address.
    ///
    /// # Panics
    /// If the engine's rules do not allow it.
    pub fn map_at(&mut self, address: u64, length: u64, allow: Protection) {
        self.map(Placement::Fixed(address), length, allow)
            .unwrap_or_else(|error| panic!("map_at({address:#x}, {length:#x}): {error}"));
    }

    /// Copies bytes into fresh writable memory and returns their address. They end exactly at an
    /// unmapped page, so code that reads beyond them fails.
    ///
    /// # Panics
    /// If memory is used up.
    pub fn put(&mut self, bytes: &[u8]) -> u64 {
        let length = bytes.len() as u64;
        let area = length.max(1).next_multiple_of(PAGE_SIZE);
        // A page below and one above every allocation stay unmapped.
        let start = Self::MAP_START - (1 << 40) + self.scratch + PAGE_SIZE;
        self.scratch += area + 2 * PAGE_SIZE;
        self.map_at(start, area, Protection::READ_WRITE);
        let address = start + area - length;
        self.write(address, bytes)
            .expect("fresh memory is writable");
        address
    }

    /// As [`FakeGuest::put`], with a NUL appended.
    pub fn put_c_string(&mut self, text: impl AsRef<[u8]>) -> u64 {
        let mut bytes = text.as_ref().to_vec();
        bytes.push(0);
        self.put(&bytes)
    }

    /// Copies guest memory out.
    ///
    /// # Panics
    /// If it is not readable.
    #[must_use]
    pub fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.read(address, &mut bytes)
            .unwrap_or_else(|error| panic!("bytes(): {error}"));
        bytes
    }

    /// The protection of the page at this address, or `None` where nothing is mapped.
    #[must_use]
    pub fn protection(&self, address: u64) -> Option<Protection> {
        self.areas.find(address).map(|area| area.allow)
    }

    /// Bytes that are mapped with any access.
    #[must_use]
    pub fn mapped_bytes(&self) -> u64 {
        self.areas.accessible_bytes()
    }

    /// Fails unless all of the range is mapped with a protection that `allowed` accepts.
    fn check(
        &self,
        address: u64,
        length: u64,
        allowed: impl Fn(Protection) -> bool,
    ) -> Result<(), BadAddress> {
        let bad = BadAddress { address, length };
        if length == 0 {
            return Ok(());
        }
        let end = address.checked_add(length).ok_or(bad)?;
        if self.areas.covers(address, end, allowed) {
            Ok(())
        } else {
            Err(bad)
        }
    }

    /// Splits a range into `(page address, offset in page, bytes)`.
    fn chunks(address: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            if done == length {
                return None;
            }
            let at = address + done as u64;
            let offset = usize::try_from(at % PAGE_SIZE).expect("less than a page");
            let count = (PAGE_BYTES - offset).min(length - done);
            done += count;
            Some((at - offset as u64, offset, count))
        })
    }

    /// Copies bytes into mapped pages.
    fn put_bytes(&mut self, address: u64, data: &[u8]) {
        let mut rest = data;
        for (page, offset, count) in Self::chunks(address, data.len()) {
            let (chunk, tail) = rest.split_at(count);
            let bytes = self
                .pages
                .entry(page)
                .or_insert_with(|| Box::new([0; PAGE_BYTES]));
            bytes[offset..offset + count].copy_from_slice(chunk);
            rest = tail;
        }
    }

    /// Forgets the contents of a page-aligned range, so that it reads as zero.
    fn forget(&mut self, address: u64, end: u64) {
        let gone: Vec<u64> = self
            .pages
            .range(address..end)
            .map(|(&page, _)| page)
            .collect();
        for page in gone {
            self.pages.remove(&page);
        }
    }

    fn check_allowed(&self, allow: Protection) -> Result<(), MapError> {
        if allow.write && allow.execute && !self.allow_write_execute {
            return Err(MapError::WriteExecute);
        }
        Ok(())
    }

    /// Fails if making `length` more bytes accessible would exceed the memory limit.
    fn check_room(&self, freed: u64, length: u64, allow: Protection) -> Result<(), MapError> {
        let wanted = if allow.is_none() { 0 } else { length };
        if self.areas.accessible_bytes() - freed + wanted > self.memory_limit {
            return Err(MapError::NoMemory { length });
        }
        Ok(())
    }
}

/// The end of a page-aligned range within the user half.
fn range_end(address: u64, length: u64) -> Result<u64, MapError> {
    let invalid = MapError::Invalid { address, length };
    if length == 0 || !address.is_multiple_of(PAGE_SIZE) || !length.is_multiple_of(PAGE_SIZE) {
        return Err(invalid);
    }
    let end = address.checked_add(length).ok_or(invalid)?;
    if address == 0 || end > USER_END {
        Err(invalid)
    } else {
        Ok(end)
    }
}

#[cfg(test)]
mod tests;
