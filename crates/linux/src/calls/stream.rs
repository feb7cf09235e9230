//! Descriptors 0 to 2 at the start: no input, and output to the host.
//!
//! Each is an end of a pipe. If the process is to have a terminal, the first two are one.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::host::Stream;
use crate::objects::metadata::Metadata;
use crate::wire::errno::ENOTTY;
use crate::wire::file::{S_IFCHR, S_IFIFO};
use crate::wire::ids::PROCESS_ID;
use crate::wire::record::Record;

/// Major number of pseudo-terminals (Documentation/admin-guide/devices.txt).
const TERMINAL_MAJOR: u32 = 136;

/// Output to the host.
pub(crate) fn write(context: &mut Context<'_>, stream: Stream, bytes: &[u8]) -> usize {
    if !bytes.is_empty() {
        context.host.output(stream, bytes);
    }
    bytes.len()
}

/// Something that differs between input (`None`) and the two outputs.
pub(crate) fn metadata(context: &Context<'_>, stream: Option<Stream>) -> Metadata {
    let inode = match stream {
        None => 1,
        Some(Stream::Out) => 2,
        Some(Stream::Err) => 3,
    };
    if context.process.options().is_terminal(stream) {
        return Metadata {
            inode,
            special: (TERMINAL_MAJOR, 0),
            ..Metadata::own(S_IFCHR | 0o620)
        };
    }
    let rights = if stream.is_some() { 0o200 } else { 0o400 };
    Metadata {
        inode,
        ..Metadata::own(S_IFIFO | rights)
    }
}

/// What C libraries ask of the first three descriptors.
pub(crate) fn ioctl(
    context: &mut Context<'_>,
    stream: Option<Stream>,
    request: u32,
    argument: u64,
) -> Answer {
    // asm-generic/ioctls.h
    const TCGETS: u32 = 0x5401;
    const TCSETS: u32 = 0x5402;
    const TCSETSF: u32 = 0x5404;
    const TIOCGPGRP: u32 = 0x540f;
    const TIOCGWINSZ: u32 = 0x5413;
    const FIONREAD: u32 = 0x541b;
    let terminal = context.process.options().is_terminal(stream);
    match request {
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
