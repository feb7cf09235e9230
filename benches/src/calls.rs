//! Exits, calls, resets, forks.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tinykvm::{BootOptions, Booting, Engine, Exit, Fork, Image, Limits};
use tinykvm_runtime::{CallRequest, PlainTransaction, Programs, Verdict};
use tinykvm_testkit::{Toolchain, compile_c, compile_file, paths};

use crate::figures::{Figures, micros, timed};
use crate::guest::{self, freeze};

/// Rounds of alternating measurements, and iterations in each.
const ROUNDS: usize = 40;
const ITERATIONS: usize = 250;
/// Forks that are made to see what one costs.
const FORKS: usize = 64;

/// A guest that does nothing but exits.
const EXITS: &str = r#"
    void _start(void) {
        __asm__ volatile("out %%eax, $0" :: "a"(0x10001));
        for (;;) __asm__ volatile("out %%eax, $0" :: "a"(0x77));
    }"#;

pub(crate) fn run(figures: &mut Figures) {
    println!("calls");
    exits_and_calls(figures);
    resets(figures);
    forks(figures);
}

/// A fork that exits as often as it is run.
fn exiting_fork() -> Fork {
    let path = compile_c(EXITS, &["-nostdlib"]);
    let image = Image::parse(fs::read(path).unwrap()).unwrap();
    let options = BootOptions {
        image: image.into(),
        interpreter: None,
        limits: Limits::default(),
        vdso: None,
    };
    let mut boot = Booting::new(Engine::get().unwrap(), &options).unwrap();
    boot.start(boot.loaded().start, boot.loaded().stack_top);
    assert!(matches!(
        boot.run(Duration::from_secs(1)).unwrap(),
        Exit::Hypercall { .. }
    ));
    let template = std::sync::Arc::new(boot.freeze().unwrap());
    let mut fork = template.fork().unwrap();
    fork.begin(Duration::from_secs(3600));
    fork.prepare_resume();
    fork.run().unwrap();
    fork
}

pub(crate) fn exits_and_calls(figures: &mut Figures) {
    let mut exiting = exiting_fork();
    let path = compile_file(
        &paths::top().join("guest/examples/hello-c/hello.c"),
        Toolchain::Gcc,
    );
    let programs = Programs::new();
    let config = format!(r#"{{ "filename": "{}" }}"#, path.display());
    programs.configure("hello", &config).unwrap();
    let hello = programs.get("hello").unwrap();
    let bare = freeze(&pages(), Limits::default());
    let mut bare_fork = bare.template.fork().unwrap();
    let request = CallRequest {
        url: b"/",
        method: b"GET",
        ..CallRequest::default()
    };
    let mut transaction = PlainTransaction::backend();
    let mut call = || {
        let response = hello.call(&request, &mut transaction);
        assert_eq!(response.verdict, Verdict::Ok);
        drop(response);
        transaction.logged.clear();
        transaction.response = Some(Vec::new());
    };
    let (mut exits, mut calls, mut engine_calls) = (Vec::new(), Vec::new(), Vec::new());
    call();
    for _ in 0..ROUNDS {
        for _ in 0..ITERATIONS {
            exits.push(timed(|| exiting.run().unwrap()).0);
        }
        for _ in 0..ITERATIONS {
            calls.push(timed(&mut call).0);
        }
        for _ in 0..ITERATIONS {
            let one = || {
                guest::get(&bare, &mut bare_fork, b"/0\0");
                bare_fork.reset().unwrap();
            };
            engine_calls.push(timed(one).0);
        }
    }
    figures.add_times("exit_us", &mut exits);
    figures.add_times("warm_call_us", &mut calls);
    figures.add_times("engine_call_us", &mut engine_calls);
    figures.add(
        "warm_call_over_exit",
        figures.get("warm_call_us") / figures.get("exit_us"),
    );
    figures.add(
        "engine_call_over_exit",
        figures.get("engine_call_us") / figures.get("exit_us"),
    );
    programs.close();
}

/// A program with a GET callback that dirties pages.
fn pages() -> PathBuf {
    compile_file(&paths::top().join("benches/guests/pages.c"), Toolchain::Gcc)
}

pub(crate) fn resets(figures: &mut Figures) {
    let program = freeze(&pages(), Limits::default());
    let mut fork = program.template.fork().unwrap();
    let mut reset_after = |url: &[u8]| {
        let mut times: Vec<(Duration, u64)> = (0..200)
            .map(|_| {
                guest::get(&program, &mut fork, url);
                let (time, report) = timed(|| fork.reset().unwrap());
                (time, if report.dropped { 0 } else { report.pages })
            })
            .filter(|(_, pages)| *pages > 0)
            .collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    // The set of pages only grows: from few to many.
    let (few, few_pages) = reset_after(b"/4\0");
    let (many, many_pages) = reset_after(b"/1024\0");
    let pages = many_pages - few_pages;
    assert!(pages > 900, "{few_pages} {many_pages}");
    figures.add("reset_small_us", micros(few));
    figures.add(
        "reset_us_per_page",
        micros(many - few) / f64::from(u32::try_from(pages).unwrap()),
    );
}

/// Resident memory of this process, shared pages in parts, and memory that the system has left, in
/// KB.
pub(crate) fn memory() -> (f64, f64) {
    let field = |path: &str, name: &str| {
        let text = fs::read_to_string(path).unwrap();
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    (
        field("/proc/self/smaps_rollup", "Pss:"),
        field("/proc/meminfo", "MemAvailable:"),
    )
}

fn forks(figures: &mut Figures) {
    let program = freeze(&pages(), Limits::default());
    let mut forks = Vec::with_capacity(FORKS);
    forks.push(program.template.fork().unwrap());
    let before = memory();
    let (mut created, mut first) = (Vec::new(), Vec::new());
    for _ in 0..FORKS {
        let (time, mut fork) = timed(|| program.template.fork().unwrap());
        created.push(time);
        first.push(timed(|| guest::get(&program, &mut fork, b"/0\0")).0);
        fork.reset().unwrap();
        forks.push(fork);
    }
    let after = memory();
    let count = f64::from(u32::try_from(FORKS).unwrap());
    figures.add_times("fork_create_us", &mut created);
    figures.add_times("fork_first_call_us", &mut first);
    figures.add("fork_rss_kb", (after.0 - before.0) / count);
    figures.add("fork_system_kb", (before.1 - after.1) / count);
    let mut rebuilt: Vec<Duration> = forks
        .iter_mut()
        .map(|fork| {
            guest::get(&program, fork, b"/0\0");
            timed(|| fork.rebuild().unwrap()).0
        })
        .collect();
    figures.add_times("fork_rebuild_us", &mut rebuilt);
    let start = Instant::now();
    let dropped = forks.len();
    drop(forks);
    let count = f64::from(u32::try_from(dropped).unwrap());
    figures.add("fork_drop_us", micros(start.elapsed()) / count);
}
