//! How a program is started.

use std::sync::Arc;

use crate::host::Stream;
use crate::rules::connect::ConnectRules;
use crate::rules::permissions::Permissions;

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
    /// [`Host::exec_memory`](crate::host::Host::exec_memory) is told about it.
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
