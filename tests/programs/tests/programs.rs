//! Every program that can run, runs.

use std::process::ExitCode;

use tinykvm_programs::{Program, all, run};
use tinykvm_testkit::harness::{self, Case};

fn case(program: Program) -> Case {
    Case::kvm(program.name.clone(), move || {
        program.prepare()?;
        run(&program).map(drop)
    })
}

fn main() -> ExitCode {
    let cases = match all() {
        Ok(programs) => programs
            .into_iter()
            .filter(|program| !program.missing)
            .map(case)
            .collect(),
        Err(error) => vec![Case::new("descriptions", || Err(error))],
    };
    harness::run(cases)
}
