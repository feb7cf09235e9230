//! Runs a VM until the program has said something that its caller must decide about.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use thiserror::Error;
use tinykvm::{EngineError, Exception, Exit, Fork, Guest, Registers};
use tinykvm_abi::calls;
use tinykvm_linux::{Flow, Notice, Process, Stream};

use crate::api::{Abort, Action, BadAnswer, Host, Stage, dispatch};
use crate::inputs::InputError;
use crate::journal::Used;
use crate::notices::{self, Telling};
use crate::text::size;
use crate::verdict::Verdict;

/// A VM that can be run: one that boots, or a fork.
pub(crate) trait Machine {
    /// Runs until the guest asks for something.
    fn go(&mut self) -> Result<Exit, EngineError>;

    /// The stopped guest.
    fn guest(&mut self) -> &mut dyn Guest;

    /// Memory that this VM has for itself.
    fn private_bytes(&mut self) -> u64;
}

impl Machine for Fork {
    fn go(&mut self) -> Result<Exit, EngineError> {
        self.run()
    }

    fn guest(&mut self) -> &mut dyn Guest {
        self
    }

    fn private_bytes(&mut self) -> u64 {
        Self::private_bytes(self)
    }
}

/// Where a run ended without anything being wrong with the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// At `backend_response`.
    Responded {
        /// Address of the answer's body.
        body: u64,
    },
    /// At a wait call.
    Waiting {
        /// The one that is resumed.
        paused: bool,
    },
    /// A filter hands on its buffer and these bytes.
    Wrote {
        /// Their address.
        data: u64,
        /// Their length; all of it was readable at the stop.
        length: u64,
    },
    /// The function that was called returned this.
    Returned(u64),
    /// At a call that ends a run of another kind.
    Stopped,
}

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
    #[error("the filter made {output} bytes of {input}; {limit} are allowed")]
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
            _ => String::new(),
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

/// Numbers from here on are the guest API's even if they come as system calls.
const API_CALLS: u64 = 0x1_0000;

/// The limits of a run, for messages; the VM and `host.deadline` enforce them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunLimits {
    /// The time limit.
    pub(crate) time: Duration,
    /// The configuration key that sets it.
    pub(crate) key: Option<&'static str>,
    /// The program is booting: its memory is all it has.
    pub(crate) booting: bool,
    /// The memory limit.
    pub(crate) memory: u64,
}

/// Runs until the program stops, answering its system calls and guest-API calls.
pub(crate) fn run(
    machine: &mut dyn Machine,
    process: &mut Process,
    host: &mut Host<'_>,
    limits: RunLimits,
) -> Result<Stop, Failure> {
    let result = run_to_stop(machine, process, host, limits);
    host.tell_pending();
    result
}

fn run_to_stop(
    machine: &mut dyn Machine,
    process: &mut Process,
    host: &mut Host<'_>,
    limits: RunLimits,
) -> Result<Stop, Failure> {
    loop {
        let action = match machine.go()? {
            Exit::Syscall => {
                let number = machine.guest().registers().rax;
                if number >= API_CALLS && number <= u64::from(u32::MAX) {
                    host.by_syscall = true;
                    call(machine, number, host)?
                } else {
                    Action::Linux
                }
            }
            Exit::Hypercall { number } => {
                host.by_syscall = false;
                call(machine, u64::from(number), host)?
            }
            Exit::Returned { value } => return Ok(Stop::Returned(value)),
            Exit::Exception(exception) => match process.fault(machine.guest(), &exception) {
                Flow::Continue => Action::Resume,
                _ => return Err(Failure::Exception(Box::new(exception))),
            },
            Exit::Deadline => {
                return Err(Failure::Deadline {
                    limit: limits.time,
                    key: limits.key,
                    doing: Doing::Running(Box::new(*machine.guest().registers())),
                });
            }
            Exit::TimeSlice => {
                let flow = process.time_slice(machine.guest(), host);
                go_on(flow, machine.guest(), process, limits)?;
                Action::Resume
            }
            Exit::MemoryLimit => {
                return Err(Failure::Memory {
                    booting: limits.booting,
                    limit: limits.memory,
                });
            }
            Exit::Shutdown { reason } => return Err(Failure::Shutdown { reason }),
        };
        match action {
            Action::Resume => {}
            Action::Respond { body } => return Ok(Stop::Responded { body }),
            Action::Wait { paused } => return Ok(Stop::Waiting { paused }),
            Action::Write { data, length } => return Ok(Stop::Wrote { data, length }),
            Action::Stop => return Ok(Stop::Stopped),
            Action::Linux => {
                let flow = process.syscall(machine.guest(), host);
                go_on(flow, machine.guest(), process, limits)?;
            }
        }
    }
}

