//! Memory that is written and executed: who asks for it without leave is told to the host.

use tinykvm::{MapError, Protection};

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::notice::Notice;

/// Passes the result of an operation on; if the rule is broken, the host is told.
pub(super) fn told<T>(
    context: &mut Context<'_>,
    result: Result<T, MapError>,
) -> Result<T, Failure> {
    let call = context.call;
    match &result {
        Err(MapError::WriteExecute) => context.notice(Notice::ExecMemory { call }),
        Err(MapError::NoMemory { length }) => {
            let length = *length;
            context.notice(Notice::NoMapping { call, length });
        }
        _ => {}
    }
    Ok(result?)
}

/// In an audit: tells the host what would break the rule.
pub(super) fn audit(context: &mut Context<'_>, written: bool, allow: Protection) {
    if context.process.options().audit_exec_memory && allow.execute && written {
        context.host.exec_memory();
    }
}

/// True if some of a range may be written, or could be before.
pub(super) fn is_written(context: &Context<'_>, address: u64, length: u64) -> bool {
    let end = address.saturating_add(length);
    let mut at = address;
    while let Some(range) = context.guest.mapped(at).filter(|range| range.start < end) {
        if range.written {
            return true;
        }
        if range.end <= at {
            break;
        }
        at = range.end;
    }
    false
}
