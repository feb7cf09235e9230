//! The same work natively.

use std::process::{Command, Stdio};

use crate::Program;

/// Ends each answer in the output of a native run.
const END: &str = "\n--\n";

/// What a native run gave.
pub(crate) struct Native {
    /// Its answers, from that to the first request on.
    pub(crate) answers: Vec<String>,
    /// Time for one request in microseconds.
    pub(crate) time_us: f64,
}

/// Runs the program natively: it answers requests 0 and up and prints the answers, then does so
/// again and again and prints what one takes.
pub(crate) fn run(program: &Program) -> Result<Native, String> {
    let failed = |what: &str| format!("natively: {what}");
    let (command, arguments) = program
        .native
        .split_first()
        .ok_or_else(|| failed("there is no command"))?;
    let mut command = Command::new(command);
    command.args(arguments).stdin(Stdio::null());
    command.env("LC_ALL", "C");
    let output = command.output();
    let output = output.map_err(|error| failed(&format!("{command:?}: {error}")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(&format!("{}: {}", output.status, said.trim())));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let (answers, time) = text
        .rsplit_once("ns ")
        .ok_or_else(|| failed(&format!("no time in its output: {text}")))?;
    let time: f64 = time
        .trim()
        .parse()
        .map_err(|error| failed(&format!("time {time:?}: {error}")))?;
    Ok(Native {
        answers: answers.split_terminator(END).map(str::to_owned).collect(),
        time_us: time / 1e3,
    })
}
