//! Runs the programs, or those with a word of the command line in their names, and writes what
//! came of it.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's terminal is its interface"
)]

use std::process::ExitCode;

use tinykvm_programs::{Outcome, Program, all, run, write};

fn main() -> ExitCode {
    match try_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("programs: {error}");
            ExitCode::FAILURE
        }
    }
}

/// True if all that should run do, and no other.
fn try_all() -> Result<bool, String> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let programs = all()?;
    let chosen = |program: &&Program| {
        wanted.is_empty()
            || wanted
                .iter()
                .any(|word| program.name.contains(word.as_str()))
    };
    let mut outcomes: Vec<(&Program, Outcome)> = Vec::new();
    for program in programs.iter().filter(chosen) {
        let outcome = program.prepare().and_then(|()| run(program));
        print(program, &outcome);
        outcomes.push((program, outcome));
    }
    if outcomes.is_empty() {
        return Err(format!("no program is called {}", wanted.join(" or ")));
    }
    write(&outcomes, wanted.is_empty())?;
    Ok(outcomes.iter().all(|(_, outcome)| outcome.is_ok()))
}

fn print(program: &Program, outcome: &Outcome) {
    let name = &program.name;
    match outcome {
        Ok(Some(it)) => println!(
            "{name:<12} ok, frozen after {} ms, {} pages and {} exits per request, {:.0} us, natively {:.0} us",
            it.freeze_ms, it.dirty_pages, it.exits, it.warm_call_us, it.native_us
        ),
        Ok(None) => println!("{name:<12} does not run, as it says: {}", program.remark),
        Err(reason) => println!("{name:<12} FAILED: {reason}"),
    }
}
