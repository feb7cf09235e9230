//! What the product's speed promises are measured with: `make bench`.
//!
//! Everything is measured in one run, alternating, and reported as ratios: machines are noisy,
//! and differ. The figures go to the terminal and to `target/bench.json`. Those with a bar are
//! measured once more if they do not hold it, and fail the bench if they do not then either.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark reports to the terminal and may stop at any surprise"
)]

mod bars;
mod calls;
mod compute;
mod figures;
mod files;
mod filters;
mod forks;
mod guest;
mod varnish;

use std::process::ExitCode;

use figures::Figures;

fn main() -> ExitCode {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|one| one == name);
    let mut figures = Figures::default();
    figures::print_machine();
    if wanted("calls") {
        calls::run(&mut figures);
    }
    if wanted("forks") {
        forks::by_size(&mut figures);
    }
    // Takes minutes: only if it is named.
    if only.iter().any(|one| one == "parked") {
        forks::by_number(&mut figures);
    }
    if wanted("compute") {
        compute::run(&mut figures);
    }
    if wanted("files") {
        files::run(&mut figures);
    }
    if wanted("filters") {
        filters::run(&mut figures);
    }
    if wanted("varnish") {
        varnish::run(&mut figures);
    }
    bars::measure_again(&mut figures);
    figures.write();
    let broken = bars::broken(&figures);
    for line in &broken {
        println!("FAILED: {line}");
    }
    if broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
