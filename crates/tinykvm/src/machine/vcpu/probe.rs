//! Which flavour of KVM this is: measured once on a tiny guest, not guessed from names.

use tinykvm_abi::port;

use crate::arch::x86_64::special::{self, USER_RFLAGS};
use crate::arch::x86_64::stubs;
use crate::kvm::{Device, SlotKind, Stop, Vcpu, Vm, with_signal_blocked};
use crate::machine::flavour::Flavour;
use crate::machine::memory::book::Frames;
use crate::machine::memory::editor::Editor;
use crate::machine::memory::guest_memory::GuestMemory;
use crate::machine::memory::system;
use crate::mem::Mapping;
use crate::plan::layout::{
    FIRST_FRAME, HOST_PAGE_PHYSICAL, HOST_PAGE_SLOT, MAIN_PHYSICAL, MAIN_SLOT, SYSTEM_USER_STUBS,
    USER_START,
};
use crate::plan::page_table::{self, Access};
use crate::units::to_usize;
use crate::{EngineError, PAGE_SIZE, Protection, Registers};

/// What the probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) flavour: Flavour,
    /// At an `out` exit RIP is still at the `out`; else it is behind it.
    pub(crate) rip_at_out: bool,
    /// User code can use protection keys (PVM does not hide them).
    pub(crate) protection_keys: bool,
}

impl Probe {
    /// Which variant of the stubs that enter the guest to use.
    pub(crate) fn stub_variant(&self) -> usize {
        match (self.flavour, self.protection_keys) {
            (Flavour::Hardware, _) => 0,
            (Flavour::Pvm, false) => 1,
            (Flavour::Pvm, true) => 2,
        }
    }
}

/// Pages of the probe's guest: the engine's own, a page of code, page tables.
const PAGES: u64 = 64;

/// Runs `syscall` in a guest whose entry is on a user page, and looks where that ends up.
pub(crate) fn probe(device: &Device) -> Result<Probe, EngineError> {
    let mut frames = Frames::new(FIRST_FRAME / PAGE_SIZE, FIRST_FRAME / PAGE_SIZE + PAGES);
    let (main, host_page) = (
        Mapping::anonymous(to_usize(FIRST_FRAME + PAGES * PAGE_SIZE))?,
        Mapping::anonymous(to_usize(PAGE_SIZE))?,
    );
    let mut memory = GuestMemory::new(main, host_page, 0);
    let full = EngineError::Internal("no room for the probe");
    system::write(&mut memory.main, None)?;
    let code = MAIN_PHYSICAL + frames.take().ok_or(full)? * PAGE_SIZE;
    let mut editor = Editor::with_root(&mut memory, &mut frames)?;
    system::map(&mut editor, 0)?;
    let root = editor.root();
    let access = Access::User(Protection::READ_EXECUTE);
    page_table::map(&mut editor, root, USER_START, code, access)
        .ok_or(EngineError::Internal("no room for the probe"))?;
    if let Some(place) = memory.physical_mut(code, 2) {
        place.copy_from_slice(&[0x0f, 0x05]); // syscall
    }
    let vm = Vm::new(device, 0)?;
    vm.add_memory(MAIN_SLOT, MAIN_PHYSICAL, &memory.main, SlotKind::Plain)?;
    vm.add_memory(
        HOST_PAGE_SLOT,
        HOST_PAGE_PHYSICAL,
        &memory.host_page,
        SlotKind::Plain,
    )?;
    let mut vcpu = vm.vcpu(device)?;
    // On hardware ring 0 is about to fetch from a user page, which SMEP would refuse.
    let features = device.features().without_smep();
    let user = special::user_mode(&vcpu.fetch_special()?, features, root, 0);
    *vcpu.special_mut() = user;
    let entry = system::syscall_entry(Flavour::Pvm);
    vcpu.set_msrs(&special::syscall_registers(entry))?;
    let out = system::syscall_out(Flavour::Pvm);
    let (stop, rip) = run(&mut vcpu, USER_START)?;
    if stop
        != (Stop::Out {
            port: port::PORT_SYSCALL,
            value: 0,
        })
        || ![out, out + stubs::OUT_LENGTH].contains(&rip)
    {
        return Err(EngineError::Missing {
            name: "a way to take system calls",
        });
    }
    let ring = vcpu.special().cs.dpl;
    let flavour = if ring == 0 {
        Flavour::Hardware
    } else {
        Flavour::Pvm
    };
    let rip_at_out = rip == out;
    *vcpu.special_mut() = user;
    let (stop, _) = run(&mut vcpu, SYSTEM_USER_STUBS + stubs::user().keys)?;
    let protection_keys = matches!(
        stop,
        Stop::Out {
            port: stubs::PORT_INTERNAL,
            ..
        }
    );
    Ok(Probe {
        flavour,
        rip_at_out,
        protection_keys,
    })
}

/// Runs user code from `rip` on and returns how, and where, it stopped.
fn run(vcpu: &mut Vcpu, rip: u64) -> Result<(Stop, u64), EngineError> {
    *vcpu.registers_mut() = Registers {
        rip,
        rflags: USER_RFLAGS,
        ..Registers::default()
    };
    let stop = with_signal_blocked(|| vcpu.run())?;
    let rip = vcpu.registers().rip;
    match stop {
        Stop::Other(reason) => Err(EngineError::UnexpectedExit { reason, rip }),
        _ => Ok((stop, rip)),
    }
}
