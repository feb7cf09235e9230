//! [`Guest`] for the two stages that have a VM.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::booting::Booting;
use super::fork::Fork;
use crate::kvm::time::monotonic_now;
use crate::machine::vcpu::core::Core;
use crate::{
    Advice, BadAddress, Guest, MapError, MappedRange, Placement, Protection, Registers, Segment,
    VectorState,
};

impl Core {
    fn segment_base(&self, segment: Segment) -> u64 {
        match segment {
            Segment::Fs => self.vcpu.special().fs.base,
            Segment::Gs => self.vcpu.special().gs.base,
        }
    }

    fn set_time_slice(&mut self, slice: Option<Duration>) {
        if slice.is_some() {
            self.keep_vectors(true);
        }
        self.slice.set(slice);
    }

    fn time_left(&self) -> Duration {
        self.timer.left(monotonic_now())
    }

    fn set_segment_base(&mut self, segment: Segment, base: u64) {
        let special = self.vcpu.special_mut();
        match segment {
            Segment::Fs => special.fs.base = base,
            Segment::Gs => special.gs.base = base,
        }
    }
}

macro_rules! guest_by_core {
    ($stage:ty) => {
        impl Guest for $stage {
            fn registers(&self) -> &Registers {
                self.core.vcpu.registers()
            }
            fn registers_mut(&mut self) -> &mut Registers {
                self.core.vcpu.registers_mut()
            }
            fn set_context(&mut self, registers: &Registers) {
                self.core.set_context(registers);
            }
            fn set_answers(&mut self, answers: &[(u32, u64)]) {
                self.core.set_answers(answers);
            }
            fn hold(&mut self, bytes: u64) -> bool {
                self.core.hold(bytes)
            }
            fn holds(&mut self, bytes: u64) {
                self.core.holds(bytes);
            }
            fn vector_state(&mut self) -> VectorState {
                self.core.vector_state()
            }
            fn set_vector_state(&mut self, state: &VectorState) {
                self.core.set_vector_state(state);
            }
            fn set_time_slice(&mut self, slice: Option<Duration>) {
                self.core.set_time_slice(slice);
            }
            fn time_left(&self) -> Duration {
                self.core.time_left()
            }
            fn segment_base(&self, segment: Segment) -> u64 {
                self.core.segment_base(segment)
            }
            fn set_segment_base(&mut self, segment: Segment, base: u64) {
                self.core.set_segment_base(segment, base);
            }
            fn read(&self, address: u64, out: &mut [u8]) -> Result<(), BadAddress> {
                self.core.space.read(address, out)
            }
            fn read_vec(&self, address: u64, length: usize) -> Result<Vec<u8>, BadAddress> {
                self.core.space.read_vec(address, length)
            }
            fn write(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
                self.core.space.write(address, data)
            }
            fn check_readable(&self, address: u64, length: u64) -> Result<(), BadAddress> {
                self.core.space.check_readable(address, length)
            }
            fn map(
                &mut self,
                place: Placement,
                length: u64,
                allow: Protection,
            ) -> Result<u64, MapError> {
                self.core.space.map(place, length, allow, false)
            }
            fn reserve(
                &mut self,
                place: Placement,
                length: u64,
                allow: Protection,
            ) -> Result<u64, MapError> {
                self.core.space.map(place, length, allow, true)
            }
            fn map_file(
                &mut self,
                place: Placement,
                length: u64,
                allow: Protection,
                file: BorrowedFd<'_>,
                offset: u64,
            ) -> Result<Option<u64>, MapError> {
                self.core.map_file(place, length, allow, file, offset)
            }
            fn remap(
                &mut self,
                old: u64,
                old_length: u64,
                place: Placement,
                length: u64,
                keep: bool,
            ) -> Result<u64, MapError> {
                self.core.space.remap(old, old_length, place, length, keep)
            }
            fn populate(&mut self, address: u64, data: &[u8]) -> Result<(), BadAddress> {
                self.core.space.populate(address, data)
            }
            fn allows_write_execute(&self) -> bool {
                self.core.space.book.allow_write_execute
            }
            fn advise(
                &mut self,
                address: u64,
                length: u64,
                advice: Advice,
            ) -> Result<(), MapError> {
                self.core.space.advise(address, length, advice)
            }
            fn unmap(&mut self, address: u64, length: u64) -> Result<(), MapError> {
                self.core.space.unmap(address, length)
            }
            fn protect(
                &mut self,
                address: u64,
                length: u64,
                allow: Protection,
            ) -> Result<(), MapError> {
                self.core.space.protect(address, length, allow)
            }
            fn discard(&mut self, address: u64, length: u64) -> Result<(), MapError> {
                self.core.space.discard(address, length)
            }
            fn mapped(&self, address: u64) -> Option<MappedRange> {
                self.core.space.mapped(address)
            }
            fn set_heap_end(&mut self, wanted: u64) -> u64 {
                self.core.space.set_heap_end(wanted)
            }
            fn realtime(&self) -> Duration {
                self.core.clock.realtime()
            }
            fn monotonic(&self) -> Duration {
                self.core.clock.monotonic()
            }
        }
    };
}

guest_by_core!(Booting);
guest_by_core!(Fork);
