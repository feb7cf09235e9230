//! A VM with one vCPU: what booting programs and forks have in common.

use std::sync::Arc;

use tinykvm_abi::{calls, port};

use super::clock::Clock;
use super::engine::Engine;
use super::exit::Exit;
use super::failure::Failure;
use super::slice::Slice;
use super::vectors::Vectors;
use super::waiting::Waiting;
use crate::arch::x86_64::descriptors::VECTORS;
use crate::arch::x86_64::special::{self, USER_RFLAGS};
use crate::arch::x86_64::stubs::{self, OUT_LENGTH, PORT_INTERNAL};
use crate::kvm::time::time_stamp;
use crate::kvm::{Registration, SlotKind, Stop, Vcpu, Vm, retry, with_signal_blocked};
use crate::machine::flavour::Flavour;
use crate::machine::memory::address_space::AddressSpace;
use crate::machine::memory::answers::Answers;
use crate::machine::memory::book::Book;
use crate::machine::memory::dirty::Tracker;
use crate::machine::memory::frozen::FrozenMemory;
use crate::machine::memory::guest_memory::GuestMemory;
use crate::machine::memory::system;
use crate::mem::Mapping;
use crate::plan::layout::{HOST_PAGE_PHYSICAL, HOST_PAGE_SLOT, SYSTEM_USER_STUBS};
use crate::units::{page_down, to_usize};
use crate::{EngineError, PAGE_SIZE, Registers};
use kvm_bindings::kvm_sregs;

/// How often a first run is tried again (ENOMEM when a helper thread of KVM was interrupted).
const FIRST_RUN_TRIES: u32 = 3;
/// How often a stub of the engine, of a few instructions, is entered again after an interruption:
/// there is no deadline for it.
const STUB_TRIES: u32 = 10_000;

/// The VM. Fields drop in this order: first what the watchdog knows, memory last.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) timer: Registration,
    pub(crate) vcpu: Vcpu,
    pub(crate) vm: Vm,
    /// Writes to main memory are logged.
    pub(crate) logged: bool,
    pub(crate) space: AddressSpace,
    pub(crate) engine: &'static Engine,
    /// What it started from, in a fork.
    pub(crate) frozen: Option<Arc<FrozenMemory>>,
    pub(crate) clock: Clock,
    pub(crate) waiting: Waiting,
    pub(crate) vectors: Vectors,
    pub(crate) slice: Slice,
    pub(crate) answers: Answers,
    /// How the guest ended while the host looked at it.
    pub(crate) ended: Option<Exit>,
    /// What KVM refused while the host looked at the guest.
    pub(crate) failure: Failure,
    /// The last run ended at no instruction of the guest's own choice: KVM may hold an exception
    /// that it did not deliver.
    pub(crate) interrupted: bool,
    /// A page for [`Vm::flush`], made when first needed.
    pub(crate) scratch: Option<Mapping>,
}

impl Core {
    /// Creates VM and vCPU around `memory`. `ring` = dirty-ring entries, 0 for none.
    pub(crate) fn new(
        engine: &'static Engine,
        main: Mapping,
        root: u64,
        book: Book,
        ring: u32,
    ) -> Result<Self, EngineError> {
        let host_page = Mapping::anonymous(to_usize(PAGE_SIZE))?;
        let vm = Vm::new(&engine.device, ring)?;
        vm.add_memory(
            HOST_PAGE_SLOT,
            HOST_PAGE_PHYSICAL,
            &host_page,
            SlotKind::Plain,
        )?;
        let vcpu = vm.vcpu(&engine.device)?;
        let timer = engine.watchdog.register(&vcpu);
        let memory = GuestMemory::new(main, host_page, root);
        let mut core = Self {
            timer,
            vcpu,
            vm,
            logged: ring > 0,
            space: AddressSpace::new(memory, book),
            engine,
            frozen: None,
            clock: Clock::default(),
            waiting: Waiting::Plain,
            vectors: Vectors::default(),
            slice: Slice::default(),
            answers: Answers::default(),
            ended: None,
            failure: Failure::default(),
            interrupted: false,
            scratch: None,
        };
        core.cover_frames()?;
        Ok(core)
    }

    /// Brings the vCPU into user mode with `special` registers (or fresh ones) and runs it once.
    pub(crate) fn start_vcpu(
        &mut self,
        special: Option<&kvm_sregs>,
        gs: u64,
    ) -> Result<(), EngineError> {
        let root = self.space.memory.root;
        let special = match special {
            Some(special) => *special,
            None => {
                let fresh = self.vcpu.fetch_special()?;
                special::user_mode(&fresh, self.engine.device.features(), root, gs)
            }
        };
        *self.vcpu.special_mut() = special;
        let entry = system::syscall_entry(self.engine.flavour());
        self.vcpu.set_msrs(&special::syscall_registers(entry))?;
        if let Some(frozen) = &self.frozen
            && let Some(ring) = self.vm.ring(&self.vcpu)?
        {
            let slots = self.space.memory.slots.clone();
            let tracker = Tracker::new(ring, slots, Arc::clone(frozen));
            self.space.memory.tracker = Some(tracker);
        }
        self.first_run()
    }