fn go_on(
    flow: Flow,
    guest: &dyn Guest,
    process: &Process,
    limits: RunLimits,
) -> Result<(), Failure> {
    match flow {
        Flow::Continue => Ok(()),
        Flow::Exit { status } => Err(Failure::Exited { status }),
        Flow::Signal { number } => Err(Failure::Signal { number }),
        Flow::Deadlock => Err(Failure::Deadlock),
        Flow::Deadline => Err(Failure::Deadline {
            limit: limits.time,
            key: limits.key,
            doing: match process.waits_in() {
                Some(call) => Doing::Waiting {
                    call,
                    descriptor: has_descriptor(call).then(|| guest.registers().rdi),
                },
                None => Doing::Running(Box::new(*guest.registers())),
            },
        }),
    }
}

/// True for calls that wait for one descriptor, which is their first argument.
fn has_descriptor(call: &str) -> bool {
    const WAITING: [&str; 17] = [
        "read",
        "readv",
        "pread64",
        "write",
        "writev",
        "recvfrom",
        "recvmsg",
        "recvmmsg",
        "sendto",
        "sendmsg",
        "sendmmsg",
        "connect",
        "accept",
        "accept4",
        "fcntl",
        "flock",
        "epoll_wait",
    ];
    WAITING.contains(&call)
}

fn call(machine: &mut dyn Machine, number: u64, host: &mut Host<'_>) -> Result<Action, Abort> {
    if number == u64::from(calls::MEMINFO) {
        host.memory.reqmem_current = machine.private_bytes();
    }
    dispatch(machine.guest(), number, host)
}

impl tinykvm_linux::Host for Host<'_> {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        self.print(stream, bytes);
    }

    fn sleep(&mut self, duration: Duration) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let pause = duration.min(left);
        match self.stage {
            Stage::Init { start, .. } => {
                start.sleep(pause);
                duration < left && !start.is_off()
            }
            _ => {
                if !pause.is_zero() {
                    std::thread::sleep(pause);
                }
                duration < left
            }
        }
    }

    fn interrupt(&self) -> Option<BorrowedFd<'_>> {
        match self.stage {
            Stage::Init { start, .. } => Some(start.descriptor()),
            _ => None,
        }
    }

    fn notice(&mut self, notice: Notice<'_>, count: u64) {
        let told = notices::telling(
            (self.program, self.operator.wording()),
            self.memory.max_memory,
            &notice,
            count,
        );
        if let (Stage::Init { .. }, Telling::Now(text)) = (&self.stage, &told)
            && notices::is_about_memory(&notice)
        {
            self.output.refused = Some(text.clone());
        }
        self.tell(told);
    }

    fn used(&mut self, call: &'static str, path: &[u8], write: bool) {
        if let Some(journal) = self.journal {
            journal.used(Used::Path { call, path, write });
        }
    }

    fn connected(&mut self, to: &str) {
        if let Some(journal) = self.journal {
            journal.used(Used::Place(to));
        }
    }

    fn exec_memory(&mut self) {
        if let Some(journal) = self.journal {
            journal.used(Used::ExecMemory);
        }
    }
}
