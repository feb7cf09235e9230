//! `packaging/install-dependencies`, with a package manager that is another one's at first.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What apt says while another package manager works, at each of its locks.
const BUSY: [&str; 3] = [
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (apt-get)",
    "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 4711 (apt-get)",
    "dpkg: error: dpkg frontend lock was locked by another process with pid 4711",
];

/// A directory of stand-ins for Debian's commands.
struct Commands(PathBuf);

impl Commands {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&base).unwrap();
        let commands = Self(base);
        commands.add("id", "echo 0");
        commands.add("dpkg-query", "exit 1");
        commands.add("apt-cache", "echo '  Candidate: 1.0'");
        commands.add("sleep", "exit 0");
        commands
    }

    fn add(&self, name: &str, script: &str) {
        let path = self.0.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Installs what `make doc` needs.
    fn install(&self) -> Output {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let path = std::env::var("PATH").unwrap_or_default();
        Command::new(top.join("packaging/install-dependencies"))
            .arg("doc")
            .env("PATH", format!("{}:{path}", self.0.display()))
            .output()
            .unwrap()
    }

    /// What apt-get was asked for.
    fn asked(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("asked")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Commands {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn waits_while_another_package_manager_works() {
    for (number, busy) in BUSY.iter().enumerate() {
        let commands = Commands::new(&format!("busy-{number}"));
        let here = commands.0.display().to_string();
        commands.add(
            "apt-get",
            &format!(
                "echo \"$@\" >>{here}/asked\n\
                 [ \"$(wc -l <{here}/asked)\" -gt 3 ] || {{ echo '{busy}' >&2; exit 100; }}"
            ),
        );
        let output = commands.install();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        assert!(err.contains("Waiting for another package manager"), "{err}");
        let asked = commands.asked();
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert!(
            asked
                .iter()
                .all(|words| words.ends_with("python3-docutils"))
        );
    }
}

#[test]
fn other_failures_are_told_at_once() {
    let commands = Commands::new("broken");
    let here = commands.0.display().to_string();
    commands.add(
        "apt-get",
        &format!("echo \"$@\" >>{here}/asked\necho 'E: No space left on device' >&2; exit 100"),
    );
    let output = commands.install();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        err.contains("No space left") && !err.contains("Waiting"),
        "{err}"
    );
    // The package, the lists, which fail.
    assert_eq!(commands.asked().len(), 2, "{:?}", commands.asked());
}
