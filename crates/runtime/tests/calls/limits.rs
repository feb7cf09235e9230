//! Limits of the host: forks, queues, time.

use std::thread;
use std::time::{Duration, Instant};

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;

use crate::support::{configured, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("many threads, few forks", threads),
        Case::kvm("waiting for a fork ends", overload),
        Case::kvm("a full queue says so", full_queue),
        Case::kvm("waiting and working are told apart", waiting_and_working),
        Case::kvm("a time limit is met closely", close_limit),
        Case::kvm("128 forks", many_forks),
        Case::kvm("what the host holds counts as memory of the request", held),
        Case::kvm("a server's small thread stacks suffice", small_stack),
    ]
}

const COUNTER: &str = r#"
#include <tinykvm.h>
static int counter;
static void get(const char *url, const char *arg)
{
    static char text[100];
    snprintf(text, sizeof text, "%d %s", ++counter, url);
    backend_response_str(200, "text/plain", text);
}
int main(void) { set_backend_get(get); wait_for_requests(); }
"#;

fn threads() -> Result<(), String> {
    let bench = configured(COUNTER, r#"{"concurrency": 3}"#);
    thread::scope(|scope| {
        for number in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..50 {
                    let url = format!("/{number}/{round}");
                    bench.get(&url).is(200, &format!("1 {url}"));
                }
            });
        }
    });
    Ok(())
}

fn overload() -> Result<(), String> {
    let json = r#"{"concurrency": 1, "max_request_time": 1.0, "max_queue_time": 0.1}"#;
    let bench = shared("misbehave.c", json);
    bench.get("/ok").is(200, "ok");
    thread::scope(|scope| {
        let looping = scope.spawn(|| bench.get("/loop"));
        thread::sleep(Duration::from_millis(200));
        let reply = bench.get("/ok");
        assert_eq!(
            (reply.verdict, reply.status),
            (Verdict::Overload, 503),
            "{reply:?}"
        );
        looping.join().unwrap().failed(Verdict::Timeout);
    });
    bench.get("/ok").is(200, "ok");
    Ok(())
}

/// The line of a call says what the request waited, for the start or for a VM, and what the
/// program took, and neither contains the other.
fn waiting_and_working() -> Result<(), String> {
    let program = r#"
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            if (url[1] == 'n') usleep(500000);
            backend_response_str(200, "text/plain", "ok");
        }
        int main(void) { usleep(300000); set_backend_get(get); wait_for_requests(); }
    "#;
    let bench = configured(program, r#"{"concurrency": 1}"#);
    let figures = |url: &str| {
        let reply = bench.get(url);
        reply.is(200, "ok");
        let micros = |name| reply.figure(name).trim_end_matches("us").parse().unwrap();
        let (wait, time): (u64, u64) = (micros("wait"), micros("time"));
        (wait, time)
    };
    let (wait, time) = figures("/start");
    assert!(wait >= 300_000 && time < 300_000, "{wait} {time}");
    let (wait, time) = figures("/ready");
    assert!(wait < 300_000 && time < 300_000, "{wait} {time}");
    let both = thread::scope(|scope| {
        let ask = || scope.spawn(|| figures("/nap"));
        let asked = [ask(), ask()];
        asked.map(|one| one.join().unwrap())
    });
    for (wait, time) in both {
        // The other one's is at least as long again.
        assert!((500_000..900_000).contains(&time), "{wait} {time}");
    }
    assert!(both.iter().any(|(wait, _)| *wait >= 200_000), "{both:?}");
    Ok(())
}

