//! What a handler gets: the process, the guest, the host, and typed access to the arguments.

use std::time::Duration;

use tinykvm::{Guest, PAGE_SIZE};

use crate::call::failure::{Answer, Failure};
use crate::host::{Flow, Host};
use crate::notice::{Full, Lacking, Notice};
use crate::process::Process;
use crate::process::block::Attempt;
use crate::process::state::State;
use crate::process::threads::Thread;
use crate::wire::errno::{EFAULT, EMFILE, ENAMETOOLONG, ENFILE, ENOENT, ENOLCK, Errno};
use crate::wire::record::low_half;
use crate::wire::user::check_user_range;

/// `PATH_MAX` in linux/limits.h, with the NUL.
const PATH_LIMIT: usize = 4096;

/// One system call under way.
pub(crate) struct Context<'a> {
    pub(crate) process: &'a mut Process,
    pub(crate) guest: &'a mut dyn Guest,
    pub(crate) host: &'a mut dyn Host,
    /// The name of the call that is being served.
    pub(crate) call: &'static str,
    /// What earlier attempts of the same call left.
    pub(crate) attempt: Attempt,
    arguments: [u64; 6],
}

impl<'a> Context<'a> {
    /// Takes the arguments from the registers.
    pub(crate) fn new(
        process: &'a mut Process,
        guest: &'a mut dyn Guest,
        host: &'a mut dyn Host,
        call: &'static str,
        attempt: Attempt,
    ) -> Self {
        let from = guest.registers();
        let arguments = [from.rdi, from.rsi, from.rdx, from.r10, from.r8, from.r9];
        Self {
            process,
            guest,
            host,
            call,
            attempt,
            arguments,
        }
    }

    /// The state of the process, to look at.
    pub(crate) fn state(&self) -> &State {
        self.process.state()
    }

    /// The thread that makes the call.
    pub(crate) fn thread(&self) -> &Thread {
        self.process.state().thread()
    }

    /// The thread that makes the call, to change.
    pub(crate) fn thread_mut(&mut self) -> &mut Thread {
        self.process.state_mut().thread_mut()
    }

