//! Every program that can run, runs, and every other one fails as it says. On the emulated test bed, where there is neither compiler nor
//! library, these are the static ones.

use std::process::ExitCode;

use tinykvm_programs::{Program, all, run};
use tinykvm_testkit::harness::{self, Case};
use tinykvm_testkit::kvm;

fn case(program: Program) -> Case {
    Case::kvm(program.name.clone(), move || {
        if !is_emulated() {
            program.prepare()?;
        }
        run(&program).map(drop)
    })
}

fn is_emulated() -> bool {
    kvm::time_factor() > 1
}

/// Dynamic programs say so in their configuration.
fn is_chosen(program: &Program) -> bool {
    let dynamic = program.config.get("libraries").is_some();
    !is_emulated() || !dynamic
}

fn main() -> ExitCode {
    let cases = match all() {
        Ok(programs) => programs.into_iter().filter(is_chosen).map(case).collect(),
        Err(error) => vec![Case::new("descriptions", || Err(error))],
    };
    harness::run(cases)
}
