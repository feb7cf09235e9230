//! Making KVM forget translations after rights were taken away.

use super::core::Core;
use crate::arch::x86_64::special::enter_kernel_mode;
use crate::arch::x86_64::stubs::{KERNEL_EDIT, PORT_INTERNAL};
use crate::kvm::Stop;
use crate::machine::flavour::Flavour;
use crate::machine::memory::edits::Flush;
use crate::mem::Mapping;
use crate::plan::layout::{
    EXCEPTION_STUBS, FLUSH_PHYSICAL, FLUSH_SLOT, MAIN_PHYSICAL, SYSTEM, WINDOW,
};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE, Registers};

/// Most entries that are written anew before forgetting everything is cheaper.
const MOST_ENTRIES: u64 = 3000;
/// What a run of the stub costs, in entries.
const RUN_COST: u64 = 32;
/// Entries that are written in one run. Under PVM each one takes an entry of the dirty ring, and
/// KVM looks only between instructions whether that is full: it keeps 64 for such.
const MOST_AT_ONCE: u64 = 512;
const MOST_LOGGED_AT_ONCE: u64 = 32;
/// How often an interrupted stub is entered again.
const TRIES: u32 = 8;

impl Core {
    /// Makes KVM forget translations after rights were taken away. A few entries are written anew
    /// by the guest itself: that KVM notices under both flavours. With many, everything is
    /// forgotten.
    pub(crate) fn flush_if_stale(&mut self) -> Result<(), EngineError> {
        let flush = self.space.memory.edits.take();
        match flush {
            None => Ok(()),
            Some(Flush::Entries(ranges)) if is_small(&ranges) && self.rewrite(&ranges)? => Ok(()),
            Some(_) => self.forget_everything(),
        }
    }

    fn forget_everything(&mut self) -> Result<(), EngineError> {
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Mapping::anonymous(to_usize(PAGE_SIZE))?,
        };
        self.vm.flush(FLUSH_SLOT, FLUSH_PHYSICAL, &scratch)?;
        self.scratch = Some(scratch);
        Ok(())
    }

    /// Lets the guest write entries of page tables anew, as they are. False if it did not get to
    /// the end.
    fn rewrite(&mut self, ranges: &[(u64, u64)]) -> Result<bool, EngineError> {
        self.forget_events()?;
        let (registers, special) = (*self.vcpu.registers(), *self.vcpu.special());
        enter_kernel_mode(self.vcpu.special_mut());
        let mut done = true;
        let logged = self.space.memory.tracker.is_some();
        let most = match self.engine.flavour() {
            Flavour::Pvm if logged => MOST_LOGGED_AT_ONCE,
            _ => MOST_AT_ONCE,
        };
        let pieces = ranges.iter().flat_map(|&(place, count)| {
            let piece = move |at: u64| (place + at * 8, most.min(count - at));
            (0..count).step_by(to_usize(most)).map(piece)
        });
        for (place, count) in pieces {
            let at = WINDOW + (place - MAIN_PHYSICAL);
            *self.vcpu.registers_mut() = Registers {
                rip: SYSTEM + EXCEPTION_STUBS + KERNEL_EDIT,
                rsi: at,
                rdi: at,
                rcx: count,
                rflags: 2,
                ..Registers::default()
            };
            done = self.run_edit()?;
            if !done {
                break;
            }
        }
        *self.vcpu.registers_mut() = registers;
        *self.vcpu.special_mut() = special;
        Ok(done)
    }

    fn run_edit(&mut self) -> Result<bool, EngineError> {
        for _ in 0..TRIES {
            match self.enter()? {
                Stop::Out {
                    port: PORT_INTERNAL,
                    ..
                } => return Ok(true),
                Stop::RingFull if self.make_room()? => {}
                Stop::Interrupted => {}
                _ => return Ok(false),
            }
        }
        Ok(false)
    }
}

fn is_small(ranges: &[(u64, u64)]) -> bool {
    let cost = |(_, count): &(u64, u64)| count + RUN_COST;
    ranges.iter().map(cost).sum::<u64>() <= MOST_ENTRIES
}
