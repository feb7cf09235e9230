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
use crate::look::{Interest, Look};
use crate::network::{PairEnd, SocketId};
use crate::process::State;
use crate::readiness::{Edges, Events};
use crate::stat::{Metadata, S_IFSOCK};
use crate::synthetic::Node;
use crate::{epoll, lock, network};

pub(crate) use counter::{CounterId, eventfd, eventfd2};
pub(crate) use device::Device;
pub(crate) use directory::{Directory, Name};
pub(crate) use file::{HostFile, metadata as host_metadata};
pub(crate) use memory_file::{MemoryFileId, memfd_create};
pub(crate) use pipe::{PipeEnd, pipe, pipe2};
pub(crate) use signals::{SignalSet, SignalSetId, signalfd, signalfd4};
pub(crate) use stream::is_terminal;
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

    /// Reads at most `out.len()` bytes (`OUTPUT_PIECE` at most) from position `at`. Less than
    /// asked for ends the call; 0 is the end. May block.
    pub(crate) fn read(
        &self,
        context: &mut Context<'_>,
        id: DescriptionId,
        at: u64,
        out: &mut [u8],
    ) -> Result<usize, Failure> {
        match self {
            Self::Input => Ok(0),
            Self::Output(_) => Err(EBADF.into()),
            Self::Device(device) => Ok(device.read(out)?),
            Self::Pipe(end) => end.read(context, id, out),
            Self::Counter(counter) => counter.read(context, id, out),
            Self::Timer(timer) => timer.read(context, id, out),
            Self::Signals(set) => set.read(context, id, out),
            Self::MemoryFile(file) => Ok(file.read(context.state(), at, out)?),
            Self::Set(_) | Self::Pair(_) | Self::Socket(_) => Err(EINVAL.into()),
            Self::File(file) => Ok(file.read(at, out)?),
            Self::Directory(_) => Err(EISDIR.into()),
            Self::Text(text) => Ok(text.read(at, out)),
        }
    }

    /// Writes bytes (`OUTPUT_PIECE` at most) at position `at`. Less than given ends the call. May
    /// block.
    pub(crate) fn write(
        &self,
        context: &mut Context<'_>,
        id: DescriptionId,
        at: u64,
        bytes: &[u8],
    ) -> Result<usize, Failure> {
        match self {
            Self::Input => Err(EBADF.into()),
            Self::Output(stream) => Ok(stream::write(context, *stream, bytes)),
            Self::Device(device) => Ok(device.write(bytes)?),
            Self::Pipe(end) => end.write(context, id, bytes),
            Self::Counter(counter) => counter.write(context, id, bytes),
            Self::MemoryFile(file) => {
                context.check_memory(file.growth(context.state(), at, bytes.len())?)?;
                Ok(file.write(context.state_mut(), at, bytes)?)
            }
            Self::Timer(_) | Self::Signals(_) | Self::Set(_) | Self::Pair(_) | Self::Socket(_) => {
                Err(EINVAL.into())
            }
            Self::File(file) => file::write(context, file, id, at, bytes),
            Self::Directory(_) | Self::Text(_) => Err(EBADF.into()),
        }
    }

    /// Where `lseek` finds the end.
    pub(crate) fn size(&self, state: &State) -> Result<u64, Errno> {
        match self {
            Self::MemoryFile(file) => Ok(file.get(state)?.size()),
            Self::File(file) => file.size(),
            Self::Directory(_) => Err(EINVAL),
            _ => Ok(0),
        }
    }

    /// What can be done with it now without waiting, and how often something happened to it.
    pub(crate) fn look(&self, look: &Look<'_>) -> (Events, Edges) {
        let always = |events| (events, Edges::default());
        match self {
            // At its end, and so readable.
            Self::Input => always(Events::READABLE),
            // Always takes more.
            Self::Output(_) => always(Events::WRITABLE),
            Self::Device(_)
            | Self::MemoryFile(_)
            | Self::File(_)
            | Self::Directory(_)
            | Self::Text(_) => always(Events::READABLE | Events::WRITABLE),
            Self::Pipe(end) => end.look(look),
            Self::Counter(counter) => counter.look(look),
            Self::Timer(timer) => timer.look(look),
            Self::Signals(set) => set.look(look),
            Self::Set(set) => set.look(look),
            Self::Pair(end) => end.look(look),
            Self::Socket(socket) => socket.look(look),
        }
    }

    /// Adds what could bring one of the events about, beside a change of the state.
    pub(crate) fn interest(&self, look: &Look<'_>, wanted: Events, interest: &mut Interest) {
        match self {
            Self::Timer(timer) => timer.interest(look, interest),
            Self::Set(set) => set.interest(look, interest),
            Self::Socket(socket) => socket.interest(look, wanted, interest),
            _ => {}
        }
    }

    /// What `stat` says.
    pub(crate) fn metadata(&self, context: &Context<'_>) -> Result<Metadata, Failure> {
        match self {
            Self::Input => Ok(stream::metadata(context, None)),
            Self::Output(stream) => Ok(stream::metadata(context, Some(*stream))),
            Self::Device(device) => Ok(device.metadata()),
            Self::Pipe(end) => Ok(end.metadata()),
            // An anonymous inode: no type.
            Self::Counter(_) | Self::Timer(_) | Self::Signals(_) | Self::Set(_) => Ok(Metadata {
                inode: 5,
                ..Metadata::own(0o600)
            }),
            Self::MemoryFile(file) => Ok(file.metadata(context.state())?),
            Self::Pair(end) => Ok(Metadata {
                inode: end.inode(),
                ..Metadata::own(S_IFSOCK | 0o777)
            }),
            Self::Socket(socket) => Ok(Metadata {
                inode: socket.inode(),
                ..Metadata::own(S_IFSOCK | 0o777)
            }),
            Self::File(file) => Ok(file.metadata()?),
            Self::Directory(directory) => Ok(directory.metadata()?),
            Self::Text(text) => Ok(Node::text_metadata(&text.path)),
        }
    }

    /// Requests of `ioctl` that not everything answers.
    pub(crate) fn ioctl(&self, context: &mut Context<'_>, request: u32) -> Answer {
        match self {
            Self::Input => stream::ioctl(context, None, request),
            Self::Output(stream) => stream::ioctl(context, Some(*stream), request),
            Self::Pipe(end) => end.ioctl(context, request),
            Self::Pair(_) | Self::Socket(_) => network::ioctl(context, request),
            Self::File(file) => file::ioctl(context, file, request),
            _ => Err(ENOTTY.into()),
        }
    }

    /// Commands of `fcntl` that not everything answers.
    pub(crate) fn fcntl(&self, context: &mut Context<'_>, _fd: i32, command: u32) -> Answer {
        match self {
            Self::Pipe(end) => end.fcntl(context, command),
            Self::MemoryFile(file) => file.fcntl(context, command),
            _ => Err(EINVAL.into()),
        }
    }

    /// `ftruncate` of something that is open for writing.
    pub(crate) fn truncate(&self, context: &mut Context<'_>, length: u64) -> Answer {
        match self {
            Self::File(file) => {
                rustix::fs::ftruncate(file.host(), length).map_err(Errno::from)?;
                Ok(0)
            }
            Self::MemoryFile(file) => file.truncate(context, length),
            _ => Err(EINVAL.into()),
        }
    }

    /// The last descriptor of its description was closed.
    pub(crate) fn closed(self, id: DescriptionId, state: &mut State) {
        epoll::forget(state, id);
        match self {
            Self::Input
            | Self::Output(_)
            | Self::Device(_)
            | Self::Directory(_)
            | Self::Text(_) => {}
            Self::File(file) => lock::Locks::closed(state, id, &file),
            Self::Pipe(end) => end.closed(state),
            Self::Counter(counter) => counter.closed(state),
            Self::Timer(timer) => timer.closed(state),
            Self::Signals(set) => set.closed(state),
            Self::Set(set) => set.closed(state),
            Self::MemoryFile(file) => file.closed(state),
            Self::Pair(end) => end.closed(state),
            Self::Socket(socket) => socket.closed(state),
        }
    }
}

impl Text {
    fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let rest = self.bytes.get(start..).unwrap_or_default();
        let count = out.len().min(rest.len());
        out[..count].copy_from_slice(&rest[..count]);
        count
    }
}

#[cfg(test)]
mod tests;