    /// The first run: nothing but reading the time stamp counter, with the watchdog's signal
    /// blocked. Tells whether guest and host share that counter.
    fn first_run(&mut self) -> Result<(), EngineError> {
        let before = time_stamp();
        let first = stubs::user().first;
        let no_helper = |error: &EngineError| {
            matches!(error, EngineError::System { source, .. }
                if source.raw_os_error() == Some(libc::ENOMEM))
        };
        retry(FIRST_RUN_TRIES, no_helper, || {
            with_signal_blocked(|| self.run_stub(first))
        })?;
        let registers = self.vcpu.registers();
        let seen = registers.rdx << 32 | registers.rax & 0xffff_ffff;
        let shared = (before..=time_stamp()).contains(&seen);
        self.clock = Clock::new(self.vcpu.clock_khz().filter(|_| shared));
        Ok(())
    }

    /// Runs one of the engine's own stubs to its end.
    pub(crate) fn run_stub(&mut self, stub: u64) -> Result<(), EngineError> {
        self.waiting = Waiting::Plain;
        let registers = self.vcpu.registers_mut();
        *registers = Registers::default();
        registers.rip = SYSTEM_USER_STUBS + stub;
        registers.rflags = USER_RFLAGS;
        for _ in 0..STUB_TRIES {
            match self.enter()? {
                Stop::Out {
                    port: PORT_INTERNAL,
                    ..
                } => return Ok(()),
                Stop::Interrupted => {}
                Stop::Other(reason) => {
                    let rip = self.vcpu.registers().rip;
                    return Err(EngineError::UnexpectedExit { reason, rip });
                }
                _ => return Err(EngineError::Internal("a stub of the engine did not end")),
            }
        }
        Err(EngineError::Internal(
            "a stub of the engine was interrupted each time",
        ))
    }

    /// Forgets what the vCPU was waiting in: the registers are about to be replaced.
    pub(crate) fn abandon(&mut self) {
        self.waiting = Waiting::Plain;
        self.vectors.forget();
        self.slice.restart();
        self.ended = None;
    }

    /// Forgets an exception that KVM was about to deliver: the instruction will raise it again.
    pub(crate) fn forget_events(&mut self) -> Result<(), EngineError> {
        if std::mem::take(&mut self.interrupted) {
            self.vcpu.clear_events()?;
        }
        Ok(())
    }

    /// Runs the guest until it asks for something or a limit ends it.
    pub(crate) fn run(&mut self) -> Result<Exit, EngineError> {
        self.failure.tell()?;
        self.flush_if_stale()?;
        if self.slice.is_over() {
            self.slice.restart();
            self.syscall_to_context();
            return Ok(Exit::TimeSlice);
        }
        if let Some(exit) = self.go_on()? {
            return Ok(exit);
        }
        self.forget_events()?;
        let watched = match &mut self.space.memory.tracker {
            Some(tracker) => tracker.prepare_run()?,
            None => false,
        };
        self.slice.start(&self.timer, watched);
        let result = self.run_to_exit();
        self.slice.stop(&self.timer, &mut self.vcpu);
        self.vectors.stopped(matches!(result, Ok(Exit::Syscall)));
        result
    }

    /// Lets the guest reach all frames that it was given. Costs a comparison if it does.
    pub(crate) fn cover_frames(&mut self) -> Result<(), EngineError> {
        let needed = self.space.book.frames.first_unused() * PAGE_SIZE;
        let memory = &mut self.space.memory;
        if needed <= memory.slots.covered() {
            return Ok(());
        }
        let kind = match self.logged {
            true => SlotKind::Logged,
            false => SlotKind::Plain,
        };
        memory.slots.cover(&self.vm, &memory.main, kind, needed)?;
        if let Some(tracker) = &mut memory.tracker {
            tracker.slots = memory.slots.clone();
        }
        Ok(())
    }

    /// Enters the guest until it stops. All entries of a guest with memory go through here.
    pub(crate) fn enter(&mut self) -> Result<Stop, EngineError> {
        self.cover_frames()?;
        self.vcpu.run()
    }

