//! Beginning and end of threads.

use tinykvm::{Registers, Segment};

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::calls::futex::{robust, word};
use crate::host::Flow;
use crate::notice::{Full, Lacking};
use crate::process::threads::Start;
use crate::wire::errno::{E2BIG, EAGAIN, EINVAL, ENOSYS, EPERM};
use crate::wire::ids::PROCESS_ID;
use crate::wire::record::u64_at;
use crate::wire::user::USER_END;

// Flags: linux/sched.h
const VM: u64 = 0x100;
const FS: u64 = 0x200;
const FILES: u64 = 0x400;
const SIGHAND: u64 = 0x800;
const PIDFD: u64 = 0x1000;
const VFORK: u64 = 0x4000;
const THREAD: u64 = 0x1_0000;
const SETTLS: u64 = 0x8_0000;
const PARENT_SETTID: u64 = 0x10_0000;
const CHILD_CLEARTID: u64 = 0x20_0000;
const DETACHED: u64 = 0x40_0000;
const CHILD_SETTID: u64 = 0x100_0000;
const NEWNS: u64 = 0x2_0000;
const NEWUSER: u64 = 0x1000_0000;
/// `CLONE_NEWNS`, `NEWCGROUP`, `NEWUTS`, `NEWIPC`, `NEWUSER`, `NEWPID`, `NEWNET`, `NEWTIME`.
const NAMESPACES: u64 = 0x7e02_0080;
const CLEAR_SIGHAND: u64 = 1 << 32;
const INTO_CGROUP: u64 = 1 << 33;
/// `CSIGNAL`: in `clone` the signal that tells the parent of the end.
const SIGNAL: u64 = 0xff;

/// What a thread shares with its program, here and so always.
const SHARED: u64 = VM | FS | FILES | SIGHAND | THREAD;

/// `struct clone_args` of linux/sched.h, as far as threads have it.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    flags: u64,
    /// First stack pointer; 0: that of the caller.
    stack: u64,
    tls: u64,
    parent_tid: u64,
    child_tid: u64,
}

/// `clone(flags, stack, parent tid, child tid, tls)`
pub(crate) fn clone(context: &mut Context<'_>) -> Answer {
    let wanted = Wanted {
        // What is in the lower byte is the signal, which a thread has no use for.
        flags: context.word(0) & 0xffff_ff00,
        stack: context.word(1),
        parent_tid: context.word(2),
        child_tid: context.word(3),
        tls: context.word(4),
    };
    start(context, wanted)
}

/// `clone3(arguments, size)`
pub(crate) fn clone3(context: &mut Context<'_>) -> Answer {
    const FIRST_SIZE: u64 = 64;
    const SIZE: usize = 88;
    const LARGEST: u64 = 4096;
    let (address, size) = (context.word(0), context.word(1));
    if size < FIRST_SIZE {
        return Err(EINVAL.into());
    }
    if size > LARGEST {
        return Err(E2BIG.into());
    }
    let mut record = vec![0; usize::try_from(size).map_err(|_| E2BIG)?];
    context.read_into(address, &mut record)?;
    // A field that we do not know must not matter.
    if record.iter().skip(SIZE).any(|&byte| byte != 0) {
        return Err(E2BIG.into());
    }
    let [flags, child_tid, parent_tid, exit_signal] = [0, 16, 24, 32].map(|at| u64_at(&record, at));
    let [stack, stack_size, tls, set_count] = [40, 48, 56, 72].map(|at| u64_at(&record, at));
    let known = 0x3_ffff_ffff & !SIGNAL | 0x80;
    if flags & !known != 0
        || flags & DETACHED != 0
        || exit_signal > 64
        || flags & THREAD != 0 && exit_signal != 0
        || (stack == 0) != (stack_size == 0)
    {
        return Err(EINVAL.into());
    }
    if set_count != 0 {
        return Err(EPERM.into());
    }
    let stack = stack.checked_add(stack_size).filter(|&top| top <= USER_END);
    let wanted = Wanted {
        flags,
        stack: stack.ok_or(EINVAL)?,
        tls,
        parent_tid,
        child_tid,
    };
    start(context, wanted)
}

