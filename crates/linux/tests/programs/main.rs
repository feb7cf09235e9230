//! Real programs on real KVM: what C libraries and the Rust runtime do when they start, compute
//! and end is answered so that the programs work.

mod cases;
mod names;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    tinykvm_testkit::harness::run(cases::all())
}
