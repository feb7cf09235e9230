//! The process: everything about a program that its kernel would remember.

use std::sync::Arc;
use std::time::Duration;

use tinykvm::Guest;

use crate::block::Attempt;
use crate::connect_rules::ConnectRules;
use crate::context::low_half;
use crate::descriptor::Descriptors;
use crate::errno::ENOSYS;
use crate::lock::Locks;
use crate::network::Socket;
use crate::notice::{Notice, Told};
use crate::objects::Objects;
use crate::permissions::Permissions;
use crate::signal::Signals;
use crate::system::{DEFAULT_LIMITS, Limit};
use crate::threads::{Thread, Threads};
use crate::timer::Timers;
use crate::{Flow, Host, Stream, table, thread};

/// The only process of a guest, and its first thread. (0 is never a process in Linux, and some
/// programs take it for an error.)
pub(crate) const PROCESS_ID: u32 = 1;

/// The process after the freeze, as `getpid` has it: another one, as after `fork`. Generators of
/// random numbers in libraries (OpenSSL's for one) tell by this that they need a new seed. Threads
/// keep their numbers.
pub(crate) const FORKED_ID: u32 = (1 << 22) - 2;

/// How a program is started, and what it is told about itself.
#[derive(Debug, Clone)]
pub struct ProcessOptions {
    /// `argv`, with the program's name first.
    pub arguments: Vec<Vec<u8>>,
    /// The environment: `KEY=value`.
    pub environment: Vec<Vec<u8>>,
    /// The path by which the program was started: `AT_EXECFN`; its end is the thread's name.
    pub executable: Vec<u8>,
    /// The path of its file without links on the way: `/proc/self/exe`. Empty: the same.
    pub file: Vec<u8>,
    /// The guest's memory in bytes, for programs that ask (`sysinfo`); 0 if nobody knows.
    pub memory: u64,
    /// The most threads at a time. Each one costs the host about a kilobyte, and its vector state.
    pub threads: usize,
    /// Standard input and output look like a terminal. C libraries then write each line of output
    /// when it is complete; otherwise they collect it in a buffer, which is lost if the guest is
    /// reset before it is full. Standard error is never one: nobody collects it, and a program
    /// that finds a terminal there colours its messages, which go to a log.
    pub terminal: bool,
    /// Where its sockets may go.
    pub connect: ConnectRules,
    /// The working directory at the start; empty is the root.
    pub directory: Vec<u8>,
    /// What it may have of the host.
    pub permissions: Arc<Permissions>,
    /// An audit: memory that is written and executed is possible in the guest, and
    /// [`Host::exec_memory`](crate::Host::exec_memory) is told about it.
    pub audit_exec_memory: bool,
}

impl ProcessOptions {
    /// Whether this is a terminal: input (`None`) or one of the outputs.
    pub(crate) fn is_terminal(&self, stream: Option<Stream>) -> bool {
        self.terminal && stream != Some(Stream::Err)
    }
}

impl Default for ProcessOptions {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            executable: Vec::new(),
            file: Vec::new(),
            memory: 0,
            threads: 256,
            terminal: false,
            connect: ConnectRules::default(),
            directory: Vec::new(),
            permissions: Arc::default(),
            audit_exec_memory: false,
        }
    }
}

/// What the program can change and a reset puts back.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) threads: Threads,
    pub(crate) signals: Signals,
    pub(crate) timers: Timers,
    pub(crate) descriptors: Descriptors,
    pub(crate) objects: Objects,
    pub(crate) limits: [Limit; 16],
    pub(crate) umask: u32,
    /// The working directory as the program knows it: clean, the root is empty.
    pub(crate) directory: Arc<[u8]>,
    pub(crate) locks: Locks,
    /// Monotonic time at the start of the program, where its CPU clock starts.
    pub(crate) started: Duration,
    /// Time in which no thread could run, which is no processor time.
    pub(crate) idle: Duration,
    /// Monotonic time of the freeze, until the program goes on.
    pub(crate) frozen: Option<Duration>,
    /// What the host held at the freeze beside objects.
    pub(crate) beside_at_freeze: u64,
    /// Counts changes of what calls can wait for.
    pub(crate) generation: u64,
}

impl State {
    /// To be told when something changed that a call may wait for: those that wait for events are
    /// made again.
    pub(crate) fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Changes with [`Self::changed`].
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// What the host held at the freeze beside objects; 0 until then.
    pub(crate) fn beside_at_freeze(&self) -> u64 {
        self.beside_at_freeze
    }

    /// The thread that has the processor.
    pub(crate) fn thread(&self) -> &Thread {
        &self.threads.current
    }

    /// The thread that has the processor, to change.
    pub(crate) fn thread_mut(&mut self) -> &mut Thread {
        &mut self.threads.current
    }
}

