//! Somebody to connect to: a process of its own, so that what it has open is not taken for what
//! the fuzzed one holds.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

/// The argument that makes this command a listener.
pub(crate) const ARGUMENT: &str = "--listen";

/// Connections of a kind that are kept open.
const KEPT: usize = 16;

/// The process that listens; it ends with this.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) port: u16,
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Listener {
    /// Listens at a port of the loopback interface, and at a socket file.
    pub(crate) fn start(socket: &Path) -> Result<Self, String> {
        let failed = |error: io::Error| format!("a listener: {error}");
        let own = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(own);
        command.arg(ARGUMENT).arg(socket);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().map_err(failed)?;
        let stdin = process.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .map_err(failed)?;
        }
        let port = line.trim().parse();
        let port = port.map_err(|_| format!("a listener says {line:?}"))?;
        Ok(Self {
            port,
            process,
            stdin,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait();
    }
}

/// Is the listener, until standard input ends.
pub(crate) fn listen(socket: &str) -> Result<(), String> {
    let failed = |error: io::Error| format!("{socket}: {error}");
    let internet = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let unix = UnixListener::bind(socket).map_err(failed)?;
    println!("{}", internet.local_addr().map_err(failed)?.port());
    thread::spawn(move || accept(|| Ok(internet.accept()?.0)));
    thread::spawn(move || accept(|| Ok(unix.accept()?.0)));
    let mut rest = Vec::new();
    io::stdin().read_to_end(&mut rest).map_err(failed)?;
    Ok(())
}

/// Takes connections: of three, one is closed at once, one is greeted, and one is never read.
fn accept<T: Write>(next: impl Fn() -> io::Result<T>) {
    let mut kept = VecDeque::new();
    for count in 0_u64.. {
        let Ok(mut connection) = next() else {
            continue;
        };
        match count % 3 {
            0 => continue,
            // Few bytes: they fit into any buffer.
            1 => drop(connection.write_all(b"hello")),
            _ => {}
        }
        kept.push_back(connection);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}
