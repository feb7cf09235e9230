//! Programs in real VMs, called as a server would call them.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

mod bodies;
mod closing;
mod descriptors;
mod executable;
mod faults;
mod files;
mod filters;
mod idle;
mod kept;
mod limits;
mod loading;
mod logging;
mod modes;
mod network;
mod requests;
mod state;
mod support;
mod threads;
mod unique;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cases = [
        requests::cases(),
        bodies::cases(),
        faults::cases(),
        filters::cases(),
        kept::cases(),
        files::cases(),
        limits::cases(),
        idle::cases(),
        modes::cases(),
        state::cases(),
        loading::cases(),
        logging::cases(),
        closing::cases(),
        threads::cases(),
        unique::cases(),
        descriptors::cases(),
        executable::cases(),
        network::cases(),
    ];
    tinykvm_testkit::harness::run(cases.into_iter().flatten().collect())
}
