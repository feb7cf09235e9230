//! Test programs whose tests can be skipped and are then counted as such.
//!
//! The built-in test harness knows no skip at run time: a test that returns early has passed. So
//! tests that need KVM live in files with `harness = false` and this `main`:
//!
//! ```no_run
//! use tinykvm_testkit::harness::{Case, run};
//!
//! fn boots() -> Result<(), String> {
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     run(vec![Case::kvm("boots", boots), Case::new("parses", || Ok(()))])
//! }
//! ```

use std::fmt;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::kvm;

type Test = Box<dyn FnOnce() -> Result<(), String> + Send>;

/// One test.
pub struct Case {
    name: String,
    needs_kvm: bool,
    test: Test,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .field("needs_kvm", &self.needs_kvm)
            .finish_non_exhaustive()
    }
}

impl Case {
    /// A test that runs everywhere. It fails by returning an error or by panicking.
    pub fn new(
        name: impl Into<String>,
        test: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            needs_kvm: false,
            test: Box::new(test),
        }
    }

    /// A test that is skipped without KVM; with `REQUIRE_KVM=1` it fails instead.
    pub fn kvm(
        name: impl Into<String>,
        test: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Self {
        Self {
            needs_kvm: true,
            ..Self::new(name, test)
        }
    }
}

/// Runs the tests as the command line says (it is that of the built-in harness) and prints a
/// summary. To be returned from `main`.
#[must_use]
pub fn run(cases: Vec<Case>) -> ExitCode {
    let missing = kvm::unavailable();
    if let Some(why) = &missing {
        note(&format!("tests that need KVM cannot run: {why}"));
    }
    let trials = cases
        .into_iter()
        .map(|case| trial(case, missing.as_deref()))
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(case: Case, missing: Option<&str>) -> Trial {
    let blocked = if case.needs_kvm { missing } else { None };
    if let (Some(why), true) = (blocked, kvm::is_required()) {
        let why = format!("REQUIRE_KVM=1, but {why}");
        return Trial::test(case.name, move || Err(Failed::from(why)));
    }
    Trial::test(case.name, move || (case.test)().map_err(Failed::from))
        .with_ignored_flag(blocked.is_some())
}

/// Tells the person in front of the terminal something beside the results.
#[allow(
    clippy::print_stderr,
    reason = "a test program's terminal is its only channel"
)]
pub(crate) fn note(text: &str) {
    eprintln!("note: {text}");
}
