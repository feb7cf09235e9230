//! What a descriptor can stand for. Each kind has a file of its own with the same small set of
//! operations; this is the switch between them.

mod device;
mod stream;

use std::os::fd::BorrowedFd;

use crate::Stream;
use crate::context::{Answer, Context, Failure};
use crate::descriptor::DescriptionId;
use crate::errno::{EBADF, EINVAL, ENOTTY, Errno};
use crate::process::State;
use crate::readiness::Events;
use crate::stat::Metadata;

pub(crate) use device::Device;

/// What a descriptor stands for. A clone is the same object.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    /// Standard input: nothing ever comes.
    Input,
    /// An output stream of the host.
    Output(Stream),
    /// `/dev/null` and its like.
    Device(Device),
}

impl Object {
    /// True if it has a position: `pread` and `lseek` work.
    pub(crate) fn seekable(&self) -> bool {
        match self {
            Self::Input | Self::Output(_) => false,
            Self::Device(_) => true,
        }
    }

    /// The host's file, if it is one: for mappings in place.
    pub(crate) fn host_file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Input | Self::Output(_) | Self::Device(_) => None,
        }
    }

    /// True if what was read is gone. Then the guest's buffer is looked at before.
    pub(crate) fn consumes(&self) -> bool {
        match self {
            Self::Input | Self::Output(_) | Self::Device(_) => false,
        }
    }

    /// Reads at most `out.len()` bytes (`OUTPUT_PIECE` at most) from position `at`. Less than
    /// asked for ends the call; 0 is the end. May block.
    pub(crate) fn read(
        &self,
        _context: &mut Context<'_>,
        _id: DescriptionId,
        _at: u64,
        out: &mut [u8],
    ) -> Result<usize, Failure> {
        match self {
            Self::Input => Ok(0),
            Self::Output(_) => Err(EBADF.into()),
            Self::Device(device) => Ok(device.read(out)?),
        }
    }

    /// Writes bytes (`OUTPUT_PIECE` at most) at position `at`. Less than given ends the call. May
    /// block.
    pub(crate) fn write(
        &self,
        context: &mut Context<'_>,
        _id: DescriptionId,
        _at: u64,
        bytes: &[u8],
    ) -> Result<usize, Failure> {
        match self {
            Self::Input => Err(EBADF.into()),
            Self::Output(stream) => Ok(stream::write(context, *stream, bytes)),
            Self::Device(device) => Ok(device.write(bytes)?),
        }
    }

    /// Where `lseek` finds the end.
    pub(crate) fn size(&self) -> Result<u64, Errno> {
        match self {
            Self::Input | Self::Output(_) | Self::Device(_) => Ok(0),
        }
    }

    /// What can be done with it now without waiting.
    pub(crate) fn ready(&self, _state: &State) -> Events {
        match self {
            // At its end, and so readable.
            Self::Input => Events::READABLE,
            // Always takes more.
            Self::Output(_) => Events::WRITABLE,
            Self::Device(_) => Events::READABLE | Events::WRITABLE,
        }
    }

    /// What `stat` says.
    pub(crate) fn metadata(&self, context: &Context<'_>) -> Result<Metadata, Failure> {
        match self {
            Self::Input => Ok(stream::metadata(context, None)),
            Self::Output(stream) => Ok(stream::metadata(context, Some(*stream))),
            Self::Device(device) => Ok(device.metadata()),
        }
    }

    /// Requests of `ioctl` that not everything answers.
    pub(crate) fn ioctl(&self, context: &mut Context<'_>, request: u32) -> Answer {
        match self {
            Self::Input | Self::Output(_) => stream::ioctl(context, request),
            Self::Device(_) => Err(ENOTTY.into()),
        }
    }

    /// Commands of `fcntl` that not everything answers.
    pub(crate) fn fcntl(&self, _context: &mut Context<'_>, _fd: i32, _command: u32) -> Answer {
        match self {
            Self::Input | Self::Output(_) | Self::Device(_) => Err(EINVAL.into()),
        }
    }

    /// The last descriptor of its description was closed.
    pub(crate) fn closed(self, _id: DescriptionId, _state: &mut State) {
        match self {
            Self::Input | Self::Output(_) | Self::Device(_) => {}
        }
    }
}
