//! `tinykvm`: runs and calls programs without Varnish, measures them, and diagnoses the host.
//!
//! # Layers
//!
//! ```text
//! bench, filter, learn, run  commands: measure, filter a body, find rules, run main()
//! call                       the command that makes requests, and programs prepared for them
//! doctor                     the command that looks at the host, or at a program
//! target                     which program is meant, and how it is configured
//! input                      bodies and configurations from files
//! rules                      rules of permissions, as they are written
//! args                       the command line
//! console                    the terminal, and errors that end a command
//! ```

#![forbid(unsafe_code)]

/// A line for standard error.
macro_rules! say {
    ($($text:tt)*) => {
        crate::console::tell(&format!($($text)*))
    };
}

mod args;
mod bench;
mod call;
mod console;
mod doctor;
mod filter;
mod input;
mod learn;
mod rules;
mod run;
mod target;

use std::process::ExitCode;

use args::{Arguments, Command};
use tinykvm_runtime::printable;

fn main() -> ExitCode {
    let outcome = match Arguments::read().command {
        Command::Run(options) => run::run(&options),
        Command::Call(options) => call::call(&options),
        Command::Filter(options) => filter::filter(&options),
        Command::Bench(options) => bench::bench(&options),
        Command::Doctor(options) => match &options.program {
            Some(program) => doctor::program::program(program),
            None => doctor::doctor(),
        },
        Command::Learn(options) => learn::learn(&options),
    };
    match outcome.and_then(console::checked) {
        Ok(status) => status,
        // Whoever read the output has seen enough.
        Err(console::Error::Unread) => ExitCode::SUCCESS,
        Err(error) => {
            say!("tinykvm: {}", printable(error.to_string().as_bytes()));
            ExitCode::from(console::USAGE)
        }
    }
}
