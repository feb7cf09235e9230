//! Why programs fail, in words for the operator: what happened, in which units, and the key that
//! would help.

use std::time::Duration;

use thiserror::Error;
use tinykvm::{EngineError, Exception, Registers};

use crate::api::{Abort, BadAnswer};
use crate::inputs::InputError;
use crate::text::size;
use crate::verdict::Verdict;

/// Why a program failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The time limit.
    #[error("time limit of {limit:?} exceeded")]
    Deadline {
        /// The limit.
        limit: Duration,
        /// The configuration key that sets it.
        key: Option<&'static str>,
        /// What the program was doing.
        doing: Doing,
    },
    /// The memory limit.
    #[error("{}memory limit of {} exceeded", if *.booting { "" } else { "request " }, size(*.limit))]
    Memory {
        /// The program is booting.
        booting: bool,
        /// The limit.
        limit: u64,
    },
    /// A CPU exception that the program does not handle.
    #[error("{0}")]
    Exception(Box<Exception>),
    /// The virtual CPU stopped for good.
    #[error("the virtual CPU shut down (KVM exit reason {reason})")]
    Shutdown {
        /// `KVM_EXIT_*` of linux/kvm.h.
        reason: u32,
    },
    /// A call that ends the run.
    #[error(transparent)]
    Abort(#[from] Abort),
    /// A signal that the program does not handle.
    #[error("killed by signal {number}{}", signal_name(*.number))]
    Signal {
        /// Its number.
        number: i32,
    },
    /// The program waits for what can't happen.
    #[error("waits for something that can never happen")]
    Deadlock,
    /// The program ended itself.
    #[error("exited with status {status}")]
    Exited {
        /// Its exit status.
        status: i32,
    },
    /// A callback returned, or the run ended, without an answer.
    #[error("ended without an answer")]
    NoAnswer,
    /// The answer can't be delivered.
    #[error(transparent)]
    BadAnswer(#[from] BadAnswer),
    /// The program has nothing that could be called for this request.
    #[error("has no callback for a request {}", if *.with_body { "with a body" } else { "without a body" })]
    NoCallback {
        /// There is a request body.
        with_body: bool,
    },
    /// The program registered no filter.
    #[error("filters no bodies: it called no set_filter()")]
    NoFilter,
    /// A function of the filter says that it failed, or says what has no meaning.
    #[error("the filter's {function}() returned {code}")]
    FilterFailed {
        /// Which of its functions.
        function: &'static str,
        /// What it returned.
        code: i32,
    },
    /// The body is not what the filter could make sense of.
    #[error("the body is encoded ({encoding}), and can't be decoded for the filter")]
    FilterEncoding {
        /// Its Content-Encoding.
        encoding: String,
    },
    /// The body is not a whole one.
    #[error("the body is a part of one (status 206), which can't be filtered")]
    FilterPartial,
    /// The filter says that it wrote more than its buffer holds.
    #[error("the filter's output has {length} bytes, its buffer {capacity}")]
    FilterOutput {
        /// What it says.
        length: u64,
        /// The buffer's size.
        capacity: u64,
    },
    /// The filter announced another length in Content-Length.
    #[error("the filter announced {announced} bytes, and wrote {}", if *.more { "more" } else { "less" })]
    FilterLength {
        /// What it announced.
        announced: u64,
        /// It wrote more than that.
        more: bool,
    },
    /// The filter makes much more of the body than it was given.
    #[error("the filter made {output} bytes of {input}; {limit} bytes are allowed")]
    FilterTooMuch {
        /// What it was given.
        input: u64,
        /// What it wrote.
        output: u64,
        /// What it may write at this point.
        limit: u64,
    },
    /// The body is larger than a filter that wants it whole may have.
    #[error("the body is larger than the limit of {}", size(*.limit))]
    FilterBody {
        /// The limit.
        limit: u64,
    },
    /// The body ran longer through the filter than allowed.
    #[error("the filter's time limit of {limit:?} for a body exceeded")]
    FilterTime {
        /// The limit.
        limit: Duration,
    },
    /// The request could not be handed over.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The engine failed.
    #[error("engine: {0}")]
    Engine(#[from] EngineError),
}

/// What a program was doing when its time was over.
#[derive(Debug, Clone)]
pub(crate) enum Doing {
    /// Its code was running, with these registers.
    Running(Box<Registers>),
    /// It waited in a system call.
    Waiting {
        /// Its name.
        call: &'static str,
        /// What it was called with.
        descriptor: Option<u64>,
    },
}

fn signal_name(number: i32) -> &'static str {
    match number {
        4 => " (SIGILL)",
        6 => " (SIGABRT)",
        8 => " (SIGFPE)",
        11 => " (SIGSEGV)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    }
}

/// Bytes around the stack pointer in which code touches its stack: pushes, calls, and what it sets
/// aside in one step.
const AROUND_STACK: u64 = 65536;
/// A page fault (Intel SDM volume 3, 7.15), of which bit 0 says that a page was there.
const PAGE_FAULT: u8 = 14;

/// True if the program touched memory at its stack pointer where there is none.
fn is_below_stack(exception: &Exception) -> bool {
    let beside = exception.address.abs_diff(exception.registers.rsp);
    exception.vector == PAGE_FAULT && exception.error_code & 1 == 0 && beside <= AROUND_STACK
}

impl Failure {
    /// What the operator is told besides: the key that would help, and what the program was doing.
    pub(crate) fn details(&self) -> String {
        match self {
            Self::Deadline { key, doing, .. } => {
                let key = key.map_or_else(String::new, |key| format!(" ({key})"));
                match doing {
                    Doing::Running(at) => format!("{key}, running at {:#x}", at.rip),
                    Doing::Waiting { call, descriptor } => {
                        let of = descriptor
                            .map_or_else(String::new, |number| format!(" of descriptor {number}"));
                        format!("{key}, waiting in {call}{of}")
                    }
                }
            }
            Self::Exception(exception) if is_below_stack(exception) => {
                " (at the stack pointer: the stack is full, or there is none)".to_owned()
            }
            Self::Memory { booting: true, .. } => " (max_memory)".to_owned(),
            Self::Memory { booting: false, .. } => " (max_request_memory)".to_owned(),
            Self::FilterTime { .. } => " (max_filter_time)".to_owned(),
            Self::FilterBody { .. } => " (max_body, max_request_memory)".to_owned(),
            Self::FilterTooMuch { .. } => " (max_body can be more)".to_owned(),
            Self::Input(InputError::Stack(_) | InputError::Memory(_)) => {
                " (max_request_memory, max_memory)".to_owned()
            }
            Self::Abort(Abort::NoMemory { .. }) => " (max_memory)".to_owned(),
            Self::Exception(_)
            | Self::Shutdown { .. }
            | Self::Abort(_)
            | Self::Signal { .. }
            | Self::Deadlock
            | Self::Exited { .. }
            | Self::NoAnswer
            | Self::BadAnswer(_)
            | Self::NoCallback { .. }
            | Self::NoFilter
            | Self::FilterFailed { .. }
            | Self::FilterEncoding { .. }
            | Self::FilterPartial
            | Self::FilterOutput { .. }
            | Self::FilterLength { .. }
            | Self::Input(_)
            | Self::Engine(_) => String::new(),
        }
    }

    /// Where the program's code was, if that tells something. `stopped`: where it is now,
    /// if that is to be told of signals and of a full memory.
    pub(crate) fn place<'a>(&'a self, stopped: Option<&'a Registers>) -> Option<&'a Registers> {
        match self {
            Self::Exception(exception) => Some(&exception.registers),
            Self::Deadline {
                doing: Doing::Running(registers),
                ..
            } => Some(registers),
            Self::Signal { .. } | Self::Memory { .. } => stopped,
            _ => None,
        }
    }

    /// The verdict on the call.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::Deadline { .. } | Self::FilterTime { .. } => Verdict::Timeout,
            Self::Memory { .. } => Verdict::Memory,
            Self::Exited { .. } => Verdict::Exit,
            Self::NoAnswer | Self::BadAnswer(_) | Self::NoCallback { .. } | Self::NoFilter => {
                Verdict::NoResponse
            }
            Self::FilterFailed { .. } | Self::FilterLength { .. } | Self::FilterTooMuch { .. } => {
                Verdict::Failed
            }
            Self::FilterBody { .. } | Self::FilterEncoding { .. } | Self::FilterPartial => {
                Verdict::Transfer
            }
            Self::Exception(_)
            | Self::Shutdown { .. }
            | Self::Abort(_)
            | Self::Signal { .. }
            | Self::Deadlock
            | Self::FilterOutput { .. }
            | Self::Input(_)
            | Self::Engine(_) => Verdict::Fault,
        }
    }

    /// True if the VM can still run a function of the program.
    pub(crate) fn leaves_vm_usable(&self) -> bool {
        !matches!(self, Self::Engine(_) | Self::Shutdown { .. })
    }
}

