//! Registering callbacks, and saying that the program is ready.

use tinykvm::{Guest, PAGE_SIZE};
use tinykvm_abi::callbacks::COUNT;

use super::{Abort, Action, Host, MINUS_ONE, Stage, give};

/// One past the last address of user-mode code.
const USER_END: u64 = 0x8000_0000_0000;

/// The functions that a program registered, by index; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Callbacks([u64; COUNT as usize]);

impl Callbacks {
    /// The address of a callback.
    pub(crate) fn get(&self, index: u32) -> Option<u64> {
        let index = usize::try_from(index).ok()?;
        self.0.get(index).copied().filter(|&address| address != 0)
    }
}

/// What a program says about itself in `main()`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Registration {
    /// Its callbacks.
    pub(crate) callbacks: Callbacks,
    /// It is reset after each request.
    pub(crate) ephemeral: bool,
    /// It may choose that.
    pub(crate) may_choose: bool,
}

pub(super) fn function(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let call = "register_func";
    let Stage::Init(registration) = &mut host.stage else {
        return Err(Abort::OnlyInit { call });
    };
    // The first is an int.
    let index = guest.registers().rdi & 0xFFFF_FFFF;
    let address = guest.registers().rsi;
    let slot = usize::try_from(index)
        .ok()
        .and_then(|index| registration.callbacks.0.get_mut(index))
        .ok_or(Abort::Argument {
            call,
            what: "callback index",
            value: index,
        })?;
    if !(PAGE_SIZE..USER_END).contains(&address) {
        return Err(Abort::Argument {
            call,
            what: "function address",
            value: address,
        });
    }
    *slot = address;
    Ok(Action::Resume)
}

pub(super) fn wait(host: &Host<'_>, paused: bool) -> Result<Action, Abort> {
    match &host.stage {
        Stage::Init(_) => Ok(Action::Wait { paused }),
        Stage::Request { answered: true, .. } if paused => Ok(Action::Wait { paused }),
        Stage::Request { .. } if paused => Err(Abort::OnlyInit {
            call: "wait_for_requests_paused without an answer to the request",
        }),
        _ => Err(Abort::OnlyInit {
            call: "wait_for_requests",
        }),
    }
}

pub(super) fn make_ephemeral(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let Stage::Init(registration) = &mut host.stage else {
        return Err(Abort::OnlyInit {
            call: "make_ephemeral",
        });
    };
    if !registration.may_choose {
        let line = format!(
            "{}: make_ephemeral is refused; \"control_ephemeral\" would allow it",
            host.program
        );
        host.note(&line);
        return Ok(give(guest, MINUS_ONE));
    }
    registration.ephemeral = guest.registers().rdi & 0xFFFF_FFFF != 0;
    Ok(give(guest, 0))
}
