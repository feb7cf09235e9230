//! Vector state of threads: of the code that was running at a stop, and of the code that is to
//! run next.
//!
//! On hardware KVM reads and writes it. PVM's KVM knows only a part of it, so there the guest does
//! it itself, in ring 3, on an area of its own memory that is for nothing else. To save a state at
//! any stop takes an entry more. Once a program switches threads, the stub of system calls saves
//! it on its own, so that there is none at most stops; and a state to load is loaded by a stub on
//! the way to where the guest goes on. What a guest writes into the area it finds in its own
//! registers.

use std::time::Duration;

use super::core::Core;
use super::exit::{Exception, Exit, GENERAL_PROTECTION};
use super::vectors::Held;
use crate::arch::x86_64::special::USER_RFLAGS;
use crate::arch::x86_64::stubs::{self, PORT_INTERNAL};
use crate::kvm::Stop;
use crate::machine::flavour::Flavour;
use crate::plan::layout::{
    HOST_PAGE_KEEP, HOST_PAGE_TARGET, MAIN_PHYSICAL, SYSTEM_USER_STUBS, VECTOR_AREA_STATE,
    VECTOR_IMAGE,
};
use crate::{EngineError, Registers, VectorState};

impl Core {
    fn by_stubs(&self) -> bool {
        self.engine.flavour() == Flavour::Pvm
    }

    fn vector_size(&self) -> usize {
        self.engine.device.features().vector_size
    }

    /// See [`Guest::vector_state`](crate::Guest::vector_state).
    pub(crate) fn vector_state(&mut self) -> VectorState {
        let state = self.save_state();
        let new = || VectorState::initial(self.engine.device.features().vector_size);
        self.failure.or_keep(state).unwrap_or_else(new)
    }

    /// See [`Guest::set_vector_state`](crate::Guest::set_vector_state).
    pub(crate) fn set_vector_state(&mut self, state: &VectorState) {
        let done = self.give_state(state);
        self.failure.or_keep(done);
    }

    fn save_state(&mut self) -> Result<VectorState, EngineError> {
        self.keep_vectors(true);
        let size = self.vector_size();
        let place = match self.vectors.held {
            Held::Refused => return Ok(VectorState::initial(size)),
            Held::Frozen | Held::Thawed => VECTOR_IMAGE,
            Held::Live if !self.by_stubs() => {
                let components = self.engine.device.features().xcr0.unwrap_or(u64::MAX);
                return self.vcpu.xsave(size, components);
            }
            Held::Live => {
                if let Some(end) = self.save_vectors()? {
                    self.ended = Some(end);
                    return Ok(VectorState::initial(size));
                }
                VECTOR_AREA_STATE
            }
            Held::Saved | Held::Pending => VECTOR_AREA_STATE,
        };
        let bytes = self.space.memory.main.bytes(place, size);
        Ok(VectorState::new(bytes.unwrap_or_default()))
    }

    fn give_state(&mut self, state: &VectorState) -> Result<(), EngineError> {
        self.keep_vectors(true);
        if self.by_stubs() {
            self.fill_area(state.bytes());
            self.vectors.held = Held::Pending;
        } else if self.vcpu.set_xsave(state.bytes())? {
            self.vectors.held = Held::Live;
        } else {
            self.vectors.held = Held::Refused;
        }
        Ok(())
    }

    /// The guest will not go on in the stub that loads the frozen state.
    pub(crate) fn thaw_vectors(&mut self) {
        if self.vectors.held == Held::Frozen {
            self.vectors.held = Held::Thawed;
        }
    }

    /// The exception of a state that KVM refused.
    pub(crate) fn refused_vectors(&mut self) -> Option<Exit> {
        if self.vectors.held != Held::Refused {
            return None;
        }
        self.vectors.held = Held::Live;
        self.syscall_to_context();
        Some(Exit::Exception(Exception {
            vector: GENERAL_PROTECTION,
            error_code: 0,
            address: 0,
            registers: *self.vcpu.registers(),
        }))
    }

    /// Makes the guest load the state that it is to go on with, if it has not got it.
    pub(crate) fn load_vectors(&mut self) -> Result<(), EngineError> {
        if self.vectors.held == Held::Thawed {
            let main = &self.space.memory.main;
            let image = main.bytes(VECTOR_IMAGE, self.vector_size());
            self.give_state(&VectorState::new(image.unwrap_or_default()))?;
        }
        if self.vectors.held == Held::Pending {
            let target = *self.vcpu.registers();
            self.write_target([target.rax, target.rcx, target.rdx, target.rip]);
            self.vectors.target = Some(target);
            let variant = self.engine.probe.stub_variant();
            self.vcpu.registers_mut().rip = SYSTEM_USER_STUBS + stubs::user().load[variant];
        }
        Ok(())
    }

