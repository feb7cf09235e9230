//! The calls that lock files: `flock`, and record locks by `fcntl`. Files of the host are locked
//! there. What nobody else has needs no lock: there is one process, and its own locks never stand in
//! its way.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::objects::file::HostFile;
use crate::objects::object::Object;
use crate::process::block::Block;
use crate::process::descriptors::Description;
use crate::process::locks::{Held, MOST, Owner};
use crate::wire::errno::{EACCES, EAGAIN, EBADF, EINTR, EINVAL, ENOLCK, Errno};
use crate::wire::record::{Record, u64_at};

/// Opens a file anew, as a description of its own. The program has it open: what it is, is known.
fn reopen(file: &HostFile, access: OFlags) -> Result<OwnedFd, Errno> {
    // Whatever it is, opening it does not wait.
    let flags = access | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let path = format!("/proc/self/fd/{}", file.host().as_raw_fd());
    Ok(rustix::fs::open(&path, flags, Mode::empty())?)
}

/// A descriptor for an owner; true if it is open for writing.
fn open(owner: Owner, file: &HostFile) -> Result<(OwnedFd, bool), Errno> {
    // Another descriptor of the program may be for writing, and it has all its locks by one.
    let of_program = matches!(owner, Owner::Program(..)) && file.is_changeable();
    if (file.is_writable() || of_program)
        && let Ok(fresh) = reopen(file, OFlags::RDWR)
    {
        return Ok((fresh, true));
    }
    match reopen(file, OFlags::RDONLY) {
        // Only to be written.
        Err(EACCES) => Ok((reopen(file, OFlags::WRONLY)?, true)),
        other => Ok((other?, false)),
    }
}

/// The owner's descriptor on the file. `write`: for a lock that needs one for writing.
fn handle(
    context: &mut Context<'_>,
    owner: Owner,
    file: &HostFile,
    write: bool,
) -> Result<Arc<OwnedFd>, Failure> {
    let known = context.state().locks.0.get(&owner);
    if let Some(known) = known.filter(|known| known.writable || !write) {
        return Ok(Arc::clone(&known.file));
    }
    let ranges = known.map(|known| known.ranges.clone());
    if ranges.is_none() && context.state().locks.0.len() >= MOST {
        return Err(ENOLCK.into());
    }
    let (fresh, writable) = match &ranges {
        None => open(owner, file)?,
        Some(ranges) => {
            let fresh = reopen(file, OFlags::RDWR)?;
            // Locks for reading, which two can have: there is no time in between.
            for lock in ranges.locks() {
                fcntl(fresh.as_raw_fd(), FcntlArg::F_OFD_SETLK(&lock)).map_err(errno)?;
            }
            (fresh, true)
        }
    };
    let fresh = Arc::new(fresh);
    let held = Held {
        file: Arc::clone(&fresh),
        writable,
        ranges: ranges.unwrap_or_default(),
    };
    context.state_mut().locks.0.insert(owner, held);
    Ok(fresh)
}

/// Asks for a lock again after a pause.
fn again(context: &Context<'_>) -> Failure {
    if context.attempt.interrupted {
        return EINTR.into();
    }
    Block::pause(context.guest.monotonic(), None).into()
}

/// `flock(fd, operation)`
pub(crate) fn flock(context: &mut Context<'_>) -> Answer {
    // asm-generic/fcntl.h
    const SHARED: u32 = 1;
    const EXCLUSIVE: u32 = 2;
    const NONBLOCK: u32 = 4;
    const UNLOCK: u32 = 8;
    let (fd, operation) = (context.int(0), context.uint(1));
    let id = context.state().descriptors.id(fd)?;
    let open = context.state().descriptors.get(fd)?;
    if open.is_place() {
        return Err(EBADF.into());
    }
    let object = open.object.clone();
    let wanted = match operation & !NONBLOCK {
        SHARED => FlockOperation::NonBlockingLockShared,
        EXCLUSIVE => FlockOperation::NonBlockingLockExclusive,
        UNLOCK => FlockOperation::Unlock,
        _ => return Err(EINVAL.into()),
    };
    let Object::File(file) = object else {
        // Nobody else has it.
        return Ok(0);
    };
    let handle = handle(context, Owner::Whole(id), &file, false)?;
    match rustix::fs::flock(&handle, wanted).map_err(Errno::from) {
        Ok(()) => Ok(0),
        Err(EAGAIN) if operation & NONBLOCK == 0 => Err(again(context)),
        Err(error) => Err(error.into()),
    }
}

// Commands of fcntl: asm-generic/fcntl.h
const GETLK: u32 = 5;
const SETLKW: u32 = 7;
const OFD_GETLK: u32 = 36;
const OFD_SETLKW: u32 = 38;

