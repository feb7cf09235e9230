//! Memory devices: they need nothing of the host but its randomness.

use crate::objects::metadata::Metadata;
use crate::wire::errno::{EAGAIN, ENOSPC, Errno};
use crate::wire::file::S_IFCHR;

/// A memory device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// Takes everything and gives nothing.
    Null,
    /// Gives zeroes.
    Zero,
    /// Gives zeroes and takes nothing.
    Full,
    /// `/dev/random`: as good as the next one.
    Random,
    /// Fresh randomness of the host.
    Urandom,
}

impl Device {
    /// Reads as much as there is room for.
    pub(crate) fn read(self, out: &mut [u8]) -> Result<usize, Errno> {
        match self {
            Self::Null => return Ok(0),
            Self::Zero | Self::Full => out.fill(0),
            Self::Random | Self::Urandom => getrandom::fill(out).map_err(|_| EAGAIN)?,
        }
        Ok(out.len())
    }

    /// Writes; says how much.
    pub(crate) fn write(self, bytes: &[u8]) -> Result<usize, Errno> {
        match self {
            Self::Full => Err(ENOSPC),
            Self::Null | Self::Zero | Self::Random | Self::Urandom => Ok(bytes.len()),
        }
    }

    /// Its path.
    pub(crate) fn path(self) -> &'static [u8] {
        match self {
            Self::Null => b"/dev/null",
            Self::Zero => b"/dev/zero",
            Self::Full => b"/dev/full",
            Self::Random => b"/dev/random",
            Self::Urandom => b"/dev/urandom",
        }
    }

    pub(crate) fn metadata(self) -> Metadata {
        // Documentation/admin-guide/devices.txt
        let minor = match self {
            Self::Null => 3,
            Self::Zero => 5,
            Self::Full => 7,
            Self::Random => 8,
            Self::Urandom => 9,
        };
        Metadata {
            inode: 16 + u64::from(minor),
            special: (1, minor),
            user: 0,
            group: 0,
            ..Metadata::own(S_IFCHR | 0o666)
        }
    }
}
