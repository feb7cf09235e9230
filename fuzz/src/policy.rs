//! What the program under test may have of the host.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tinykvm_linux::{
    ConnectRules, Extent, Host, PathRule, Permissions, Process, ProcessOptions, Stream,
};
use tinykvm_testkit::FakeGuest;

use crate::calls;
use crate::sequence::{Setting, state};

/// Numbers that a call may have.
const NUMBERS: u64 = 512;

/// Where nobody listens.
const CLOSED_PORTS: [&str; 2] = ["127.0.0.1:1", "127.0.0.1:7"];

/// How much is granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Nothing.
    Deny,
    /// One directory of its own, to write, and no network but closed ports of this machine.
    Allow,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "deny" => Ok(Self::Deny),
            "allow" => Ok(Self::Allow),
            _ => Err(format!("{text} is no policy")),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        })
    }
}

/// Where the sequences of a policy run; its directory is removed in the end.
#[derive(Debug)]
pub(crate) struct Room {
    directory: PathBuf,
    options: ProcessOptions,
}

impl Policy {
    pub(crate) fn room(self) -> Result<Room, String> {
        let name = format!("tinykvm-fuzz-{}-{self}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        let mut permissions = Permissions::default();
        let mut connect = ConnectRules::default();
        if self == Self::Allow {
            let rule = PathRule {
                shown: directory.as_os_str().as_bytes().to_vec(),
                real: directory.clone(),
                extent: Extent::Tree,
                writable: true,
            };
            permissions
                .allow(&rule)
                .map_err(|error| error.to_string())?;
            for port in CLOSED_PORTS {
                connect.add(port).map_err(|error| error.to_string())?;
            }
        }
        let options = ProcessOptions {
            arguments: vec![b"program".to_vec()],
            executable: b"/bin/program".to_vec(),
            memory: 16 << 20,
            directory: directory.as_os_str().as_bytes().to_vec(),
            permissions: Arc::new(permissions),
            connect,
            ..ProcessOptions::default()
        };
        Ok(Room { directory, options })
    }
}

impl Room {
    pub(crate) fn setting(&self, verbose: bool) -> Setting {
        let template = Process::new(&self.options);
        Setting {
            calls: calls::calls(&implemented(&self.options)),
            before: state(&template),
            template,
            directory: self.directory.display().to_string(),
            verbose,
        }
    }

    /// Removes what a sequence left in the directory.
    pub(crate) fn clean(&self) -> Result<(), String> {
        let text = |error: io::Error| format!("{}: {error}", self.directory.display());
        for entry in fs::read_dir(&self.directory).map_err(text)? {
            let path = entry.map_err(text)?.path();
            if path.is_dir() && !path.is_symlink() {
                fs::remove_dir_all(&path).map_err(text)?;
            } else {
                fs::remove_file(&path).map_err(text)?;
            }
        }
        Ok(())
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Says whether a call is known.
#[derive(Debug, Default)]
struct Asker {
    unknown: bool,
}

impl Host for Asker {
    fn output(&mut self, _: Stream, _: &[u8]) {}

    fn sleep(&mut self, _: Duration) -> bool {
        false
    }

    fn unknown_call(&mut self, _: u64) {
        self.unknown = true;
    }
}

/// The numbers of the calls that are known.
fn implemented(options: &ProcessOptions) -> Vec<u64> {
    let known = |&number: &u64| {
        let mut asker = Asker::default();
        let mut guest = FakeGuest::new();
        guest.set_syscall(number, [u64::MAX; 6]);
        // A new process: what is unknown is told once per program.
        let mut process = Process::new(options);
        process.syscall(&mut guest, &mut asker);
        !asker.unknown
    };
    (0..NUMBERS).filter(known).collect()
}