/// `fcntl` with record locks.
pub(crate) fn record(context: &mut Context<'_>, fd: i32, command: u32, address: u64) -> Answer {
    let bytes: [u8; 32] = context.read(address)?;
    let id = context.state().descriptors.id(fd)?;
    let open = context.state().descriptors.get(fd)?.clone();
    let Object::File(file) = &open.object else {
        return Err(EINVAL.into());
    };
    let mut lock = parse(&bytes, open.offset, || file.size())?;
    let kind = i32::from(lock.l_type);
    let is_set = !matches!(command, GETLK | OFD_GETLK);
    if is_set
        && (kind == libc::F_RDLCK && !open.readable() || kind == libc::F_WRLCK && !open.writable())
    {
        return Err(EBADF.into());
    }
    let owner = if command >= OFD_GETLK {
        Owner::Description(id)
    } else {
        let found = file.metadata()?;
        Owner::Program(found.device, found.inode)
    };
    let write = is_set && kind == libc::F_WRLCK;
    let handle = handle(context, owner, file, write)?;
    if is_set {
        let waits = matches!(command, SETLKW | OFD_SETLKW);
        return set(context, owner, &handle, &lock, waits);
    }
    fcntl(handle.as_raw_fd(), FcntlArg::F_OFD_GETLK(&mut lock)).map_err(errno)?;
    let found = Record::<32>::new()
        .bytes(0, &lock.l_type.to_le_bytes())
        .bytes(2, &lock.l_whence.to_le_bytes())
        .u64(8, lock.l_start.cast_unsigned())
        .u64(16, lock.l_len.cast_unsigned())
        // Somebody else, whoever that is on the host.
        .i32(24, if lock.l_type == unlocked() { 0 } else { -1 });
    context.write(address, found.as_bytes())?;
    Ok(0)
}

/// Locks or unlocks a record.
fn set(
    context: &mut Context<'_>,
    owner: Owner,
    handle: &OwnedFd,
    lock: &libc::flock,
    waits: bool,
) -> Answer {
    let locks = &context.state().locks;
    let before = locks.0.get(&owner).map(|held| held.ranges.clone());
    let before = before.unwrap_or_default();
    let after = before.with(lock)?;
    if after.count() > before.count() && locks.records() - before.count() + after.count() > MOST {
        return Err(ENOLCK.into());
    }
    match fcntl(handle.as_raw_fd(), FcntlArg::F_OFD_SETLK(lock)) {
        Ok(_) => {
            if let Some(held) = context.state_mut().locks.0.get_mut(&owner) {
                held.ranges = after;
            }
            Ok(0)
        }
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) if waits => Err(again(context)),
        Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Err(EAGAIN.into()),
        Err(error) => Err(errno(error).into()),
    }
}

fn unlocked() -> i16 {
    i16::try_from(libc::F_UNLCK).unwrap_or(2)
}

/// `struct flock`, counted from the start of the file.
fn parse(
    bytes: &[u8; 32],
    offset: u64,
    size: impl FnOnce() -> Result<u64, Errno>,
) -> Result<libc::flock, Errno> {
    let [t0, t1, w0, w1, ..] = *bytes;
    let l_type = i16::from_le_bytes([t0, t1]);
    if !matches!(
        i32::from(l_type),
        libc::F_RDLCK | libc::F_WRLCK | libc::F_UNLCK
    ) {
        return Err(EINVAL);
    }
    let base = match i16::from_le_bytes([w0, w1]) {
        0 => 0,
        1 => offset,
        2 => size()?,
        _ => return Err(EINVAL),
    };
    let base = i64::try_from(base).map_err(|_| EINVAL)?;
    let start = u64_at(bytes, 8).cast_signed();
    Ok(libc::flock {
        l_type,
        l_whence: 0,
        l_start: base.checked_add(start).ok_or(EINVAL)?,
        l_len: u64_at(bytes, 16).cast_signed(),
        l_pid: 0,
    })
}

fn errno(error: nix::errno::Errno) -> Errno {
    rustix::io::Errno::from_raw_os_error(error as i32).into()
}

/// Size of `struct flock` in asm-generic/fcntl.h; `l_type` and `l_whence` are its first fields.
const FLOCK: usize = 32;
const F_RDLCK: u16 = 0;
const F_WRLCK: u16 = 1;
const F_UNLCK: u16 = 2;
const SEEK_END: u16 = 2;

/// True for the commands that are answered here.
pub(crate) fn is_lock(command: u32) -> bool {
    // asm-generic/fcntl.h
    matches!(command, 5..=7 | 36..=38)
}

pub(crate) fn lock(
    context: &mut Context<'_>,
    description: &Description,
    command: u32,
    address: u64,
) -> Answer {
    let given: [u8; FLOCK] = context.read(address)?;
    let [a, b, c, d, ..] = given;
    let (kind, whence) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if kind > F_UNLCK || whence > SEEK_END {
        return Err(EINVAL.into());
    }
    let asks = matches!(command, 5 | 36);
    match kind {
        _ if asks => {
            context.write(address, &F_UNLCK.to_le_bytes())?;
            Ok(0)
        }
        F_RDLCK if !description.readable() => Err(EBADF.into()),
        F_WRLCK if !description.writable() => Err(EBADF.into()),
        _ => Ok(0),
    }
}

#[cfg(test)]
mod tests;