    fn run_to_exit(&mut self) -> Result<Exit, EngineError> {
        loop {
            match self.enter()? {
                Stop::Out { port, value } => match self.interpret(port, value) {
                    // An answer that cost too much memory is none.
                    Some(Exit::Hypercall { .. } | Exit::Returned { .. } | Exit::Syscall)
                        if self.is_over_limit() =>
                    {
                        return Ok(Exit::MemoryLimit);
                    }
                    Some(Exit::Exception(_)) if self.space.exhausted => {
                        return Ok(Exit::MemoryLimit);
                    }
                    Some(exit) => return Ok(exit),
                    None => {}
                },
                Stop::In => {}
                Stop::Interrupted => {
                    if let Some(exit) = self.interrupted()? {
                        return Ok(exit);
                    }
                    if self.slice.watches() && self.is_over_limit() {
                        self.interrupted = true;
                        return Ok(Exit::MemoryLimit);
                    }
                    self.keep_watch()?;
                }
                Stop::RingFull => {
                    if !self.make_room()? {
                        self.interrupted = true;
                        return Ok(Exit::MemoryLimit);
                    }
                    self.keep_watch()?;
                }
                end => return Ok(Exit::Shutdown { reason: end.end() }),
            }
        }
    }

    /// Lets the guest's memory be looked at again soon, if the ring does not bound it.
    fn keep_watch(&mut self) -> Result<(), EngineError> {
        if let Some(tracker) = &mut self.space.memory.tracker {
            let watched = tracker.prepare_run()?;
            self.slice.watch(watched, &self.timer, &mut self.vcpu);
        }
        Ok(())
    }

    /// A signal, of the watchdog or of somebody else.
    fn interrupted(&mut self) -> Result<Option<Exit>, EngineError> {
        let over = self.slice.take(&self.timer, &mut self.vcpu);
        if self.timer.fired() {
            self.interrupted = true;
            return Ok(Some(Exit::Deadline));
        }
        if !over {
            return Ok(None);
        }
        // What is half done in a stub of ours is done first.
        let rip = self.vcpu.registers().rip;
        let in_stub = page_down(rip) == SYSTEM_USER_STUBS || self.vcpu.special().cs.dpl != 3;
        if in_stub {
            self.slice.prolong(&self.timer);
            return Ok(None);
        }
        self.interrupted = true;
        self.slice.restart();
        self.waiting = Waiting::Context;
        Ok(Some(Exit::TimeSlice))
    }

    fn is_over_limit(&mut self) -> bool {
        let memory = &mut self.space.memory;
        let tracker = memory.tracker.as_mut();
        tracker.is_some_and(|tracker| tracker.is_over_limit(&mut memory.main))
    }

    pub(crate) fn make_room(&mut self) -> Result<bool, EngineError> {
        let memory = &mut self.space.memory;
        let none = EngineError::Internal("a full dirty ring without a tracker");
        let tracker = memory.tracker.as_mut().ok_or(none)?;
        tracker.make_room(&mut memory.main)
    }

    /// See [`Guest::set_answers`](crate::Guest::set_answers).
    pub(crate) fn set_answers(&mut self, answers: &[(u32, u64)]) {
        self.answers.set(answers, &mut self.space.memory.host_page);
    }

    /// See [`Guest::hold`](crate::Guest::hold).
    pub(crate) fn hold(&mut self, bytes: u64) -> bool {
        let memory = &mut self.space.memory;
        match &mut memory.tracker {
            Some(tracker) => tracker.hold(bytes, &mut memory.main),
            None => self.space.book.frames.hold(bytes.div_ceil(PAGE_SIZE)),
        }
    }

    /// See [`Guest::holds`](crate::Guest::holds).
    pub(crate) fn holds(&mut self, bytes: u64) {
        match &mut self.space.memory.tracker {
            Some(tracker) => tracker.holds(bytes),
            None => self.space.book.frames.holds(bytes.div_ceil(PAGE_SIZE)),
        }
    }

    /// What an `out` means; `None` if the guest just goes on.
    pub(crate) fn interpret(&mut self, port: u16, value: u32) -> Option<Exit> {
        let ring = self.vcpu.special().cs.dpl;
        let registers = self.vcpu.registers();
        let behind = match self.engine.probe.rip_at_out {
            true => registers.rip.wrapping_add(OUT_LENGTH),
            false => registers.rip,
        };
        let exceptions = port::PORT_EXCEPTION..port::PORT_EXCEPTION + u16::from(VECTORS);
        match port {
            port::PORT_HYPERCALL => {
                self.vcpu.registers_mut().rip = behind;
                if value == calls::STOP {
                    return Some(Exit::Returned {
                        value: self.vcpu.registers().rdi,
                    });
                }
                Some(Exit::Hypercall { number: value })
            }
            port::PORT_SYSCALL if self.is_syscall_stub(behind - OUT_LENGTH, ring) => {
                self.enter_syscall();
                Some(Exit::Syscall)
            }
            port if exceptions.contains(&port) => {
                let vector = u8::try_from(port - port::PORT_EXCEPTION).unwrap_or(0);
                self.exception(vector, ring)
            }
            // Any other port, or one of ours from elsewhere, is a write to nothing.
            _ => None,
        }
    }

    fn is_syscall_stub(&self, rip: u64, ring: u8) -> bool {
        let expected = if self.engine.flavour() == Flavour::Hardware {
            0
        } else {
            3
        };
        ring == expected && rip == system::syscall_out(self.engine.flavour())
    }
}
