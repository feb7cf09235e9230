//! The remaining calls: logging, memory figures, and what the program's configuration lacks.

use tinykvm::Guest;
use tinykvm_abi::{calls, limits};

use super::{Abort, Action, Host, MINUS_ONE, give, low16, read, unknown};

pub(super) fn dispatch(
    guest: &mut dyn Guest,
    number: u32,
    host: &mut Host<'_>,
) -> Result<Action, Abort> {
    match number {
        calls::LOG => log(guest, host),
        calls::MEMINFO => meminfo(guest, host),
        calls::BREAKPOINT => {
            host.note("breakpoint skipped");
            Ok(Action::Resume)
        }
        // Accepted, without effect: an older way to register, and sockets without a server.
        calls::OLD_SET_BACKEND | calls::SOCKETS_WRITE => Ok(Action::Resume),
        calls::IS_DEBUG | calls::IS_STORAGE => Ok(give(guest, 0)),
        calls::SHARED_MEMORY_AREA => {
            guest.registers_mut().rdx = u64::MAX;
            Ok(give(guest, u64::MAX))
        }
        calls::STORAGE_ALLOW => Ok(give(guest, MINUS_ONE)),
        calls::STORAGE_CALLV => storage_call(guest, host),
        calls::STORAGE_TASK => storage_task(guest, host),
        calls::STOP_STORAGE_TASK | calls::MULTIPROCESS_WAIT => Ok(give(guest, 0)),
        calls::MULTIPROCESS | calls::MULTIPROCESS_ARRAY | calls::MULTIPROCESS_CLONE => {
            Ok(give(guest, MINUS_ONE))
        }
        calls::REMOTE_DISCONNECT => Err(Abort::NotConfigured {
            call: "remote_disconnect",
            what: "storage to be disconnected from",
        }),
        _ => Ok(unknown(guest)),
    }
}

fn log(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let (address, length) = (guest.registers().rdi, low16(guest.registers().rsi));
    let text = read(guest, "log", address, length)?;
    host.log(&text);
    Ok(Action::Resume)
}

fn meminfo(guest: &mut dyn Guest, host: &Host<'_>) -> Result<Action, Abort> {
    let to = guest.registers().rdi;
    guest
        .write(to, &host.memory.to_bytes())
        .map_err(|source| Abort::Memory {
            call: "get_meminfo",
            source,
        })?;
    Ok(Action::Resume)
}

fn storage_call(guest: &mut dyn Guest, host: &Host<'_>) -> Result<Action, Abort> {
    let from = guest.registers();
    let too_many = from.rsi > u64::from(limits::STORAGE_BUFFERS);
    if too_many || host.fourth(from).checked_add(from.r8).is_none() {
        return Ok(give(guest, MINUS_ONE));
    }
    Err(Abort::NotConfigured {
        call: "storage_callv",
        what: "storage",
    })
}

/// Timers are accepted: they would find no storage when they fire, which nobody notices.
fn storage_task(guest: &mut dyn Guest, host: &Host<'_>) -> Result<Action, Abort> {
    let call = "storage_task";
    let from = *guest.registers();
    if from.rdx > u64::from(limits::STORAGE_TASK_ARGUMENT) {
        return Err(Abort::Argument {
            call,
            what: "length of an argument",
            value: from.rdx,
        });
    }
    guest
        .check_readable(from.rsi, from.rdx)
        .map_err(|source| Abort::Memory { call, source })?;
    if host.fourth(&from) == 0 && from.r8 == 0 {
        return Err(Abort::NotConfigured {
            call,
            what: "storage",
        });
    }
    Ok(give(guest, 0))
}
