//! `tinykvm run`.

use std::process::ExitCode;

use crate::args::Run;
use crate::console::{Error, not_ready};

/// Starts the program and says what came of it.
pub(crate) fn run(options: &Run) -> Result<ExitCode, Error> {
    let configured = options.target.configure("{}", true)?;
    let program = &configured.program;
    configured.set_main_arguments(&options.main.arguments)?;
    Ok(match program.wait_until_ready() {
        Ok(()) => ExitCode::SUCCESS,
        Err((verdict, reason)) => not_ready(verdict, &reason),
    })
}