    /// The state of the process, to change.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        self.process.state_mut()
    }

    /// Argument 0 to 5 in full width.
    pub(crate) fn word(&self, index: usize) -> u64 {
        self.arguments.get(index).copied().unwrap_or(0)
    }

    /// An argument of type `unsigned int`: the upper half does not count.
    pub(crate) fn uint(&self, index: usize) -> u32 {
        low_half(self.word(index))
    }

    /// An argument of type `int`: the upper half does not count.
    pub(crate) fn int(&self, index: usize) -> i32 {
        self.uint(index).cast_signed()
    }

    /// The monotonic time that is `relative` from now; from the first attempt, if the call is made
    /// again. A call has one such time.
    pub(crate) fn deadline(&mut self, relative: Duration) -> Duration {
        let now = self.guest.monotonic();
        *self
            .attempt
            .deadline
            .get_or_insert_with(|| now.saturating_add(relative))
    }

    /// True if the time for which the call has waited is over: it must answer now.
    pub(crate) fn timed_out(&self) -> bool {
        self.attempt.timed_out
    }

    /// True if the call ends for a signal unless it is answered now. It need not be: a handler that
    /// asks to wait again says so.
    pub(crate) fn interrupted(&self) -> bool {
        self.attempt.interrupted
    }

    /// Replaces the thread's signal mask until the call is answered, or the handler that
    /// interrupts it has returned (`sigmask` of `ppoll`, `pselect6`, `epoll_pwait`).
    pub(crate) fn temporary_mask(&mut self, set: u64) {
        if !self.attempt.again {
            let signals = &mut self.state_mut().thread_mut().signals;
            signals.saved = Some(signals.blocked);
            signals.block(set);
        }
    }

    /// Tells the host what the program does not get, unless that was told already.
    pub(crate) fn notice(&mut self, notice: Notice<'_>) {
        self.process.notice(self.host, notice);
    }

    /// Tells the host that the call can't do this here.
    pub(crate) fn lacking(&mut self, what: Lacking) {
        let call = self.call;
        self.notice(Notice::Lacking { call, what });
    }

    /// Tells that there are as many of something as there can be.
    pub(crate) fn full(&mut self, what: Full) {
        let call = self.call;
        self.notice(Notice::Full { call, what });
    }

    /// Tells of errors that say that there are as many of something as there can be.
    pub(crate) fn tell_if_full(&mut self, answer: &Answer) {
        match answer {
            Err(Failure::Error(EMFILE)) => self.full(Full::Descriptors),
            Err(Failure::Error(ENFILE)) => self.full(Full::Sockets),
            Err(Failure::Error(ENOLCK)) => self.full(Full::Locks),
            _ => {}
        }
    }

    /// To be asked between pieces of long work: stops the call at the guest's deadline.
    pub(crate) fn checkpoint(&mut self) -> Result<(), Failure> {
        if self.host.sleep(Duration::ZERO) {
            Ok(())
        } else {
            Err(Failure::Stop(Flow::Deadline))
        }
    }

    /// Reads `N` bytes of guest memory.
    pub(crate) fn read<const N: usize>(&self, address: u64) -> Result<[u8; N], Failure> {
        let mut bytes = [0; N];
        self.read_into(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Reads guest memory into a buffer.
    pub(crate) fn read_into(&self, address: u64, out: &mut [u8]) -> Result<(), Failure> {
        check_user_range(address, out.len() as u64)?;
        Ok(self.guest.read(address, out)?)
    }

    /// Writes to guest memory.
    pub(crate) fn write(&mut self, address: u64, bytes: &[u8]) -> Result<(), Failure> {
        Ok(copy_out(self.guest, address, bytes)?)
    }

    /// Writes to guest memory unless the pointer is null.
    pub(crate) fn write_if_wanted(&mut self, address: u64, bytes: &[u8]) -> Result<(), Failure> {
        if address == 0 {
            Ok(())
        } else {
            self.write(address, bytes)
        }
    }

    /// Fails unless all of a range of guest memory can be written.
    pub(crate) fn check_writable(&self, address: u64, length: u64) -> Result<(), Failure> {
        check_user_range(address, length)?;
        let (mut at, end) = (address, address + length);
        while at < end {
            match self.guest.mapped(at) {
                Some(range) if range.start <= at && range.end > at && range.allow.write => {
                    at = range.end;
                }
                _ => return Err(EFAULT.into()),
            }
        }
        Ok(())
    }

    /// Reads the path at `address`. An empty one is an error here; calls that know
    /// `AT_EMPTY_PATH` use [`Self::path_or_empty`].
    pub(crate) fn path(&self, address: u64) -> Result<Vec<u8>, Failure> {
        let path = self.path_or_empty(address)?;
        if path.is_empty() {
            Err(ENOENT.into())
        } else {
            Ok(path)
        }
    }

    /// Reads the path at `address`, which may be empty.
    pub(crate) fn path_or_empty(&self, address: u64) -> Result<Vec<u8>, Failure> {
        match self.text(address, PATH_LIMIT)? {
            (path, true) => Ok(path),
            (_, false) => Err(ENAMETOOLONG.into()),
        }
    }

    /// Reads bytes up to a NUL (not included) or to `limit`; true if the NUL was found. Nothing
    /// behind the NUL is touched but the rest of its page.
    pub(crate) fn text(&self, address: u64, limit: usize) -> Result<(Vec<u8>, bool), Failure> {
        let mut text = Vec::new();
        let mut at = address;
        while text.len() < limit {
            let room = usize::try_from(PAGE_SIZE - at % PAGE_SIZE).unwrap_or(1);
            let start = text.len();
            text.resize(start + room.min(limit - start), 0);
            self.read_into(at, &mut text[start..])?;
            if let Some(end) = text[start..].iter().position(|&byte| byte == 0) {
                text.truncate(start + end);
                return Ok((text, true));
            }
            at = address.checked_add(text.len() as u64).ok_or(EFAULT)?;
        }
        Ok((text, false))
    }
}

/// Writes to guest memory, and only there: an address beyond user memory does not reach the guest.
pub(crate) fn copy_out(guest: &mut dyn Guest, address: u64, bytes: &[u8]) -> Result<(), Errno> {
    check_user_range(address, bytes.len() as u64)?;
    Ok(guest.write(address, bytes)?)
}
