//! Programs that do what they should not. None of it harms more than the request.

use tinykvm_runtime::Verdict;
use tinykvm_testkit::harness::Case;

use crate::support::{Bench, bench, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::kvm("crashes", crashes),
        Case::kvm("wrong calls", wrong_calls),
        Case::kvm("on_error answers", on_error),
        Case::kvm("on_error that fails", on_error_fails),
        Case::kvm("a crash is explained", explained),
        Case::kvm("a signal and a full memory are explained", placed),
        Case::kvm("a full stack is called that", stack_full),
        Case::kvm("a crash that the program handles", handled),
        Case::kvm("there are no local descriptors", no_local_descriptors),
        Case::kvm("headers stay although the call fails", headers_stay),
        Case::kvm("no callback for this request", no_callback),
    ]
}

/// A selector of the local table is a general protection fault, in the first request and after
/// resets.
fn no_local_descriptors() -> Result<(), String> {
    let bench = bench(
        r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    asm volatile ("mov %0, %%ds" : : "r" (0xf));
    backend_response_str(200, "text/plain", "loaded");
}
int main(void) { set_backend_get(get); wait_for_requests(); }
"#,
    );
    for _ in 0..3 {
        let reply = bench.get("/");
        reply.failed(Verdict::Fault);
        let told = &reply.transaction.errors[0];
        assert!(told.contains("general protection fault"), "{told}");
    }
    Ok(())
}

/// One fork and little patience, so that nothing can hide.
fn strict() -> String {
    let time = 0.5 * f64::from(tinykvm_testkit::kvm::time_factor());
    format!(
        r#"{{"concurrency": 1, "max_request_time": {time}, "max_request_memory": 16,
             "max_queue_time": 0.5}}"#
    )
}

const PATIENT: &str = r#"{"concurrency": 1, "max_request_memory": 16}"#;

fn expect(bench: &Bench, url: &str, verdict: Verdict) {
    let reply = bench.get(url);
    let found = (reply.verdict, reply.status, reply.body.len());
    assert_eq!(found, (verdict, 500, 0), "{url}: {reply:#?}");
    assert!(
        !reply.transaction.errors.is_empty(),
        "{url}: no reason given"
    );
    bench.get("/ok").is(200, "ok");
}

fn crashes() -> Result<(), String> {
    let bench = shared("misbehave.c", &strict());
    for (url, verdict) in [
        ("/assert", Verdict::Fault),
        ("/abort", Verdict::Fault),
        ("/exit", Verdict::Exit),
        ("/exit3", Verdict::Exit),
        ("/kill", Verdict::Fault),
        ("/raise", Verdict::Fault),
        ("/no-response", Verdict::NoResponse),
        ("/null-read", Verdict::Fault),
        ("/null-write", Verdict::Fault),
        ("/null-call", Verdict::Fault),
        ("/low-read", Verdict::Fault),
        ("/kernel-read", Verdict::Fault),
        ("/non-canonical", Verdict::Fault),
        ("/write-rodata", Verdict::Fault),
        ("/write-text", Verdict::Fault),
        ("/exec-stack", Verdict::Fault),
        ("/exec-heap", Verdict::Fault),
        ("/exec-data", Verdict::Fault),
        ("/stack-overflow", Verdict::Fault),
        ("/ud2", Verdict::Fault),
        ("/div0", Verdict::Fault),
        ("/int3", Verdict::Fault),
        ("/hlt", Verdict::Fault),
        ("/rdmsr", Verdict::Fault),
        ("/mov-cr3", Verdict::Fault),
        ("/lidt", Verdict::Fault),
        ("/out-exception", Verdict::Fault),
        ("/loop", Verdict::Timeout),
        ("/loop-syscalls", Verdict::Timeout),
        ("/loop-hypercalls", Verdict::Timeout),
        ("/sleep", Verdict::Timeout),
    ] {
        expect(&bench, url, verdict);
    }
    // Filling memory may take its time on a busy machine.
    let patient = shared("misbehave.c", PATIENT);
    expect(&patient, "/hog", Verdict::Memory);
    // What exactly these end with differs between processors, but they end.
    for url in [
        "/int80",
        "/int20",
        "/sysenter",
        "/trap-flag",
        "/alignment",
        "/bad-stack-syscall",
        "/bad-stack-hypercall",
        "/bad-stack-push",
        "/out-syscall",
        "/out-other",
        "/loop-cli",
        "/hog-malloc",
        "/write-execute",
    ] {
        let reply = bench.get(url);
        assert!(!reply.verdict.is_before_run(), "{url}: {reply:?}");
        bench.get("/ok").is(200, "ok");
    }
    Ok(())
}