#[cfg(test)]
mod tests {
    use tinykvm::{BadAddress, MapError};

    use super::*;

    /// What was exceeded, and the keys that say so.
    #[test]
    fn every_limit_has_its_unit_and_its_key() {
        let limit = Duration::from_millis(1500);
        let address = BadAddress {
            address: 0x1000,
            length: 8,
        };
        let no_memory = MapError::NoMemory { length: 5000 };
        let cases = [
            (
                Failure::Deadline {
                    limit,
                    key: Some("max_request_time"),
                    doing: Doing::Waiting {
                        call: "read",
                        descriptor: Some(3),
                    },
                },
                "time limit of 1.5s exceeded (max_request_time), waiting in read of descriptor 3",
            ),
            (
                Failure::Memory {
                    booting: true,
                    limit: 256 << 20,
                },
                "memory limit of 256 MiB exceeded (max_memory)",
            ),
            (
                Failure::Memory {
                    booting: false,
                    limit: 64 << 20,
                },
                "request memory limit of 64 MiB exceeded (max_request_memory)",
            ),
            (
                Failure::FilterTime { limit },
                "the filter's time limit of 1.5s for a body exceeded (max_filter_time)",
            ),
            (
                Failure::FilterBody { limit: 16 << 20 },
                "the body is larger than the limit of 16 MiB (max_body, max_request_memory)",
            ),
            (
                Failure::FilterTooMuch {
                    input: 10,
                    output: 20_000,
                    limit: 15_000,
                },
                "the filter made 20000 bytes of 10; 15000 bytes are allowed (max_body can be more)",
            ),
            (
                Failure::Input(InputError::Stack(address)),
                "no room for the request: bad guest address 0x1000, length 8 (max_request_memory, \
                 max_memory)",
            ),
            (
                Failure::Input(InputError::Memory(no_memory)),
                "no room for the request: no memory is left for a mapping of 5 KiB \
                 (max_request_memory, max_memory)",
            ),
            (
                Failure::Abort(Abort::NoMemory {
                    call: "sys_set_filter",
                    source: no_memory,
                }),
                "sys_set_filter: no memory is left for a mapping of 5 KiB (max_memory)",
            ),
        ];
        for (failure, text) in cases {
            assert_eq!(format!("{failure}{}", failure.details()), text);
        }
    }
}
