//! What a handler makes and opens, as far as limits and the host's memory allow.

use crate::call::context::Context;
use crate::call::failure::{Answer, Failure};
use crate::notice::Notice;
use crate::objects::kept::{Kept, MOST};
use crate::objects::object::{DescriptionId, Object};
use crate::process::pending::Info;
use crate::process::signals::Target;
use crate::wire::errno::{ENFILE, ENOMEM, EPIPE, Errno};
use crate::wire::file::O_CLOEXEC;

impl Context<'_> {
    /// Opens the lowest free descriptor for `object`. `flags` are those of `open`: the access mode,
    /// what `F_GETFL` shows, and `O_CLOEXEC`.
    pub(crate) fn install(&mut self, object: Object, flags: u32) -> Answer {
        let limit = limit(self);
        let table = &mut self.state_mut().descriptors;
        let number = table.free(0, limit)?;
        let description = table.add(object, flags & !O_CLOEXEC);
        table.put(number, description, flags & O_CLOEXEC != 0);
        Ok(number as u64)
    }

    /// Opens the lowest free descriptor for a description that is held.
    pub(crate) fn install_held(&mut self, id: DescriptionId, close_on_exec: bool) -> Answer {
        let limit = limit(self);
        let table = &mut self.state_mut().descriptors;
        let number = table.free(0, limit)?;
        table.put(number, id, close_on_exec);
        Ok(number as u64)
    }

    /// Another descriptor, the lowest free one, for what `fd` stands for.
    pub(crate) fn duplicate(&mut self, fd: i32, close_on_exec: bool) -> Answer {
        let description = self.state().descriptors.id(fd)?;
        let number = self.state().descriptors.free(0, limit(self))?;
        let table = &mut self.state_mut().descriptors;
        table.put(number, description, close_on_exec);
        Ok(number as u64)
    }

    /// Fails with `EMFILE` unless `count` more descriptors are free. To be asked before something
    /// is made that [`Self::install`] then cannot refuse.
    pub(crate) fn check_free(&self, count: usize) -> Result<(), Errno> {
        let table = &self.state().descriptors;
        let mut lowest = 0;
        for _ in 0..count {
            lowest = table.free(lowest, limit(self))? + 1;
        }
        Ok(())
    }

    /// Marks a descriptor to be closed by `execve`, or not.
    pub(crate) fn set_close_on_exec(&mut self, fd: i32, on: bool) -> Answer {
        self.state_mut().descriptors.entry_mut(fd)?.close_on_exec = on;
        Ok(0)
    }

    /// Keeps a new object and returns its number.
    pub(crate) fn keep<T: Kept>(&mut self, object: T) -> Result<usize, Errno> {
        self.check_memory(crate::objects::account::NEW_OBJECT)?;
        T::slab_mut(&mut self.state_mut().objects)
            .insert(object, MOST)
            .ok_or(ENFILE)
    }

    /// Fails with `ENOMEM` unless the host may hold `more` bytes for the program. To be asked
    /// before something grows; tells the host when it does not.
    pub(crate) fn check_memory(&mut self, more: u64) -> Result<(), Errno> {
        let held = self.state().held().saturating_add(more);
        if self.guest.hold(held) {
            return Ok(());
        }
        let call = self.call;
        let request = self.process.forked;
        self.notice(Notice::NoMemory { call, request });
        Err(ENOMEM)
    }

    /// Nobody will ever read what was to be written.
    pub(crate) fn broken_pipe(&mut self) -> Failure {
        /// `SIGPIPE` in asm-generic/signal.h.
        const SIGPIPE: u32 = 13;
        let thread = Target::Thread(self.thread().id);
        // It is there, and one signal of this number has room.
        let _ = self.state_mut().send(thread, Info::own(SIGPIPE, 0));
        EPIPE.into()
    }
}

/// How many descriptors the program may have.
pub(crate) fn limit(context: &Context<'_>) -> usize {
    usize::try_from(context.state().open_files().current).unwrap_or(usize::MAX)
}