/// Who finds no place in the queue is told so at once, and not that no VM came in time.
fn full_queue() -> Result<(), String> {
    const QUEUE: usize = 5;
    let json =
        r#"{"concurrency": 1, "max_request_time": 2.0, "max_queue_time": 20, "max_queue": 5}"#;
    let bench = shared("misbehave.c", json);
    bench.get("/ok").is(200, "ok");
    thread::scope(|scope| {
        // One runs, as many wait as may, and one is too many, whichever that is.
        let ask = || scope.spawn(|| bench.get("/sleep"));
        let asked: Vec<_> = (0..QUEUE + 2).map(|_| ask()).collect();
        let refused = |reply: &crate::support::Reply| reply.verdict == Verdict::Overload;
        let deadline = Instant::now() + Duration::from_secs(2);
        while asked.iter().all(|one| !one.is_finished()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        bench.programs.close();
        let replies: Vec<_> = asked.into_iter().map(|one| one.join().unwrap()).collect();
        let refused: Vec<_> = replies.iter().filter(|reply| refused(reply)).collect();
        assert_eq!(refused.len(), 1, "{replies:#?}");
        let told = &refused[0].transaction.errors[0];
        assert!(
            told.contains("no place in the queue: 5 requests wait"),
            "{told}"
        );
        assert!(
            told.contains("concurrency") && told.contains("max_queue"),
            "{told}"
        );
    });
    Ok(())
}

fn close_limit() -> Result<(), String> {
    let json = r#"{"concurrency": 1, "max_request_time": 0.2}"#;
    let bench = shared("misbehave.c", json);
    bench.get("/ok").is(200, "ok");
    for url in ["/loop", "/sleep", "/loop-syscalls"] {
        let start = Instant::now();
        bench.get(url).failed(Verdict::Timeout);
        let took = start.elapsed();
        assert!((190..600).contains(&took.as_millis()), "{url}: {took:?}");
    }
    Ok(())
}

fn many_forks() -> Result<(), String> {
    let bench = configured(COUNTER, r#"{"concurrency": 128, "max_memory": 32}"#);
    thread::scope(|scope| {
        for _ in 0..128 {
            scope.spawn(|| {
                bench.get("/x").is(200, "1 /x");
            });
        }
    });
    Ok(())
}

/// Varnish gives its threads 80 KiB, of which it uses a part itself.
fn small_stack() -> Result<(), String> {
    // Without optimisation, generating random numbers alone takes 40 KiB.
    const STACK: usize = if cfg!(debug_assertions) { 72 } else { 32 } * 1024;
    let json = r#"{"concurrency": 1, "main_arguments": ["on_error"]}"#;
    let bench = shared("misbehave.c", json);
    // Loading has a thread of its own, with a stack of its own.
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, || {
                bench.get("/ok").is(200, "ok");
                assert_eq!(bench.get("/null-write").status, 555);
                assert_eq!(bench.get("/assert").status, 555);
                assert_eq!(bench.post("/ok", &[&[b'x'; 100_000]]).status, 555);
                bench.get("/ok").is(200, "ok");
            })
            .unwrap();
    });
    Ok(())
}

/// Makes the host hold as much as it can: files in memory, pipes, pairs of sockets.
const HOLDS: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <tinykvm.h>
#include <unistd.h>
static char block[1 << 20];
static void get(const char *url, const char *arg)
{
    long held = 0, n;
    int end[2], file = memfd_create("a", 0);
    while (held < 4096l << 20 && (n = write(file, block, sizeof block)) > 0)
        held += n;
    for (int i = 0; i < 500 && !pipe2(end, O_NONBLOCK); i++) {
        fcntl(end[1], F_SETPIPE_SZ, 1 << 20);
        while ((n = write(end[1], block, sizeof block)) > 0)
            held += n;
    }
    for (int i = 0; i < 200 && !socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, end); i++)
        while ((n = write(end[0], block, sizeof block)) > 0)
            held += n;
    static char text[100];
    snprintf(text, sizeof text, "%ld", held >> 10);
    backend_response_str(200, "text/plain", text);
}
int main(void)
{
    set_backend_get(get);
    wait_for_requests();
}
"#;

fn held() -> Result<(), String> {
    let bench = configured(HOLDS, r#"{ "max_request_memory": 4 }"#);
    for round in 0..5 {
        let reply = bench.get("/");
        let kibibytes: u64 = reply
            .text()
            .parse()
            .map_err(|_| format!("{:?}", reply.text()))?;
        // As much in each request: a reset gives all back.
        if !(2048..=4096).contains(&kibibytes) {
            return Err(format!("round {round}: {kibibytes} KiB are held"));
        }
        // Told the first time, and then at the hundredth.
        let lines = &reply.transaction.logged;
        let first = |line: &&String| line.ends_with("(max_request_memory)");
        let told = lines.iter().filter(first).count();
        assert_eq!(told, usize::from(round == 0), "{lines:?}");
    }
    Ok(())
}
