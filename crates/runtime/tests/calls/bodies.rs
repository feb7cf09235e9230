//! Request and response bodies.

use tinykvm_runtime::{PlainTransaction, Verdict};
use tinykvm_testkit::harness::Case;

use crate::support::{Bench, Reply, configured, get, post};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("64 MB both ways", large),
        Case::kvm("sizes around the limits between copying and holding", sizes),
        Case::kvm("a long body keeps its VM until it is read", holding),
        Case::kvm("a body that does not fit is a failed transfer", too_large),
        Case::kvm("a body that breaks off is a failed transfer", broken_off),
        Case::kvm("the streaming callback", streaming),
        Case::kvm("reserved memory is no body", reserved),
    ]
}

/// Zeros that cost the program nothing would cost whoever stores them.
fn reserved() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <sys/mman.h>
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            size_t length = strtoul(url + 1, NULL, 10) << 20;
            char *zeros = mmap(NULL, length, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            backend_response(200, "a/b", 3, zeros, length);
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
        r#"{"max_memory": 64}"#,
    );
    let reply = bench.get("/1000000");
    reply.failed(Verdict::NoResponse);
    let errors = reply.transaction.errors.join("\n");
    assert!(
        errors.contains("1048576000000 bytes; 64 MiB are allowed (max_memory)"),
        "{errors}"
    );
    assert_eq!(bench.get("/60").body.len(), 60 << 20);
    Ok(())
}

const ECHO: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    size_t length = strtoul(url + 1, NULL, 10);
    char *body = malloc(length + 1);
    for (size_t i = 0; i < length; i++)
        body[i] = (char)(i * 7 + i / 4096);
    backend_response(200, "a/b", 3, body, length);
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data,
                 size_t len)
{
    backend_response(200, type, strlen(type), data, len);
}
int main(void) { set_backend_get(get); set_backend_post(post); wait_for_requests(); }
"#;

fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| (i * 7 + i / 4096).to_le_bytes()[0])
        .collect()
}

fn expect(reply: &Reply, body: &[u8]) {
    assert_eq!((reply.verdict, reply.status), (Verdict::Ok, 200));
    assert!(
        reply.body == body,
        "{} bytes came back, {} went",
        reply.body.len(),
        body.len()
    );
}

fn large() -> Result<(), String> {
    let bench = configured(
        ECHO,
        r#"{"concurrency": 1, "max_memory": 400, "max_request_memory": 160, "max_body": 64}"#,
    );
    let body = pattern(64 << 20);
    let parts: Vec<&[u8]> = body.chunks(60_000).collect();
    expect(&bench.post("/", &parts), &body);
    // Of unknown length, into a VM that was reset after the one before.
    let transaction = PlainTransaction {
        body: parts.iter().map(|part| part.to_vec()).collect(),
        announce_length: false,
        ..PlainTransaction::backend()
    };
    expect(&bench.call(&post("/"), transaction), &body);
    expect(&bench.get(&format!("/{}", body.len())), &body);
    Ok(())
}

