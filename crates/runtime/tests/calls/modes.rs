//! Programs that keep state, and programs that are resumed instead of called.

use tinykvm_runtime::{CallRequest, PlainTransaction, Verdict};
use tinykvm_testkit::harness::Case;

use crate::support::{configured, get, post};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("reset, or not, after each request", ephemeral_or_not),
        Case::kvm("dropping working memory", dropping),
        Case::kvm("a soft reset", soft_reset),
        Case::kvm("a program that chooses", choosing),
        Case::kvm("a failure resets in any case", failure_resets),
        Case::kvm("resumed programs", paused),
        Case::kvm("resumed programs that keep state", paused_keeping),
        Case::kvm("resumed programs that don't come back", paused_lost),
        Case::kvm("resumed programs and broken bodies", paused_broken_body),
        Case::kvm(
            "callbacks of programs that could be resumed",
            callback_and_paused,
        ),
        Case::kvm("bodies do not pile up", bodies_do_not_pile_up),
    ]
}

const COUNTER: &str = r#"
#include <tinykvm.h>
static int counter;
static void get(const char *url, const char *arg)
{
    static char text[100];
    if (strcmp(url, "/crash") == 0)
        __builtin_trap();
    snprintf(text, sizeof text, "%d", ++counter);
    backend_response_str(200, "text/plain", text);
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data,
                 size_t len)
{
    get(url, arg);
}
int main(int argc, char **argv)
{
    if (argc > 1) {
        counter = 10 * sys_make_ephemeral(atoi(argv[1]));
    }
    set_backend_get(get);
    set_backend_post(post);
    wait_for_requests();
}
"#;

