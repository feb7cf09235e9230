//! The tests.

use std::sync::Arc;
use std::time::Duration;

use tinykvm_linux::{Extent, Flow, PathRule, Permissions, ProcessOptions};
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::{Toolchain, compile_file_with};

use crate::support::{Outcome, options, run, run_c, run_rust, run_with, source};

/// Numbers of calls that are counted (asm/unistd_64.h).
const CLOCK_GETTIME: u64 = 228;
const GETTIMEOFDAY: u64 = 96;
const TIME: u64 = 201;

const C_LIBRARIES: [(&str, Toolchain); 2] =
    [("glibc", Toolchain::Gcc), ("musl", Toolchain::MuslGcc)];

/// All tests.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    for (library, toolchain) in C_LIBRARIES {
        let mut add = |name: &str, test: fn(Toolchain) -> Result<(), String>| {
            cases.push(Case::kvm(format!("{library}::{name}"), move || {
                test(toolchain)
            }));
        };
        add("starts_and_ends", starts_and_ends);
        add("clocks_need_no_exit", clocks_need_no_exit);
        add("memory", memory);
        add("signals", signals);
        add("faults", faults);
        add("threads", |toolchain| prints_ok("threads.c", toolchain));
        add("preemption", |toolchain| {
            prints_ok("preemption.c", toolchain)
        });
        add("thread_signals", |toolchain| {
            prints_ok("thread_signals.c", toolchain)
        });
        add("timers", |toolchain| prints_ok("timers.c", toolchain));
        add("bad_pointers", bad_pointers);
        add("abort_is_a_signal", abort_is_a_signal);
        add("waiting_ends", waiting_ends);
    }
    cases.push(Case::kvm("glibc::names", crate::names::asked_by_dns));
    cases.push(Case::kvm("dynamic::loader_and_program", dynamic));
    cases.push(Case::kvm("dynamic::shared_libraries", shared_libraries));
    cases.push(Case::kvm("cpp::exceptions_and_library", cpp));
    cases.push(Case::kvm("cpp::threads", || {
        prints_ok("threads.cpp", Toolchain::Gxx)
    }));
    cases.push(Case::kvm("rust::standard_library", rust));
    cases.push(Case::kvm("rust::threads", || {
        expect(&run_rust("threads.rs")?, Flow::Exit { status: 0 }, "ok\n")
    }));
    cases
}

/// Fails unless the program said and did what it should.
pub(crate) fn expect(found: &(Flow, Outcome), flow: Flow, out: &str) -> Result<(), String> {
    let (found_flow, outcome) = found;
    if *found_flow != flow || outcome.out != out || !outcome.err.is_empty() {
        return Err(format!(
            "expected {flow:?} and {out:?}, found {found_flow:?} {outcome:?}"
        ));
    }
    if !outcome.unknown.is_empty() {
        return Err(format!("unknown calls: {:?}", outcome.unknown));
    }
    Ok(())
}

fn prints_ok(program: &str, toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c(program, toolchain)?,
        Flow::Exit { status: 0 },
        "ok\n",
    )
}

fn starts_and_ends(toolchain: Toolchain) -> Result<(), String> {
    let found = run_c("start.c", toolchain)?;
    let out = "2 program first argument hello /bin/program 4096 1000 64\nat exit\n";
    expect(&found, Flow::Exit { status: 42 }, out)?;
    if found.1.denied != [openat_or_open(toolchain, "/etc/shadow")] {
        return Err(format!("{:?}", found.1.denied));
    }
    Ok(())
}

fn openat_or_open(toolchain: Toolchain, path: &str) -> String {
    format!(
        "{} {path}",
        if toolchain == Toolchain::MuslGcc {
            "open"
        } else {
            "openat"
        }
    )
}

fn clocks_need_no_exit(toolchain: Toolchain) -> Result<(), String> {
    let found = run_c("clock.c", toolchain)?;
    expect(&found, Flow::Exit { status: 0 }, "ok\n")?;
    // The program itself makes two of the first kind, to compare.
    let count = |number| found.1.calls.get(&number).copied().unwrap_or(0);
    let counts = [CLOCK_GETTIME, GETTIMEOFDAY, TIME].map(count);
    if counts != [6, 0, 0] {
        return Err(format!("clock calls that left the guest: {counts:?}"));
    }
    Ok(())
}

fn memory(toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c("memory.c", toolchain)?,
        Flow::Exit { status: 0 },
        "ok\n",
    )
}

fn signals(toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c("signal.c", toolchain)?,
        Flow::Exit { status: 0 },
        "ok\n",
    )
}

fn faults(toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c("fault.c", toolchain)?,
        Flow::Exit { status: 0 },
        "ok\n",
    )
}

fn bad_pointers(toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c("pointers.c", toolchain)?,
        Flow::Exit { status: 0 },
        "ok\n",
    )
}

fn abort_is_a_signal(toolchain: Toolchain) -> Result<(), String> {
    expect(
        &run_c("abort.c", toolchain)?,
        Flow::Signal { number: 6 },
        "before\n",
    )
}

fn waiting_ends(toolchain: Toolchain) -> Result<(), String> {
    let found = run_c("sleep.c", toolchain)?;
    expect(&found, Flow::Deadline, "slept\n")?;
    // Less what passed before the host was asked to wait.
    if found.1.slept < Duration::from_secs(3599) {
        return Err(format!("{:?}", found.1.slept));
    }
    Ok(())
}

/// The host's dynamic loader and a program that needs no library: relocated at a base of its own
/// (`-pie`), and linked to one address.
fn dynamic() -> Result<(), String> {
    for kind in ["-pie", "-no-pie"] {
        let flags = ["-nostdlib", "-fno-stack-protector", "-fPIC", kind];
        let found = run_with("dynamic.c", Toolchain::DynamicGcc, &flags)?;
        expect(&found, Flow::Exit { status: 3 }, "relocated\n")?;
    }
    Ok(())
}

/// glibc, libm, and a library that is loaded at run time.
fn shared_libraries() -> Result<(), String> {
    let path = compile_file_with(
        &source("shared_libraries.c"),
        Toolchain::DynamicGcc,
        &["-lm", "-Wl,--no-as-needed"],
    );
    let mut permissions = Permissions::default();
    for directory in [
        "/lib",
        "/lib64",
        "/usr/lib",
        "/usr/lib64",
        "/etc/ld.so.cache",
    ] {
        // What a system does not have the program does not find.
        let _ = permissions.allow(&PathRule {
            shown: directory.as_bytes().to_vec(),
            real: directory.into(),
            extent: Extent::Tree,
            writable: false,
        });
    }
    let options = ProcessOptions {
        permissions: Arc::new(permissions),
        ..options()
    };
    let found = run(&path, &options)?;
    expect(&found, Flow::Exit { status: 0 }, "ok\n")
}

fn cpp() -> Result<(), String> {
    expect(
        &run_c("library.cpp", Toolchain::Gxx)?,
        Flow::Exit { status: 0 },
        "caught 1000000\nok\n",
    )
}

fn rust() -> Result<(), String> {
    let (flow, outcome) = run_rust("standard.rs")?;
    let panicked = outcome.err.contains("a panic for the test");
    let out = "hello first argument 10\ncaught\nthreads\nno files\n";
    if flow != (Flow::Exit { status: 7 }) || outcome.out != out || !panicked {
        return Err(format!("{flow:?} {outcome:?}"));
    }
    if !outcome.unknown.is_empty() {
        return Err(format!("unknown calls: {:?}", outcome.unknown));
    }
    Ok(())
}
