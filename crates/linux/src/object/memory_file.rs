//! `memfd_create`, and the file that it makes as a descriptor.

use crate::account;
use crate::context::{Answer, Context};
use crate::descriptor::{O_CLOEXEC, O_RDWR};
use crate::errno::{EINVAL, Errno};
use crate::memfd::{MemoryFile, Seals};
use crate::notice::Lacking;
use crate::object::Object;
use crate::process::State;
use crate::stat::{Metadata, S_IFREG};

/// What all these files together can use of the host's memory.
const MOST_TOGETHER: u64 = 64 << 20;
/// The longest name (`MFD_NAME_MAX_LEN` in mm/memfd.c).
const LONGEST_NAME: usize = 249;

/// A file by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MemoryFileId(usize);

impl MemoryFileId {
    /// The file.
    pub(crate) fn get(self, state: &State) -> Result<&MemoryFile, Errno> {
        state.object(self.0)
    }

    /// The file, to change.
    pub(crate) fn get_mut(self, state: &mut State) -> Result<&mut MemoryFile, Errno> {
        state.object_mut(self.0)
    }

    pub(super) fn read(self, state: &State, at: u64, out: &mut [u8]) -> Result<usize, Errno> {
        let bytes = self.get(state)?.read(at, out.len());
        if let Some(place) = out.get_mut(..bytes.len()) {
            place.copy_from_slice(&bytes);
        }
        Ok(bytes.len())
    }

    /// How many bytes of the host's memory a write would add.
    pub(super) fn growth(self, state: &State, at: u64, length: usize) -> Result<u64, Errno> {
        Ok(account::pages(self.get(state)?.growth(at, length)))
    }

    pub(super) fn write(self, state: &mut State, at: u64, bytes: &[u8]) -> Result<usize, Errno> {
        let together: u64 = state
            .objects
            .memory_files
            .iter()
            .map(MemoryFile::used)
            .sum();
        let file = self.get_mut(state)?;
        let most = MOST_TOGETHER.saturating_sub(together - file.used());
        file.write(at, bytes, most)
    }

    pub(super) fn metadata(self, state: &State) -> Result<Metadata, Errno> {
        let file = self.get(state)?;
        Ok(Metadata {
            inode: 0x2000 + self.0 as u64,
            links: 0,
            size: file.size(),
            blocks: file.used() / 512,
            ..Metadata::own(S_IFREG | 0o777)
        })
    }

    pub(super) fn fcntl(self, context: &mut Context<'_>, command: u32) -> Answer {
        // linux/fcntl.h
        const ADD_SEALS: u32 = 1033;
        const GET_SEALS: u32 = 1034;
        match command {
            GET_SEALS => Ok(u64::from(self.get(context.state())?.seals().0)),
            ADD_SEALS => {
                let seals = context.uint(2);
                self.get_mut(context.state_mut())?.seal(seals)?;
                Ok(0)
            }
            _ => Err(EINVAL.into()),
        }
    }

    /// `ftruncate`
    pub(super) fn truncate(self, context: &mut Context<'_>, length: u64) -> Answer {
        self.get_mut(context.state_mut())?.resize(length)?;
        Ok(0)
    }

    /// `fallocate`
    pub(crate) fn allocate(
        self,
        context: &mut Context<'_>,
        mode: u32,
        offset: u64,
        length: u64,
    ) -> Answer {
        self.get_mut(context.state_mut())?
            .allocate(mode, offset, length)?;
        Ok(0)
    }

    pub(super) fn closed(self, state: &mut State) {
        state.remove_object::<MemoryFile>(self.0);
    }
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
