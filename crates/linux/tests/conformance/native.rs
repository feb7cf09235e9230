//! A case as an ordinary process of this machine.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::compare::{End, Outcome, STARTING, TIME_LIMIT};

/// The names of the cases in a program.
pub(crate) fn cases(program: &Path) -> std::io::Result<Vec<String>> {
    let output = Command::new(program).arg("--list").output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_string).collect())
}

/// Runs a case in a directory.
pub(crate) fn run(program: &Path, case: &str, directory: &str) -> Result<Outcome, String> {
    let text = |error: std::io::Error| format!("native: {error}");
    let starting = STARTING.read();
    let mut child = Command::new(program)
        .args([case, directory])
        .env_clear()
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(text)?;
    drop(starting);
    let mut stdout = child.stdout.take().ok_or("native: no standard output")?;
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = stdout.read_to_end(&mut bytes);
        result.map(|_| String::from_utf8_lossy(&bytes).into_owned())
    });
    let deadline = Instant::now() + TIME_LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(text)? {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().map_err(text)?;
            child.wait().map_err(text)?;
            return Err("native: does not end".to_string());
        }
        thread::sleep(Duration::from_micros(300));
    };
    let out = reader.join().map_err(|_| "native: no output")?;
    Ok(Outcome {
        out: out.map_err(text)?,
        end: end(status),
    })
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exit(code),
        (None, signal) => End::Signal(signal.unwrap_or(0)),
    }
}
