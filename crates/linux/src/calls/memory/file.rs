//! Mappings of files.
//!
//! A large part of a host file that is only read is mapped in place: all forks share the host's
//! page cache. Everything else is read into memory when it is mapped. So nothing that is written
//! to a mapping reaches a file, and a mapping that would have to is refused.
//!
//! What the program can write to may not be executed: a mapping of it counts as written.

use tinykvm::{Advice, MapError, Placement, Protection};

use crate::call::context::Context;
use crate::call::failure::Failure;
use crate::calls::memory::executable;
use crate::calls::transfer;
use crate::host::OUTPUT_PIECE;
use crate::notice::Lacking;
use crate::objects::device::Device;
use crate::objects::object::{DescriptionId, Object};
use crate::process::descriptors::Description;
use crate::wire::errno::{EACCES, ENODEV, Errno};

/// Bytes that are handled between looks at the clock.
pub(crate) const PIECE: u64 = 256 * 1024;

/// Maps a part of what descriptor (argument 4) stands for, from an offset (argument 5) on.
pub(super) fn map(
    context: &mut Context<'_>,
    place: Placement,
    length: u64,
    allow: Protection,
    shared: bool,
) -> Result<u64, Failure> {
    let fd = context.int(4);
    let descriptors = &context.state().descriptors;
    let id = descriptors.id(fd)?;
    let open = descriptors.get(fd)?;
    if let Err(error) = check(open, allow, shared) {
        if error == ENODEV && shared && allow.write {
            context.lacking(Lacking::SharedMapping);
        }
        return Err(error.into());
    }
    let object = open.object.clone();
    let written = !allow.write && is_written(context, &object);
    executable::audit(context, allow.write || written, allow);
    if written && allow.execute && !context.guest.allows_write_execute() {
        // Before anything in its place goes.
        return executable::told(context, Err(MapError::WriteExecute));
    }
    let at = put(context, id, &object, place, length, allow)?;
    if written && let Err(error) = context.guest.advise(at, length, Advice::Written) {
        context.guest.unmap(at, length)?;
        return Err(error.into());
    }
    Ok(at)
}

/// The mapping itself.
fn put(
    context: &mut Context<'_>,
    id: DescriptionId,
    object: &Object,
    place: Placement,
    length: u64,
    allow: Protection,
) -> Result<u64, Failure> {
    let offset = context.word(5);
    if let Some(file) = object.host_file() {
        let at = context.guest.map_file(place, length, allow, file, offset);
        if let Some(at) = executable::told(context, at)? {
            return Ok(at);
        }
    }
    let at = context.guest.map(place, length, allow);
    let at = executable::told(context, at)?;
    if let Err(failure) = fill(context, id, offset, at, length) {
        context.guest.unmap(at, length)?;
        return Err(failure);
    }
    Ok(at)
}

/// True if what is in a file may be the program's own writing, and that makes a difference. Of what
/// is made up some is (names, arguments), and none is code.
fn is_written(context: &Context<'_>, object: &Object) -> bool {
    let options = context.process.options();
    if context.guest.allows_write_execute() && !options.audit_exec_memory {
        return false;
    }
    let permissions = &options.permissions;
    match object {
        Object::File(file) => {
            let granted = file.is_changeable() && !permissions.is_audit();
            granted || permissions.may_write(file.host())
        }
        Object::Device(Device::Zero) => false,
        _ => true,
    }
}

/// What may be mapped, and how.
fn check(open: &Description, allow: Protection, shared: bool) -> Result<(), Errno> {
    let may_write = !(shared && allow.write) || open.writable();
    if !open.readable() || !may_write {
        return Err(EACCES);
    }
    if !open.object.seekable() || (shared && allow.write) {
        return Err(ENODEV);
    }
    Ok(())
}

/// Reads a file into a fresh mapping; behind its end there are zeros.
fn fill(
    context: &mut Context<'_>,
    id: DescriptionId,
    offset: u64,
    address: u64,
    length: u64,
) -> Result<(), Failure> {
    let object = context.state().descriptors.description(id)?.object.clone();
    let mut buffer = vec![0; OUTPUT_PIECE.min(usize::try_from(length).unwrap_or(OUTPUT_PIECE))];
    let (mut done, mut checked) = (0, 0);
    while done < length {
        let left = usize::try_from(length - done).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let piece = &mut buffer[..wanted];
        let count = transfer::read(context, &object, id, offset.saturating_add(done), piece)?;
        if count == 0 {
            break;
        }
        context.guest.populate(address + done, &buffer[..count])?;
        done += count as u64;
        if done - checked >= PIECE {
            context.checkpoint()?;
            checked = done;
        }
    }
    Ok(())
}
