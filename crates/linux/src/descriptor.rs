//! The descriptor table and the calls that work on descriptors.
//!
//! A program starts with 0 (always at its end), 1 and 2 (output to the host). There is nothing
//! else to open yet, but descriptors can be closed and duplicated.

use crate::Stream;
use crate::context::{Answer, Context, Failure};
use crate::errno::{EBADF, EINVAL, EMFILE, ENOTTY, ESPIPE, Errno};
use crate::process::PROCESS_ID;
use crate::wire::Record;

/// What a descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    /// Standard input: nothing ever comes.
    Input,
    /// An output stream of the host.
    Output(Stream),
}

/// An entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) object: Object,
    /// `FD_CLOEXEC`; remembered only.
    close_on_exec: bool,
    /// `O_APPEND`, `O_NONBLOCK`, `O_ASYNC`; remembered only.
    status: u32,
}

/// The descriptor table.
#[derive(Debug, Clone)]
pub(crate) struct Descriptors(Vec<Option<Descriptor>>);

// Open flags: asm-generic/fcntl.h
const O_WRONLY: u32 = 1;
const O_APPEND: u32 = 0o2000;
const O_NONBLOCK: u32 = 0o4000;
const O_ASYNC: u32 = 0o20000;
const O_CLOEXEC: u32 = 0o2_000_000;
const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_ASYNC;

impl Default for Descriptors {
    fn default() -> Self {
        let open = |object| {
            Some(Descriptor {
                object,
                close_on_exec: false,
                status: 0,
            })
        };
        Self(vec![
            open(Object::Input),
            open(Object::Output(Stream::Out)),
            open(Object::Output(Stream::Err)),
        ])
    }
}

impl Descriptors {
    /// The most that a program can have open: its hard limit, which it cannot raise.
    pub(crate) const MOST: u64 = 1024;

    /// The entry of an open descriptor.
    pub(crate) fn get(&self, fd: i32) -> Result<Descriptor, Errno> {
        let index = usize::try_from(fd).map_err(|_| EBADF)?;
        self.0.get(index).copied().flatten().ok_or(EBADF)
    }

    fn get_mut(&mut self, fd: i32) -> Result<&mut Descriptor, Errno> {
        let index = usize::try_from(fd).map_err(|_| EBADF)?;
        self.0.get_mut(index).and_then(Option::as_mut).ok_or(EBADF)
    }

    fn close(&mut self, fd: i32) -> Result<(), Errno> {
        self.get(fd)?;
        self.put(usize::try_from(fd).map_err(|_| EBADF)?, None);
        Ok(())
    }

    fn put(&mut self, index: usize, entry: Option<Descriptor>) {
        if index >= self.0.len() {
            self.0.resize(index + 1, None);
        }
        self.0[index] = entry;
    }

    /// The lowest free number that is at least `lowest` and below `limit`.
    fn free(&self, lowest: usize, limit: usize) -> Result<usize, Errno> {
        let mut numbers = lowest..limit;
        numbers
            .find(|&index| self.0.get(index).is_none_or(Option::is_none))
            .ok_or(EMFILE)
    }
}

/// `read`, `readv`: input is at its end. Nothing is written to the buffer.
pub(crate) fn read(context: &mut Context<'_>) -> Answer {
    match context.state().descriptors.get(context.int(0))?.object {
        Object::Input => Ok(0),
        Object::Output(_) => Err(EBADF.into()),
    }
}

/// `lseek`, `pread64`, `pwrite64`, `preadv`, `pwritev`: what is open has no offsets.
pub(crate) fn no_offset(context: &mut Context<'_>) -> Answer {
    context.state().descriptors.get(context.int(0))?;
    Err(ESPIPE.into())
}

/// `close(fd)`
pub(crate) fn close(context: &mut Context<'_>) -> Answer {
    let fd = context.int(0);
    context.state().descriptors.get(fd)?;
    context.state_mut().descriptors.close(fd)?;
    Ok(0)
}

/// `close_range(first, last, flags)`
pub(crate) fn close_range(context: &mut Context<'_>) -> Answer {
    // linux/close_range.h
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    let (first, last, flags) = (context.uint(0), context.uint(1), context.uint(2));
    if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
        return Err(EINVAL.into());
    }
    let first = usize::try_from(first).map_err(|_| EINVAL)?;
    let last = usize::try_from(last).map_err(|_| EINVAL)?;
    let table = &mut context.state_mut().descriptors.0;
    for entry in table.iter_mut().take(last.saturating_add(1)).skip(first) {
        match entry {
            Some(open) if flags & CLOEXEC != 0 => open.close_on_exec = true,
            _ => *entry = None,
        }
    }
    Ok(0)
}

/// How many descriptors the program may have.
fn limit(context: &Context<'_>) -> usize {
    usize::try_from(context.state().open_files().current).unwrap_or(usize::MAX)
}

/// Puts a copy of `entry` at the lowest free number from `lowest`.
fn duplicate(context: &mut Context<'_>, entry: Descriptor, lowest: usize) -> Answer {
    let number = context.state().descriptors.free(lowest, limit(context))?;
    context.state_mut().descriptors.put(number, Some(entry));
    Ok(number as u64)
}

/// `dup(fd)`
pub(crate) fn dup(context: &mut Context<'_>) -> Answer {
    let entry = context.state().descriptors.get(context.int(0))?;
    duplicate(
        context,
        Descriptor {
            close_on_exec: false,
            ..entry
        },
        0,
    )
}