fn wrong_calls() -> Result<(), String> {
    let bench = shared("wrong_calls.c", &strict());
    for url in [
        "/wait-again",
        "/register-late",
        "/ephemeral-late",
        "/bad-log",
        "/bad-meminfo",
    ] {
        expect(&bench, url, Verdict::Fault);
    }
    for url in [
        "/stop",
        "/null-body-length",
        "/bad-body-pointer",
        "/bad-body-length",
        "/bad-type-pointer",
        "/bad-type-length",
        "/status-100",
        "/status-600",
        "/extra-pointer",
        "/extra-null-headers",
        "/extra-many-headers",
    ] {
        expect(&bench, url, Verdict::NoResponse);
    }
    bench.get("/unknown-hypercall").is(200, "enosys");
    bench.get("/unknown-syscall").is(200, "enosys");
    bench.get("/null-body").is(200, "");
    for url in [
        "/type-with-nul",
        "/no-type",
        "/two-responses",
        "/bad-buffer",
    ] {
        assert_eq!(bench.get(url).verdict, Verdict::Ok, "{url}");
    }
    Ok(())
}

fn on_error() -> Result<(), String> {
    let argument = r#"{"main_arguments": ["on_error"], "#;
    let bench = shared("misbehave.c", &strict().replacen('{', argument, 1));
    let expect = |bench: &Bench, url: &str, verdict, reason: &str| {
        let reply = bench.get(url);
        assert_eq!(
            (reply.verdict, reply.status),
            (verdict, 555),
            "{url}: {reply:?}"
        );
        assert!(reply.text().contains(reason), "{url}: {}", reply.text());
        assert!(reply.transaction.errors[0].contains(reason));
        bench.get("/ok").is(200, "ok");
    };
    for (url, verdict, reason) in [
        ("/assert", Verdict::Fault, "signal 6"),
        (
            "/null-write",
            Verdict::Fault,
            "write to unmapped address 0x0",
        ),
        ("/exit3", Verdict::Exit, "status 3"),
        ("/no-response", Verdict::NoResponse, "without an answer"),
        ("/stack-overflow", Verdict::Fault, "page fault"),
        ("/loop", Verdict::Timeout, "time limit of"),
    ] {
        expect(&bench, url, verdict, reason);
    }
    let patient = shared("misbehave.c", &PATIENT.replacen('{', argument, 1));
    let reason = "memory limit of 16 MiB exceeded";
    expect(&patient, "/hog", Verdict::Memory, reason);
    Ok(())
}

