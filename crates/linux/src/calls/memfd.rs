//! `memfd_create`, and the file that it makes as a descriptor.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::notice::Lacking;
use crate::objects::account;
use crate::objects::memfd::{MemoryFile, MemoryFileId, Seals};
use crate::objects::object::Object;
use crate::process::state::State;
use crate::wire::errno::{EINVAL, Errno};
use crate::wire::file::{O_CLOEXEC, O_RDWR};

/// What all these files together can use of the host's memory.
const MOST_TOGETHER: u64 = 64 << 20;
/// The longest name (`MFD_NAME_MAX_LEN` in mm/memfd.c).
const LONGEST_NAME: usize = 249;

fn of_mut(state: &mut State, file: MemoryFileId) -> Result<&mut MemoryFile, Errno> {
    state.object_mut(file.0)
}

/// Reads from a position.
pub(crate) fn read(
    state: &State,
    file: MemoryFileId,
    at: u64,
    out: &mut [u8],
) -> Result<usize, Errno> {
    let bytes = state.object::<MemoryFile>(file.0)?.read(at, out.len());
    if let Some(place) = out.get_mut(..bytes.len()) {
        place.copy_from_slice(&bytes);
    }
    Ok(bytes.len())
}

/// How many bytes of the host's memory a write would add.
fn growth(state: &State, file: MemoryFileId, at: u64, length: usize) -> Result<u64, Errno> {
    let file: &MemoryFile = state.object(file.0)?;
    Ok(account::pages(file.growth(at, length)))
}

/// Writes at a position.
pub(crate) fn write(
    context: &mut Context<'_>,
    file: MemoryFileId,
    at: u64,
    bytes: &[u8],
) -> Result<usize, Failure> {
    context.check_memory(growth(context.state(), file, at, bytes.len())?)?;
    let state = context.state_mut();
    let together: u64 = state
        .objects
        .memory_files
        .iter()
        .map(MemoryFile::used)
        .sum();
    let file = of_mut(state, file)?;
    let most = MOST_TOGETHER.saturating_sub(together - file.used());
    Ok(file.write(at, bytes, most)?)
}

/// Commands of `fcntl`: seals.
pub(crate) fn fcntl(
    context: &mut Context<'_>,
    file: MemoryFileId,
    command: u32,
    seals: u32,
) -> Answer {
    // linux/fcntl.h
    const ADD_SEALS: u32 = 1033;
    const GET_SEALS: u32 = 1034;
    match command {
        GET_SEALS => {
            let file: &MemoryFile = context.state().object(file.0)?;
            Ok(u64::from(file.seals().0))
        }
        ADD_SEALS => {
            of_mut(context.state_mut(), file)?.seal(seals)?;
            Ok(0)
        }
        _ => Err(EINVAL.into()),
    }
}

/// `ftruncate`
pub(crate) fn truncate(context: &mut Context<'_>, file: MemoryFileId, length: u64) -> Answer {
    of_mut(context.state_mut(), file)?.resize(length)?;
    Ok(0)
}

/// `fallocate`
pub(crate) fn allocate(
    context: &mut Context<'_>,
    file: MemoryFileId,
    mode: u32,
    offset: u64,
    length: u64,
) -> Answer {
    of_mut(context.state_mut(), file)?.allocate(mode, offset, length)?;
    Ok(0)
}

/// `memfd_create(name, flags)`
pub(crate) fn memfd_create(context: &mut Context<'_>) -> Answer {
    // linux/memfd.h
    const CLOEXEC: u32 = 1;
    const ALLOW_SEALING: u32 = 2;
    const NOEXEC_SEAL: u32 = 8;
    const EXEC: u32 = 16;
    const HUGETLB: u32 = 4;
    let flags = context.uint(1);
    if flags & HUGETLB != 0 {
        context.lacking(Lacking::HugePages);
    }
    let known = CLOEXEC | ALLOW_SEALING | NOEXEC_SEAL | EXEC;
    let both = NOEXEC_SEAL | EXEC;
    if flags & !known != 0 || flags & both == both {
        return Err(EINVAL.into());
    }
    let (_, ended) = context.text(context.word(0), LONGEST_NAME + 1)?;
    if !ended {
        return Err(EINVAL.into());
    }
    context.check_free(1)?;
    let seals = if flags & (ALLOW_SEALING | NOEXEC_SEAL) != 0 {
        Seals::NONE
    } else {
        Seals::SEAL
    };
    let object = Object::MemoryFile(MemoryFileId(context.keep(MemoryFile::new(seals))?));
    let close_on_exec = if flags & CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    context.install(object, O_RDWR | close_on_exec)
}
