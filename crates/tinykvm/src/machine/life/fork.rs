//! A copy-on-write copy of a frozen program, to be called and reset.

use std::sync::Arc;
use std::time::Duration;

use kvm_bindings::kvm_sregs;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use super::template::Template;
use crate::arch::x86_64::special::USER_RFLAGS;
use crate::arch::x86_64::stubs;
use crate::machine::memory::around::Around;
use crate::machine::memory::dirty::Tracker;
use crate::machine::memory::frozen::FrozenMemory;
use crate::machine::memory::guest_memory::Piece;
use crate::machine::vcpu::core::Core;
use crate::machine::vcpu::exit::Exit;
use crate::mem::Mapping;
use crate::plan::layout::{HOST_PAGE_VCPU_RECORD, MAIN_PHYSICAL, RANDOM_SIZE, SYSTEM_USER_STUBS};
use crate::units::to_usize;
use crate::{BadAddress, EngineError, PAGE_SIZE, Registers};

/// What a reset did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResetReport {
    /// Pages that were copied back.
    pub pages: u64,
    /// All private pages were dropped instead, because they had become many.
    pub dropped: bool,
}

const NO_RING: EngineError = EngineError::Internal("a fork without a dirty ring");
/// Resets with a large set of pages after which the set is first learnt anew: one large request
/// must not make many small ones after it slow.
const FIRST_SHRINK: u32 = 2;
/// Sets up to this many pages are never shrunk: copying them back costs 30 to 90 us. The buffers of
/// a filter fit in.
const SMALL_SET: usize = 384;

/// Whether, and when, to drop all private pages and learn anew which ones requests write.
#[derive(Debug)]
struct Shrinking {
    resets_left: u32,
    interval: u32,
    /// Size of the set when it was last dropped.
    dropped_at: usize,
}

/// One VM that serves requests of a program. Used by one thread at a time.
#[derive(Debug)]
pub struct Fork {
    pub(crate) core: Core,
    template: Arc<Template>,
    /// What the special registers look like in user mode, as KVM reports them.
    settled: kvm_sregs,
    random: ChaCha12Rng,
    fresh: [u8; 32],
    shrinking: Shrinking,
    /// The vCPU stopped in a way that loading registers may not mend.
    unsound: bool,
    /// Which of its program's forks this is.
    index: u32,
}

impl Template {
    /// Creates a fork: a VM with a private view of the frozen memory.
    ///
    /// # Errors
    /// [`EngineError`] if KVM or the host's memory refuses.
    pub fn fork(self: &Arc<Self>) -> Result<Fork, EngineError> {
        let memory = &self.memory;
        let ring = Tracker::ring_entries(memory.request_pages);
        let main = memory.private_view()?;
        let mut core = Core::new(self.engine, main, memory.root, memory.book.clone(), ring)?;
        core.frozen = Some(Arc::clone(memory));
        core.forget_threads(self.keeps_vectors, self.slice);
        for file in &memory.files {
            core.add_file(file)?;
        }
        core.start_vcpu(Some(&self.special), 0)?;
        Ok(Fork::new(core, Arc::clone(self)))
    }
}

impl Fork {
    fn new(core: Core, template: Arc<Template>) -> Self {
        let settled = *core.vcpu.special();
        Self {
            core,
            template,
            settled,
            random: ChaCha12Rng::from_os_rng(),
            fresh: [0; 32],
            shrinking: Shrinking {
                resets_left: FIRST_SHRINK,
                interval: FIRST_SHRINK,
                dropped_at: 0,
            },
            unsound: false,
            index: 0,
        }
    }

    /// The program that this is a fork of.
    #[must_use]
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Starts a call: sets the wall-time limit to `budget` from now, for all runs up to
    /// [`Self::end`], and gives the guest fresh clocks and randomness.
    pub fn begin(&mut self, budget: Duration) {
        self.core.timer.disarm(&mut self.core.vcpu);
        self.random.fill_bytes(&mut self.fresh);
        let (bytes, _) = self.fresh.split_at(RANDOM_SIZE);
        self.core.space.write_random(bytes);
        let now = self.core.clock.refresh();
        self.core
            .clock
            .publish(&mut self.core.space.memory.host_page);
        self.core.timer.arm(now, budget);
    }

