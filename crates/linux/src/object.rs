//! What a descriptor can stand for. Each kind has a file of its own with the same small set of
//! operations; this is the switch between them.

mod counter;
mod device;
mod directory;
mod file;
mod memory_file;
mod pipe;
mod signals;
mod stream;
mod timer;

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::Stream;
use crate::context::{Answer, Context, Failure};
use crate::descriptor::DescriptionId;
use crate::epoll::SetId;
use crate::errno::{EBADF, EINVAL, EISDIR, ENOTTY, Errno};
use crate::memfd::MemoryFile;
use crate::network;
use crate::network::{PairEnd, SocketId};
use crate::process::State;
use crate::stat::{Metadata, S_IFREG, S_IFSOCK};

pub(crate) use counter::{CounterId, eventfd, eventfd2};
pub(crate) use device::Device;
pub(crate) use directory::{Directory, Name};
pub(crate) use file::{HostFile, host_metadata};
pub(crate) use memory_file::{MemoryFileId, allocate, memfd_create};
pub(crate) use pipe::{PipeEnd, pipe, pipe2};
pub(crate) use signals::{SignalSet, SignalSetId, signalfd, signalfd4};
pub(crate) use timer::{TimerId, timerfd_create, timerfd_gettime, timerfd_settime};

/// What a descriptor stands for. A clone is the same object.
#[derive(Debug, Clone)]
pub(crate) enum Object {
    /// Standard input: nothing ever comes.
    Input,
    /// An output stream of the host.
    Output(Stream),
    /// `/dev/null` and its like.
    Device(Device),
    /// One end of a pipe.
    Pipe(PipeEnd),
    /// `eventfd`
    Counter(CounterId),
    /// `timerfd`
    Timer(TimerId),
    /// `signalfd`
    Signals(SignalSetId),
    /// `epoll`
    Set(SetId),
    /// `memfd_create`
    MemoryFile(MemoryFileId),
    /// One of two sockets that are connected to each other.
    Pair(PairEnd),
    /// Another socket.
    Socket(SocketId),
    /// A file of the host.
    File(Arc<HostFile>),
    /// A directory.
    Directory(Arc<Directory>),
    /// A synthetic file.
    Text(Arc<Text>),
}

/// A synthetic file, as it was when it was opened.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    /// As the program knows it, clean.
    pub(crate) path: Vec<u8>,
}

impl Object {
    /// True if it has a position: `pread` and `lseek` work.
    pub(crate) fn seekable(&self) -> bool {
        matches!(
            self,
            Self::Device(_)
                | Self::MemoryFile(_)
                | Self::File(_)
                | Self::Directory(_)
                | Self::Text(_)
        )
    }

    /// The host's file, if it is one: for mappings in place.
    pub(crate) fn host_file(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::File(file) => Some(file.host().as_fd()),
            _ => None,
        }
    }

    /// True if what was read is gone. Then the guest's buffer is looked at before.
    pub(crate) fn consumes(&self) -> bool {
        matches!(
            self,
            Self::Pipe(_) | Self::Counter(_) | Self::Timer(_) | Self::Signals(_)
        )
    }

    /// True if `poll` can wait for it, and so `epoll` takes it.
    pub(crate) fn pollable(&self) -> bool {
        !self.seekable()
    }

    /// True for a socket: `read` and `write` are `recv` and `send`.
    pub(crate) fn is_socket(&self) -> bool {
        matches!(self, Self::Pair(_) | Self::Socket(_))
    }
}

/// Reads at most `out.len()` bytes (`OUTPUT_PIECE` at most) from position `at`. Less than asked for
/// ends the call; 0 is the end. May block.
pub(crate) fn read(
    context: &mut Context<'_>,
    object: &Object,
    id: DescriptionId,
    at: u64,
    out: &mut [u8],
) -> Result<usize, Failure> {
    match object {
        Object::Input => Ok(0),
        Object::Output(_) => Err(EBADF.into()),
        Object::Device(device) => Ok(device.read(out)?),
        Object::Pipe(end) => pipe::read(context, *end, id, out),
        Object::Counter(counter) => counter::read(context, *counter, id, out),
        Object::Timer(timer) => timer::read(context, *timer, id, out),
        Object::Signals(set) => signals::read(context, *set, id, out),
        Object::MemoryFile(file) => Ok(memory_file::read(context.state(), *file, at, out)?),
        Object::Set(_) | Object::Pair(_) | Object::Socket(_) => Err(EINVAL.into()),
        Object::File(file) => Ok(file.read(at, out)?),
        Object::Directory(_) => Err(EISDIR.into()),
        Object::Text(text) => Ok(text.read(at, out)),
    }
}

