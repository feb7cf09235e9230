//! Descriptors that were open at the freeze: each request sees them as they were then, whatever
//! another one did with them.

use std::fs::File;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::kvm::time_factor;

use crate::support::{Bench, configured};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("descriptors are as at the freeze", as_at_the_freeze),
        Case::kvm("locks of a request end with it", locks),
        Case::kvm("waiting for a lock ends at the limit", waiting_for_locks),
        Case::kvm("locks from before the freeze are not shared", frozen_locks),
        Case::kvm("a file with locks is not damaged", counted_under_locks),
    ]
}

/// A directory of the test, which the program sees as `/data`.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("tinykvm-calls-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        std::fs::create_dir(path.join("below")).unwrap();
        std::fs::write(path.join("digits"), "0123456789").unwrap();
        Self(path)
    }

    fn bench(&self, source: &str, more: &str) -> Bench {
        let json = format!(
            r#"{{"allowed_paths": [{{"real": "{}", "virtual": "/data", "prefix": true,
                "writable": true}}], {more}}}"#,
            self.0.display()
        );
        configured(source, &json)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const OPEN: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <tinykvm.h>
#include <unistd.h>

static int ends[2], set, counter, timer, memory, file, copy, directory;
static char text[2000];

static void note(const char *what, long value)
{
    sprintf(text + strlen(text), "%s=%ld ", what, value);
}

/* All of it, and looking changes a part of it already. */
static void look(void)
{
    struct epoll_event events[9] = {0};
    struct itimerspec left = {0};
    struct stat about;
    char bytes[100] = "";
    int waiting = -1;
    uint64_t count = 0;
    long seen = 0;
    int found = epoll_wait(set, events, 9, 0);
    for (int i = 0; i < found; i++)
        seen = seen * 10 + (long)events[i].data.u64;
    note("events", seen);
    ioctl(ends[0], FIONREAD, &waiting);
    note("waiting", waiting);
    note("flags", fcntl(ends[0], F_GETFL));
    note("closing", fcntl(ends[1], F_GETFD));
    if (read(ends[0], bytes, sizeof bytes) < 0)
        strcpy(bytes, strerrorname_np(errno));
    sprintf(text + strlen(text), "pipe=%s ", bytes);
    note("read", read(counter, &count, 8));
    note("count", (long)count);
    timerfd_gettime(timer, &left);
    note("ahead", left.it_value.tv_sec > 900);
    note("interval", left.it_interval.tv_sec);
    memset(bytes, 0, sizeof bytes);
    note("size", pread(memory, bytes, sizeof bytes, 0));
    sprintf(text + strlen(text), "memory=%s ", bytes);
    note("at", lseek(memory, 0, SEEK_CUR));
    note("offset", lseek(file, 0, SEEK_CUR));
    memset(bytes, 0, sizeof bytes);
    note("got", read(file, bytes, 2));
    sprintf(text + strlen(text), "file=%s ", bytes);
    note("copy", lseek(copy, 0, SEEK_CUR));
    note("below", fstatat(directory, "digits", &about, 0));
    sprintf(text + strlen(text), "cwd=%s", getcwd(bytes, sizeof bytes));
    note(" relative", access("../digits", R_OK));
    note("free", dup(0));
}

static void change(void)
{
    struct epoll_event event = {EPOLLOUT, {.u64 = 3}};
    struct itimerspec soon = {{1, 0}, {0, 1}};
    uint64_t more = 77;
    (void)!write(ends[1], "something else", 14);
    fcntl(ends[0], F_SETFL, 0);
    fcntl(ends[1], F_SETFD, 0);
    epoll_ctl(set, EPOLL_CTL_DEL, ends[0], NULL);
    epoll_ctl(set, EPOLL_CTL_ADD, ends[1], &event);
    epoll_ctl(set, EPOLL_CTL_MOD, counter, &event);
    (void)!write(counter, &more, 8);
    timerfd_settime(timer, 0, &soon, NULL);
    (void)!pwrite(memory, "spoilt and longer", 17, 0);
    (void)!ftruncate(memory, 9);
    lseek(memory, 1, SEEK_SET);
    lseek(file, 9, SEEK_SET);
    fcntl(file, F_SETFL, O_APPEND);
    (void)!chdir("/");
}

static void get(const char *url, const char *arg)
{
    look();
    if (strcmp(url, "/change") == 0 || strcmp(url, "/all") == 0)
        change();
    if (strcmp(url, "/close") == 0 || strcmp(url, "/all") == 0)
        for (int fd = 3; fd < 100; fd++)
            close(fd);
    if (strcmp(url, "/replace") == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 3; fd < 12; fd++)
            dup2(null, fd);
    }
    if (strcmp(url, "/open") == 0)
        for (int i = 0; i < 50; i++)
            (void)!(i % 2 ? eventfd(1, 0) : open("/data/digits", O_RDONLY));
    if (strcmp(url, "/crash") == 0) {
        change();
        __builtin_trap();
    }
    backend_response_str(200, "text/plain", text);
}

