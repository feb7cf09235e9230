//! What a program asks about the system and about itself: names, limits, users, registers of
//! its thread, randomness.

use tinykvm::Segment;

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::process::limits::Limit;
use crate::wire::errno::{EAGAIN, EFAULT, EINVAL, EPERM, ESRCH};
use crate::wire::ids::{USER_ID, is_self};
use crate::wire::record::{Record, u64_at};
use crate::wire::user::{LONGEST_TRANSFER, USER_END, check_user_range};

/// `uname(name)`
pub(crate) fn uname(context: &mut Context<'_>) -> Answer {
    /// Size of each field of `struct new_utsname` (linux/utsname.h).
    const FIELD: usize = 65;
    // The release is the oldest one that has every call of the table.
    let fields: [&[u8]; 6] = [
        b"Linux", b"tinykvm", b"6.1.0", b"#1 SMP", b"x86_64", b"(none)",
    ];
    let mut record = Record::<{ 6 * FIELD }>::new();
    for (index, text) in fields.into_iter().enumerate() {
        record = record.bytes(index * FIELD, text);
    }
    context.write(context.word(0), record.as_bytes())?;
    Ok(0)
}

/// `prlimit64(pid, resource, new, old)`
pub(crate) fn prlimit(context: &mut Context<'_>) -> Answer {
    let pid = context.int(0);
    if pid != 0 && !is_self(pid) {
        return Err(ESRCH.into());
    }
    limits(context, context.uint(1), context.word(2), context.word(3))
}

/// `getrlimit(resource, limit)`
pub(crate) fn getrlimit(context: &mut Context<'_>) -> Answer {
    let record = context.word(1);
    // Null would mean "not wanted" below.
    check_pointer(record)?;
    limits(context, context.uint(0), 0, record)
}

/// `setrlimit(resource, limit)`
pub(crate) fn setrlimit(context: &mut Context<'_>) -> Answer {
    let record = context.word(1);
    check_pointer(record)?;
    limits(context, context.uint(0), record, 0)
}

fn check_pointer(address: u64) -> Result<(), Failure> {
    if address == 0 {
        Err(EFAULT.into())
    } else {
        Ok(())
    }
}

/// Reads and replaces a limit. A program may lower its limits, as any program may.
fn limits(context: &mut Context<'_>, resource: u32, new: u64, old: u64) -> Answer {
    let index = usize::try_from(resource).map_err(|_| EINVAL)?;
    let before = *context.state().limits.get(index).ok_or(EINVAL)?;
    if new != 0 {
        let record: [u8; 16] = context.read(new)?;
        let wanted = Limit {
            current: u64_at(&record, 0),
            maximum: u64_at(&record, 8),
        };
        if wanted.current > wanted.maximum {
            return Err(EINVAL.into());
        }
        if wanted.maximum > before.maximum {
            return Err(EPERM.into());
        }
        if wanted != before {
            context.state_mut().limits[index] = wanted;
        }
    }
    let record = Record::<16>::new()
        .u64(0, before.current)
        .u64(8, before.maximum);
    context.write_if_wanted(old, record.as_bytes())?;
    Ok(0)
}

/// `getuid`, `geteuid`, `getgid`, `getegid`
pub(crate) fn user_id(_: &mut Context<'_>) -> Answer {
    Ok(u64::from(USER_ID))
}

/// `setuid`, `setgid`: a program may stay who it is.
pub(crate) fn set_user_id(context: &mut Context<'_>) -> Answer {
    if context.uint(0) == USER_ID {
        Ok(0)
    } else {
        Err(EPERM.into())
    }
}

/// `getresuid`, `getresgid`: real, effective, saved.
pub(crate) fn user_ids(context: &mut Context<'_>) -> Answer {
    for index in 0..3 {
        context.write(context.word(index), &USER_ID.to_le_bytes())?;
    }
    Ok(0)
}

/// `umask(mask)`
pub(crate) fn umask(context: &mut Context<'_>) -> Answer {
    let before = context.state().umask;
    let mask = context.uint(0) & 0o777;
    if mask != before {
        context.state_mut().umask = mask;
    }
    Ok(u64::from(before))
}

