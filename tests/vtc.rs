//! Every `.vtc` file of the tree as a test of its own, against the module built from it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tinykvm_testkit::vtc::main()
}