/// `dup2(old, new)`
pub(crate) fn dup2(context: &mut Context<'_>) -> Answer {
    let (old, new) = (context.int(0), context.int(1));
    context.state().descriptors.get(old)?;
    if old == new {
        return Ok(u64::from(new.cast_unsigned()));
    }
    duplicate_to(context, old, new, false)
}

/// `dup3(old, new, flags)`
pub(crate) fn dup3(context: &mut Context<'_>) -> Answer {
    let (old, new, flags) = (context.int(0), context.int(1), context.uint(2));
    if flags & !O_CLOEXEC != 0 || old == new {
        return Err(EINVAL.into());
    }
    duplicate_to(context, old, new, flags & O_CLOEXEC != 0)
}

fn duplicate_to(context: &mut Context<'_>, old: i32, new: i32, close_on_exec: bool) -> Answer {
    let entry = context.state().descriptors.get(old)?;
    let number = usize::try_from(new).map_err(|_| EBADF)?;
    if number >= limit(context) {
        return Err(EBADF.into());
    }
    context.state_mut().descriptors.put(
        number,
        Some(Descriptor {
            close_on_exec,
            ..entry
        }),
    );
    Ok(number as u64)
}

/// `fcntl(fd, command, argument)`
pub(crate) fn fcntl(context: &mut Context<'_>) -> Answer {
    // asm-generic/fcntl.h, linux/fcntl.h
    const DUPFD: u32 = 0;
    const GETFD: u32 = 1;
    const SETFD: u32 = 2;
    const GETFL: u32 = 3;
    const SETFL: u32 = 4;
    const DUPFD_CLOEXEC: u32 = 1030;
    let (fd, command, argument) = (context.int(0), context.uint(1), context.uint(2));
    let entry = context.state().descriptors.get(fd)?;
    match command {
        DUPFD | DUPFD_CLOEXEC => {
            let lowest = usize::try_from(argument).map_err(|_| EINVAL)?;
            if lowest >= limit(context) {
                return Err(EINVAL.into());
            }
            let close_on_exec = command == DUPFD_CLOEXEC;
            duplicate(
                context,
                Descriptor {
                    close_on_exec,
                    ..entry
                },
                lowest,
            )
        }
        GETFD => Ok(u64::from(entry.close_on_exec)),
        SETFD => {
            context.state_mut().descriptors.get_mut(fd)?.close_on_exec = argument & 1 != 0;
            Ok(0)
        }
        GETFL => {
            let access = if entry.object == Object::Input {
                0
            } else {
                O_WRONLY
            };
            Ok(u64::from(access | entry.status))
        }
        SETFL => {
            context.state_mut().descriptors.get_mut(fd)?.status = argument & SETTABLE;
            Ok(0)
        }
        _ => Err(EINVAL.into()),
    }
}

/// `ioctl(fd, request, argument)`: what C libraries ask of the first three descriptors.
pub(crate) fn ioctl(context: &mut Context<'_>) -> Answer {
    // asm-generic/ioctls.h
    const TCGETS: u32 = 0x5401;
    const TCSETS: u32 = 0x5402;
    const TCSETSF: u32 = 0x5404;
    const TIOCGPGRP: u32 = 0x540f;
    const TIOCGWINSZ: u32 = 0x5413;
    const FIONREAD: u32 = 0x541b;
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    let (fd, request, argument) = (context.int(0), context.uint(1), context.word(2));
    context.state().descriptors.get(fd)?;
    let terminal = context.process.options().terminal;
    match request {
        FIOCLEX | FIONCLEX => {
            context.state_mut().descriptors.get_mut(fd)?.close_on_exec = request == FIOCLEX;
        }
        FIONBIO => {
            let on = u32::from_le_bytes(context.read(argument)?) != 0;
            let status = &mut context.state_mut().descriptors.get_mut(fd)?.status;
            *status = *status & !O_NONBLOCK | if on { O_NONBLOCK } else { 0 };
        }
        FIONREAD => context.write(argument, &0_u32.to_le_bytes())?,
        TCGETS if terminal => context.write(argument, termios().as_bytes())?,
        TCSETS..=TCSETSF if terminal => {}
        TIOCGPGRP if terminal => context.write(argument, &PROCESS_ID.to_le_bytes())?,
        TIOCGWINSZ if terminal => {
            // struct winsize: 24 rows of 80 characters.
            context.write(
                argument,
                Record::<8>::new().u16(0, 24).u16(2, 80).as_bytes(),
            )?;
        }
        _ => return Err(ENOTTY.into()),
    }
    Ok(0)
}

/// `struct termios` of the kernel (asm-generic/termbits.h): what a fresh terminal says.
fn termios() -> Record<36> {
    // ICRNL|IXON, OPOST|ONLCR, B38400|CS8|CREAD, ISIG|ICANON|ECHO|ECHOE|ECHOK|ECHOCTL|ECHOKE|IEXTEN
    Record::new()
        .u32(0, 0x500)
        .u32(4, 0x5)
        .u32(8, 0xbf)
        .u32(12, 0x8a3b)
}

/// The output stream behind a descriptor.
pub(crate) fn output_stream(context: &Context<'_>, fd: i32) -> Result<Stream, Failure> {
    match context.state().descriptors.get(fd)?.object {
        Object::Output(stream) => Ok(stream),
        Object::Input => Err(EBADF.into()),
    }
}

#[cfg(test)]
mod tests;
