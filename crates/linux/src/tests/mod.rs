//! What the tests of all families share: a process on a guest without KVM.

mod robustness;
mod whole;

use std::time::Duration;

use tinykvm::Guest;
use tinykvm_testkit::FakeGuest;

use crate::host::{Flow, Host, Stream};
use crate::notice::Notice;
use crate::process::Process;
use crate::process::options::ProcessOptions;
use crate::run::table;
use crate::wire::errno::Errno;

/// A host that remembers what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) output: Vec<(Stream, Vec<u8>)>,
    pub(crate) unknown: Vec<u32>,
    /// By which call, and what: paths as they are meant in the end, and places.
    pub(crate) denied: Vec<(&'static str, Vec<u8>)>,
    /// What was told in all, in words, and how often it came by then.
    pub(crate) told: Vec<(String, u64)>,
    /// What an audit was told: by which call, which path, and whether it was about to change.
    pub(crate) used: Vec<(&'static str, Vec<u8>, bool)>,
    /// By which call, and whether it was denied.
    pub(crate) exec_memory: Vec<(&'static str, bool)>,
    pub(crate) slept: Duration,
    /// Once this much was slept, the deadline is reached.
    pub(crate) budget: Option<Duration>,
}

impl Host for Recorder {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() <= crate::host::OUTPUT_PIECE);
        self.output.push((stream, bytes.to_vec()));
    }

    fn sleep(&mut self, duration: Duration) -> bool {
        self.slept = self.slept.saturating_add(duration);
        self.budget.is_none_or(|budget| self.slept <= budget)
    }

    fn notice(&mut self, notice: Notice<'_>, count: u64) {
        self.told.push((format!("{notice:?}"), count));
        match notice {
            Notice::Absent(path) | Notice::Denied(path, _) => {
                self.denied.push((path.call, path.meant().to_vec()));
            }
            Notice::Unreachable { call, to: place } | Notice::Serve { call, at: place } => {
                self.denied.push((call, place.into()));
            }
            Notice::Query { call, name } => {
                let name = format!("dns:{}", name.unwrap_or_default());
                self.denied.push((call, name.into_bytes()));
            }
            Notice::ExecMemory { call } => self.exec_memory.push((call, true)),
            Notice::UnknownCall { number, .. } => self.unknown.push(number),
            _ => {}
        }
    }

    fn used(&mut self, call: &'static str, path: &[u8], write: bool) {
        self.used.push((call, path.to_vec(), write));
    }

    fn exec_memory(&mut self) {
        self.exec_memory.push(("", false));
    }
}

/// A process, its guest and its host.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) guest: FakeGuest,
    pub(crate) process: Process,
    pub(crate) host: Recorder,
}

/// Flags of `clone` for a thread: VM, FS, FILES, SIGHAND, THREAD, SYSVSEM.
pub(crate) const THREAD: u64 = 0x5_0f00;

/// An address that is never mapped.
pub(crate) const NOWHERE: u64 = 0x6666_0000_0000;

impl Machine {
    pub(crate) fn new() -> Self {
        Self::with(&ProcessOptions {
            executable: b"/bin/program".to_vec(),
            memory: 64 << 20,
            ..ProcessOptions::default()
        })
    }

    pub(crate) fn with(options: &ProcessOptions) -> Self {
        Self {
            guest: FakeGuest::new(),
            process: Process::new(options),
            host: Recorder::default(),
        }
    }

    /// Makes a call by name.
    pub(crate) fn flow(&mut self, name: &str, arguments: &[u64]) -> Flow {
        let line = table::CALLS.iter().find(|call| call.name == name);
        let number = line
            .unwrap_or_else(|| panic!("{name} is not in the table"))
            .number;
        self.flow_number(u64::from(number), arguments)
    }

