//! `tinykvm run`.

use std::process::ExitCode;

use crate::args::Run;
use crate::console::{Error, status};

/// Starts the program and says what came of it.
pub(crate) fn run(options: &Run) -> Result<ExitCode, Error> {
    let configured = options.target.configure("{}", true)?;
    let program = &configured.program;
    if !options.arguments.is_empty() {
        let arguments = options
            .arguments
            .iter()
            .map(|argument| argument.clone().into_bytes())
            .collect();
        configured
            .programs
            .main_arguments(program.name(), arguments)?;
    }
    Ok(match program.wait_until_ready() {
        Ok(()) => ExitCode::SUCCESS,
        Err((verdict, reason)) => {
            eprintln!("tinykvm: {verdict}: {reason}");
            status(verdict)
        }
    })
}
