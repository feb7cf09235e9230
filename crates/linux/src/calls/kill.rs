//! Sending of signals, by a program to itself and by its timers.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::process::pending::Info;
use crate::process::signals::Target;
use crate::wire::errno::{EINVAL, ESRCH, Errno};
use crate::wire::ids::is_self;
use crate::wire::signal::{SI_TKILL, number_or_zero};

fn send(context: &mut Context<'_>, target: Target, number: i32, code: i32) -> Answer {
    let number = number_or_zero(number)?;
    if let Target::Thread(id) = target {
        context.state().threads.find(id).ok_or(ESRCH)?;
    }
    if number != 0 {
        context.state_mut().send(target, Info::own(number, code))?;
    }
    Ok(0)
}

/// `kill(pid, signal)`: 0 means our process group, which is us.
pub(crate) fn kill(context: &mut Context<'_>) -> Answer {
    let (target, number) = (context.int(0), context.int(1));
    number_or_zero(number)?;
    // -1 means everybody else, and there is nobody.
    if target != 0 && !is_self(target) {
        return Err(ESRCH.into());
    }
    send(context, Target::Process, number, 0)
}

/// The number of a thread that a program names.
pub(crate) fn thread(id: i32) -> Result<Target, Errno> {
    match u32::try_from(id) {
        Ok(id) if id > 0 => Ok(Target::Thread(id)),
        _ => Err(EINVAL),
    }
}

/// The process that a program names.
fn check_process(id: i32) -> Result<(), Errno> {
    if id <= 0 {
        Err(EINVAL)
    } else if is_self(id) {
        Ok(())
    } else {
        Err(ESRCH)
    }
}

/// `tkill(tid, signal)`
pub(crate) fn tkill(context: &mut Context<'_>) -> Answer {
    send(context, thread(context.int(0))?, context.int(1), SI_TKILL)
}

/// `tgkill(pid, tid, signal)`
pub(crate) fn tgkill(context: &mut Context<'_>) -> Answer {
    let target = thread(context.int(1))?;
    check_process(context.int(0))?;
    send(context, target, context.int(2), SI_TKILL)
}

/// `rt_sigqueueinfo(pid, signal, info)`
pub(crate) fn rt_sigqueueinfo(context: &mut Context<'_>) -> Answer {
    queue(context, None, context.int(1), context.word(2))
}

/// `rt_tgsigqueueinfo(pid, tid, signal, info)`
pub(crate) fn rt_tgsigqueueinfo(context: &mut Context<'_>) -> Answer {
    let target = thread(context.int(1))?;
    queue(context, Some(target), context.int(2), context.word(3))
}

fn queue(context: &mut Context<'_>, target: Option<Target>, number: i32, info: u64) -> Answer {
    let record = context.read::<128>(info)?;
    if target.is_some() {
        check_process(context.int(0))?;
    } else if !is_self(context.int(0)) {
        return Err(ESRCH.into());
    }
    let target = target.unwrap_or(Target::Process);
    let number = number_or_zero(number)?;
    if let Target::Thread(id) = target {
        context.state().threads.find(id).ok_or(ESRCH)?;
    }
    if number != 0 {
        let info = Info::parse(number, &record);
        context.state_mut().send(target, info)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests;
