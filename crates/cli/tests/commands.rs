//! The command as a user runs it.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

use std::io::Write;
use std::process::{Command, ExitCode, Output, Stdio};

use tinykvm_testkit::compile_c;
use tinykvm_testkit::harness::{Case, run};

const SOURCE: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    if (strcmp(url, "/crash") == 0)
        __builtin_trap();
    http_append_str(TINYKVM_RESPONSE, "X-Arg: yes");
    printf("got %s %s\n", url, arg);
    backend_response_str(201, "text/plain", "hello\n");
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data,
                 size_t len)
{
    backend_response(200, type, strlen(type), data, len);
}
int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        puts(argv[i]);
    if (argc > 2)
        return 7;
    set_backend_get(get);
    set_backend_post(post);
    wait_for_requests();
}
"#;

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tinykvm"));
    command.args(arguments);
    command
}

fn finished(command: &mut Command) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn program() -> String {
    compile_c(SOURCE, &[]).display().to_string()
}

fn main() -> ExitCode {
    run(vec![
        Case::new("help and wrong arguments", usage),
        Case::new("doctor without a device", doctor_without_device),
        Case::kvm("run", run_command),
        Case::kvm("call", call_command),
        Case::kvm("bench", bench_command),
        Case::kvm("doctor", doctor_command),
    ])
}

fn usage() -> Result<(), String> {
    let (status, out, _) = finished(&mut command(&["--help"]));
    assert_eq!(status, 0);
    assert!(
        out.contains("doctor") && out.contains("Exit status"),
        "{out}"
    );
    assert_eq!(finished(&mut command(&["nonsense"])).0, 2);
    let (status, _, err) = finished(&mut command(&["run", "/x", "--config", r#"{"a": 1}"#]));
    assert_eq!(status, 2);
    assert!(err.contains("unknown key \"a\""), "{err}");
    let (status, _, err) = finished(&mut command(&["run", "/nowhere/prog"]));
    assert_eq!(status, 3);
    assert!(err.contains("cannot read /nowhere/prog"), "{err}");
    Ok(())
}

fn doctor_without_device() -> Result<(), String> {
    let mut doctor = command(&["doctor"]);
    let (status, out, _) = finished(doctor.env("TINYKVM_DEVICE", "/nonexistent/kvm"));
    assert_eq!(status, 1);
    assert!(
        out.contains("[!!] /nonexistent/kvm does not exist"),
        "{out}"
    );
    assert!(out.contains("There is 1 problem."), "{out}");
    Ok(())
}

fn run_command() -> Result<(), String> {
    let program = program();
    let (status, out, err) = finished(&mut command(&["run", &program, "one"]));
    assert_eq!((status, out.as_str()), (0, "one\n"), "{err}");
    assert!(err.contains("ready after"), "{err}");
    let (status, out, err) = finished(&mut command(&["run", &program, "--one", "two"]));
    assert_eq!((status, out.as_str()), (3, "--one\ntwo\n"), "{err}");
    assert!(err.contains("exited with status 7"), "{err}");
    Ok(())
}

fn call_command() -> Result<(), String> {
    let program = program();
    let call = ["call", &program, "--url", "/u", "--arg", "a b", "-i"];
    let (status, out, err) = finished(&mut command(&call));
    assert_eq!(status, 0, "{err}");
    assert_eq!(
        out,
        "status: 201\nContent-Type: text/plain\nContent-Length: 6\nX-Arg: yes\n\nhello\n"
    );
    assert!(err.contains("got /u a b"), "{err}");
    assert!(err.contains("verdict=ok status=201"), "{err}");
    let (status, out, err) = finished(&mut command(&["call", &program, "--url", "/crash"]));
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(
        err.contains("invalid opcode") && err.contains("status: 500"),
        "{err}"
    );

    let arguments = ["call", &program, "--body", "-", "-H", "Content-Type: a/b"];
    let mut child = command(&arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let body = vec![b'x'; 100_000];
    child.stdin.take().unwrap().write_all(&body).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout == body);
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains("Content-Type: a/b"), "{err}");
    Ok(())
}

fn bench_command() -> Result<(), String> {
    let program = program();
    let bench = ["bench", &program, "-n", "50", "-t", "2"];
    let (status, out, err) = finished(&mut command(&bench));
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("calls    100 in 2 thread(s)"), "{out}");
    assert!(out.contains("median"), "{out}");
    let (status, _, err) = finished(&mut command(&["bench", &program, "--url", "/crash"]));
    assert_eq!(status, 1);
    assert!(err.contains("verdict fault"), "{err}");
    Ok(())
}

fn doctor_command() -> Result<(), String> {
    let (_, out, _) = finished(&mut command(&["doctor"]));
    for line in ["Linux", "KVM_CAP_SYNC_REGS", "open files", "KVM "] {
        assert!(out.contains(line), "no {line} in:\n{out}");
    }
    Ok(())
}
