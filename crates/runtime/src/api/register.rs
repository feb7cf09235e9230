//! Registering callbacks, and saying that the program is ready.

use tinykvm::{Guest, MapError, PAGE_SIZE, Placement, Protection};
use tinykvm_abi::callbacks::COUNT;
use tinykvm_abi::filters;
use tinykvm_abi::structs::FilterOutput;

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

/// The size of a filter's input buffer: the longest part of a body.
pub(crate) const FILTER_INPUT: u64 = 512 * 1024;
/// The size of its output buffer. Larger, so that a part that grows a little fits.
pub(crate) const FILTER_OUTPUT: u64 = 576 * 1024;

/// The functions that filter bodies, and their buffers in guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterFunctions {
    pub(crate) begin: u64,
    pub(crate) chunk: u64,
    pub(crate) end: u64,
    /// Address of the program's [`FilterOutput`].
    pub(crate) shared: u64,
    /// Address of [`FILTER_INPUT`] bytes.
    pub(crate) input: u64,
    /// Address of [`FILTER_OUTPUT`] bytes.
    pub(crate) output: u64,
    /// The program wants bodies with their content encoding.
    pub(crate) encoded: bool,
}

/// What a program says about itself in `main()`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Registration {
    /// Its callbacks.
    pub(crate) callbacks: Callbacks,
    /// It filters bodies.
    pub(crate) filter: Option<FilterFunctions>,
    /// It is reset after each request.
    pub(crate) ephemeral: bool,
    /// It may choose that.
    pub(crate) may_choose: bool,
}

pub(super) fn function(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let call = "register_func";
    let Stage::Init { registration, .. } = &mut host.stage else {
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
    *slot = function_address(call, address)?;
    Ok(Action::Resume)
}

fn function_address(call: &'static str, address: u64) -> Result<u64, Abort> {
    if (PAGE_SIZE..USER_END).contains(&address) {
        return Ok(address);
    }
    Err(Abort::Argument {
        call,
        what: "function address",
        value: address,
    })
}

pub(super) fn filter(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let call = "set_filter";
    let shared = host.fourth(guest.registers());
    let Stage::Init { registration, .. } = &mut host.stage else {
        return Err(Abort::OnlyInit { call });
    };
    let given = *guest.registers();
    let flags = given.r8 & 0xFFFF_FFFF;
    if flags & !u64::from(filters::ENCODED) != 0 {
        return Err(Abort::Argument {
            call,
            what: "set of flags",
            value: flags,
        });
    }
    let no_memory = |source| Abort::NoMemory { call, source };
    let (input, output) = match registration.filter {
        Some(before) => (before.input, before.output),
        None => (
            buffer(guest, FILTER_INPUT).map_err(no_memory)?,
            buffer(guest, FILTER_OUTPUT).map_err(no_memory)?,
        ),
    };
    registration.filter = Some(FilterFunctions {
        begin: function_address(call, given.rdi)?,
        chunk: function_address(call, given.rsi)?,
        end: function_address(call, given.rdx)?,
        shared,
        input,
        output,
        encoded: flags != 0,
    });
    let filled = FilterOutput {
        data: output,
        capacity: FILTER_OUTPUT,
        length: 0,
    };
    guest
        .write(shared, &filled.to_bytes())
        .map_err(|source| Abort::Memory { call, source })?;
    Ok(give(guest, 0))
}

/// Maps a buffer and touches all of it in one go, so that it gets memory in one piece.
fn buffer(guest: &mut dyn Guest, length: u64) -> Result<u64, MapError> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let start = guest.map(Placement::Anywhere, length, Protection::READ_WRITE)?;
    for at in (start..start + length).step_by(ZEROS.len()) {
        let touched = guest.write(at, &ZEROS);
        touched.map_err(|_| MapError::NoMemory { length })?;
    }
    Ok(start)
}

pub(super) fn wait(host: &Host<'_>, paused: bool) -> Result<Action, Abort> {
    match &host.stage {
        Stage::Init { .. } => Ok(Action::Wait { paused }),
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
    let Stage::Init { registration, .. } = &mut host.stage else {
        return Err(Abort::OnlyInit {
            call: "make_ephemeral",
        });
    };
    if !registration.may_choose {
        host.note("make_ephemeral is refused; \"control_ephemeral\" would allow it");
        return Ok(give(guest, MINUS_ONE));
    }
    registration.ephemeral = guest.registers().rdi & 0xFFFF_FFFF != 0;
    Ok(give(guest, 0))
}
