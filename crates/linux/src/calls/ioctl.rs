//! `ioctl`: what it does for everything, and for each kind of object.

use crate::call::context::Context;
use crate::call::failure::Answer;
use crate::calls::{network, pipe, stream};
use crate::objects::file::HostFile;
use crate::objects::object::Object;
use crate::wire::errno::{EBADF, ENOTTY};

/// `ioctl(fd, request, argument)`
pub(crate) fn ioctl(context: &mut Context<'_>) -> Answer {
    // asm-generic/ioctls.h
    const FIONBIO: u32 = 0x5421;
    const FIONCLEX: u32 = 0x5450;
    const FIOCLEX: u32 = 0x5451;
    let (fd, request, argument) = (context.int(0), context.uint(1), context.word(2));
    let open = context.state().descriptors.get(fd)?;
    if !open.readable() && !open.writable() {
        return Err(EBADF.into());
    }
    match request {
        FIOCLEX | FIONCLEX => context.set_close_on_exec(fd, request == FIOCLEX),
        FIONBIO => {
            let on = u32::from_le_bytes(context.read(argument)?) != 0;
            let status = &mut context.state_mut().descriptors.get_mut(fd)?.status;
            let flag = crate::wire::file::O_NONBLOCK;
            *status = *status & !flag | if on { flag } else { 0 };
            Ok(0)
        }
        _ => {
            let object = open.object.clone();
            ioctl_of(context, &object, fd, request, argument)
        }
    }
}

/// Requests of `ioctl` that not everything answers.
pub(crate) fn ioctl_of(
    context: &mut Context<'_>,
    object: &Object,
    fd: i32,
    request: u32,
    argument: u64,
) -> Answer {
    match object {
        Object::Input => stream::ioctl(context, None, request, argument),
        Object::Output(stream) => stream::ioctl(context, Some(*stream), request, argument),
        Object::Pipe(end) => pipe::ioctl(context, *end, request, argument),
        Object::Pair(_) | Object::Socket(_) => network::ioctl(context, fd, request, argument),
        Object::File(file) => ioctl_of_file(context, file, fd, request, argument),
        _ => Err(ENOTTY.into()),
    }
}

/// `FIONREAD` (asm-generic/ioctls.h): bytes up to the end.
pub(crate) fn ioctl_of_file(
    context: &mut Context<'_>,
    file: &HostFile,
    fd: i32,
    request: u32,
    argument: u64,
) -> Answer {
    const FIONREAD: u32 = 0x541b;
    if request != FIONREAD {
        return Err(ENOTTY.into());
    }
    let at = context.state().descriptors.get(fd)?.offset;
    let left = file.size()?.saturating_sub(at);
    let left = i32::try_from(left).unwrap_or(i32::MAX);
    context.write(argument, &left.to_le_bytes())?;
    Ok(0)
}