fn on_error_fails() -> Result<(), String> {
    for mode in ["on_error_loop", "on_error_crash"] {
        let argument = format!(r#"{{"main_arguments": ["{mode}"], "#);
        let bench = shared("misbehave.c", &strict().replacen('{', &argument, 1));
        let reply = bench.get("/ud2");
        reply.failed(Verdict::Fault);
        let errors = &reply.transaction.errors;
        assert!(
            errors.iter().any(|line| line.contains("on_error: ")),
            "{errors:?}"
        );
        bench.get("/ok").is(200, "ok");
    }
    Ok(())
}

fn explained() -> Result<(), String> {
    let bench = shared("misbehave.c", &strict());
    let errors = bench.get("/null-write").transaction.errors;
    assert!(
        errors[0].starts_with("tinykvm prog: page fault at rip 0x"),
        "{errors:?}"
    );
    assert!(
        errors.iter().any(|line| line.contains(" rip=")),
        "{errors:?}"
    );
    // The handler is static and may be inlined into its caller, which is not.
    assert!(
        errors.iter().any(|line| line.contains("#0 0x")),
        "{errors:?}"
    );
    assert!(
        errors
            .iter()
            .any(|line| line.contains("null_write") || line.contains("get+"))
    );
    Ok(())
}

fn placed() -> Result<(), String> {
    let bench = shared("misbehave.c", &strict());
    for (url, reason) in [
        ("/abort", "killed by signal 6"),
        ("/hog", "request memory limit"),
    ] {
        let errors = bench.get(url).transaction.errors;
        assert!(errors[0].contains(reason), "{errors:?}");
        let place = errors.iter().find(|line| line.contains("#0 0x"));
        assert!(place.is_some(), "{url}: {errors:?}");
    }
    Ok(())
}

fn stack_full() -> Result<(), String> {
    let bench = shared("misbehave.c", &strict());
    let full = |url: &str| {
        let errors = bench.get(url).transaction.errors;
        errors[0].contains("the stack is full")
    };
    assert!(full("/stack-overflow"));
    for other in ["/null-write", "/write-rodata", "/kernel-read"] {
        assert!(!full(other), "{other}");
    }
    Ok(())
}

fn handled() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <setjmp.h>
        #include <signal.h>
        #include <string.h>
        #include <tinykvm.h>
        static sigjmp_buf back;
        static char other[65536];
        static int counted;
        static void jump(int number, siginfo_t *info, void *context)
        {
            siglongjmp(back, number);
        }
        static int recurse(int depth)
        {
            volatile char room[1024];
            room[depth % 1024] = 1;
            return recurse(depth + 1) + room[0];
        }
        static void get(const char *url, const char *arg)
        {
            struct sigaction usual = {.sa_handler = SIG_DFL};
            if (!strcmp(url, "/forgotten"))
                sigaction(SIGSEGV, &usual, 0);
            counted++;
            if (!sigsetjmp(back, 1))
                recurse(0);
            backend_response_str(200, "text/plain", counted == 1 ? "handled" : "not reset");
        }
        int main(void)
        {
            stack_t stack = {.ss_sp = other, .ss_size = sizeof other};
            struct sigaction action = {.sa_sigaction = jump, .sa_flags = SA_SIGINFO | SA_ONSTACK};
            sigaltstack(&stack, 0);
            sigaction(SIGSEGV, &action, 0);
            set_backend_get(get);
            wait_for_requests();
        }
        "#,
    );
    for _ in 0..3 {
        bench.get("/overflow").is(200, "handled");
        bench.get("/forgotten").failed(Verdict::Fault);
    }
    Ok(())
}

fn headers_stay() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <tinykvm.h>
        static void get(const char *url, const char *arg)
        {
            http_append_str(TINYKVM_RESPONSE, "X-A: 1");
            __builtin_trap();
        }
        int main(void) { set_backend_get(get); wait_for_requests(); }
        "#,
    );
    let reply = bench.get("/");
    reply.failed(Verdict::Fault);
    assert_eq!(reply.transaction.response(), ["X-A: 1"]);
    Ok(())
}

fn no_callback() -> Result<(), String> {
    let bench = bench(
        r#"
        #include <tinykvm.h>
        int main(void) { wait_for_requests(); }
        "#,
    );
    let reply = bench.get("/");
    reply.failed(Verdict::NoResponse);
    assert!(reply.transaction.errors[0].contains("no callback for a request without a body"));
    let reply = bench.post("/", &[b"x"]);
    reply.failed(Verdict::NoResponse);
    assert!(reply.transaction.errors[0].contains("with a body"));
    Ok(())
}
