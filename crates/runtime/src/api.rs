//! The guest API: answers the hypercalls of a program.
//!
//! Numbers and structs are in [`tinykvm_abi`]. A call gets its arguments from RDI, RSI, RDX, RCX,
//! R8 and R9 (R10 in place of RCX if it comes as a system call), and leaves its result in RAX, except for those that give nothing. What a program
//! gets wrong mostly ends the run: see [`Abort`].

mod http;
mod misc;
mod register;
mod response;

use std::time::Instant;

use thiserror::Error;
use tinykvm::{BadAddress, Guest, MapError, Registers};
use tinykvm_abi::structs::Meminfo;
use tinykvm_abi::{calls, values};
use tinykvm_linux::Stream;

use crate::fields::{self, FieldRefused};
use crate::journal::Journal;
use crate::notices::{Looked, Telling};
use crate::output::{self, Output};
use crate::start::Start;
use crate::text::own_line;
use crate::transaction::Transaction;

pub(crate) use register::{Callbacks, FILTER_INPUT, FILTER_OUTPUT, FilterFunctions, Registration};
pub(crate) use response::{Answer, BadAnswer, decode as decode_response};

/// What to do after a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Go on; the result is in the registers.
    Resume,
    /// The program answered: the registers say what. It does not go on.
    Respond {
        /// Address of the body.
        body: u64,
    },
    /// The program is ready for requests.
    Wait {
        /// It wants to be resumed with a request, not called.
        paused: bool,
    },
    /// A filter hands on its buffer, and then these bytes of its memory.
    Write {
        /// Their address.
        data: u64,
        /// Their length; all of it is readable.
        length: u64,
    },
    /// The run ends here.
    Stop,
    /// This is a Linux system call.
    Linux,
}

/// A call that ends the run.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Abort {
    /// It belongs into `main()`.
    #[error("{call} is only possible before the wait call")]
    OnlyInit {
        /// The call.
        call: &'static str,
    },
    /// It needs a request.
    #[error("{call} is only possible while a request is served")]
    OnlyRequest {
        /// The call.
        call: &'static str,
    },
    /// It needs a body that is being filtered.
    #[error("{call} is only possible in the chunk and end functions of a filter")]
    OnlyFilter {
        /// The call.
        call: &'static str,
    },
    /// It needs a backend request.
    #[error("{call} is only possible in a backend fetch")]
    OnlyBackend {
        /// The call.
        call: &'static str,
    },
    /// A pointer leads nowhere.
    #[error("{call}: {source}")]
    Memory {
        /// The call.
        call: &'static str,
        /// Where to.
        source: BadAddress,
    },
    /// There is no memory for it.
    #[error("{call}: {source}")]
    NoMemory {
        /// The call.
        call: &'static str,
        /// What the VM said.
        source: MapError,
    },
    /// A header field can't be used.
    #[error("{call}: {source}")]
    Field {
        /// The call.
        call: &'static str,
        /// Why.
        source: FieldRefused,
    },
    /// Another argument can't be used.
    #[error("{call}: {value:#x} is no {what}")]
    Argument {
        /// The call.
        call: &'static str,
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: u64,
    },
    /// It needs something that the program's configuration does not have.
    #[error("{call}: the program has no {what}")]
    NotConfigured {
        /// The call.
        call: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// It is not supported in this version.
    #[error("{call} is not supported yet")]
    NotYet {
        /// The call.
        call: &'static str,
    },
}

/// Where a program is in its life.
pub(crate) enum Stage<'a> {
    /// In `main()`, before the wait call.
    Init {
        /// What it says about itself.
        registration: &'a mut Registration,
        /// Its start, which may be called off.
        start: &'a Start,
    },
    /// Serving a request.
    Request {
        /// The request.
        transaction: &'a mut dyn Transaction,
        /// Its method as the program sees it.
        method: &'a [u8],
        /// It has answered and is on its way to the wait call.
        answered: bool,
    },
    /// Running for a request whose transaction can't be used at the moment.
    Detached,
    /// In the functions of a filter that get the body.
    Filter,
}

/// What calls need besides the guest.
pub(crate) struct Host<'a> {
    /// The program's name.
    pub(crate) program: &'a str,
    /// Where it is in its life.
    pub(crate) stage: Stage<'a>,
    /// Where its output goes.
    pub(crate) output: &'a mut Output,
    /// Where output goes besides the request's log.
    pub(crate) journal: Option<&'a dyn Journal>,
    /// Who knows how the operator is told of what the program lacks.
    pub(crate) operator: &'a dyn Journal,
    /// No host function waits for longer than this.
    pub(crate) deadline: Instant,
    /// What the program may be told about its memory.
    pub(crate) memory: Meminfo,
    /// The call at hand came as a system call.
    pub(crate) by_syscall: bool,
}

