//! Runs a VM until the program has said something that its caller must decide about.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use tinykvm::{EngineError, Exit, Fork, Guest};
use tinykvm_abi::calls;
use tinykvm_linux::{Flow, Notice, Process, Stream};

use crate::api::{Abort, Action, Host, Stage, dispatch};
use crate::failure::{Doing, Failure};
use crate::journal::Used;
use crate::notices::{self, Telling};

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