fn sizes() -> Result<(), String> {
    let bench = configured(ECHO, r#"{"concurrency": 1}"#);
    for length in [0, 1, 4095, 4096, 16383, 16384, 16385, 65537, 1_000_000] {
        let body = pattern(length);
        expect(&bench.get(&format!("/{length}")), &body);
        if length > 0 {
            expect(&bench.post("/", &[&body]), &body);
        }
    }
    Ok(())
}

fn holding() -> Result<(), String> {
    let bench = configured(ECHO, r#"{"concurrency": 1, "max_queue_time": 0.05}"#);
    let mut transaction = PlainTransaction::backend();
    let mut held = bench.program.call(&get("/16385"), &mut transaction);
    assert!(held.body.holds_vm());
    assert!(transaction.logged.last().unwrap().contains(" pages=- "));
    let busy = bench.get("/1");
    assert_eq!((busy.verdict, busy.status), (Verdict::Overload, 503));
    assert!(busy.transaction.errors[0].contains("no VM became free within 50ms"));
    let mut bytes = [0; 10_000];
    assert_eq!(held.body.read(&mut bytes), 10_000);
    assert_eq!(held.body.len(), 6385);
    assert_eq!(held.body.read(&mut bytes), 6385);
    assert_eq!(bytes[..6385], pattern(16385)[10_000..]);
    assert_eq!(held.body.read(&mut bytes), 0);
    drop(held);
    let short = bench.get("/1");
    short.is(200, "\0");
    let mut transaction = PlainTransaction::backend();
    let copied = bench.program.call(&get("/16384"), &mut transaction);
    assert!(!copied.body.holds_vm());
    bench.get("/1").is(200, "\0");
    assert_eq!(copied.body.into_bytes(), pattern(16384));
    Ok(())
}

fn transfer_failed(reply: &Reply, reason: &str) {
    assert_eq!(
        (reply.verdict, reply.status),
        (Verdict::Transfer, 503),
        "{reply:?}"
    );
    assert!(reply.body.is_empty());
    let told = &reply.transaction.errors[0];
    assert!(told.contains(reason), "{told}");
}

fn too_large() -> Result<(), String> {
    let bodies = |bench: &Bench, length: usize| {
        [true, false].map(|announce_length| {
            let transaction = PlainTransaction {
                body: pattern(length).chunks(10_000).map(<[u8]>::to_vec).collect(),
                announce_length,
                ..PlainTransaction::backend()
            };
            bench.call(&post("/"), transaction)
        })
    };
    let bench = configured(ECHO, r#"{"concurrency": 1, "max_body": 1}"#);
    for reply in bodies(&bench, (1 << 20) + 1) {
        transfer_failed(&reply, "limit of 1 MiB (max_body");
    }
    expect(&bench.post("/", &[b"x"]), b"x");
    // A body that alone is more than a request may change.
    let bench = configured(ECHO, r#"{"concurrency": 1, "max_request_memory": 1}"#);
    for _ in 0..30 {
        for reply in bodies(&bench, 2_000_000) {
            assert!(reply.status >= 500 && reply.body.is_empty());
        }
    }
    expect(&bench.post("/", &[b"x"]), b"x");
    Ok(())
}

fn broken_off() -> Result<(), String> {
    let bench = configured(ECHO, r#"{"concurrency": 1}"#);
    for announce_length in [true, false] {
        let transaction = PlainTransaction {
            body: vec![b"hello".to_vec()],
            announce_length,
            fail_body: true,
            ..PlainTransaction::backend()
        };
        transfer_failed(&bench.call(&post("/"), transaction), "could not be read");
        expect(&bench.post("/", &[b"x"]), b"x");
    }
    Ok(())
}

fn streaming() -> Result<(), String> {
    let bench = configured(
        r#"
        #include <assert.h>
        #include <tinykvm.h>
        static char all[300000];
        static size_t calls;
        static long stream(const char *url, const char *arg, const char *type,
                           const uint8_t *data, size_t len, size_t off)
        {
            if (strcmp(url, "/refuse") == 0 && off > 0)
                return len - 1;
            if (strcmp(url, "/crash") == 0)
                __builtin_trap();
            if (strcmp(url, "/header") == 0)
                http_append_str(TINYKVM_RESPONSE, "X-A: 1");
            assert(strcmp(type, "text/plain") == 0 && strcmp(arg, "argument") == 0);
            memcpy(all + off, data, len);
            calls++;
            printf("%zu at %zu\n", len, off);
            return len;
        }
        static void post(const char *url, const char *arg, const char *type,
                         const uint8_t *data, size_t len)
        {
            assert(data == NULL);
            backend_response(201, "a/b", 3, all, len);
        }
        int main(void)
        {
            register_func(TINYKVM_CALLBACK_STREAM_POST, (void (*)(void))stream);
            set_backend_post(post);
            wait_for_requests();
        }
        "#,
        r#"{"concurrency": 1}"#,
    );
    let reply = bench.post("/", &[b"hello ", b"world"]);
    reply.is(201, "hello world");
    assert_eq!(
        reply.transaction.logged[..2],
        ["prog says: 6 at 0", "prog says: 5 at 6"]
    );
    let body = pattern(200_000);
    assert!(bench.post("/", &[&body]).body == body);
    transfer_failed(
        &bench.post("/refuse", &[b"hello", b"world"]),
        "took 0x4 of 0x5 bytes",
    );
    transfer_failed(&bench.post("/crash", &[b"hello"]), "invalid opcode");
    transfer_failed(
        &bench.post("/header", &[b"hello"]),
        "only possible while a request is served",
    );
    bench.post("/", &[b"x"]).is(201, "x");
    Ok(())
}
