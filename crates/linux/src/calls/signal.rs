//! Signal actions, masks and alternate stacks. Sending is in `kill`, waiting in `sigwait`, the return
//! from a handler in `sigreturn`.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::process::signals::{Action, AlternateStack};
use crate::wire::errno::{EINVAL, EPERM};
use crate::wire::record::{Record, u64_at};
use crate::wire::signal::{SET_SIZE, UNSTOPPABLE, bit, number_or_zero};

/// `rt_sigaction(signal, action, old action, set size)`
pub(crate) fn rt_sigaction(context: &mut Context<'_>) -> Answer {
    let number = number_or_zero(context.int(0))?;
    let (new, old) = (context.word(1), context.word(2));
    if context.word(3) != SET_SIZE || number == 0 {
        return Err(EINVAL.into());
    }
    let before = context.state().signals.action(number);
    if new != 0 {
        let record: [u8; 32] = context.read(new)?;
        if bit(number) & UNSTOPPABLE != 0 {
            return Err(EINVAL.into());
        }
        let action = Action {
            handler: u64_at(&record, 0),
            flags: u64_at(&record, 8),
            restorer: u64_at(&record, 16),
            mask: u64_at(&record, 24),
        };
        context.state_mut().set_action(number, action);
    }
    let record = Record::<32>::new()
        .u64(0, before.handler)
        .u64(8, before.flags)
        .u64(16, before.restorer)
        .u64(24, before.mask);
    context.write_if_wanted(old, record.as_bytes())?;
    Ok(0)
}

/// `rt_sigprocmask(how, set, old set, set size)`
pub(crate) fn rt_sigprocmask(context: &mut Context<'_>) -> Answer {
    // asm-generic/signal-defs.h
    const BLOCK: i32 = 0;
    const UNBLOCK: i32 = 1;
    const SETMASK: i32 = 2;
    let (set, old) = (context.word(1), context.word(2));
    if context.word(3) != SET_SIZE {
        return Err(EINVAL.into());
    }
    let before = context.thread().signals.blocked;
    if set != 0 {
        let set = u64::from_le_bytes(context.read(set)?);
        let after = match context.int(0) {
            BLOCK => before | set,
            UNBLOCK => before & !set,
            SETMASK => set,
            _ => return Err(EINVAL.into()),
        };
        if after != before {
            context.thread_mut().signals.block(after);
        }
    }
    context.write_if_wanted(old, &before.to_le_bytes())?;
    Ok(0)
}

/// `rt_sigpending(set, set size)`
pub(crate) fn rt_sigpending(context: &mut Context<'_>) -> Answer {
    let size = context.word(1);
    if size > SET_SIZE {
        return Err(EINVAL.into());
    }
    let own = &context.thread().signals;
    let pending = own.pending.set() | context.state().signals.pending.set();
    let set = (pending & own.blocked).to_le_bytes();
    let size = usize::try_from(size).map_err(|_| EINVAL)?;
    context.write(context.word(0), &set[..size])?;
    Ok(0)
}

/// `sigaltstack(stack, old stack)`
pub(crate) fn sigaltstack(context: &mut Context<'_>) -> Answer {
    let (new, old) = (context.word(0), context.word(1));
    let stack_pointer = context.guest.registers().rsp;
    let before = context.thread().signals.alternate;
    if new != 0 {
        let record = context.read(new)?;
        if before.contains(stack_pointer) {
            return Err(EPERM.into());
        }
        let stack = AlternateStack::parse(&record)?;
        context.thread_mut().signals.alternate = stack;
    }
    context.write_if_wanted(old, before.record(stack_pointer).as_bytes())?;
    Ok(0)
}

#[cfg(test)]
mod tests;