    /// Registers at an exception. One in the stub that loads a state is one of the code that the
    /// stub goes on with.
    pub(crate) fn behind_entry(&self, registers: Registers) -> Registers {
        let stubs = stubs::user();
        let offset = registers.rip.wrapping_sub(SYSTEM_USER_STUBS);
        match self.vectors.target {
            Some(target) if (stubs.load[2]..stubs.load_end).contains(&offset) => Registers {
                rip: target.rip,
                rax: target.rax,
                rcx: target.rcx,
                rdx: target.rdx,
                ..registers
            },
            _ => registers,
        }
    }

    /// Whether the stub of system calls saves vector state.
    pub(crate) fn keep_vectors(&mut self, keep: bool) {
        if self.vectors.keeps != keep && self.by_stubs() {
            self.vectors.keeps = keep;
            if let Some(place) = self.space.memory.host_page.bytes_mut(HOST_PAGE_KEEP, 1) {
                place[0] = u8::from(keep);
            }
        }
    }

    /// Puts what a call's threads left outside of memory back to what it was at the freeze.
    /// There the stub of system calls saved vector state if it `kept` them, and threads had
    /// `slice`.
    pub(crate) fn forget_threads(&mut self, kept: bool, slice: Option<Duration>) {
        self.vectors.held = Held::Frozen;
        if self.vectors.target.take().is_some() {
            self.write_target([0; 4]);
        }
        self.keep_vectors(kept);
        self.slice.set(slice);
    }

    /// Saves the vector state of the freeze as the image.
    pub(crate) fn freeze_vectors(&mut self) -> Result<(), EngineError> {
        if self.vectors.held != Held::Pending {
            return self.run_stub(stubs::user().save);
        }
        let main = &self.space.memory.main;
        let state = main.bytes(VECTOR_AREA_STATE, self.vector_size());
        let state = state.unwrap_or_default().to_vec();
        let image = MAIN_PHYSICAL + VECTOR_IMAGE;
        if let Some(place) = self.space.memory.engine_memory_mut(image, state.len()) {
            place.copy_from_slice(&state);
        }
        Ok(())
    }

    fn write_target(&mut self, words: [u64; 4]) {
        let page = &mut self.space.memory.host_page;
        if let Some(place) = page.bytes_mut(HOST_PAGE_TARGET, 32) {
            for (place, word) in place.chunks_exact_mut(8).zip(words) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
    }

    fn fill_area(&mut self, bytes: &[u8]) {
        let size = self.vector_size();
        let given = &bytes[..bytes.len().min(size)];
        let place = MAIN_PHYSICAL + VECTOR_AREA_STATE;
        if let Some(area) = self.space.memory.engine_memory_mut(place, size) {
            let (start, rest) = area.split_at_mut(given.len());
            start.copy_from_slice(given);
            rest.fill(0);
        }
    }

    /// Runs the stub that saves the vector state into the area. An exit if the guest is at its
    /// end.
    fn save_vectors(&mut self) -> Result<Option<Exit>, EngineError> {
        self.enter_user_mode();
        let (registers, waiting) = (*self.vcpu.registers(), self.waiting);
        *self.vcpu.registers_mut() = Registers {
            rip: SYSTEM_USER_STUBS + stubs::user().keep,
            rflags: USER_RFLAGS,
            ..Registers::default()
        };
        let end = self.run_save_stub()?;
        *self.vcpu.registers_mut() = registers;
        self.waiting = waiting;
        if end.is_none() {
            self.vectors.held = Held::Saved;
        }
        Ok(end)
    }

    fn run_save_stub(&mut self) -> Result<Option<Exit>, EngineError> {
        self.forget_events()?;
        loop {
            match self.enter()? {
                Stop::Out {
                    port: PORT_INTERNAL,
                    ..
                } => return Ok(None),
                Stop::Out { port, value } => {
                    if let Some(exit) = self.interpret(port, value) {
                        return Ok(Some(exit));
                    }
                }
                Stop::Interrupted if self.timer.fired() => {
                    self.interrupted = true;
                    return Ok(Some(Exit::Deadline));
                }
                Stop::Interrupted | Stop::In => {}
                Stop::RingFull => {
                    if !self.make_room()? {
                        self.interrupted = true;
                        return Ok(Some(Exit::MemoryLimit));
                    }
                }
                end => return Ok(Some(Exit::Shutdown { reason: end.end() })),
            }
        }
    }
}

/// Offsets in the legacy part of an XSAVE area, and what is there initially (Intel SDM volume 1,
/// table 10-2, 8.1.5, 10.2.3).
const FCW: (usize, u16) = (0, 0x37f);
const MXCSR: (usize, u16) = (24, 0x1f80);

impl VectorState {
    /// The state of a new thread.
    fn initial(size: usize) -> Self {
        let mut bytes = vec![0; size];
        for (at, value) in [FCW, MXCSR] {
            if let Some(place) = bytes.get_mut(at..at + 2) {
                place.copy_from_slice(&value.to_le_bytes());
            }
        }
        Self::new(&bytes)
    }
}
