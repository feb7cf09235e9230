//! What a program gets, and what becomes of its answers.

use std::time::Duration;

use tinykvm_runtime::{CallRequest, PlainTransaction, Verdict};
use tinykvm_testkit::harness::Case;

use crate::support::{bench, configured, get, post};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("hello", hello),
        Case::kvm("a warm call is one entry of the vCPU", one_run),
        Case::kvm("get and post by body, not by method", dispatch),
        Case::kvm("the request callback sees everything", request_callback),
        Case::kvm("too many headers", too_many_headers),
        Case::kvm("response headers and cacheability", extra),
        Case::kvm("header calls", header_calls),
        Case::kvm("the first answer counts", first_answer),
        Case::kvm("output is logged", output),
        Case::kvm("client-side calls", client_side),
        Case::kvm(
            "calls as system calls and the other way round",
            crossed_calls,
        ),
        Case::kvm("figures of memory", meminfo),
    ]
}

const HELLO: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    backend_response_str(200, "text/plain", "Hello World");
}
int main(void) { set_backend_get(get); wait_for_requests(); }
"#;

fn hello() -> Result<(), String> {
    let bench = bench(HELLO);
    for _ in 0..3 {
        let reply = bench.get("/");
        reply.is(200, "Hello World");
        assert_eq!(reply.content_type, "text/plain");
        let line = reply.transaction.logged.last().unwrap();
        assert!(
            line.starts_with("tinykvm prog: verdict=ok status=200 time="),
            "{line}"
        );
        assert_eq!(reply.transaction.logged.len(), 1);
        assert!(reply.transaction.errors.is_empty());
    }
    Ok(())
}

fn one_run() -> Result<(), String> {
    let bench = configured(HELLO, r#"{"concurrency": 1}"#);
    bench.get("/").is(200, "Hello World");
    for _ in 0..5 {
        assert_eq!(bench.get("/").figure("runs"), "1");
    }
    Ok(())
}

fn dispatch() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <tinykvm.h>
        static char text[1000];
        static void get(const char *url, const char *arg)
        {
            snprintf(text, sizeof text, "GET %s %s", url, arg);
            backend_response_str(200, "text/plain", text);
        }
        static void post(const char *url, const char *arg, const char *type,
                         const uint8_t *data, size_t len)
        {
            snprintf(text, sizeof text, "POST %s %s %s %.*s %d", url, arg, type,
                     (int)len, (const char *)data, (int)((unsigned long)data % 4096));
            backend_response_str(201, "text/plain", text);
        }
        int main(void) { set_backend_get(get); set_backend_post(post); wait_for_requests(); }
        "#,
    );
    for method in ["GET", "POST", "TEST", "HEAD"] {
        let without = CallRequest {
            method: method.as_bytes(),
            ..get("/u")
        };
        bench
            .call(&without, PlainTransaction::backend())
            .is(200, "GET /u argument");
        let with = CallRequest {
            method: method.as_bytes(),
            ..post("/u")
        };
        for announce_length in [true, false] {
            let transaction = PlainTransaction {
                body: vec![b"hello ".to_vec(), b"world".to_vec()],
                announce_length,
                ..PlainTransaction::backend()
            };
            bench
                .call(&with, transaction)
                .is(201, "POST /u argument text/plain hello world 0");
        }
    }
    // An empty body is none.
    bench.post("/u", &[]).is(200, "GET /u argument");
    bench.post("/u", &[b""]).is(200, "GET /u argument");
    // Empty strings, not null pointers.
    let bare = CallRequest {
        method: b"GET",
        ..CallRequest::default()
    };
    bench
        .call(&bare, PlainTransaction::backend())
        .is(200, "GET  ");
    Ok(())
}

const REQUEST: &str = r#"
#include <assert.h>
#include <tinykvm.h>
static char text[100000];
static void add(const char *what, const char *value, size_t len)
{
    assert(strlen(value) == len);
    sprintf(text + strlen(text), "%s=%s\n", what, value);
}
static void request(const struct kvm_request *r)
{
    add("method", r->method, r->method_len);
    add("url", r->url, r->url_len);
    add("arg", r->arg, r->arg_len);
    add("type", r->content_type, r->content_type_len);
    for (int i = 0; i < r->num_headers; i++) {
        const struct kvm_request_header *h = &r->headers[i];
        assert(h->field[h->field_colon] == ':');
        add("header", h->field, h->field_len);
    }
    assert((r->content != NULL) == (r->content_len > 0));
    sprintf(text + strlen(text), "body=%.*s\n", (int)r->content_len, (const char *)r->content);
    assert(r->info_flags == 0 && r->reserved0 == 0 && r->reserved1[0] == 0);
    assert(r->prng[0] != r->prng[1]);
    backend_response_str(200, "text/plain", text);
}
int main(void) { set_backend_request(request); wait_for_requests(); }
"#;