fn ephemeral_or_not() -> Result<(), String> {
    let bench = configured(COUNTER, r#"{"concurrency": 1}"#);
    for _ in 0..4 {
        bench.get("/").is(200, "1");
    }
    let bench = configured(COUNTER, r#"{"concurrency": 1, "ephemeral": false}"#);
    for count in 1..5 {
        bench.get("/").is(200, &count.to_string());
    }
    Ok(())
}

fn dropping() -> Result<(), String> {
    let bench = configured(
        COUNTER,
        r#"{"concurrency": 1, "ephemeral_keep_working_memory": false}"#,
    );
    for _ in 0..4 {
        bench.get("/").is(200, "1");
    }
    let bench = configured(
        COUNTER,
        r#"{"concurrency": 1, "req_mem_limit_after_reset": 1}"#,
    );
    for _ in 0..4 {
        bench.get("/").is(200, "1");
    }
    Ok(())
}

fn soft_reset() -> Result<(), String> {
    let bench = configured(COUNTER, r#"{"concurrency": 1, "ephemeral": false}"#);
    bench.get("/").is(200, "1");
    let soft = CallRequest {
        soft_reset: true,
        ..get("/")
    };
    bench.call(&soft, PlainTransaction::backend()).is(200, "2");
    bench.get("/").is(200, "1");
    Ok(())
}

fn choosing() -> Result<(), String> {
    let json = |choice, may| {
        format!(
            r#"{{"concurrency": 1, "main_arguments": ["{choice}"], "control_ephemeral": {may}}}"#
        )
    };
    let bench = configured(COUNTER, &json(0, true));
    bench.get("/").is(200, "1");
    bench.get("/").is(200, "2");
    let bench = configured(COUNTER, &json(0, false));
    bench.get("/").is(200, "-9");
    bench.get("/").is(200, "-9");
    Ok(())
}

fn failure_resets() -> Result<(), String> {
    let bench = configured(COUNTER, r#"{"concurrency": 1, "ephemeral": false}"#);
    bench.get("/").is(200, "1");
    bench.get("/").is(200, "2");
    bench.get("/crash").failed(Verdict::Fault);
    bench.get("/").is(200, "1");
    Ok(())
}

const PAUSED: &str = r#"
#include <assert.h>
#include <tinykvm.h>
int main(void)
{
    int counter = 0;
    char text[500];
    struct kvm_request r;
    for (;;) {
        wait_for_requests_paused(&r);
        counter++;
        assert(strlen(r.url) == r.url_len);
        if (strcmp(r.url, "/again") == 0)
            wait_for_requests_paused(&r);
        if (strcmp(r.url, "/crash") == 0)
            __builtin_trap();
        snprintf(text, sizeof text, "%d %s %s %s %s %d %.*s", counter, r.method, r.url, r.arg,
                 r.content_type, r.num_headers, (int)r.content_len, (const char *)r.content);
        backend_response_str(200, "text/plain", text);
        if (strcmp(r.url, "/exit") == 0)
            return 0;
        if (strcmp(r.url, "/lost") == 0)
            for (;;);
    }
}
"#;

fn paused() -> Result<(), String> {
    let bench = configured(PAUSED, r#"{"concurrency": 1}"#);
    for _ in 0..3 {
        let mut transaction = PlainTransaction::backend();
        transaction.request = vec![b"Host: x".to_vec()];
        bench
            .call(&get("/a"), transaction)
            .is(200, "1 GET /a argument  1 ");
        bench
            .post("/b", &[b"body"])
            .is(200, "1 POST /b argument text/plain 0 body");
    }
    bench.get("/again").failed(Verdict::Fault);
    bench.get("/crash").failed(Verdict::Fault);
    let long = format!("/{}", "x".repeat(70_000));
    bench.get(&long).failed(Verdict::Fault);
    bench.get("/a").is(200, "1 GET /a argument  0 ");
    Ok(())
}

fn paused_keeping() -> Result<(), String> {
    let bench = configured(PAUSED, r#"{"concurrency": 1, "ephemeral": false}"#);
    for count in 1..6 {
        bench
            .get("/a")
            .is(200, &format!("{count} GET /a argument  0 "));
    }
    bench
        .post("/b", &[b"body"])
        .is(200, "6 POST /b argument text/plain 0 body");
    bench.get("/crash").failed(Verdict::Fault);
    bench.get("/a").is(200, "1 GET /a argument  0 ");
    let soft = CallRequest {
        soft_reset: true,
        ..get("/a")
    };
    bench
        .call(&soft, PlainTransaction::backend())
        .is(200, "2 GET /a argument  0 ");
    bench.get("/a").is(200, "1 GET /a argument  0 ");
    Ok(())
}

/// A body that breaks off happens while such a program waits for the request already.
fn paused_broken_body() -> Result<(), String> {
    let bench = configured(PAUSED, r#"{"concurrency": 1, "ephemeral": false}"#);
    bench.get("/a").is(200, "1 GET /a argument  0 ");
    for _ in 0..2 {
        let transaction = PlainTransaction {
            fail_body: true,
            body: vec![b"x".to_vec()],
            ..PlainTransaction::backend()
        };
        assert_eq!(
            bench.call(&post("/b"), transaction).verdict,
            Verdict::Transfer
        );
    }
    bench.get("/a").is(200, "2 GET /a argument  0 ");
    Ok(())
}

/// Callbacks win over resuming, and keep their state as well.
fn callback_and_paused() -> Result<(), String> {
    let source = COUNTER.replace(
        "wait_for_requests();",
        "struct kvm_request r; wait_for_requests_paused(&r);",
    );
    let bench = configured(&source, r#"{"concurrency": 1, "ephemeral": false}"#);
    bench.get("/").is(200, "1");
    bench.get("/").is(200, "2");
    Ok(())
}

fn paused_lost() -> Result<(), String> {
    let bench = configured(PAUSED, r#"{"concurrency": 1, "ephemeral": false}"#);
    bench.get("/exit").is(200, "1 GET /exit argument  0 ");
    bench.get("/a").failed(Verdict::Exit);
    bench.get("/lost").is(200, "1 GET /lost argument  0 ");
    bench.get("/a").failed(Verdict::Timeout);
    bench.get("/a").is(200, "1 GET /a argument  0 ");
    Ok(())
}

fn bodies_do_not_pile_up() -> Result<(), String> {
    let bench = configured(
        COUNTER,
        r#"{"concurrency": 1, "ephemeral": false, "max_memory": 32, "max_request_memory": 16}"#,
    );
    let body = vec![b'x'; 4 << 20];
    for count in 1..30 {
        bench.post("/", &[&body]).is(200, &count.to_string());
    }
    Ok(())
}
