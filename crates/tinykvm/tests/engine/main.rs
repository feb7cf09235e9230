//! The engine on real KVM, with a guest that has no C library.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "tests report by panicking and have no readers outside"
)]

mod answers;
mod failures;
mod faults;
mod files;
mod hostile;
mod lifecycle;
mod limits;
mod memory;
mod paging;
mod reset;
mod slices;
mod support;
mod threads;

use std::process::ExitCode;

fn main() -> ExitCode {
    // Compiled up front, so that listing the tests is enough to have the guest at hand.
    support::image();
    let mut cases = Vec::new();
    cases.extend(lifecycle::cases());
    cases.extend(answers::cases());
    cases.extend(faults::cases());
    cases.extend(failures::cases());
    cases.extend(files::cases());
    cases.extend(hostile::cases());
    cases.extend(limits::cases());
    cases.extend(memory::cases());
    cases.extend(paging::cases());
    cases.extend(reset::cases());
    cases.extend(threads::cases());
    cases.extend(slices::cases());
    tinykvm_testkit::harness::run(cases)
}