    /// Makes a call by number.
    pub(crate) fn flow_number(&mut self, number: u64, arguments: &[u64]) -> Flow {
        let mut all = [0; 6];
        all[..arguments.len()].copy_from_slice(arguments);
        self.guest.set_syscall(number, all);
        let (known, thread) = (self.guest.known_answer(), self.thread());
        let flow = self.process.syscall(&mut self.guest, &mut self.host);
        if let Some(value) = known
            && thread == self.thread()
        {
            let result = self.guest.result().cast_unsigned();
            assert_eq!(result, value, "what the guest need not ask for");
        }
        flow
    }

    /// Makes a call after which the program goes on, and returns its result.
    pub(crate) fn call(&mut self, name: &str, arguments: &[u64]) -> i64 {
        assert_eq!(self.flow(name, arguments), Flow::Continue, "{name}");
        self.guest.result()
    }

    /// Makes a call that must succeed with something that is no error.
    pub(crate) fn value(&mut self, name: &str, arguments: &[u64]) -> u64 {
        let result = self.call(name, arguments);
        u64::try_from(result).unwrap_or_else(|_| panic!("{name}{arguments:x?}: {result}"))
    }

    /// Makes a call that must fail.
    #[track_caller]
    pub(crate) fn fails(&mut self, name: &str, arguments: &[u64], error: Errno) {
        let result = self.call(name, arguments).cast_unsigned();
        assert_eq!(result, error.to_result(), "{name}{arguments:x?}");
    }

    /// Makes a call that may end in another thread.
    #[track_caller]
    pub(crate) fn goes_on(&mut self, name: &str, arguments: &[u64]) {
        assert_eq!(self.flow(name, arguments), Flow::Continue, "{name}");
    }

    /// The thread that runs.
    pub(crate) fn thread(&self) -> u32 {
        self.process.state().thread().id
    }

    /// Starts a thread, which does not run yet.
    pub(crate) fn spawn(&mut self) -> u32 {
        let stack = self.room(64) + 64;
        let id = self.value("clone", &[THREAD, stack, 0, 0, 0]);
        u32::try_from(id).unwrap()
    }

    /// Good arguments for a call with a path, which is `path`.
    pub(crate) fn path_arguments(
        &mut self,
        call: &table::Call,
        argument: usize,
        path: u64,
    ) -> [u64; 6] {
        let times = self.words(&[0; 4]);
        let mut arguments = match call.name {
            "openat2" => [0, 0, times, 24, 0, 0],
            "utimensat" | "futimesat" => [0, 0, times, 0, 0, 0],
            "utime" | "utimes" => [0, times, 0, 0, 0, 0],
            "readlink" => [0, times, 9, 0, 0, 0],
            "readlinkat" => [0, 0, times, 9, 0, 0],
            "rename" | "link" => [0, path, 0, 0, 0, 0],
            "renameat" | "renameat2" | "linkat" => [0, 0, 0, path, 0, 0],
            "symlink" | "symlinkat" => [path, 0, 0, 0, 0, 0],
            _ => [0; 6],
        };
        if let Some(place) = arguments.get_mut(argument) {
            *place = path;
        }
        arguments
    }

    /// Zeroed memory that is followed by an unmapped page.
    pub(crate) fn room(&mut self, length: usize) -> u64 {
        self.guest.put(&vec![0; length])
    }

    /// An array of 64-bit words in guest memory.
    pub(crate) fn words(&mut self, words: &[u64]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.guest.put(&bytes)
    }

    /// The 64-bit word at an address.
    pub(crate) fn word(&self, address: u64) -> u64 {
        self.guest.read_u64(address).unwrap()
    }

    /// All output so far, without the borders of pieces.
    pub(crate) fn printed(&self, stream: Stream) -> Vec<u8> {
        let of_stream = self.host.output.iter().filter(|(from, _)| *from == stream);
        of_stream.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

/// An `int` argument.
pub(crate) fn int(value: i32) -> u64 {
    i64::from(value).cast_unsigned()
}
