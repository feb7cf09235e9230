//! `tinykvm`: runs and calls programs without Varnish, measures them, and diagnoses the host.

#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command's terminal is its interface"
)]

mod args;
mod bench;
mod call;
mod console;
mod doctor;
mod filter;
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
            None => Ok(doctor::doctor()),
        },
        Command::Learn(options) => learn::learn(&options),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("tinykvm: {}", printable(error.to_string().as_bytes()));
        ExitCode::from(console::USAGE)
    })
}