/// The guest-visible kernel state of one virtual machine.
///
/// A clone shares the state until one of the two changes it, so cloning and
/// [resetting](Self::reset_from) cost next to nothing for a program that changes nothing.
#[derive(Debug, Clone)]
pub struct Process {
    options: Arc<ProcessOptions>,
    pub(crate) told: Told,
    state: Arc<State>,
    /// Monotonic time when timers were first asked for since the last call of the program began.
    resumed: Option<Duration>,
    /// It is a fork of a frozen one, and was called.
    pub(crate) forked: bool,
    /// The guest was given time slices.
    pub(crate) sliced: bool,
    /// Monotonic time at which the current thread's turn is over.
    pub(crate) slice_end: Option<Duration>,
}

impl Process {
    /// A process that has not started yet.
    #[must_use]
    pub fn new(options: &ProcessOptions) -> Self {
        let state = State {
            threads: Threads::new(Thread::first(comm(&options.executable))),
            signals: Signals::default(),
            timers: Timers::default(),
            descriptors: Descriptors::default(),
            objects: Objects::default(),
            limits: DEFAULT_LIMITS,
            umask: 0o022,
            directory: crate::access::normal(&options.directory).into(),
            locks: Locks::default(),
            started: Duration::ZERO,
            idle: Duration::ZERO,
            frozen: None,
            beside_at_freeze: 0,
            generation: 0,
        };
        Self {
            options: Arc::new(options.clone()),
            told: Told::default(),
            state: Arc::new(state),
            resumed: None,
            forked: false,
            sliced: false,
            slice_end: None,
        }
    }

    /// Answers the system call that the guest stopped at: the result goes into its registers.
    /// Pending signals that the call made deliverable are delivered, too.
    ///
    /// The number is the lower half of RAX, the arguments are RDI, RSI, RDX, R10, R8 and R9.
    pub fn syscall(&mut self, guest: &mut dyn Guest, host: &mut dyn Host) -> Flow {
        let number = low_half(guest.registers().rax);
        let Some(call) = table::find(number) else {
            let name = table::name_of(number);
            self.notice(host, Notice::UnknownCall { number, name });
            guest.registers_mut().rax = ENOSYS.to_result();
            return Flow::Continue;
        };
        // After a deadline in the middle of a wait.
        if self.state().thread().wait.is_some() {
            self.state_mut().thread_mut().wait = None;
        }
        let flow = match self.attempt(guest, host, call, Attempt::default()) {
            Ok(turn) => self.proceed(guest, host, turn),
            Err(flow) => flow,
        };
        self.answer_ahead(guest);
        flow
    }

    /// What the guest need not ask for: who it is.
    pub(crate) fn answer_ahead(&self, guest: &mut dyn Guest) {
        let answers = thread::known(self);
        let alone = self.state().threads.is_alone();
        // Others may be ready by now.
        let known = answers.len() - usize::from(!alone);
        guest.set_answers(&answers[..known]);
    }

    /// The program is frozen here, to be forked: the current thread is the one that waits for
    /// requests. For timers that send signals, and the waits of its other threads, no time passes
    /// from now until it goes on. Its connections to the outside end; in the forks they are broken
    /// (`ECONNRESET`). Its locks on files end, too.
    pub fn freeze(&mut self, guest: &dyn Guest) {
        let now = guest.monotonic();
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
        let state = self.state_mut();
        state.threads.freeze();
        // Forks would have them in common.
        state.locks = Locks::default();
        state.frozen = Some(now);
        state.objects.freeze();
        state.beside_at_freeze = state.beside();
    }

    /// Prepares for a request, before the registers are loaded for it: the thread that waits for
    /// requests gets the processor, whichever answered the last one. The others go on when it
    /// waits, or its time slice is over.
    pub fn begin_call(&mut self, guest: &mut dyn Guest) {
        self.forked = true;
        let state = self.state();
        if state.threads.is_caller_alone() && state.timers.next().is_none() && !self.sliced {
            self.answer_ahead(guest);
            return;
        }
        let now = guest.monotonic();
        self.slice_end = None;
        let state = self.state_mut();
        if let Some(frozen) = state.frozen.take() {
            let by = now.saturating_sub(frozen);
            state.threads.postpone(by);
            state.timers.postpone(by);
            // What they wait for may have changed with the time.
            state.changed();
        }
        state.threads.call(guest);
        self.answer_ahead(guest);
        self.arm(guest, now);
    }

    /// The current thread failed and goes no further. What is called next is the callback for that.
    pub fn failed(&mut self) {
        if !self.state().threads.is_alone() {
            self.state_mut().thread_mut().ended = true;
        }
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

    /// When the present call began, as far as timers need to know.
    pub(crate) fn resumed(&mut self, now: Duration) -> Duration {
        *self.resumed.get_or_insert(now)
    }

    /// Tells the host, unless that was told already.
    pub(crate) fn notice(&self, host: &mut dyn Host, notice: Notice<'_>) {
        if let Some((notice, count)) = self.told.count(notice) {
            host.notice(notice, count);
        }
    }

    /// The system call that the current thread waits in, if it does.
    #[must_use]
    pub fn waits_in(&self) -> Option<&'static str> {
        let waiting = self.state().thread().wait.as_ref()?;
        table::find(u32::from(waiting.call)).map(|call| call.name)
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