    /// Ends a call: the time limit no longer runs.
    pub fn end(&mut self) {
        self.core.timer.disarm(&mut self.core.vcpu);
    }

    /// Two random values for this call, of a generator that is cryptographically strong and
    /// seeded for this fork alone. They differ from the bytes that the guest finds at
    /// [`Loaded::random`](crate::Loaded).
    #[must_use]
    pub fn seed(&self) -> [u64; 2] {
        let word = |at: usize| {
            self.fresh[at..at + 8]
                .try_into()
                .map_or(0, u64::from_le_bytes)
        };
        [word(16), word(24)]
    }

    /// Puts user-mode segments and the like back to the frozen state if the guest, or the way it
    /// stopped, changed them. Costs nothing if not.
    fn restore_special(&mut self) {
        self.core.abandon();
        if differ(self.core.vcpu.special(), &self.settled) {
            *self.core.vcpu.special_mut() = self.template.special;
        }
    }

    /// Prepares the call of a guest function with frozen segments and vector state. The stack
    /// starts in zeroed memory below the frames of the program's `main`. [`Self::push`] inputs,
    /// then [`Self::enter`].
    pub fn prepare_call(&mut self, function: u64) {
        self.restore_special();
        self.core.vectors.frozen();
        let rsp = self.template.call_stack;
        let registers = self.core.vcpu.registers_mut();
        *registers = Registers {
            rip: SYSTEM_USER_STUBS + stubs::user().call[self.core.engine.probe.stub_variant()],
            rsp,
            r10: function,
            rflags: USER_RFLAGS,
            ..Registers::default()
        };
    }

    /// Copies `bytes` to the call stack, at an address that is a multiple of `align` (a power of
    /// two), and returns the address.
    ///
    /// # Errors
    /// [`BadAddress`] if the stack, or the fork's private memory, is used up.
    pub fn push(&mut self, bytes: &[u8], align: u64) -> Result<u64, BadAddress> {
        let rsp = self.core.vcpu.registers().rsp;
        let length = bytes.len() as u64;
        let at = rsp.checked_sub(length).ok_or(BadAddress {
            address: rsp,
            length,
        })? & !(align - 1);
        self.core.space.write(at, bytes)?;
        self.core.vcpu.registers_mut().rsp = at;
        Ok(at)
    }

    /// Completes the call: the arguments go to `rdi rsi rdx rcx r8 r9`, the return address to the
    /// stack. The next [`Self::run`] enters the function.
    ///
    /// # Errors
    /// [`BadAddress`] if the stack is used up.
    pub fn enter(&mut self, arguments: [u64; 6]) -> Result<(), BadAddress> {
        let returned = SYSTEM_USER_STUBS + stubs::user().returned;
        self.core.vcpu.registers_mut().rsp &= !15;
        self.push(&returned.to_le_bytes(), 8)?;
        let registers = self.core.vcpu.registers_mut();
        let [rdi, rsi, third, rcx, r8, r9] = arguments;
        *registers = Registers {
            rdi,
            rsi,
            r11: third,
            rcx,
            r8,
            r9,
            ..*registers
        };
        Ok(())
    }

    /// Prepares to go on behind the wait call, with all registers as they were at the freeze.
    /// Registers may not be changed before the next [`Self::run`].
    pub fn prepare_resume(&mut self) {
        self.restore_special();
        self.core.vectors.frozen();
        let variant = self.core.engine.probe.stub_variant();
        let rip = SYSTEM_USER_STUBS + stubs::user().resume[variant];
        *self.core.vcpu.registers_mut() = Registers {
            rip,
            ..self.template.registers
        };
    }

    /// The registers at the freeze: the arguments of the wait call are in them.
    #[must_use]
    pub fn frozen_registers(&self) -> &Registers {
        &self.template.registers
    }

    /// Runs the guest until it asks for something or a limit ends it.
    ///
    /// After [`Exit::Exception`], [`Exit::Deadline`] or [`Exit::MemoryLimit`] the fork may serve
    /// one last call (to answer an error); then [rebuild](Self::rebuild) it, as also after
    /// [`Exit::Shutdown`] or an error.
    ///
    /// # Errors
    /// [`EngineError`] if KVM fails.
    pub fn run(&mut self) -> Result<Exit, EngineError> {
        let result = self.core.run();
        self.unsound |= matches!(result, Err(_) | Ok(Exit::Shutdown { .. }));
        result
    }