#define CHECK(condition) do { if (!(condition)) { perror(#condition); return 1; } } while (0)

int main(void)
{
    struct epoll_event seven = {EPOLLIN, {.u64 = 7}}, eight = {EPOLLIN, {.u64 = 8}};
    struct itimerspec later = {{60, 0}, {1000, 0}};
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK(write(ends[1], "in the pipe", 11) == 11);
    CHECK((counter = eventfd(5, EFD_NONBLOCK)) > 0);
    CHECK((timer = timerfd_create(CLOCK_MONOTONIC, 0)) > 0);
    CHECK(timerfd_settime(timer, 0, &later, NULL) == 0);
    CHECK((memory = memfd_create("memory", 0)) > 0);
    CHECK(write(memory, "in memory", 9) == 9);
    CHECK(lseek(memory, 3, SEEK_SET) == 3);
    CHECK((file = open("/data/digits", O_RDONLY)) > 0);
    CHECK(lseek(file, 4, SEEK_SET) == 4);
    CHECK((copy = dup(file)) > 0);
    CHECK((directory = open("/data", O_RDONLY | O_DIRECTORY)) > 0);
    CHECK((set = epoll_create1(0)) > 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &seven) == 0);
    CHECK(epoll_ctl(set, EPOLL_CTL_ADD, counter, &eight) == 0);
    CHECK(chdir("/data/below") == 0);
    set_backend_get(get);
    wait_for_requests();
}
"#;

const AT_THE_FREEZE: &str = "events=78 waiting=11 flags=2048 closing=1 pipe=in the pipe read=8 \
     count=5 ahead=1 interval=60 size=9 memory=in memory at=3 offset=4 got=2 file=45 copy=6 \
     below=0 cwd=/data/below relative=0 free=12 ";

