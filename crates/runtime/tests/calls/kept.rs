//! Nothing of one body is left for the next, in every mode and however the one before ended; what a
//! program keeps for its requests stays, and is its own.

use tinykvm_runtime::{
    Begun, BodyFilter, FilterRequest, Log, Part, PlainTransaction, Sent, Upstream,
};
use tinykvm_testkit::harness::Case;

use crate::support::{Bench, configured};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("kept: no body is in the next", no_body_is_in_the_next),
        Case::kvm("kept: a body's memory that became the program's", bodies),
        Case::kvm(
            "kept: the strings' memory that became the program's",
            strings,
        ),
    ]
}

/// Counts bodies and requests, and writes at the end of a body what it has gathered since ever.
const PROGRAM: &str = r#"
#include <tinykvm.h>
static int bodies, requests, calls;
static char all[4096], how[100];
static int act(const char *where)
{
    if (strncmp(how, where, strlen(where)))
        return 0;
    const char *what = how + strlen(where);
    if (!strcmp(what, "crash"))
        __builtin_trap();
    if (!strcmp(what, "exit"))
        exit(3);
    if (!strcmp(what, "loop"))
        for (;;) ;
    return -1;
}
static int begin(const struct filter_start *start)
{
    snprintf(how, sizeof how, "%s", start->arg);
    http_setf(TINYKVM_RESPONSE, "X-Count: %d %d", ++bodies, requests);
    if (act("begin="))
        return -1;
    return strcmp(how, "pass") ? strcmp(how, "whole") ? TINYKVM_FILTER_TRANSFORM
                                                      : TINYKVM_FILTER_WHOLE_BODY
                               : TINYKVM_FILTER_PASS;
}
static int chunk(const uint8_t *data, size_t len)
{
    strncat(all, (const char *)data, len);
    if (!strcmp(how, "large"))
        for (int i = 0; i < 20000; i++)
            filter_write(data, len);
    else if (strcmp(how, "quiet"))
        filter_write(data, len);
    return ++calls > 1 ? act("later=") : act("chunk=");
}
static int end(void)
{
    filter_write_str("|");
    filter_write_str(all);
    return act("end=");
}
static void get(const char *url, const char *arg)
{
    char text[100];
    snprintf(text, sizeof text, "%d %d %s", ++requests, bodies, all);
    backend_response_str(200, "text/plain", text);
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data, size_t len)
{
    get(url, arg);
}
int main(int argc, char **argv)
{
    if (argc > 2)
        sys_make_ephemeral(0);
    set_filter(begin, chunk, end);
    if (argc > 1 && !strcmp(argv[1], "paused")) {
        struct kvm_request r;
        for (;;) {
            wait_for_requests_paused(&r);
            get(r.url, r.arg);
        }
    }
    set_backend_get(get);
    set_backend_post(post);
    wait_for_requests();
}
"#;