    /// Puts the fork back to the frozen state: memory and address space now, registers, segments
    /// and vector state at the next call.
    ///
    /// # Errors
    /// [`EngineError`] if KVM or the kernel fails. What was done by then is not known:
    /// [rebuilding](Self::rebuild) replaces the VM.
    pub fn reset(&mut self) -> Result<ResetReport, EngineError> {
        let result = self.try_reset();
        self.unsound |= result.is_err();
        result
    }

    fn try_reset(&mut self) -> Result<ResetReport, EngineError> {
        self.end();
        self.core.failure.tell()?;
        self.revert_tables();
        let memory = &mut self.core.space.memory;
        let Some(tracker) = &mut memory.tracker else {
            return Err(NO_RING);
        };
        tracker.harvest();
        let count = tracker.pages().len();
        let dropped = self.shrinking.is_due(count) || count > tracker.limit();
        if dropped {
            self.drop_private_memory()?;
        } else {
            copy_back(&mut memory.main, &self.template.memory, tracker.pages())?;
            tracker.settle();
        }
        self.restore_book()?;
        Ok(ResetReport {
            pages: count as u64,
            dropped,
        })
    }

    /// Makes the fork as new after a fault or a timeout: every private page is dropped, and all
    /// registers and pending events of the vCPU are loaded from the template. Where that may not
    /// do, after a triple fault or an error of KVM, the VM is replaced by a new one.
    ///
    /// # Errors
    /// [`EngineError`] if KVM fails; drop the fork then.
    pub fn rebuild(&mut self) -> Result<(), EngineError> {
        self.end();
        if self.unsound || self.core.failure.is_kept() {
            let index = self.index;
            *self = self.template.fork()?;
            self.set_index(index);
            return Ok(());
        }
        self.revert_tables();
        self.drop_private_memory()?;
        self.core.abandon();
        self.core.vcpu.clear_events()?;
        *self.core.vcpu.special_mut() = self.template.special;
        self.restore_book()
    }

    /// Drops every private page and starts to log writes anew.
    fn drop_private_memory(&mut self) -> Result<(), EngineError> {
        let memory = &mut self.core.space.memory;
        let length = memory.main.length();
        memory.main.drop_private_pages(0, length)?;
        match &mut memory.tracker {
            Some(tracker) => {
                tracker.forget()?;
                tracker.settle();
                Ok(())
            }
            None => Err(NO_RING),
        }
    }

    /// Takes the address space's bookkeeping over from the template.
    fn restore_book(&mut self) -> Result<(), EngineError> {
        self.core
            .forget_threads(self.template.keeps_vectors, self.template.slice);
        let space = &mut self.core.space;
        if space.changed {
            space.book = self.template.memory.book.clone();
            space.changed = false;
        }
        space.exhausted = false;
        space.around = Around::default();
        space.memory.forget_walks();
        if self.core.drop_files_of_request()? {
            // Which makes KVM forget everything.
            self.core.space.memory.edits.take();
            return Ok(());
        }
        self.core.flush_if_stale()
    }

    /// Notes which entries of page tables lose something when the tables go back to the frozen
    /// state.
    fn revert_tables(&mut self) {
        let memory = &mut self.core.space.memory;
        if memory.edits.any() {
            let mut edits = std::mem::take(&mut memory.edits);
            let (main, view) = (&memory.main, &self.template.memory.view);
            let entry = |of: &Mapping, place: u64| of.load(place - MAIN_PHYSICAL);
            edits.revert(|place| entry(main, place), |place| entry(view, place));
            memory.edits = edits;
        }
    }

    /// Bytes of memory that this fork has for itself, with what the host holds for it.
    pub fn private_bytes(&mut self) -> u64 {
        self.core
            .space
            .memory
            .tracker
            .as_mut()
            .map_or(0, |tracker| {
                tracker.harvest();
                (tracker.pages().len() + tracker.held()) as u64 * PAGE_SIZE
            })
    }

    /// Tells the guest which of its program's forks this is: the second word of the record that
    /// `%gs` points to.
    pub fn set_index(&mut self, index: u32) {
        self.index = index;
        let place = HOST_PAGE_VCPU_RECORD + 4;
        if let Some(word) = self.core.space.memory.host_page.bytes_mut(place, 4) {
            word.copy_from_slice(&index.to_le_bytes());
        }
    }

