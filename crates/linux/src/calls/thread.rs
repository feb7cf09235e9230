//! Identities, scheduling parameters, and other calls with little to do. Threads begin and end in
//! `clone`; who runs is in `run::scheduler`.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::process::Process;
use crate::wire::errno::{ECHILD, EINVAL, ENOSYS, EPERM, ESRCH};
use crate::wire::ids::{FORKED_ID, PROCESS_ID, USER_ID, is_self};

/// `gettid()`
pub(crate) fn gettid(context: &mut Context<'_>) -> Answer {
    Ok(u64::from(context.thread().id))
}

/// `sched_yield()`
pub(crate) fn sched_yield(context: &mut Context<'_>) -> Answer {
    if context.state().threads.is_alone() {
        return Ok(0);
    }
    Err(Failure::Yield)
}

/// `getpid()`
pub(crate) fn getpid(context: &mut Context<'_>) -> Answer {
    let forked = context.process.forked;
    Ok(u64::from(if forked { FORKED_ID } else { PROCESS_ID }))
}

/// Calls whose results are known before they are made, until another thread runs: their numbers and
/// results. The last holds for a thread that is alone.
pub(crate) fn known(process: &Process) -> [(u32, u64); 9] {
    let id = if process.forked {
        FORKED_ID
    } else {
        PROCESS_ID
    };
    let user = u64::from(USER_ID);
    [
        (39, u64::from(id)),                           // getpid
        (186, u64::from(process.state().thread().id)), // gettid
        (110, 0),                                      // getppid
        (111, u64::from(PROCESS_ID)),                  // getpgrp
        (102, user),                                   // getuid
        (104, user),                                   // getgid
        (107, user),                                   // geteuid
        (108, user),                                   // getegid
        (24, 0),                                       // sched_yield
    ]
}

/// `getpgrp`: that of the frozen process.
pub(crate) fn own_id(_: &mut Context<'_>) -> Answer {
    Ok(u64::from(PROCESS_ID))
}

/// `getpgid(pid)`, `getsid(pid)`
pub(crate) fn id_of(context: &mut Context<'_>) -> Answer {
    check_is_self(context, 0)?;
    Ok(u64::from(PROCESS_ID))
}

/// Argument `index` must be the only process, by number or as 0.
fn check_is_self(context: &Context<'_>, index: usize) -> Result<(), Failure> {
    let id = context.int(index);
    if id == 0 || is_self(id) {
        Ok(())
    } else {
        Err(ESRCH.into())
    }
}

/// Argument `index` must be a thread, by number or as 0.
fn check_is_thread(context: &Context<'_>, index: usize) -> Result<(), Failure> {
    let id = context.int(index);
    if id < 0 {
        return Err(EINVAL.into());
    }
    if id == 0 || context.state().threads.find(id.cast_unsigned()).is_some() {
        Ok(())
    } else {
        Err(ESRCH.into())
    }
}

/// `wait4(pid, status, options, usage)`
pub(crate) fn wait4(context: &mut Context<'_>) -> Answer {
    /// `WNOHANG`, `WUNTRACED`, `WCONTINUED`, `__WNOTHREAD`, `__WALL`, `__WCLONE` of linux/wait.h.
    const OPTIONS: u32 = 0xe000_000b;
    if context.uint(2) & !OPTIONS != 0 {
        return Err(EINVAL.into());
    }
    no_children(context)
}

/// `waitid`: there are no child processes.
pub(crate) fn no_children(_: &mut Context<'_>) -> Answer {
    Err(ECHILD.into())
}

/// Calls that C libraries try at every start and can do without: `rseq`.
pub(crate) fn not_supported(_: &mut Context<'_>) -> Answer {
    Err(ENOSYS.into())
}

/// Calls that only a privileged program may make, or only one that leads no session.
pub(crate) fn not_permitted(_: &mut Context<'_>) -> Answer {
    Err(EPERM.into())
}

/// Calls with nothing to do.
pub(crate) fn nothing(_: &mut Context<'_>) -> Answer {
    Ok(0)
}

/// `sched_getaffinity(pid, size, mask)`: processor 0. The result is the size of a mask.
pub(crate) fn sched_getaffinity(context: &mut Context<'_>) -> Answer {
    check_is_thread(context, 0)?;
    let size = context.uint(1);
    if size == 0 || !size.is_multiple_of(8) {
        return Err(EINVAL.into());
    }
    context.write(context.word(2), &1_u64.to_le_bytes())?;
    Ok(8)
}