impl Host<'_> {
    /// The fourth argument of the call at hand. A `syscall` overwrites RCX; its fourth argument is
    /// in R10, as Linux has it.
    pub(crate) fn fourth(&self, registers: &Registers) -> u64 {
        match self.by_syscall {
            true => registers.r10,
            false => registers.rcx,
        }
    }

    /// One write of the program's.
    pub(crate) fn print(&mut self, stream: Stream, bytes: &[u8]) {
        self.with_output(|output, name, sink| output.write(name, stream, bytes, sink));
    }

    /// A whole text that the program wants to be logged.
    pub(crate) fn log(&mut self, bytes: &[u8]) {
        self.with_output(|output, name, sink| output.text(name, bytes, sink));
    }

    /// Logs the lines that the program has begun: nothing more will come.
    pub(crate) fn flush(&mut self) {
        self.with_output(|output, name, sink| output.flush(name, sink));
    }

    /// One line of the host's own about what the program does; whose it is stands before it.
    pub(crate) fn note(&mut self, line: &str) {
        self.with_output(|output, name, sink| output.note(name, line, sink));
    }

    /// Tells that a field which the program wanted to touch is the host's.
    pub(crate) fn note_ignored(&mut self, call: &str, field: &[u8]) {
        let field = fields::shown(field);
        self.note(&format!(
            "{call}: {field:?} is ignored: it is about the connection"
        ));
    }

    fn with_output(&mut self, work: impl FnOnce(&mut Output, &str, &mut output::Sink<'_>)) {
        let mut sink = Sink {
            stage: &mut self.stage,
            journal: self.journal,
        };
        work(self.output, self.program, &mut |line| sink.log(line));
    }
}

impl Host<'_> {
    /// Tells what the program asked for in vain. That is bounded by itself: it comes once per
    /// program, and must not be lost behind what the program prints.
    pub(crate) fn tell(&mut self, telling: Telling) {
        match telling {
            Telling::Now(text) => self.tell_text(&text),
            Telling::Later(pending) => self.output.pending.push(pending),
        }
    }

    /// Tells what had to wait until the program does not run.
    pub(crate) fn tell_pending(&mut self) {
        let pending = std::mem::take(&mut self.output.pending);
        if pending.is_empty() {
            return;
        }
        let wording = self.operator.wording();
        let looked = pending.iter().map(|one| one.look(self.program, wording));
        let (in_vain, lacked): (Vec<_>, Vec<_>) = looked.partition(|one| one.in_vain);
        // What the host has goes first: that is where a rule can help.
        for Looked {
            text,
            in_vain,
            first,
        } in lacked.into_iter().chain(in_vain)
        {
            if !(in_vain && self.operator.looked_in_vain(first)) {
                self.tell_text(&text);
            }
        }
    }

    fn tell_text(&mut self, text: &str) {
        self.with_output(|_, name, sink| sink(&own_line(name, text)));
    }
}

/// Both places where lines may go.
struct Sink<'h, 'a> {
    stage: &'h mut Stage<'a>,
    journal: Option<&'a dyn Journal>,
}

impl Sink<'_, '_> {
    fn log(&mut self, line: &str) {
        if let Stage::Request { transaction, .. } = self.stage {
            transaction.log(line);
        }
        if let Some(journal) = self.journal {
            journal.log(line);
        }
    }
}

/// The first 512 numbers are Linux'.
const LINUX_CALLS: u64 = 512;

/// Answers call `number`.
pub(crate) fn dispatch(
    guest: &mut dyn Guest,
    number: u64,
    host: &mut Host<'_>,
) -> Result<Action, Abort> {
    if number < LINUX_CALLS {
        return Ok(Action::Linux);
    }
    let Ok(number) = u32::try_from(number) else {
        return Ok(unknown(guest));
    };
    match number {
        calls::STOP | calls::STORAGE_RETURN | calls::STORAGE_NORETURN => Ok(Action::Stop),
        calls::REGISTER_FUNC => register::function(guest, host),
        calls::WAIT_FOR_REQUESTS => register::wait(host, false),
        calls::WAIT_FOR_REQUESTS_PAUSED => register::wait(host, true),
        calls::SET_FILTER => register::filter(guest, host),
        calls::FILTER_WRITE => filter_write(guest, host),
        calls::MAKE_EPHEMERAL => register::make_ephemeral(guest, host),
        calls::SET_CACHEABLE => http::set_cacheable(guest, host),
        calls::HTTP_APPEND => http::append(guest, host),
        calls::HTTP_SET => http::set(guest, host),
        calls::HTTP_FIND => http::find(guest, host),
        calls::HTTP_METHOD => http::method(guest, host),
        calls::BACKEND_RESPONSE => Ok(Action::Respond {
            body: host.fourth(guest.registers()),
        }),
        calls::BEGIN_STREAMING_RESPONSE => Err(Abort::NotYet {
            call: "begin_streaming_response",
        }),
        _ => misc::dispatch(guest, number, host),
    }
}

fn filter_write(guest: &mut dyn Guest, host: &Host<'_>) -> Result<Action, Abort> {
    let call = "filter_write";
    if !matches!(host.stage, Stage::Filter) {
        return Err(Abort::OnlyFilter { call });
    }
    let (data, length) = (guest.registers().rdi, guest.registers().rsi);
    if length > 0 {
        let readable = guest.check_readable(data, length);
        readable.map_err(|source| Abort::Memory { call, source })?;
    }
    give(guest, 0);
    Ok(Action::Write { data, length })
}

fn unknown(guest: &mut dyn Guest) -> Action {
    give(guest, values::UNKNOWN_CALL.cast_unsigned())
}

/// Puts a result into the registers.
fn give(guest: &mut dyn Guest, result: u64) -> Action {
    guest.registers_mut().rax = result;
    Action::Resume
}

/// -1 as a result.
const MINUS_ONE: u64 = u64::MAX;

/// Reads guest memory on behalf of a call.
fn read(
    guest: &dyn Guest,
    call: &'static str,
    address: u64,
    length: usize,
) -> Result<Vec<u8>, Abort> {
    guest
        .read_vec(address, length)
        .map_err(|source| Abort::Memory { call, source })
}

/// The lower 16 bits, which is all of a length that many calls look at.
fn low16(value: u64) -> usize {
    usize::from(value.to_le_bytes()[0]) | usize::from(value.to_le_bytes()[1]) << 8
}

#[cfg(test)]
mod tests;
