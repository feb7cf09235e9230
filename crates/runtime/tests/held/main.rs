//! What requests can make the host hold, kind by kind, measured from outside: the memory of the
//! process that serves them. Each kind has a process of its own, so that nothing else is measured.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests report by panicking, and to the test that started them"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinykvm_runtime::{CallRequest, PlainTransaction, Program, Programs, Verdict};
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::{Toolchain, compile_file, kvm, paths};

/// In the environment of the process that measures: the kind, and the mode.
const KIND: &str = "TINYKVM_HELD_KIND";
const MIB: u64 = 1 << 20;
/// `max_request_memory`.
const LIMIT: u64 = 8 * MIB;
/// What is lost between, and what the host's allocator keeps for itself.
const NOISE: u64 = LIMIT / 16 + 3 * MIB / 2;
/// How long requests go on, at most, and how many there are.
const LASTS: Duration = Duration::from_millis(40);
const REQUESTS: u32 = 1000;

/// A kind, what refuses more of it, at how many at the least and the most, and what it may cost
/// beside what counts.
struct Kind {
    name: &'static str,
    refusal: &'static str,
    counts: std::ops::RangeInclusive<u64>,
    beside: u64,
}

const fn kind(name: &'static str, refusal: &'static str, least: u64, most: u64) -> Kind {
    Kind {
        name,
        refusal,
        counts: least..=most,
        beside: 0,
    }
}

const fn beside(kind: Kind, beside: u64) -> Kind {
    Kind { beside, ..kind }
}

/// What requests touch first is there once more, as zeros, for all forks of the program together.
const FIRST_TOUCHED: u64 = LIMIT + LIMIT / 16;
/// What ends with the verdict `memory`, not with an answer.
const STOPPED: &str = "memory";

const KINDS: [Kind; 35] = [
    kind("memory_file", "ENOMEM", 110, 128),
    kind("sparse_file", "ENOMEM", 1800, 2048),
    kind("memory_files", "EMFILE", 1018, 1018),
    kind("pipes", "EMFILE", 509, 509),
    kind("large_pipes", "ENOMEM", 6, 8),
    kind("packets", "ENOMEM", 100, 128),
    kind("odd_pages", "ENOMEM", 1800, 2048),
    kind("drained_pipes", "EMFILE", 509, 509),
    kind("streams", "ENOMEM", 15, 20),
    kind("datagrams", "ENOMEM", 15, 20),
    kind("records", "ENOMEM", 15, 20),
    kind("passed", "ENOMEM", 2, 4),
    kind("sockets", "EMFILE", 1018, 1018),
    kind("events", "EMFILE", 1018, 1018),
    kind("clocks", "EMFILE", 1018, 1018),
    kind("signal_sets", "EMFILE", 1018, 1018),
    kind("watches", "ENOSPC", 8192, 8192),
    kind("queued", "EAGAIN", 1024, 1024),
    beside(kind("timers", "EAGAIN", 128, 128), MIB),
    kind("threads", "EAGAIN", 255, 255),
    beside(kind("locks", "ENOLCK", 1024, 1024), MIB),
    kind("texts", "EMFILE", 1018, 1018),
    kind("listings", "EMFILE", 1018, 1018),
    kind("files", "EMFILE", 1018, 1018),
    kind("long_paths", "EMFILE", 1018, 1018),
    kind("descriptors", "EMFILE", 1018, 1018),
    beside(kind("areas", "ENOMEM", 32_000, 32_765), 8 * MIB),
    beside(kind("mappings", STOPPED, 0, 0), FIRST_TOUCHED),
    beside(kind("heap", STOPPED, 0, 0), FIRST_TOUCHED),
    beside(kind("output", "ENOSPC", 200, 200), MIB),
    beside(kind("lines", "ENOSPC", 2000, 2000), MIB),
    beside(kind("names", "ENOSPC", 2000, 2000), MIB),
    beside(kind("fields", "ENOSPC", 100, 2000), MIB),
    kind("copies", "ENOMEM", 1500, 2048),
    beside(kind("both", "ENOMEM", 230, 256), FIRST_TOUCHED),
];

fn main() -> ExitCode {
    if let Ok(asked) = std::env::var(KIND) {
        let (name, mode) = asked.split_once(' ').unwrap();
        measure(name, mode == "kept");
        return ExitCode::SUCCESS;
    }
    if kvm::unavailable().is_none() {
        compiled();
    }
    let cases = KINDS.iter().flat_map(|kind| {
        ["reset", "kept"].map(|mode| {
            Case::kvm(format!("{} are bounded: {mode}", kind.name), move || {
                check(kind, mode)
            })
        })
    });
    tinykvm_testkit::harness::run(cases.collect())
}

