//! Registers at a stop and after it: how a guest stopped, as its code sees it, and how it goes on.
//!
//! A system call on hardware, and an exception everywhere, leave the vCPU in a stub in ring 0.
//! What the layers above see, and change, are the registers of the code that was running; on the
//! way back the segments of ring 3 are loaded where the vCPU stands in ring 0. So an exception is
//! as resumable as a system call: unless told otherwise, the guest tries the instruction again.

use super::core::Core;
use super::exit::{Exception, Exit, GENERAL_PROTECTION, PAGE_FAULT};
use super::waiting::Waiting;
use crate::arch::x86_64::descriptors::has_error_code;
use crate::arch::x86_64::special::{self, IOPL, USER_RFLAGS};
use crate::arch::x86_64::stubs::OUT_LENGTH;
use crate::machine::flavour::Flavour;
use crate::machine::memory::system;
use crate::plan::layout::{EXCEPTION_STACK, EXCEPTION_STUBS, SYSTEM};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE, Registers};

/// Flags that a context may bring: the arithmetic ones, IF, DF, AC and ID. Not TF, NT, RF, VM.
const CONTEXT_FLAGS: u64 = 0x24_0ed5;
/// End of the addresses that code can have.
const CODE_END: u64 = 1 << 47;

/// What the processor pushed at an exception.
struct Frame {
    error_code: u64,
    rip: u64,
    rflags: u64,
    rsp: u64,
}

impl Core {
    /// Goes on with exactly these registers.
    pub(crate) fn set_context(&mut self, registers: &Registers) {
        self.thaw_vectors();
        *self.vcpu.registers_mut() = *registers;
        self.waiting = Waiting::Context;
    }

    /// Loads the vCPU with what it goes on with. An exit if it cannot.
    pub(crate) fn go_on(&mut self) -> Result<Option<Exit>, EngineError> {
        if self.ended.is_some() {
            return Ok(self.ended.take());
        }
        if let Some(exit) = self.refused_vectors() {
            return Ok(Some(exit));
        }
        let waiting = std::mem::replace(&mut self.waiting, Waiting::Plain);
        if waiting != Waiting::Plain {
            let registers = *self.vcpu.registers();
            // It would fault in ring 0, or not even be loaded.
            if registers.rip >= CODE_END {
                self.waiting = Waiting::Context;
                return Ok(Some(no_such_address(registers)));
            }
            if waiting == Waiting::Syscall {
                self.leave_syscall();
            } else {
                self.leave_to_context(registers)?;
            }
        }
        self.load_vectors()?;
        Ok(None)
    }

    /// Shows the caller's registers as Linux code expects them.
    pub(crate) fn enter_syscall(&mut self) {
        let registers = self.vcpu.registers_mut();
        registers.rip = registers.rcx;
        registers.rflags = registers.r11 | IOPL;
        self.waiting = Waiting::Syscall;
    }

    /// A system call that goes on later is a context like any other.
    pub(crate) fn syscall_to_context(&mut self) {
        if self.waiting == Waiting::Syscall {
            let registers = self.vcpu.registers_mut();
            registers.rcx = registers.rip;
            registers.r11 = registers.rflags;
            self.waiting = Waiting::Context;
        }
    }

    /// Returns from a system call as the processor does.
    fn leave_syscall(&mut self) {
        let hardware = self.engine.flavour() == Flavour::Hardware;
        let registers = self.vcpu.registers_mut();
        registers.rcx = registers.rip;
        registers.r11 = registers.rflags;
        if hardware {
            registers.rip = system::syscall_out(Flavour::Hardware) + OUT_LENGTH;
            registers.rflags = 2;
        } else {
            registers.rflags |= IOPL;
        }
    }

    fn leave_to_context(&mut self, registers: Registers) -> Result<(), EngineError> {
        self.enter_user_mode();
        if self.engine.probe.rip_at_out && self.vcpu.out_at() == Some(registers.rip) {
            self.vcpu.finish_out()?;
            if self.timer.fired() {
                self.vcpu.set_immediate_exit();
            }
        }
        *self.vcpu.registers_mut() = Registers {
            rflags: registers.rflags & CONTEXT_FLAGS | USER_RFLAGS,
            ..registers
        };
        Ok(())
    }

    /// Puts the vCPU into ring 3 if it is not there.
    pub(crate) fn enter_user_mode(&mut self) {
        if self.vcpu.special().cs.dpl != 3 {
            special::enter_user_mode(self.vcpu.special_mut());
        }
    }

    /// An exception stub told of this vector. `None` if the guest just tries again.
    pub(crate) fn exception(&mut self, vector: u8, ring: u8) -> Option<Exit> {
        let registers = *self.vcpu.registers();
        let stubs = SYSTEM + EXCEPTION_STUBS..SYSTEM + EXCEPTION_STUBS + PAGE_SIZE;
        let address = if vector == PAGE_FAULT {
            self.vcpu.special().cr2
        } else {
            0
        };
        let mut error_code = 0;
        // Else the guest wrote to our port itself: an exception that it invented.
        if ring == 0 && stubs.contains(&registers.rip) {
            let Some(frame) = self.exception_frame(registers.rsp, vector) else {
                return Some(Exit::Shutdown {
                    reason: kvm_bindings::KVM_EXIT_SHUTDOWN,
                });
            };
            error_code = frame.error_code;
            let interrupted = Registers {
                rip: frame.rip,
                rflags: frame.rflags,
                rsp: frame.rsp,
                ..registers
            };
            if vector == PAGE_FAULT && self.space.resolve_fault(address, error_code) {
                self.try_again(interrupted);
                return None;
            }
            *self.vcpu.registers_mut() = self.behind_entry(interrupted);
            self.waiting = Waiting::Context;
        }
        Some(Exit::Exception(Exception {
            vector,
            error_code,
            address,
            registers: *self.vcpu.registers(),
        }))
    }

    /// Goes on where an exception was raised. On hardware running on does that: the stub ends in
    /// `iretq`. PVM would emulate it.
    fn try_again(&mut self, interrupted: Registers) {
        if self.engine.flavour() == Flavour::Pvm {
            self.enter_user_mode();
            *self.vcpu.registers_mut() = Registers {
                rflags: interrupted.rflags | IOPL,
                ..interrupted
            };
        }
    }

    /// Reads an exception's frame off the exception stack; `None` if it is not one of ring 3.
    fn exception_frame(&self, rsp: u64, vector: u8) -> Option<Frame> {
        let has_code = has_error_code(vector);
        let words = 5 + u64::from(has_code);
        let at = rsp.wrapping_sub(SYSTEM + EXCEPTION_STACK);
        let main = &self.space.memory.main;
        let bytes = main
            .bytes(EXCEPTION_STACK.wrapping_add(at), to_usize(words * 8))
            .filter(|_| at < PAGE_SIZE)?;
        let mut words = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        let error_code = if has_code { words.next()? } else { 0 };
        let (rip, code_segment) = (words.next()?, words.next()?);
        let (rflags, rsp) = (words.next()?, words.next()?);
        (code_segment & 3 == 3).then_some(Frame {
            error_code,
            rip,
            rflags,
            rsp,
        })
    }
}

fn no_such_address(registers: Registers) -> Exit {
    Exit::Exception(Exception {
        vector: GENERAL_PROTECTION,
        error_code: 0,
        address: 0,
        registers,
    })
}
