//! The process: everything about a program that its kernel would remember.

use std::sync::Arc;
use std::time::Duration;

use tinykvm::Guest;

use crate::connect_rules::ConnectRules;
use crate::context::{Failure, low_half};
use crate::descriptor::Descriptors;
use crate::errno::ENOSYS;
use crate::network::Socket;
use crate::objects::Objects;
use crate::signal::Signals;
use crate::system::{DEFAULT_LIMITS, Limit};
use crate::unknown::UnknownCalls;
use crate::{Flow, Host, frame, table};

/// The only process and the only thread of a guest. (0 is never a process in Linux, and some
/// programs take it for an error.)
pub(crate) const PROCESS_ID: u32 = 1;

/// How a program is started, and what it is told about itself.
#[derive(Debug, Clone, Default)]
pub struct ProcessOptions {
    /// `argv`, with the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// The environment: `KEY=value`.
    pub environment: Vec<Vec<u8>>,
    /// The program's path as the guest sees it: `readlink("/proc/self/exe")` and `AT_EXECFN`.
    pub executable: Vec<u8>,
    /// The guest's memory in bytes, for programs that ask (`sysinfo`); 0 if nobody knows.
    pub memory: u64,
    /// Descriptors 0 to 2 look like a terminal. C libraries then write each line of output when
    /// it is complete; otherwise they collect it in a buffer, which is lost if the guest is
    /// reset before it is full.
    pub terminal: bool,
    /// Where its sockets may go.
    pub connect: ConnectRules,
}

/// What the program can change and a reset puts back.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) signals: Signals,
    pub(crate) descriptors: Descriptors,
    pub(crate) objects: Objects,
    pub(crate) limits: [Limit; 16],
    /// The thread's name, NUL-padded (`TASK_COMM_LEN` in linux/sched.h).
    pub(crate) name: [u8; 16],
    pub(crate) umask: u32,
    /// What `set_robust_list` was given.
    pub(crate) robust_list: u64,
    /// Monotonic time at the start of the program, where its CPU clock starts.
    pub(crate) started: Duration,
    #[allow(
        dead_code,
        reason = "there is one thread, and nothing changes by itself"
    )]
    /// Counts changes of what calls can wait for.
    generation: u64,
}

impl State {
    /// To be told when something changed that a call may wait for: those that wait for events are
    /// made again.
    pub(crate) fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}

/// The guest-visible kernel state of one virtual machine.
///
/// A clone shares the state until one of the two changes it, so cloning and
/// [resetting](Self::reset_from) cost next to nothing for a program that changes nothing.
#[derive(Debug, Clone)]
pub struct Process {
    options: Arc<ProcessOptions>,
    unknown: UnknownCalls,
    state: Arc<State>,
    /// Monotonic time when timers were first asked for since the last call of the program began.
    resumed: Option<Duration>,
}

impl Process {
    /// A process that has not started yet.
    #[must_use]
    pub fn new(options: &ProcessOptions) -> Self {
        let state = State {
            signals: Signals::default(),
            descriptors: Descriptors::default(),
            objects: Objects::default(),
            limits: DEFAULT_LIMITS,
            name: comm(&options.executable),
            umask: 0o022,
            robust_list: 0,
            started: Duration::ZERO,
            generation: 0,
        };
        Self {
            options: Arc::new(options.clone()),
            unknown: UnknownCalls::default(),
            state: Arc::new(state),
            resumed: None,
        }
    }

    /// Answers the system call that the guest stopped at: the result goes into its registers.
    /// Pending signals that the call made deliverable are delivered, too.
    ///
    /// The number is the lower half of RAX, the arguments are RDI, RSI, RDX, R10, R8 and R9.
    pub fn syscall(&mut self, guest: &mut dyn Guest, host: &mut dyn Host) -> Flow {
        let number = low_half(guest.registers().rax);
        let Some(call) = table::find(number) else {
            if self.unknown.first_time(number) {
                host.unknown_call(u64::from(number));
            }
            guest.registers_mut().rax = ENOSYS.to_result();
            return Flow::Continue;
        };
        guest.registers_mut().rax = match self.answer(guest, host, call) {
            Ok(value) => value,
            Err(Failure::Error(error)) => error.to_result(),
            Err(Failure::Stop(flow)) => return flow,
            Err(Failure::Block(_)) => return Flow::Deadlock,
        };
        frame::deliver_pending(self, guest)
    }

    /// The guest's time slice is over: another of its threads may run now.
    pub fn time_slice(&mut self, guest: &mut dyn Guest, host: &mut dyn Host) -> Flow {
        let _ = (guest, host);
        Flow::Continue
    }

    /// Goes back to the state of `template`, of which `self` is a clone. Costs a pointer
    /// comparison when nothing changed since.
    pub fn reset_from(&mut self, template: &Self) {
        if !Arc::ptr_eq(&self.state, &template.state) {
            self.state = Arc::clone(&template.state);
        }
        self.resumed = None;
    }

    /// The program is called, after a time in which it did not run: of the times that its timers
    /// were due meanwhile, only one counts.
    pub fn begin(&mut self) {
        self.resumed = None;
    }

    /// The program is frozen, to be forked: its connections to the outside end. In the forks they
    /// are broken (`ECONNRESET`).
    pub fn freeze(&mut self) {
        self.begin();
        let sockets = &self.state.objects.sockets;
        let open: Vec<_> = sockets
            .numbers()
            .filter(|&number| sockets.get(number).is_some_and(Socket::is_open))
            .collect();
        for number in open {
            if let Ok(socket) = self.state_mut().object_mut::<Socket>(number) {
                socket.freeze();
            }
        }
    }

    /// When the present call began, as far as timers need to know.
    pub(crate) fn resumed(&mut self, now: Duration) -> Duration {
        *self.resumed.get_or_insert(now)
    }

    /// How the program was started.
    pub(crate) fn options(&self) -> &ProcessOptions {
        &self.options
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// For writing; takes a private copy if the state is still shared.
    pub(crate) fn state_mut(&mut self) -> &mut State {
        Arc::make_mut(&mut self.state)
    }
}

/// A thread's name after `execve`: the last part of the path, cut to 15 bytes.
fn comm(executable: &[u8]) -> [u8; 16] {
    let mut name = [0; 16];
    let last = executable
        .rsplit(|&byte| byte == b'/')
        .next()
        .unwrap_or_default();
    for (to, from) in name.iter_mut().take(15).zip(last) {
        *to = *from;
    }
    name
}