/// Writes bytes (`OUTPUT_PIECE` at most) at position `at`. Less than given ends the call. May
/// block.
pub(crate) fn write(
    context: &mut Context<'_>,
    object: &Object,
    id: DescriptionId,
    at: u64,
    bytes: &[u8],
) -> Result<usize, Failure> {
    match object {
        Object::Input => Err(EBADF.into()),
        Object::Output(stream) => Ok(stream::write(context, *stream, bytes)),
        Object::Device(device) => Ok(device.write(bytes)?),
        Object::Pipe(end) => pipe::write(context, *end, id, bytes),
        Object::Counter(counter) => counter::write(context, *counter, id, bytes),
        Object::MemoryFile(file) => memory_file::write(context, *file, at, bytes),
        Object::Timer(_)
        | Object::Signals(_)
        | Object::Set(_)
        | Object::Pair(_)
        | Object::Socket(_) => Err(EINVAL.into()),
        Object::File(file) => file::write_to_file(context, file, id, at, bytes),
        Object::Directory(_) | Object::Text(_) => Err(EBADF.into()),
    }
}

/// Where `lseek` finds the end.
pub(crate) fn size(state: &State, object: &Object) -> Result<u64, Errno> {
    match object {
        Object::MemoryFile(file) => Ok(state.object::<MemoryFile>(file.0)?.size()),
        Object::File(file) => file.size(),
        Object::Directory(_) => Err(EINVAL),
        _ => Ok(0),
    }
}

/// What `stat` says.
pub(crate) fn metadata_of(context: &Context<'_>, object: &Object) -> Result<Metadata, Failure> {
    match object {
        Object::Input => Ok(stream::metadata(context, None)),
        Object::Output(stream) => Ok(stream::metadata(context, Some(*stream))),
        Object::Device(device) => Ok(device.metadata()),
        Object::Pipe(end) => Ok(end.metadata()),
        // An anonymous inode: no type.
        Object::Counter(_) | Object::Timer(_) | Object::Signals(_) | Object::Set(_) => {
            Ok(Metadata {
                inode: 5,
                ..Metadata::own(0o600)
            })
        }
        Object::MemoryFile(file) => Ok(file.metadata(context.state().object(file.0)?)),
        Object::Pair(end) => Ok(Metadata {
            inode: end.inode(),
            ..Metadata::own(S_IFSOCK | 0o777)
        }),
        Object::Socket(socket) => Ok(Metadata {
            inode: socket.inode(),
            ..Metadata::own(S_IFSOCK | 0o777)
        }),
        Object::File(file) => Ok(file.metadata()?),
        Object::Directory(directory) => Ok(directory.metadata()?),
        Object::Text(text) => Ok(Metadata::made_up(S_IFREG | 0o444, &text.path)),
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
        Object::File(file) => file::ioctl_of_file(context, file, fd, request, argument),
        _ => Err(ENOTTY.into()),
    }
}

/// Commands of `fcntl` that not everything answers.
pub(crate) fn fcntl_of(
    context: &mut Context<'_>,
    object: &Object,
    command: u32,
    argument: u32,
) -> Answer {
    match object {
        Object::Pipe(end) => pipe::fcntl(context, *end, command, argument),
        Object::MemoryFile(file) => memory_file::fcntl(context, *file, command, argument),
        _ => Err(EINVAL.into()),
    }
}

/// `ftruncate` of something that is open for writing.
pub(crate) fn truncate_open(context: &mut Context<'_>, object: &Object, length: u64) -> Answer {
    match object {
        Object::File(file) => {
            rustix::fs::ftruncate(file.host(), length).map_err(Errno::from)?;
            Ok(0)
        }
        Object::MemoryFile(file) => memory_file::truncate(context, *file, length),
        _ => Err(EINVAL.into()),
    }
}

impl Text {
    /// Reads at a position.
    pub(crate) fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let count = out.len().min(rest.len());
        out[..count].copy_from_slice(&rest[..count]);
        count
    }
}

#[cfg(test)]
mod tests;
