//! Advisory locks on files: the `fcntl` commands `F_GETLK`, `F_SETLK`, `F_SETLKW`, and those of open
//! file descriptions.
//!
//! Here for what nobody else has: there is one process, and its own locks never stand in its way.
//! Files of the host are locked there, see [`crate::lock`].

use super::Description;
use crate::context::{Answer, Context};
use crate::errno::{EBADF, EINVAL};

/// Size of `struct flock` in asm-generic/fcntl.h; `l_type` and `l_whence` are its first fields.
const FLOCK: usize = 32;
const F_RDLCK: u16 = 0;
const F_WRLCK: u16 = 1;
const F_UNLCK: u16 = 2;
const SEEK_END: u16 = 2;

/// True for the commands that are answered here.
pub(super) fn is_lock(command: u32) -> bool {
    // asm-generic/fcntl.h
    matches!(command, 5..=7 | 36..=38)
}

pub(super) fn lock(
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