    /// True if the host failed to write guest memory because the fork's private memory was used
    /// up (the [`BadAddress`] does not tell).
    #[must_use]
    pub fn memory_exceeded(&self) -> bool {
        self.core
            .space
            .memory
            .tracker
            .as_ref()
            .is_some_and(Tracker::exceeded)
    }

    /// Readable guest memory in place, as slices of contiguous memory.
    ///
    /// # Errors
    /// [`BadAddress`] unless all of it is readable and none of it is a file in place.
    pub fn pieces(&self, address: u64, length: u64) -> Result<Pieces<'_>, BadAddress> {
        let mut pieces = Vec::new();
        self.core
            .space
            .for_each_piece(address, length, |piece| match piece {
                Piece::Bytes(bytes) => {
                    pieces.push(bytes);
                    true
                }
                Piece::Zeros(length) => {
                    for piece in zeros(length) {
                        pieces.push(piece);
                    }
                    true
                }
                Piece::File(..) => false,
            })?;
        Ok(Pieces(pieces.into_iter()))
    }

    /// The beginning of a writable range in place, as far as its memory is contiguous: at least up
    /// to the end of its first page. All of it counts as changed by this request.
    ///
    /// # Errors
    /// [`BadAddress`] if the range is not writable, or the fork's private memory is used up.
    pub fn first_piece_mut(&mut self, address: u64, length: u64) -> Result<&mut [u8], BadAddress> {
        self.core.space.first_piece_mut(address, length)
    }

    /// How often this fork's vCPU was entered.
    #[must_use]
    pub fn vcpu_runs(&self) -> u64 {
        self.core.vcpu.runs()
    }
}

/// Guest memory in place; see [`Fork::pieces`].
#[derive(Debug)]
pub struct Pieces<'a>(std::vec::IntoIter<&'a [u8]>);

impl<'a> Iterator for Pieces<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }
}

/// So many zeros, in pieces.
fn zeros(length: usize) -> impl Iterator<Item = &'static [u8]> {
    static ZEROS: [u8; 65536] = [0; 65536];
    (0..length)
        .step_by(ZEROS.len())
        .map(move |at| &ZEROS[..ZEROS.len().min(length - at)])
}

/// True if special registers differ in more than what a guest cannot see: the last fault's
/// address. Asked at every call, so nothing is copied.
fn differ(one: &kvm_sregs, other: &kvm_sregs) -> bool {
    let segments = |of: &kvm_sregs| [of.cs, of.ds, of.es, of.fs, of.gs, of.ss, of.tr, of.ldt];
    let tables = |of: &kvm_sregs| [of.gdt, of.idt];
    let words = |of: &kvm_sregs| [of.cr0, of.cr3, of.cr4, of.cr8, of.efer, of.apic_base];
    words(one) != words(other)
        || segments(one) != segments(other)
        || tables(one) != tables(other)
        || one.interrupt_bitmap != other.interrupt_bitmap
}

fn copy_back(main: &mut Mapping, from: &FrozenMemory, pages: &[u64]) -> Result<(), EngineError> {
    const OUTSIDE: EngineError = EngineError::Internal("a dirty page outside memory");
    let size = to_usize(PAGE_SIZE);
    for &page in pages {
        let at = page * PAGE_SIZE;
        let to = main.bytes_mut(at, size).ok_or(OUTSIDE)?;
        if from.filled.contains(page) {
            to.copy_from_slice(from.view.bytes(at, size).ok_or(OUTSIDE)?);
        } else {
            // To read where the template has no memory would give it some.
            to.fill(0);
        }
    }
    Ok(())
}

impl Shrinking {
    /// True if a set of `count` pages should be dropped now. A set that grows back to its size
    /// is what requests need: the next try comes later and later.
    fn is_due(&mut self, count: usize) -> bool {
        if count <= SMALL_SET {
            return false;
        }
        self.resets_left = self.resets_left.saturating_sub(1);
        if self.resets_left > 0 {
            return false;
        }
        let grew_back = self.dropped_at > 0 && count >= self.dropped_at / 2;
        self.interval = if grew_back {
            self.interval.saturating_mul(4)
        } else {
            FIRST_SHRINK
        };
        self.resets_left = self.interval;
        self.dropped_at = count;
        true
    }
}

#[cfg(test)]
mod tests;
