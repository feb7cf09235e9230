//! Forks that nobody uses.

use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tinykvm_runtime::counters;
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::kvm;

use crate::support::configured;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("idle forks are given back, but for one", given_back),
        Case::kvm("the fork that stays gives its memory back", trimmed),
        Case::kvm("forks that are used stay", used),
        Case::kvm("forks that keep their state stay", kept),
        Case::kvm("a program that is closed is not waited for", closed),
    ]
}

/// Counts its requests, and writes to as many MiB as its URL says, a while.
const WRITES: &str = r#"
#include <stdlib.h>
#include <unistd.h>
#include <tinykvm.h>
static int counter;
static void get(const char *url, const char *arg)
{
    static char text[20];
    static volatile char memory[48 << 20];
    for (long at = 0; at < atol(url + 1) << 20; at += 4096)
        memory[at] = 1;
    if (url[1])
        usleep(100000);
    snprintf(text, sizeof text, "%d", ++counter);
    backend_response_str(200, "text/plain", text);
}
int main(void) { set_backend_get(get); wait_for_requests(); }
"#;

fn forks() -> u64 {
    counters().forks.load(Ordering::Relaxed)
}

/// Resident memory of this process in MiB.
fn resident() -> u64 {
    let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = sizes.split(' ').nth(1).unwrap().parse().unwrap();
    pages >> 8
}

/// Waits until it is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(
            Instant::now() < deadline,
            "{what}: {} forks, {} MiB",
            forks(),
            resident()
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// How many forks there are at the peak, and how many MiB each of them writes: on emulated hardware
/// a page takes a millisecond.
fn peak() -> (u64, u64) {
    match kvm::time_factor() {
        1 => (12, 48),
        _ => (3, 16),
    }
}

fn given_back() -> Result<(), String> {
    until("forks of other tests", || forks() == 0);
    let (count, mebibytes) = peak();
    let json =
        r#"{"concurrency": 12, "max_memory": 128, "max_request_time": 60, "idle_time": 0.3}"#;
    let bench = configured(WRITES, json);
    bench.get("/").is(200, "1");
    let (before, memory) = (forks(), resident());
    let all = Barrier::new(usize::try_from(count).unwrap());
    for _ in 0..2 {
        thread::scope(|scope| {
            for _ in 0..count {
                scope.spawn(|| {
                    all.wait();
                    bench.get(&format!("/{mebibytes}")).is(200, "1");
                });
            }
        });
        assert!(forks() > before, "one fork was enough");
        until("forks that are not used any more", || forks() == before);
        until("memory of the peak", || {
            resident() < memory + 2 * mebibytes + 4
        });
        bench.get("/").is(200, "1");
    }
    Ok(())
}

fn trimmed() -> Result<(), String> {
    let (_, mebibytes) = peak();
    let json = r#"{"concurrency": 1, "max_memory": 128, "max_request_time": 60, "idle_time": 0.1}"#;
    let bench = configured(WRITES, json);
    bench.get("/").is(200, "1");
    let memory = resident();
    for _ in 0..3 {
        bench.get(&format!("/{mebibytes}")).is(200, "1");
        until("memory of a request", || {
            resident() < memory + mebibytes / 2
        });
    }
    Ok(())
}

fn used() -> Result<(), String> {
    const IDLE: Duration = Duration::from_secs(1);
    until("forks of other tests", || forks() == 0);
    let bench = configured(WRITES, r#"{"concurrency": 2, "idle_time": 1}"#);
    bench.get("/").is(200, "1");
    let deadline = Instant::now() + Duration::from_secs(20);
    let (mut made, mut begun) = (forks(), Instant::now());
    // Two looks at the program, between which it was never idle so long.
    while begun.elapsed() < 3 * IDLE {
        let last = Instant::now();
        thread::sleep(Duration::from_millis(5));
        bench.get("/").is(200, "1");
        if last.elapsed() > IDLE / 2 {
            // A busy machine; another fork may have taken the place of the first.
            assert!(Instant::now() < deadline, "too busy a machine");
            (made, begun) = (forks(), Instant::now());
        }
        assert_eq!(forks(), made);
    }
    Ok(())
}

fn kept() -> Result<(), String> {
    let json = r#"{"concurrency": 1, "ephemeral": false, "idle_time": 0.02}"#;
    let bench = configured(WRITES, json);
    for number in 1..6 {
        bench.get("/").is(200, &number.to_string());
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

fn closed() -> Result<(), String> {
    let before = forks();
    for _ in 0..20 {
        let bench = configured(WRITES, r#"{"idle_time": 0.001}"#);
        bench.get("/").is(200, "1");
        bench.programs.close();
        drop(bench);
    }
    until("forks of closed programs", || forks() == before);
    Ok(())
}