/// `sysinfo(info)`: the memory of the virtual machine, one process, no load.
pub(crate) fn sysinfo(context: &mut Context<'_>) -> Answer {
    let memory = context.process.options().memory;
    // struct sysinfo in linux/sysinfo.h
    let record = Record::<112>::new()
        .u64(0, context.guest.monotonic().as_secs())
        .u64(32, memory)
        .u64(40, memory)
        .u16(80, 1)
        .u32(104, 1);
    context.write(context.word(0), record.as_bytes())?;
    Ok(0)
}

/// `arch_prctl(code, address)`: the segment bases.
pub(crate) fn arch_prctl(context: &mut Context<'_>) -> Answer {
    // asm/prctl.h
    const SET_GS: i32 = 0x1001;
    const SET_FS: i32 = 0x1002;
    const GET_FS: i32 = 0x1003;
    const GET_GS: i32 = 0x1004;
    let address = context.word(1);
    let (segment, set) = match context.int(0) {
        SET_GS => (Segment::Gs, true),
        SET_FS => (Segment::Fs, true),
        GET_FS => (Segment::Fs, false),
        GET_GS => (Segment::Gs, false),
        _ => return Err(EINVAL.into()),
    };
    if !set {
        let base = context.guest.segment_base(segment);
        context.write(address, &base.to_le_bytes())?;
    } else if address >= USER_END {
        return Err(EPERM.into());
    } else {
        context.guest.set_segment_base(segment, address);
    }
    Ok(0)
}

/// `prctl(option, argument)`: the thread's name.
pub(crate) fn prctl(context: &mut Context<'_>) -> Answer {
    // linux/prctl.h
    const SET_NAME: i32 = 15;
    const GET_NAME: i32 = 16;
    const SET_PDEATHSIG: i32 = 1;
    const GET_PDEATHSIG: i32 = 2;
    const GET_DUMPABLE: i32 = 3;
    const GET_KEEPCAPS: i32 = 7;
    const SET_TIMERSLACK: i32 = 29;
    const SET_NO_NEW_PRIVS: i32 = 38;
    const GET_NO_NEW_PRIVS: i32 = 39;
    let rest = |from| (from..5).all(|index| context.word(index) == 0);
    let address = context.word(1);
    match context.int(0) {
        SET_NAME => {
            let (text, _) = context.text(address, 15)?;
            let mut name = [0; 16];
            name[..text.len()].copy_from_slice(&text);
            context.thread_mut().name = name;
            Ok(0)
        }
        GET_NAME => {
            let name = context.thread().name;
            context.write(address, &name)?;
            Ok(0)
        }
        // There is no parent.
        SET_PDEATHSIG if address <= 64 => Ok(0),
        GET_PDEATHSIG => {
            context.write(address, &0_u32.to_le_bytes())?;
            Ok(0)
        }
        GET_DUMPABLE => Ok(1),
        GET_KEEPCAPS | SET_TIMERSLACK => Ok(0),
        // It never gets any.
        SET_NO_NEW_PRIVS if address == 1 && rest(2) => Ok(0),
        GET_NO_NEW_PRIVS if rest(1) => Ok(1),
        _ => Err(EINVAL.into()),
    }
}

/// `getrandom(buffer, length, flags)`: fresh randomness of the host in any length.
pub(crate) fn getrandom(context: &mut Context<'_>) -> Answer {
    // linux/random.h
    const NONBLOCK: u32 = 1;
    const RANDOM: u32 = 2;
    const INSECURE: u32 = 4;
    /// Bytes between looks at the clock.
    const PIECE: u64 = 16 * 1024;
    let (address, flags) = (context.word(0), context.uint(2));
    if flags & !(NONBLOCK | RANDOM | INSECURE) != 0
        || flags & (RANDOM | INSECURE) == RANDOM | INSECURE
    {
        return Err(EINVAL.into());
    }
    let length = context.word(1).min(LONGEST_TRANSFER);
    check_user_range(address, length)?;
    let mut piece = vec![0; usize::try_from(PIECE.min(length)).map_err(|_| EINVAL)?];
    let mut done = 0;
    while done < length {
        if done > 0 {
            context.checkpoint()?;
        }
        let size = usize::try_from(PIECE.min(length - done)).map_err(|_| EINVAL)?;
        let bytes = &mut piece[..size];
        getrandom::fill(bytes).map_err(|_| EAGAIN)?;
        if context.write(address + done, bytes).is_err() {
            // What was delivered counts, unless that is nothing.
            return if done == 0 {
                Err(EFAULT.into())
            } else {
                Ok(done)
            };
        }
        done += size as u64;
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