fn as_at_the_freeze() -> Result<(), String> {
    let directory = Directory::new("open");
    let bench = directory.bench(OPEN, r#""concurrency": 3"#);
    let urls = ["/look", "/change", "/close", "/replace", "/open", "/all"];
    for url in urls {
        bench.get(url).is(200, AT_THE_FREEZE);
        bench.get("/look").is(200, AT_THE_FREEZE);
    }
    bench.get("/crash").failed(Verdict::Fault);
    bench.get("/look").is(200, AT_THE_FREEZE);
    thread::scope(|scope| {
        for number in 0..5 {
            let bench = &bench;
            scope.spawn(move || {
                for round in 0..if time_factor() == 1 { 20 } else { 4 } {
                    let url = urls[(number + round) % urls.len()];
                    bench.get(url).is(200, AT_THE_FREEZE);
                }
            });
        }
    });
    let file = directory.0.join("digits");
    assert_eq!(std::fs::read(file).unwrap(), b"0123456789");
    Ok(())
}

const LOCKS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <tinykvm.h>
#include <unistd.h>

static int file;
static useconds_t microseconds;

static void get(const char *url, const char *arg)
{
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = 0;
    if (strstr(url, "record"))
        result = fcntl(file, F_SETLKW, &all);
    else if (strstr(url, "description"))
        result = fcntl(file, F_OFD_SETLKW, &all);
    else if (strstr(url, "whole"))
        result = flock(file, LOCK_EX);
    else if (strstr(url, "try"))
        result = flock(file, LOCK_EX | LOCK_NB) || fcntl(file, F_SETLK, &all);
    if (strstr(url, "hold"))
        usleep(200000);
    if (strstr(url, "long"))
        usleep(microseconds);
    backend_response_str(200, "text/plain", result ? strerrorname_np(errno) : "locked");
}

int main(int argc, char **argv)
{
    file = open("/data/digits", O_RDWR);
    microseconds = argc > 1 ? (useconds_t)atoi(argv[1]) : 0;
    if (file < 0)
        return 1;
    set_backend_get(get);
    wait_for_requests();
}
"#;

const KINDS: [&str; 3] = ["record", "description", "whole"];

fn locks() -> Result<(), String> {
    let directory = Directory::new("locks");
    let bench = directory.bench(LOCKS, r#""concurrency": 2"#);
    bench.get("/try").is(200, "locked");
    for kind in KINDS {
        bench.get(&format!("/{kind}")).is(200, "locked");
        // The next one finds it free, in whichever fork; and so does who waits for it.
        bench.get("/try").is(200, "locked");
        thread::scope(|scope| {
            let first = scope.spawn(|| bench.get(&format!("/hold/{kind}")));
            thread::sleep(Duration::from_millis(50));
            bench.get(&format!("/{kind}")).is(200, "locked");
            first.join().unwrap().is(200, "locked");
        });
    }
    Ok(())
}

fn waiting_for_locks() -> Result<(), String> {
    let directory = Directory::new("waiting");
    let limit = 0.3 * f64::from(time_factor());
    let json = format!(r#""concurrency": 2, "max_request_time": {limit}"#);
    let bench = directory.bench(LOCKS, &json);
    // Holds a lock for longer than that.
    let long = 1_000_000 * time_factor();
    let json = format!(r#""concurrency": 1, "main_arguments": ["{long}"]"#);
    let patient = directory.bench(LOCKS, &json);
    bench.get("/try").is(200, "locked");
    // By the test itself.
    let file = File::open(directory.0.join("digits")).unwrap();
    file.lock().unwrap();
    bench.get("/whole").failed(Verdict::Timeout);
    bench.get("/try").is(200, "EAGAIN");
    thread::scope(|scope| {
        let waits = scope.spawn(|| patient.get("/whole"));
        thread::sleep(Duration::from_millis(400));
        file.unlock().unwrap();
        waits.join().unwrap().is(200, "locked");
    });
    bench.get("/whole").is(200, "locked");
    // By another program.
    for kind in KINDS {
        thread::scope(|scope| {
            let first = scope.spawn(|| patient.get(&format!("/long/{kind}")));
            // Until it has the lock.
            while bench.get("/try").text() == "locked" {
                thread::sleep(Duration::from_millis(10));
            }
            bench.get(&format!("/{kind}")).failed(Verdict::Timeout);
            first.join().unwrap().is(200, "locked");
        });
        bench.get(&format!("/{kind}")).is(200, "locked");
    }
    Ok(())
}

/// `main()` locks, with an argument that begins with k for good; requests try, or count.
const FROZEN: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <tinykvm.h>
#include <unistd.h>

static int file;

static int lock(const char *kind, int how, int wait)
{
    struct flock all = {.l_type = (short)how, .l_whence = SEEK_SET};
    if (strstr(kind, "record"))
        return fcntl(file, wait ? F_SETLKW : F_SETLK, &all);
    if (strstr(kind, "description"))
        return fcntl(file, wait ? F_OFD_SETLKW : F_OFD_SETLK, &all);
    return flock(file, (how == F_UNLCK ? LOCK_UN : LOCK_EX) | (wait ? 0 : LOCK_NB));
}

static void get(const char *url, const char *arg)
{
    char digits[32] = "";
    int result = lock(url, F_WRLCK, strstr(url, "count") || strstr(url, "hold"));
    if (result == 0 && strstr(url, "hold"))
        usleep(300000);
    if (result == 0 && strstr(url, "count")) {
        pread(file, digits, sizeof digits - 1, 0);
        sprintf(digits, "%d", atoi(digits) + 1);
        usleep(1000);
        pwrite(file, digits, strlen(digits), 0);
    }
    if (result == 0)
        lock(url, F_UNLCK, 0);
    backend_response_str(200, "text/plain", result ? strerrorname_np(errno) : "locked");
}

int main(int argc, char **argv)
{
    file = open("/data/number", O_RDWR | O_CREAT, 0600);
    if (argc > 1) {
        lock(argv[1], F_WRLCK, 0);
        if (argv[1][0] != 'k')
            lock(argv[1], F_UNLCK, 0);
    }
    set_backend_get(get);
    wait_for_requests();
}
"#;

fn frozen_locks() -> Result<(), String> {
    let directory = Directory::new("frozen");
    for kind in KINDS {
        for before in [format!("given up {kind}"), format!("kept {kind}")] {
            let json = format!(r#""concurrency": 2, "main_arguments": ["{before}"]"#);
            let bench = directory.bench(FROZEN, &json);
            bench.get(&format!("/{kind}")).is(200, "locked");
            thread::scope(|scope| {
                let first = scope.spawn(|| bench.get(&format!("/hold/{kind}")));
                let mut found = Vec::new();
                while !first.is_finished() {
                    found.push(bench.get(&format!("/{kind}")).text());
                }
                first.join().unwrap().is(200, "locked");
                assert!(found.contains(&"EAGAIN".to_owned()), "{before}: {found:?}");
            });
            bench.get(&format!("/{kind}")).is(200, "locked");
        }
    }
    Ok(())
}

fn counted_under_locks() -> Result<(), String> {
    const EACH: usize = 20;
    let directory = Directory::new("counted");
    for (done, kind) in KINDS.into_iter().enumerate() {
        let json = format!(r#""concurrency": 4, "main_arguments": ["{kind}"]"#);
        let bench = directory.bench(FROZEN, &json);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        bench.get(&format!("/count/{kind}")).is(200, "locked");
                    }
                });
            }
        });
        let number = std::fs::read_to_string(directory.0.join("number")).unwrap();
        assert_eq!(number, (4 * EACH * (done + 1)).to_string(), "{kind}");
    }
    Ok(())
}