fn request_callback() -> Result<(), String> {
    let bench = bench(REQUEST);
    let mut transaction = PlainTransaction::backend();
    transaction.request = vec![b"Host: test.com".to_vec(), b"X-Y: z".to_vec()];
    bench.call(&get("/u?q"), transaction).is(
        200,
        "method=GET\nurl=/u?q\narg=argument\ntype=\nheader=Host: test.com\nheader=X-Y: z\nbody=\n",
    );
    bench.post("/u", &[b"hello"]).is(
        200,
        "method=POST\nurl=/u\narg=argument\ntype=text/plain\nbody=hello\n",
    );
    Ok(())
}

fn too_many_headers() -> Result<(), String> {
    let bench = bench(REQUEST);
    let mut transaction = PlainTransaction::backend();
    transaction.request = vec![b"A: b".to_vec(); 65];
    let reply = bench.call(&get("/"), transaction);
    reply.failed(Verdict::Fault);
    assert!(reply.transaction.errors[0].contains("65 header fields; 64 are allowed"));
    let mut transaction = PlainTransaction::backend();
    transaction.request = vec![b"A: b".to_vec(); 64];
    assert_eq!(bench.call(&get("/"), transaction).status, 200);
    Ok(())
}

fn extra() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            struct ResponseHeader headers[] = {{"X-A: 1", 6}, {"X-Gone", 6}, {"X-B: 22", 7}};
            struct BackendResponseExtra extra = {0};
            extra.headers = headers;
            extra.num_headers = 3;
            extra.cached = 1;
            extra.ttl = 2.5f;
            extra.grace = 60;
            backend_response_extra(203, "a/b\0", 4, "x", 1, &extra);
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    let mut transaction = PlainTransaction::backend();
    transaction.response = Some(vec![b"X-Gone: 1".to_vec(), b"x-a: 0".to_vec()]);
    let reply = bench.call(&get("/"), transaction);
    reply.is(203, "x");
    assert_eq!(reply.content_type, "a/b");
    assert_eq!(reply.transaction.response(), ["X-A: 1", "X-B: 22"]);
    let told = reply.transaction.cacheable.unwrap();
    assert_eq!(told.ttl, Duration::from_millis(2500));
    assert_eq!(told.grace, Duration::from_secs(60));
    Ok(())
}

fn header_calls() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <assert.h>
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            char text[64] = "";
            if (strcmp(url, "/bad") == 0) {
                http_append_str(TINYKVM_RESPONSE, "X: a\r\nSet-Cookie: b");
                backend_response_str(200, "text/plain", "went on");
            }
            assert(http_append_str(TINYKVM_RESPONSE, "X-A: 1") == 5);
            assert(http_set_str(TINYKVM_RESPONSE, "X-A: 2") == 5);
            assert(http_append_str(TINYKVM_RESPONSE, "X-B: 3") == 6);
            assert(http_unset_str(TINYKVM_RESPONSE, "X-B") == 6);
            assert(http_unset_str(TINYKVM_RESPONSE, "X-B") == 0);
            assert(http_find_str(TINYKVM_REQUEST, "host", NULL, 0) == 14);
            assert(http_find_str(TINYKVM_REQUEST, "hosts", text, 64) == 0);
            assert(http_method(text, 64) == 3 && strcmp(text, "GET") == 0);
            assert(set_cacheable(true, 10, 1, 0) == 0);
            assert(http_value(TINYKVM_REQUEST, "Host", text, 64) == 8);
            backend_response_str(200, "text/plain", text);
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    let transaction = || {
        let mut transaction = PlainTransaction::backend();
        transaction.request = vec![b"Host: test.com".to_vec()];
        transaction
    };
    let reply = bench.call(&get("/"), transaction());
    reply.is(200, "test.com");
    assert_eq!(reply.transaction.response(), ["X-A: 2"]);
    assert_eq!(
        reply.transaction.cacheable.unwrap().ttl,
        Duration::from_secs(10)
    );
    let reply = bench.call(&get("/bad"), transaction());
    reply.failed(Verdict::Fault);
    assert!(reply.transaction.response().is_empty());
    assert!(reply.transaction.errors[0].contains("control byte 0x0d"));
    Ok(())
}

fn first_answer() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            backend_response_str(404, "text/plain", "Not found");
            backend_response_str(200, "text/plain", "second");
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    bench.get("/").is(404, "Not found");
    bench.get("/").is(404, "Not found");
    Ok(())
}