fn compiled() -> PathBuf {
    let source = paths::top().join("crates/runtime/tests/held/guest.c");
    compile_file(&source, Toolchain::Gcc)
}

/// What a process that measured says.
fn check(kind: &Kind, mode: &str) -> Result<(), String> {
    let output = Command::new(std::env::current_exe().unwrap())
        .env(KIND, format!("{} {mode}", kind.name))
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = || format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    let words: Vec<&str> = text.split_whitespace().collect();
    let [count, refusal, peak, grown, requests] = words[..] else {
        return Err(told());
    };
    let number = |word: &str| word.parse::<u64>().map_err(|_| told());
    let (count, peak, grown) = (number(count)?, number(peak)?, number(grown)?);
    if refusal != kind.refusal || !kind.counts.contains(&count) {
        return Err(format!("{count} went well, then {refusal}"));
    }
    let most = LIMIT + NOISE + kind.beside;
    if peak > most {
        return Err(format!("{} KiB, not {}", peak >> 10, most >> 10));
    }
    let more = if mode == "kept" { most } else { kind.beside };
    if grown > NOISE + more {
        return Err(format!(
            "after {requests} requests {} KiB more",
            grown >> 10
        ));
    }
    Ok(())
}

/// A line of /proc/self/status, in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    let kibibytes = line.split_whitespace().nth(1).unwrap();
    kibibytes.parse::<u64>().unwrap() << 10
}

/// What a request to the program gives: how often it went well, and the refusal.
fn ask(program: &Arc<Program>, url: &str) -> (u64, String) {
    let mut transaction = PlainTransaction::backend();
    let request = CallRequest {
        url: url.as_bytes(),
        method: b"GET",
        ..CallRequest::default()
    };
    let response = program.call(&request, &mut transaction);
    let verdict = response.verdict;
    let body = String::from_utf8_lossy(&response.body.into_bytes()).into_owned();
    match (verdict, body.split_once(' ')) {
        (Verdict::Ok, Some((count, refusal))) => (count.parse().unwrap(), refusal.to_owned()),
        (Verdict::Ok, None) => (0, body),
        (Verdict::Memory, _) => (0, STOPPED.to_owned()),
        (verdict, _) => (0, format!("{verdict:?}")),
    }
}

/// Says how many of a kind there can be, what then refuses more, what the first request that makes
/// them took, and how much more there is after many of them.
fn measure(name: &str, keeps: bool) {
    let granted = std::env::temp_dir().join(format!("tinykvm-held-{}", std::process::id()));
    std::fs::create_dir_all(&granted).unwrap();
    let file = compiled();
    let programs = Programs::new();
    let program = configured(&programs, &file, &granted, keeps);
    for _ in 0..3 {
        assert_eq!(ask(&program, "/").1, "nothing");
    }
    let before = status("VmRSS:");
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let url = format!("/{name}");
    let (count, refusal) = ask(&program, &url);
    let peak = status("VmHWM:").saturating_sub(before);
    let start = Instant::now();
    let mut requests = 0;
    let mut settled = None;
    while requests < REQUESTS && (requests < 3 || start.elapsed() < LASTS) {
        let again = ask(&program, &url);
        let same = again == (count, refusal.clone());
        assert!(keeps || same, "{again:?} after {count} {refusal}");
        requests += 1;
        if requests == 2 {
            settled = Some(status("VmRSS:"));
        }
    }
    let since = if keeps { before } else { settled.unwrap() };
    let grown = status("VmRSS:").saturating_sub(since);
    programs.close();
    std::fs::remove_dir_all(&granted).unwrap();
    println!("{count} {refusal} {peak} {grown} {requests}");
}

fn configured(programs: &Programs, file: &Path, granted: &Path, keeps: bool) -> Arc<Program> {
    let (file, granted) = (file.display(), granted.display());
    let json = format!(
        r#"{{"filename": "{file}", "concurrency": 1, "max_memory": 128, "ephemeral": {},
            "max_request_memory": {}, "max_request_time": 30,
            "allowed_paths": [{{"real": "{granted}", "virtual": "/granted", "prefix": true, "writable": true}}]}}"#,
        !keeps,
        LIMIT / MIB
    );
    programs.configure("prog", &json).unwrap();
    programs.get("prog").unwrap()
}
