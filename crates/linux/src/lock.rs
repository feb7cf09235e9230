//! Locks on files: `flock`, and record locks by `fcntl`.
//!
//! They are real locks of the host, so they hold between forks, programs and other processes.
//! Each owner has a descriptor of its own on the file, which the host's kernel takes for the owner
//! of the lock: the program for classic record locks, an open file description for the others. It
//! lies in the state of the process, so a reset gives up what a request had locked.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::block::Block;
use crate::context::{Answer, Context, Failure};
use crate::descriptor::DescriptionId;
use crate::errno::{EAGAIN, EBADF, EINTR, EINVAL, ENOLCK, Errno};
use crate::object::{HostFile, Object};
use crate::process::State;
use crate::wire::{Record, u64_at};

/// Who owns a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The program, of a file: device and number.
    Program((u32, u32), u64),
    /// An open file description, for record locks.
    Description(DescriptionId),
    /// An open file description, for `flock`.
    Whole(DescriptionId),
}

/// The locks of a program.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks(BTreeMap<Owner, Arc<OwnedFd>>);

/// The most owners.
const MOST: usize = 1024;

impl Locks {
    /// Gives up what a description had, and what the program had on its file.
    pub(crate) fn closed(state: &mut State, id: DescriptionId, file: &HostFile) {
        if state.locks.0.is_empty() {
            return;
        }
        let locks = &mut state.locks.0;
        locks.remove(&Owner::Description(id));
        locks.remove(&Owner::Whole(id));
        if let Ok(found) = file.metadata() {
            locks.remove(&Owner::Program(found.device, found.inode));
        }
    }
}

/// The owner's descriptor on the file.
fn handle(
    context: &mut Context<'_>,
    owner: Owner,
    file: &HostFile,
) -> Result<Arc<OwnedFd>, Failure> {
    if let Some(known) = context.state().locks.0.get(&owner) {
        return Ok(Arc::clone(known));
    }
    if context.state().locks.0.len() >= MOST {
        return Err(ENOLCK.into());
    }
    let access = if file.is_writable() {
        OFlags::RDWR
    } else {
        OFlags::RDONLY
    };
    let path = format!("/proc/self/fd/{}", file.host().as_raw_fd());
    let fresh = match rustix::fs::open(&path, access | OFlags::CLOEXEC, Mode::empty()) {
        // Only to be written.
        Err(rustix::io::Errno::ACCESS) => {
            rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())
        }
        other => other,
    };
    let fresh = Arc::new(fresh.map_err(Errno::from)?);
    context
        .state_mut()
        .locks
        .0
        .insert(owner, Arc::clone(&fresh));
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
    let object = context.state().descriptors.get(fd)?.object.clone();
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
    let handle = handle(context, Owner::Whole(id), &file)?;
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
pub(crate) fn record(context: &mut Context<'_>, fd: i32, command: u32) -> Answer {
    let address = context.word(2);
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
    let handle = handle(context, owner, file)?;
    if is_set {
        return match fcntl(handle.as_raw_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
            Ok(_) => Ok(0),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => {
                if matches!(command, SETLKW | OFD_SETLKW) {
                    Err(again(context))
                } else {
                    Err(EAGAIN.into())
                }
            }
            Err(error) => Err(errno(error).into()),
        };
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

#[cfg(test)]
mod tests;