fn output() -> Result<(), String> {
    let source = r#"
        #include <tinykvm.h>
        #include <unistd.h>
        static void get(const char *url, const char *arg)
        {
            printf("to %s\n", url);
            fprintf(stderr, "warning\n");
            sys_log("logged", 6);
            if (strcmp(url, "/flood") == 0)
                for (int i = 0; i < 5000; i++)
                    write(1, "flood\n", 6);
            backend_response_str(200, "text/plain", "");
        }
        int main(void) { puts("hello from main"); set_backend_get(get); wait_for_requests(); }
        "#;
    let bench = configured(source, r#"{"stdout": true}"#);
    let reply = bench.get("/u");
    assert_eq!(
        reply.transaction.logged[..3],
        [
            "prog says: to /u",
            "prog says: warning",
            "prog says: logged"
        ]
    );
    let flood = bench.get("/flood");
    flood.is(200, "");
    let logged = &flood.transaction.logged;
    assert!(logged.len() < 1010, "{} lines", logged.len());
    assert!(
        logged.contains(
            &"tinykvm prog: output limit reached (1000 lines, 64 KiB): what follows is not logged"
                .to_owned()
        )
    );
    let journal = bench.journal.0.lock().unwrap();
    assert_eq!(journal[0], "prog says: hello from main");
    assert!(journal.contains(&"prog says: warning".to_owned()));
    Ok(())
}

fn client_side() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <assert.h>
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            assert(set_cacheable(true, 10, 1, 0) == -1);
            if (strcmp(url, "/response") == 0)
                http_append_str(TINYKVM_RESPONSE, "X-A: 1");
            else if (strcmp(url, "/method") == 0)
                http_method(NULL, 0);
            else
                assert(http_set_str(TINYKVM_REQUEST, "X-A: 1") == 5);
            backend_response_str(200, "text/plain", "ok");
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    let reply = bench.call(&get("/"), PlainTransaction::default());
    reply.is(200, "ok");
    assert_eq!(reply.transaction.request, [b"X-A: 1".to_vec()]);
    for url in ["/response", "/method"] {
        bench
            .call(&get(url), PlainTransaction::default())
            .failed(Verdict::Fault);
    }
    Ok(())
}

fn crossed_calls() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <assert.h>
        #include <sys/syscall.h>
        #include <tinykvm.h>
        #include <unistd.h>
        static void get(const char *url, const char *arg)
        {
            assert(syscall(TINYKVM_CALL_IS_STORAGE) == 0);
            assert(tinykvm_call3(SYS_getpid, 0, 0, 0) == getpid());
            assert(tinykvm_call3(511, 0, 0, 0) == -38);
            assert(tinykvm_call3(0x10200, 0, 0, 0) == -38);
            assert(syscall(0x30000) == -1);
            register long r8 __asm__("r8") = 2, r9 __asm__("r9") = 0;
            __asm__ volatile("syscall" : : "a"(TINYKVM_CALL_LOG), "D"("by syscall"), "S"(10l)
                             : "rcx", "r11", "memory");
            (void)r8, (void)r9;
            char host[32];
            assert(syscall(TINYKVM_CALL_HTTP_FIND, TINYKVM_REQUEST, "host", 4l, host, 32l) == 7);
            assert(memcmp(host, "Host: a", 7) == 0);
            syscall(TINYKVM_CALL_BACKEND_RESPONSE, 200l, "text/plain", 10l, "ok", 2l, NULL);
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    let mut transaction = PlainTransaction::backend();
    transaction.request.push(b"Host: a".to_vec());
    let reply = bench.call(&get("/"), transaction);
    reply.is(200, "ok");
    assert!(
        reply
            .transaction
            .logged
            .contains(&"prog says: by syscall".to_owned())
    );
    Ok(())
}

fn meminfo() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <tinykvm.h>
        static char area[100 * 4096];
        static void get(const char *url, const char *arg)
        {
            struct meminfo before, after;
            get_meminfo(&before);
            memset(area, 1, sizeof area);
            get_meminfo(&after);
            static char text[200];
            snprintf(text, sizeof text, "%lu %lu %d", before.max_memory >> 20,
                     before.max_reqmem >> 20,
                     after.reqmem_current >= before.reqmem_current && after.reqmem_upper >= 1 << 20);
            backend_response_str(200, "text/plain", text);
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
        r#"{"max_memory": 100, "max_request_memory": 20}"#,
    );
    bench.get("/").is(200, "100 20 1");
    Ok(())
}
