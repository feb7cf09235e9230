//! Nothing of a request is there for the next one, and what must differ does.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tinykvm_testkit::harness::Case;

use crate::support::{bench, configured, file, from_file, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("planted state is not found", planted),
        Case::kvm("a counter stays at 1", counter),
        Case::kvm("randomness is fresh", randomness),
        Case::kvm("clocks are right", clocks),
        Case::kvm("environment and arguments", environment),
        Case::kvm("a program finds its own name and file", names),
    ]
}

const THINGS: [&str; 19] = [
    "stack",
    "global",
    "brk",
    "heap",
    "mmap",
    "munmap",
    "mprotect",
    "general",
    "flags",
    "segments",
    "fsbase",
    "gsbase",
    "xmm",
    "mxcsr",
    "x87",
    "ymm",
    "zmm",
    "signals",
    "descriptors",
];

fn planted() -> Result<(), String> {
    let bench = shared("state.c", r#"{"concurrency": 1}"#);
    bench.get("/probe/all").is(200, "clean");
    for thing in THINGS {
        let planted = bench.get(&format!("/plant/{thing}"));
        assert!(
            ["planted", "unsupported"].contains(&planted.text().as_str()),
            "{thing}: {planted:?}"
        );
        bench.get(&format!("/probe/{thing}")).is(200, "clean");
        bench.get("/probe/all").is(200, "clean");
    }
    Ok(())
}

fn counter() -> Result<(), String> {
    let bench = shared("state.c", r#"{"concurrency": 2}"#);
    for _ in 0..20 {
        bench.get("/counter").is(200, "1");
    }
    Ok(())
}

fn randomness() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <sys/auxv.h>
        #include <sys/random.h>
        #include <tinykvm.h>
        static void request(const struct kvm_request *r)
        {
            static char text[500];
            unsigned long bytes[2];
            unsigned long *fixed = (unsigned long *)getauxval(AT_RANDOM);
            getrandom(bytes, sizeof bytes, 0);
            snprintf(text, sizeof text, "%lx %lx %lx %lx %lx %lx", r->prng[0], r->prng[1],
                     bytes[0], bytes[1], fixed[0], fixed[1]);
            backend_response_str(200, "text/plain", text);
        }
        int main(void) { set_backend_request(request); wait_for_requests(); }
        "#,
        r#"{"concurrency": 3}"#,
    );
    let mut seen = HashSet::new();
    let texts: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let bench = &bench;
                scope.spawn(move || (0..10).map(|_| bench.get("/").text()).collect::<Vec<_>>())
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    for text in &texts {
        for number in text.split(' ') {
            assert!(number.len() > 8, "{text}");
            assert!(seen.insert(number.to_owned()), "{number} twice");
        }
    }
    assert_eq!(seen.len(), 40 * 6);
    Ok(())
}

fn clocks() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <sys/syscall.h>
        #include <time.h>
        #include <tinykvm.h>
        #include <unistd.h>
        static struct timespec frozen;
        static void get(const char *url, const char *arg)
        {
            static char text[500];
            struct timespec real, mono, called;
            clock_gettime(CLOCK_REALTIME, &real);
            clock_gettime(CLOCK_MONOTONIC, &mono);
            syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &called);
            snprintf(text, sizeof text, "%ld %ld %ld %ld", real.tv_sec,
                     real.tv_nsec / 1000000,
                     (mono.tv_sec - frozen.tv_sec) * 1000 + (mono.tv_nsec - frozen.tv_nsec) / 1000000,
                     (called.tv_sec - mono.tv_sec) * 1000 + (called.tv_nsec - mono.tv_nsec) / 1000000);
            backend_response_str(200, "text/plain", text);
        }
        int main(void)
        {
            clock_gettime(CLOCK_MONOTONIC, &frozen);
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    let mut last = -1;
    for _ in 0..5 {
        let text = bench.get("/").text();
        let numbers: Vec<i64> = text
            .split(' ')
            .map(|number| number.parse().unwrap())
            .collect();
        let [seconds, milliseconds, age, difference] = numbers[..] else {
            return Err(text);
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let guest = Duration::from_millis(u64::try_from(seconds * 1000 + milliseconds).unwrap());
        let off = now.abs_diff(guest);
        assert!(off < Duration::from_secs(1), "off by {off:?}");
        assert!(
            age > last,
            "the monotonic clock stands at {age} ms after {last} ms"
        );
        assert!(age < 60_000, "the monotonic clock jumped to {age} ms");
        assert!(
            (0..1000).contains(&difference),
            "the clocks differ by {difference} ms"
        );
        last = age;
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn environment() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <tinykvm.h>
        extern char **environ;
        static char text[5000];
        static void get(const char *url, const char *arg)
        {
            backend_response_str(200, "text/plain", text);
        }
        int main(int argc, char **argv)
        {
            for (int i = 0; i < argc; i++)
                strcat(strcat(text, argv[i]), "|");
            for (char **at = environ; *at; at++)
                strcat(strcat(text, *at), "|");
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
        r#"{"main_arguments": ["this", "is"], "environment": ["FOO=foo", "BAR=b r"],
            "group": "shop", "argv0": "the name"}"#,
    );
    bench.get("/").is(
        200,
        "the name|this|is|LC_TYPE=C|LC_ALL=C|USER=root|PATH=/usr/local/bin:/usr/bin:/bin|TERM=dumb|NO_COLOR=1|FOO=foo|BAR=b r|\
         KVM_NAME=prog|KVM_GROUP=shop|KVM_TYPE=request|KVM_STATE=state|KVM_DEBUG=0|",
    );
    Ok(())
}

/// As after `execve`: the path as configured, and where its links lead. A link's own name decides
/// what interpreters take for their home.
fn names() -> Result<(), String> {
    let source = r#"
        #include <fcntl.h>
        #include <sys/auxv.h>
        #include <sys/prctl.h>
        #include <tinykvm.h>
        #include <unistd.h>
        static char text[5000];
        static void get(const char *url, const char *arg)
        {
            backend_response_str(200, "text/plain", text);
        }
        int main(int argc, char **argv)
        {
            char name[16], file[500] = "", line[500] = "";
            prctl(PR_GET_NAME, name);
            readlink("/proc/self/exe", file, sizeof file - 1);
            read(open("/proc/self/cmdline", O_RDONLY), line, sizeof line - 1);
            snprintf(text, sizeof text, "%s %s %s %s %s %s", argv[0],
                     (char *)getauxval(AT_EXECFN), file, line, name, getenv("KVM_NAME"));
            set_backend_get(get);
            wait_for_requests();
        }
        "#;
    let file = file(source)
        .canonicalize()
        .map_err(|error| error.to_string())?;
    let link = file.with_file_name(format!("a-link-to-a-program-{}", std::process::id()));
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink(&file, &link).map_err(|error| error.to_string())?;
    let (file, shown) = (file.display().to_string(), link.display().to_string());
    let expected = |argv0: &str| format!("{argv0} {shown} {file} {argv0} a-link-to-a-pro prog");
    let by_link = from_file(&link, "{}");
    by_link.get("/").is(200, &expected(&shown));
    let named = from_file(&link, r#"{"argv0": "other"}"#);
    named.get("/").is(200, &expected("other"));
    std::fs::remove_file(&link).map_err(|error| error.to_string())
}
