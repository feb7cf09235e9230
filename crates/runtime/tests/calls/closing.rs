//! Programs that are closed before they are ready: whatever they do, nobody waits for them.

use std::net::TcpListener;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tinykvm_runtime::{Journal, Program, Programs, Verdict};
use tinykvm_testkit::harness::Case;

use crate::support::{Bench, configured, file};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        Case::kvm("waiting for the turn to start costs no boot time", turns),
        Case::kvm("a panic while loading is a failure like others", panics),
        Case::kvm("waiting at most so long for a start", waiting),
    ];
    for way in WAYS {
        for (name, operation) in OPERATIONS {
            cases.push(Case::kvm(
                format!("a start that is called off: {way}, {name}"),
                move || called_off(way, operation),
            ));
        }
    }
    cases
}

/// What `main()` does instead of getting ready.
const WAYS: [&str; 9] = [
    "sleep", "loop", "syscalls", "write", "pipe", "socket", "faults", "threads", "timer",
];

const BUSY: &str = r#"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <tinykvm.h>

static void get(const char *url, const char *arg)
{
    backend_response_str(200, "text/plain", "hello");
}

static void *spin(void *unused)
{
    for (;;)
        asm volatile ("");
}

static void again(int signal)
{
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    char byte;
    if (!strcmp(way, "sleep")) {
        for (;;) sleep(3600);
    } else if (!strcmp(way, "loop")) {
        spin(0);
    } else if (!strcmp(way, "syscalls")) {
        for (;;) syscall(SYS_getppid);
    } else if (!strcmp(way, "write")) {
        for (;;) (void)!write(1, "again\n", 6);
    } else if (!strcmp(way, "pipe")) {
        int ends[2];
        struct pollfd wanted = { .events = POLLIN };
        for (wanted.fd = pipe(ends) ? -1 : ends[0];;) poll(&wanted, 1, 3600 * 1000);
    } else if (!strcmp(way, "socket")) {
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
        inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (!connect(fd, (struct sockaddr *)&to, sizeof to))
            for (;;) (void)!read(fd, &byte, 1);
    } else if (!strcmp(way, "faults")) {
        signal(SIGSEGV, again);
        (void)*(volatile int *)8;
    } else if (!strcmp(way, "threads")) {
        pthread_t thread;
        pthread_create(&thread, 0, spin, 0);
        spin(0);
    } else if (!strcmp(way, "timer")) {
        signal(SIGALRM, SIG_IGN);
        for (;;) { alarm(1); pause(); }
    } else if (!strcmp(way, "busy")) {
        clock_t end = clock() + CLOCKS_PER_SEC / 2;
        while (clock() < end) {}
    }
    set_backend_get(get);
    wait_for_requests();
}
"#;

/// How a start ends that is under way. Returns how long that took.
type Operation = fn(Bench) -> Duration;

const OPERATIONS: [(&str, Operation); 3] = [
    // As `vcl.discard`.
    ("closed", |bench| timed(|| bench.programs.close())),
    // As a load that fails, or the end of the process.
    ("dropped", |bench| timed(|| drop(bench))),
    // As the use of another one before.
    ("beside another", |bench| {
        let other = configured(BUSY, "{}");
        other.get("/").is(200, "hello");
        let took = timed(|| bench.programs.close());
        took + timed(|| other.get("/").is(200, "hello"))
    }),
];

fn timed(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

/// What must not take time takes less than this.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long to wait for what has to come.
const SOON: Duration = Duration::from_secs(20);

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < SOON, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The program that `main()` is busy in, in the way that it is told.
fn busy(way: &str, argument: &str, more: &str) -> Bench {
    let json = format!(
        r#"{{"main_arguments": ["{way}", "{argument}"], "max_boot_time": 3600, "stdout": true{more}}}"#
    );
    configured(BUSY, &json)
}

fn called_off(way: &str, operation: Operation) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    let port = listener
        .local_addr()
        .map_err(|error| error.to_string())?
        .port();
    let bench = match way {
        "socket" => {
            let more = format!(r#", "connect": ["127.0.0.1:{port}"]"#);
            busy(way, &port.to_string(), &more)
        }
        _ => busy(way, "", ""),
    };
    bench.programs.start("prog").unwrap();
    // Kept open: nothing comes from it.
    let mut connection = None;
    match way {
        "socket" => connection = Some(listener.accept().map_err(|error| error.to_string())?),
        "write" => until("output", || !bench.journal.0.lock().unwrap().is_empty()),
        // It has begun by now, or is about to: either way it ends.
        _ => std::thread::sleep(Duration::from_millis(100)),
    }
    assert_eq!(bench.program.failure(), None);
    assert!(!bench.program.is_ready(), "{way}");
    let program: Weak<Program> = Arc::downgrade(&bench.program);
    let took = operation(bench);
    assert!(took < AT_ONCE, "{way}: {took:?}");
    // The thread that started it has ended, and with it the VM.
    until("the thread goes on", || program.upgrade().is_none());
    drop(connection);
    Ok(())
}

/// As many starts as there are turns, which do not end.
fn all_turns() -> Vec<Bench> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let begin = |_| {
        let bench = busy("write", "", "");
        bench.programs.start("prog").unwrap();
        until("a turn", || !bench.journal.0.lock().unwrap().is_empty());
        bench
    };
    (0..processors).map(begin).collect()
}

fn turns() -> Result<(), String> {
    let others = all_turns();
    // Begun before it has a turn, and longer than it may take by itself.
    let json = r#"{"main_arguments": ["busy"], "max_boot_time": 3.0}"#;
    let (bench, waits) = (configured(BUSY, json), configured(BUSY, "{}"));
    bench.programs.start("prog").unwrap();
    waits.programs.start("prog").unwrap();
    let late = bench
        .program
        .wait_at_most(Duration::from_secs(4))
        .unwrap_err();
    assert!(late.contains("its turn to start"), "{late}");
    assert!(!bench.program.is_ready() && bench.program.failure().is_none());
    // What is closed leaves the queue at once.
    let gone = Arc::downgrade(&waits.program);
    drop(waits);
    until("still in the queue", || gone.upgrade().is_none());
    std::thread::scope(|scope| {
        let request = scope.spawn(|| bench.get("/"));
        drop(others);
        request.join().unwrap().is(200, "hello");
    });
    Ok(())
}

/// A journal with a mistake.
struct Panics;

impl Journal for Panics {
    fn log(&self, line: &str) {
        panic!("can't log {line}");
    }

    fn error(&self, line: &str) {
        panic!("can't log {line}");
    }
}

fn panics() -> Result<(), String> {
    let programs = Programs::with_journal(Arc::new(Panics));
    let json = format!(r#"{{"filename": "{}"}}"#, file(BUSY).display());
    programs.configure("prog", &json).unwrap();
    let program = programs.get("prog").unwrap();
    for _ in 0..2 {
        let (verdict, reason) = program.wait_until_ready().unwrap_err();
        assert_eq!(verdict, Verdict::NotLoaded);
        assert!(reason.contains("can't log tinykvm prog: ready"), "{reason}");
    }
    Ok(())
}

fn waiting() -> Result<(), String> {
    let bench = busy("sleep", "", "");
    let begun = Instant::now();
    let reason = bench
        .program
        .wait_at_most(Duration::from_millis(300))
        .unwrap_err();
    assert!(begun.elapsed() < SOON);
    assert!(reason.contains("still"), "{reason}");
    let other = configured(BUSY, "{}");
    assert_eq!(other.program.wait_at_most(SOON), Ok(()));
    Ok(())
}