/// A body of two parts.
struct Two(Vec<&'static [u8]>, bool);

impl Upstream for Two {
    fn read(&mut self, out: &mut [u8]) -> Option<Part> {
        let Some(part) = self.0.pop() else {
            let (length, last) = (0, true);
            return (!self.1).then_some(Part { length, last });
        };
        out[..part.len()].copy_from_slice(part);
        let (length, last) = (part.len(), false);
        Some(Part { length, last })
    }

    fn is_ready(&mut self) -> bool {
        false
    }
}

struct Silent;

impl Log for Silent {
    fn log(&mut self, _: &str) {}
    fn error(&mut self, _: &str) {}
}

/// How a body ends: what the program does, and what is done with it.
#[derive(Debug, Clone, Copy)]
enum End {
    Whole,
    Dropped,
    Closed,
    Skipped,
    BrokenOff,
    Enough,
    Gone,
}

const ENDS: [(&str, End); 18] = [
    ("", End::Whole),
    ("whole", End::Whole),
    ("quiet", End::Whole),
    ("pass", End::Whole),
    ("large", End::Closed),
    ("large", End::Enough),
    ("large", End::Gone),
    ("", End::Dropped),
    ("", End::Skipped),
    ("", End::BrokenOff),
    ("begin=fail", End::Whole),
    ("begin=crash", End::Whole),
    ("chunk=crash", End::Whole),
    ("chunk=fail", End::Whole),
    ("chunk=loop", End::Whole),
    ("later=exit", End::Whole),
    ("end=fail", End::Whole),
    ("end=crash", End::Whole),
];

fn begin(bench: &Bench, how: &str, delivery: bool) -> (Begun, Vec<String>) {
    let mut transaction = PlainTransaction::backend();
    let request = FilterRequest {
        argument: how.as_bytes(),
        status: 200,
        delivery,
        ..FilterRequest::default()
    };
    let begun = bench.program.begin_filter(&request, &mut transaction);
    (begun, transaction.response())
}

/// All of a body's output, if it comes to its end.
fn through(filter: &mut BodyFilter, delivery: bool, end: End) -> Option<Vec<u8>> {
    let parts: [&[u8]; 2] = [b"[one]", b"[two]"];
    let mut all = Vec::new();
    if delivery {
        let mut sink = |bytes: &[u8]| {
            all.extend_from_slice(bytes);
            match end {
                End::Enough => Sent::Enough,
                End::Gone => Sent::Failed,
                _ => Sent::More,
            }
        };
        let first = filter.push(parts[0], true, false, &mut sink, &mut Silent);
        if matches!(end, End::Closed | End::BrokenOff) {
            filter.close(&mut Silent);
            return None;
        }
        first.ok()?;
        let second = filter.push(parts[1], true, true, &mut sink, &mut Silent);
        second.ok()?;
        return Some(all);
    }
    let broken = matches!(end, End::BrokenOff | End::Gone);
    let mut source = Two(parts.into_iter().rev().collect(), broken);
    let mut out = [0; 7000];
    loop {
        let part = filter.pull(&mut out, &mut source, &mut Silent).ok()?;
        all.extend_from_slice(&out[..part.length]);
        if part.last {
            return Some(all);
        }
        if matches!(end, End::Closed | End::Enough) {
            filter.close(&mut Silent);
            return None;
        }
    }
}

fn one_body(bench: &Bench, how: &str, end: End, delivery: bool) {
    if let (Begun::Filter(mut filter), _) = begin(bench, how, delivery) {
        match end {
            End::Dropped => drop(filter),
            End::Skipped => filter.skip(&mut Silent),
            end => drop(through(&mut filter, delivery, end)),
        }
    }
}

/// A body that tells what the program's memory has of others.
fn look(bench: &Bench, what: &str) {
    for delivery in [false, true] {
        let (begun, fields) = begin(bench, "", delivery);
        let Begun::Filter(mut filter) = begun else {
            panic!("{what}: {begun:?}");
        };
        assert_eq!(fields, ["X-Count: 1 0"], "{what}, delivery {delivery}");
        let all = through(&mut filter, delivery, End::Whole).expect("a body");
        let all = String::from_utf8(all).expect("text");
        assert_eq!(all, "[one][two]|[one][two]", "{what}, delivery {delivery}");
    }
}

const SLOW: (&str, &str, bool) = ("callback", "error", false);

fn no_body_is_in_the_next() -> Result<(), String> {
    let modes = [
        ("", "", false),
        (r#""ephemeral_keep_working_memory": false,"#, "", false),
        (r#""ephemeral": false,"#, "", true),
        (
            r#""ephemeral": false, "ephemeral_keep_working_memory": false,"#,
            "",
            true,
        ),
        (r#""control_ephemeral": true,"#, r#", "never""#, true),
    ];
    for (mode, choice, keeps) in modes {
        for kind in ["callback", "paused"] {
            for policy in ["error", "original"] {
                let json = format!(
                    r#"{{"concurrency": 1, {mode} "on_failure": "{policy}",
                        "max_request_time": 1.0, "main_arguments": ["{kind}"{choice}]}}"#
                );
                let bench = configured(PROGRAM, &json);
                let mut requests = 0;
                for (how, end) in ENDS {
                    for delivery in [false, true] {
                        // A second each, so only where it may make a difference.
                        if how == "chunk=loop" && (kind, policy, delivery) != SLOW {
                            continue;
                        }
                        one_body(&bench, how, end, delivery);
                        let what = format!("{json}\n{how} {end:?} {delivery}");
                        look(&bench, &what);
                        // Requests keep their own state, and have nothing of the bodies.
                        requests = if keeps { requests + 1 } else { 1 };
                        let reply = bench.get("/");
                        assert_eq!(reply.text(), format!("{requests} 0 "), "{what}");
                    }
                }
            }
        }
    }
    Ok(())
}

/// What a program does with the pages that it was given in a call.
const TAKES: &str = r#"
#define _GNU_SOURCE
#include <sys/mman.h>
#include <tinykvm.h>
#define PAGE 4096ul
static char *mine;
static void take(const void *data, size_t len, const char *how)
{
    char *start = (char *)((uintptr_t)data & -PAGE);
    int rights = PROT_READ | PROT_WRITE, flags = MAP_PRIVATE | MAP_ANONYMOUS;
    len = (len + PAGE - 1) & -PAGE;
    if (mine || !strcmp(how, "nothing"))
        return;
    if (!strcmp(how, "unmaps")) {
        munmap(start, len);
        mine = mmap(NULL, PAGE, rights, flags, -1, 0);
    } else if (!strcmp(how, "all")) {
        munmap(start, len);
        mine = mmap(NULL, len, rights, flags, -1, 0);
    } else if (!strcmp(how, "over")) {
        mine = mmap(start, PAGE, rights, flags | MAP_FIXED, -1, 0);
    } else if (!strcmp(how, "last")) {
        mine = mmap(start + len - PAGE, PAGE, rights, flags | MAP_FIXED, -1, 0);
    } else if (!strcmp(how, "moves")) {
        mine = mremap(start, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, 0x500000000000ul);
        mmap(start, len, rights, flags | MAP_FIXED, -1, 0);
    } else if (!strcmp(how, "swaps")) {
        char *other = mmap(NULL, PAGE, rights, flags, -1, 0);
        mine = mremap(other, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, start);
    }
    strcpy(mine, "my state");
}
"#;

fn bodies() -> Result<(), String> {
    let source = format!(
        "{TAKES}{}",
        r#"
static void post(const char *url, const char *arg, const char *type, const uint8_t *data, size_t len)
{
    take(data, len, url + 1);
    backend_response_str(200, "text/plain", mine ? mine : "nothing yet");
}
static void get(const char *url, const char *arg)
{
    backend_response_str(200, "text/plain", mine ? mine : "nothing yet");
}
int main(void)
{
    set_backend_post(post);
    set_backend_get(get);
    wait_for_requests();
}
"#
    );
    let body = vec![b'x'; 20_000];
    for how in ["nothing", "unmaps", "all", "over", "last", "moves", "swaps"] {
        let json = r#"{"concurrency": 1, "ephemeral": false, "max_memory": 32,
            "max_request_memory": 16}"#;
        let bench = configured(&source, json);
        let wanted = match how {
            "nothing" => "nothing yet",
            _ => "my state",
        };
        for turn in 0..5 {
            let url = format!("/{how}");
            let parts: Vec<&[u8]> = body.chunks(7000).take(turn + 1).collect();
            bench.post(&url, &parts).is(200, wanted);
            bench.get("/").is(200, wanted);
        }
        // They do not pile up all the same.
        let large = vec![b'y'; 4 << 20];
        for _ in 0..10 {
            bench.post("/nothing", &[&large]).is(200, wanted);
        }
        bench.get("/").is(200, wanted);
    }
    Ok(())
}

fn strings() -> Result<(), String> {
    let source = format!(
        "{TAKES}{}",
        r#"
int main(void)
{
    struct kvm_request r;
    static char text[100];
    for (;;) {
        wait_for_requests_paused(&r);
        snprintf(text, sizeof text, "%.*s", (int)r.arg_len, r.arg);
        /* The strings are at the end of 16 pages. */
        char how[20];
        snprintf(how, sizeof how, "%s", r.url + 1);
        take((char *)((uintptr_t)r.url & -PAGE) - 15 * PAGE, 16 * PAGE, how);
        if (mine)
            snprintf(text + strlen(text), 20, " %s", mine);
        backend_response_str(200, "text/plain", text);
    }
}
"#
    );
    for how in ["nothing", "unmaps", "all", "over", "last", "moves", "swaps"] {
        let json = r#"{"concurrency": 1, "ephemeral": false}"#;
        let bench = configured(&source, json);
        let wanted = match how {
            "nothing" => "argument",
            _ => "argument my state",
        };
        for _ in 0..5 {
            bench.get(&format!("/{how}")).is(200, wanted);
        }
    }
    Ok(())
}
