//! HTTP header fields and cacheability.

use std::time::Duration;

use tinykvm::Guest;
use tinykvm_abi::sides;

use super::{Abort, Action, Host, MINUS_ONE, Stage, give, low16, read};
use crate::fields::{self, FIELD_MAX, FieldRefused};
use crate::transaction::{Side, Transaction};

/// The longest time that is passed on, about 30 years; longer ones mean the same.
const LONGEST: Duration = Duration::from_secs(1_000_000_000);

/// The transaction that a call is about.
fn transaction<'h>(
    host: &'h mut Host<'_>,
    call: &'static str,
) -> Result<&'h mut dyn Transaction, Abort> {
    match &mut host.stage {
        Stage::Request { transaction, .. } => Ok(*transaction),
        _ => Err(Abort::OnlyRequest { call }),
    }
}

/// Which message the first argument means.
fn side(transaction: &dyn Transaction, call: &'static str, place: u64) -> Result<Side, Abort> {
    let [a, b, c, d, ..] = place.to_le_bytes();
    let backend = transaction.is_backend_fetch();
    let side = match i32::from_le_bytes([a, b, c, d]) {
        sides::REQUEST => Side::Request,
        sides::RESPONSE => Side::Response,
        sides::BACKEND_REQUEST if backend => Side::Request,
        sides::BACKEND_RESPONSE if backend => Side::Response,
        _ => {
            return Err(Abort::Argument {
                call,
                what: "message with headers",
                value: place,
            });
        }
    };
    if transaction.field_count(side).is_none() {
        return Err(Abort::Argument {
            call,
            what: "message that exists here",
            value: place,
        });
    }
    Ok(side)
}

/// The field that a call hands over.
fn field(guest: &dyn Guest, call: &'static str) -> Result<Vec<u8>, Abort> {
    let registers = guest.registers();
    let length = usize::try_from(registers.rdx).unwrap_or(usize::MAX);
    if length > FIELD_MAX {
        return Err(Abort::Field {
            call,
            source: FieldRefused::Length { length },
        });
    }
    read(guest, call, registers.rsi, length)
}

pub(super) fn append(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    store(guest, host, "http_append", fields::append)
}

pub(super) fn set(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    store(guest, host, "http_set", fields::set)
}

fn store(
    guest: &mut dyn Guest,
    host: &mut Host<'_>,
    call: &'static str,
    store: fn(&mut dyn Transaction, Side, &[u8]) -> Result<u64, FieldRefused>,
) -> Result<Action, Abort> {
    let transaction = transaction(host, call)?;
    let side = side(transaction, call, guest.registers().rdi)?;
    let field = field(guest, call)?;
    let result =
        store(transaction, side, &field).map_err(|source| Abort::Field { call, source })?;
    if fields::is_ignored(transaction, side, &field) {
        host.note_ignored(call, &field);
    }
    Ok(give(guest, result))
}

pub(super) fn find(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let call = "http_find";
    let (rdi, rsi, rdx, to, r8) = {
        let from = guest.registers();
        (from.rdi, from.rsi, from.rdx, host.fourth(from), from.r8)
    };
    let transaction = transaction(host, call)?;
    let side = side(transaction, call, rdi)?;
    let name = read(guest, call, rsi, low16(rdx))?;
    fields::validate_name(&name).map_err(|source| Abort::Field { call, source })?;
    let result = match transaction.find(side, &name) {
        Some((_, field)) => deliver(guest, call, &field, to, low16(r8))?,
        None => 0,
    };
    Ok(give(guest, result))
}

pub(super) fn method(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let call = "http_method";
    if !transaction(host, call)?.is_backend_fetch() {
        return Err(Abort::OnlyBackend { call });
    }
    let Stage::Request { method, .. } = &host.stage else {
        return Err(Abort::OnlyRequest { call });
    };
    let (to, room) = (guest.registers().rdi, guest.registers().rsi & 0x7FFF_FFFF);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let result = deliver(guest, call, method, to, room)?;
    Ok(give(guest, result))
}

/// Copies text without a NUL into the guest's buffer. The result is its length, or 0 if the
/// buffer is too small; without a buffer, always its length.
fn deliver(
    guest: &mut dyn Guest,
    call: &'static str,
    text: &[u8],
    to: u64,
    room: usize,
) -> Result<u64, Abort> {
    let length = text.len() as u64;
    if to == 0 {
        return Ok(length);
    }
    if text.len() > room {
        return Ok(0);
    }
    guest
        .write(to, text)
        .map_err(|source| Abort::Memory { call, source })?;
    Ok(length)
}

pub(super) fn set_cacheable(guest: &mut dyn Guest, host: &mut Host<'_>) -> Result<Action, Abort> {
    let keep = host.fourth(guest.registers());
    let transaction = match &mut host.stage {
        Stage::Request { transaction, .. } => transaction,
        Stage::Init { .. } => return Ok(give(guest, MINUS_ONE)),
        Stage::Detached | Stage::Filter => {
            return Err(Abort::OnlyRequest {
                call: "set_cacheable",
            });
        }
    };
    let from = guest.registers();
    let time = |milliseconds| Duration::from_millis(milliseconds).min(LONGEST);
    // The first is a bool, in the lowest byte.
    let cacheable = from.rdi & 0xFF != 0;
    let done = transaction.set_cacheable(cacheable, time(from.rsi), time(from.rdx), time(keep));
    Ok(give(guest, if done { 0 } else { MINUS_ONE }))
}
