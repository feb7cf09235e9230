//! The engine on real KVM, with a guest that has no C library.

mod faults;
mod hostile;
mod limits;
mod lifecycle;
mod memory;
mod reset;
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut cases = Vec::new();
    cases.extend(lifecycle::cases());
    cases.extend(faults::cases());
    cases.extend(hostile::cases());
    cases.extend(limits::cases());
    cases.extend(memory::cases());
    cases.extend(reset::cases());
    tinykvm_testkit::harness::run(cases)
}