/// `sched_setaffinity(pid, size, mask)`: anything that includes processor 0.
pub(crate) fn sched_setaffinity(context: &mut Context<'_>) -> Answer {
    check_is_thread(context, 0)?;
    if context.uint(1) == 0 {
        return Err(EINVAL.into());
    }
    let [first] = context.read(context.word(2))?;
    if first & 1 == 0 {
        Err(EINVAL.into())
    } else {
        Ok(0)
    }
}

/// `getcpu(processor, node, unused)`
pub(crate) fn getcpu(context: &mut Context<'_>) -> Answer {
    for index in 0..2 {
        context.write_if_wanted(context.word(index), &0_u32.to_le_bytes())?;
    }
    Ok(0)
}

/// `sched_getscheduler(pid)`: `SCHED_OTHER`.
pub(crate) fn sched_getscheduler(context: &mut Context<'_>) -> Answer {
    check_is_thread(context, 0)?;
    Ok(0)
}

/// `sched_getparam(pid, param)`: priority 0.
pub(crate) fn sched_getparam(context: &mut Context<'_>) -> Answer {
    if context.word(1) == 0 {
        return Err(EINVAL.into());
    }
    check_is_thread(context, 0)?;
    context.write(context.word(1), &0_i32.to_le_bytes())?;
    Ok(0)
}

/// `sched_setscheduler(pid, policy, param)`: it stays `SCHED_OTHER`.
pub(crate) fn sched_setscheduler(context: &mut Context<'_>) -> Answer {
    if context.word(2) == 0 {
        return Err(EINVAL.into());
    }
    let priority: [u8; 4] = context.read(context.word(2))?;
    check_is_thread(context, 0)?;
    // SCHED_OTHER, SCHED_BATCH, SCHED_IDLE; SCHED_FIFO, SCHED_RR
    match (context.int(1), i32::from_le_bytes(priority)) {
        (0 | 3 | 5, 0) => Ok(0),
        (1 | 2, 1..=99) => Err(EPERM.into()),
        _ => Err(EINVAL.into()),
    }
}

/// `sched_get_priority_max(policy)`
pub(crate) fn sched_priority_max(context: &mut Context<'_>) -> Answer {
    priority_bound(context, 99)
}

/// `sched_get_priority_min(policy)`
pub(crate) fn sched_priority_min(context: &mut Context<'_>) -> Answer {
    priority_bound(context, 1)
}

/// `real_time` for the real-time policies, 0 for the others (linux/sched.h).
fn priority_bound(context: &Context<'_>, real_time: u64) -> Answer {
    match context.int(0) {
        1 | 2 => Ok(real_time),
        0 | 3 | 5 | 6 => Ok(0),
        _ => Err(EINVAL.into()),
    }
}

/// `getpriority(which, who)`: nice 0, which the call reports as 20.
pub(crate) fn getpriority(context: &mut Context<'_>) -> Answer {
    check_priority_target(context)?;
    Ok(20)
}

/// `setpriority(which, who, priority)`: there is nobody to be nice to.
pub(crate) fn setpriority(context: &mut Context<'_>) -> Answer {
    check_priority_target(context)?;
    Ok(0)
}

fn check_priority_target(context: &Context<'_>) -> Result<(), Failure> {
    // PRIO_PROCESS, PRIO_PGRP, PRIO_USER of linux/resource.h
    match context.int(0) {
        0 | 1 if check_is_thread(context, 1).is_err() => Err(ESRCH.into()),
        0..=2 => Ok(()),
        _ => Err(EINVAL.into()),
    }
}

/// `membarrier(command, flags, cpu)`: with one processor every barrier holds by itself.
pub(crate) fn membarrier(context: &mut Context<'_>) -> Answer {
    // linux/membarrier.h
    const QUERY: i32 = 0;
    const GLOBAL: i32 = 1;
    const PRIVATE_EXPEDITED: i32 = 8;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 16;
    if context.uint(1) != 0 {
        return Err(EINVAL.into());
    }
    match context.int(0) {
        QUERY => Ok(u64::from(
            (GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED).cast_unsigned(),
        )),
        GLOBAL | PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED => Ok(0),
        _ => Err(EINVAL.into()),
    }
}

/// `getgroups(size, list)`: no supplementary groups.
pub(crate) fn getgroups(context: &mut Context<'_>) -> Answer {
    if context.int(0) < 0 {
        Err(EINVAL.into())
    } else {
        Ok(0)
    }
}

#[cfg(test)]
mod tests;