/// Says what is wrong with the flags. Only threads can be made: whoever asks for a process gets
/// `ENOSYS`, which a program reports, where after `EAGAIN` it would try for ever.
fn check(flags: u64) -> Result<(), Failure> {
    let without = |one: u64, other: u64| flags & one != 0 && flags & other == 0;
    // Its own errors first, then ours.
    let impossible = without(SIGHAND, VM)
        || without(THREAD, SIGHAND)
        || flags & FS != 0 && flags & (NEWNS | NEWUSER) != 0
        || flags & CLEAR_SIGHAND != 0 && flags & SIGHAND != 0
        || flags & (PIDFD | INTO_CGROUP) != 0 && flags & THREAD != 0;
    if impossible {
        Err(EINVAL.into())
    } else if flags & NAMESPACES != 0 {
        Err(EPERM.into())
    } else if flags & SHARED != SHARED || flags & VFORK != 0 {
        Err(ENOSYS.into())
    } else {
        Ok(())
    }
}

fn start(context: &mut Context<'_>, wanted: Wanted) -> Answer {
    let flags = wanted.flags;
    if let Err(failure) = check(flags) {
        if matches!(failure, Failure::Error(ENOSYS)) {
            context.lacking(Lacking::Process);
        }
        return Err(failure);
    }
    if flags & SETTLS != 0 && wanted.tls >= USER_END {
        return Err(EPERM.into());
    }
    let most = context.process.options().threads;
    if context.state().threads.count() >= most {
        context.full(Full::Threads);
        return Err(EAGAIN.into());
    }
    let now = *context.guest.registers();
    let stack = if wanted.stack == 0 {
        now.rsp
    } else {
        wanted.stack
    };
    let vectors = context.guest.vector_state();
    let own_base = context.guest.segment_base(Segment::Fs);
    let id = context.state_mut().threads.add(Start {
        registers: Registers {
            rax: 0,
            rsp: stack,
            rcx: now.rip,
            r11: now.rflags,
            ..now
        },
        fs_base: if flags & SETTLS == 0 {
            own_base
        } else {
            wanted.tls
        },
        vectors,
        clear_at_end: if flags & CHILD_CLEARTID == 0 {
            0
        } else {
            wanted.child_tid
        },
    });
    // Linux does not tell anybody where these cannot be written.
    if flags & PARENT_SETTID != 0 {
        let _ = context.write(wanted.parent_tid, &id.to_le_bytes());
    }
    if flags & CHILD_SETTID != 0 {
        let _ = context.write(wanted.child_tid, &id.to_le_bytes());
    }
    Ok(u64::from(id))
}

/// `exit_group(status)`
pub(crate) fn exit_group(context: &mut Context<'_>) -> Answer {
    let status = context.int(0) & 0xff;
    Err(Failure::Stop(Flow::Exit { status }))
}

/// `exit(status)`: the end of the thread; of the program, if it is the last.
pub(crate) fn exit(context: &mut Context<'_>) -> Answer {
    let own = context.int(0) & 0xff;
    let threads = &context.state().threads;
    let first = context.thread().id == PROCESS_ID;
    // What the first thread said is the program's status.
    let status = if first {
        own
    } else {
        threads.status.unwrap_or(own)
    };
    if threads.count() <= 1 {
        return Err(Failure::Stop(Flow::Exit { status }));
    }
    if first {
        context.state_mut().threads.status = Some(own);
    }
    robust::leave(context)?;
    let address = context.thread().clear_at_end;
    if address != 0 && context.write(address, &0_u32.to_le_bytes()).is_ok() {
        word::wake(context.state_mut(), address, 1, u32::MAX);
    }
    context.thread_mut().ended = true;
    context.state_mut().changed();
    Err(Failure::Done)
}

/// `set_tid_address(address)`
pub(crate) fn set_tid_address(context: &mut Context<'_>) -> Answer {
    let address = context.word(0);
    if context.thread().clear_at_end != address {
        context.thread_mut().clear_at_end = address;
    }
    Ok(u64::from(context.thread().id))
}

#[cfg(test)]
mod tests;
