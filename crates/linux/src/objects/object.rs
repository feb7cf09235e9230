//! What a descriptor can stand for: the kinds, and what all of a kind have in common.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use crate::host::Stream;
use crate::objects::device::Device;
use crate::objects::directory::Directory;
use crate::objects::epoll::SetId;
use crate::objects::eventfd::CounterId;
use crate::objects::file::HostFile;
use crate::objects::memfd::MemoryFileId;
use crate::objects::pair::PairEnd;
use crate::objects::pipe::PipeEnd;
use crate::objects::signalfd::SignalSetId;
use crate::objects::socket::SocketId;
use crate::objects::timerfd::TimerId;

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

/// Names an open file description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DescriptionId(pub(crate) u64);
