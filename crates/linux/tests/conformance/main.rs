//! The same static program natively and in a virtual machine: what it prints and how it ends must
//! be the same. Each area is a C file with many small cases; what differs by design is listed in
//! `differences.rs`, and docs/conformance.md is made from that list.

mod compare;
mod differences;
mod document;
mod native;
mod virtual_machine;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tinykvm_testkit::harness::Case;
use tinykvm_testkit::{Toolchain, compile_file};

/// An area: its name, which is that of its source file, and what it is about.
pub(crate) const AREAS: &[(&str, &str)] = &[
    ("threads", "threads, locks, conditions, cancellation"),
    (
        "threads_more",
        "time slices, ends, names, stacks, identities of threads",
    ),
    ("futex", "futexes as the kernel offers them"),
    ("signals", "handlers, masks, queues, waiting for signals"),
    (
        "signals_more",
        "threads, edited contexts, default actions, errors",
    ),
    ("faults", "faults of the processor as signals"),
    ("timers", "clocks, sleeping, timers"),
    ("memory", "mappings and the heap"),
    (
        "pipes",
        "pipes, events, socket pairs, memory files, descriptors",
    ),
    ("events", "poll, select, epoll, timerfd, signalfd"),
    ("files", "opening, reading, writing, locking, mapping files"),
    ("directories", "names, links, status, the working directory"),
    ("errors", "wrong arguments, call by call"),
    ("misc", "limits, names, identity, start and end"),
];

/// The program of one area, and the names of its cases.
#[derive(Debug)]
pub(crate) struct Area {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) cases: Vec<String>,
}

/// Compiles an area and asks it for its cases.
fn area(&(name, about): &(&'static str, &'static str)) -> std::io::Result<Area> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let program = compile_file(&here.join(name).with_extension("c"), Toolchain::Gcc);
    let mut cases = native::cases(&program)?;
    cases.sort();
    Ok(Area {
        name,
        about,
        program,
        cases,
    })
}

fn main() -> std::io::Result<ExitCode> {
    let areas = AREAS
        .iter()
        .map(area)
        .collect::<std::io::Result<Vec<Area>>>()?;
    let mut tests = Vec::new();
    for area in &areas {
        for case in &area.cases {
            let name = format!("{}::{case}", area.name);
            let (program, full, case) = (area.program.clone(), name.clone(), case.clone());
            tests.push(Case::kvm(name, move || {
                compare::run(&full, &program, &case)
            }));
        }
    }
    let text = document::text(&areas);
    let names = document::names(&areas);
    tests.push(Case::new("the_document_is_current", move || {
        document::check(&text)
    }));
    tests.push(Case::new("differences_are_about_cases", move || {
        differences::check(&names)
    }));
    Ok(tinykvm_testkit::harness::run(tests))
}
