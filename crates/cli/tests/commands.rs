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
        Case::kvm("filter", filter_command),
        Case::kvm("bench", bench_command),
        Case::kvm("learn", learn_command),
        Case::new("doctor of a program", doctor_of_a_program),
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

fn filter_command() -> Result<(), String> {
    let source = tinykvm_testkit::paths::top().join("tests/guests/filter.c");
    let program = tinykvm_testkit::compile_file(&source, tinykvm_testkit::Toolchain::Gcc);
    let program = program.to_str().unwrap();
    let run = |arguments: &[&str]| {
        let mut all = vec!["filter", program];
        all.extend(arguments);
        let mut child = command(&all)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"Hello").unwrap();
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    };
    let (status, out, err) = run(&["--arg", "upper suffix:!", "--part", "2"]);
    assert_eq!((status, out.as_str()), (0, "HELLO!"));
    assert!(err.contains("verdict=ok filter=fetch"), "{err}");
    assert!(err.contains("chunks=3"), "{err}");
    let tag = "ETag: \"x\"";
    let (_, out, _) = run(&["-i", "-H", tag, "--delivery", "--arg", "saw"]);
    assert!(out.starts_with("ETag: W/\"x\"\nX-Saw: GET / 200 "), "{out}");
    assert!(out.ends_with("\n\nHello"), "{out}");
    let (status, out, err) = run(&["--arg", "pass"]);
    assert_eq!((status, out.as_str()), (0, "Hello"), "{err}");
    let (status, out, err) = run(&["--arg", "chunk=crash"]);
    assert_eq!((status, out.as_str()), (1, ""));
    assert!(err.contains("verdict=fault"), "{err}");
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

/// Uses files of the directory that is its argument, and fails if one of them can't be used.
const USES_FILES: &str = r#"
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <tinykvm.h>
static const char *base;
static void need(const char *name, int flags)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", base, name);
    int fd = open(path, flags, 0600);
    if (fd < 0) {
        perror(path);
        exit(9);
    }
    close(fd);
}
static void get(const char *url, const char *arg)
{
    need("requested", O_RDONLY);
    backend_response_str(200, "text/plain", "ok");
}
int main(int argc, char **argv)
{
    char path[512];
    struct stat st;
    base = argv[1];
    stat(base, &st);
    open("/etc/passwd", O_RDONLY);
    open("/nowhere/at/all", O_RDONLY);
    need("one", O_RDONLY);
    need("two", O_RDONLY);
    need("written", O_WRONLY | O_CREAT | O_TRUNC);
    snprintf(path, sizeof path, "%s/listed", base);
    DIR *dir = opendir(path);
    if (!dir || !readdir(dir))
        exit(8);
    closedir(dir);
    set_backend_get(get);
    wait_for_requests();
}
"#;

fn learn_command() -> Result<(), String> {
    let base = std::env::temp_dir().join(format!("tinykvm-learn-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir_all(base.join("listed/inner")).unwrap();
    for name in ["one", "two", "requested"] {
        std::fs::write(base.join(name), name).unwrap();
    }
    let base = base.canonicalize().unwrap().display().to_string();
    let program = compile_c(USES_FILES, &[]).display().to_string();
    let learn = ["learn", "--url", "/", "--json", &program, &base];
    let (status, json, err) = finished(&mut command(&learn));
    assert_eq!(status, 0, "{err}");
    assert!(err.contains("WARNING") && err.contains("network"), "{err}");
    let wanted = serde_json::json!({ "allowed_paths": [
        { "real": format!("{base}/listed"), "prefix": false },
        format!("{base}/one"),
        format!("{base}/requested"),
        format!("{base}/two"),
        { "real": format!("{base}/written"), "prefix": false, "writable": true },
    ]});
    let learnt: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(learnt, wanted, "{err}");

    let answers = |config: &serde_json::Value| {
        let mut config = config.clone();
        config["main_arguments"] = serde_json::json!([base]);
        let config = config.to_string();
        finished(&mut command(&["call", &program, "--config", &config]))
    };
    let (status, out, err) = answers(&learnt);
    assert_eq!((status, out.as_str()), (0, "ok"), "{err}");
    for left_out in 0..5 {
        let mut less = learnt.clone();
        less["allowed_paths"]
            .as_array_mut()
            .unwrap()
            .remove(left_out);
        let (status, _, err) = answers(&less);
        assert_ne!(status, 0, "without entry {left_out}");
        assert!(err.contains("denied"), "without entry {left_out}: {err}");
    }

    let learn = ["learn", "--url", "/", &program, &base];
    let (_, out, _) = finished(&mut command(&learn));
    for line in [
        format!("read, \"{base}/listed\");"),
        format!("read, \"{base}/requested\");"),
        format!("write, \"{base}/written\");"),
    ] {
        assert!(out.contains(&line), "no {line} in {out}");
    }
    std::fs::remove_dir_all(&base).unwrap();
    Ok(())
}

fn doctor_of_a_program() -> Result<(), String> {
    let (status, out, err) = finished(&mut command(&["doctor", &program()]));
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("statically linked"), "{out}");

    let (status, out, err) = finished(&mut command(&["doctor", "/bin/sh"]));
    assert_eq!(status, 0, "{out}{err}");
    assert!(
        out.contains("libc.so.6 =>") && out.contains("ld-linux"),
        "{out}"
    );
    assert!(out.contains("\"libraries\": true"), "{out}");

    let (status, _, err) = finished(&mut command(&["doctor", "/etc/passwd"]));
    assert_eq!(status, 2);
    assert!(
        err.contains("/etc/passwd") && err.contains("not an ELF"),
        "{err}"
    );

    // A library that is not there.
    let mut bytes = std::fs::read("/bin/sh").unwrap();
    let at = bytes
        .windows(9)
        .position(|text| text == b"libc.so.6")
        .unwrap();
    bytes[at + 3] = b'Q';
    let path = std::env::temp_dir().join(format!("tinykvm-doctor-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    let (status, out, _) = finished(&mut command(&["doctor", path.to_str().unwrap()]));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status, 1);
    assert!(out.contains("[!!] libQ.so.6"), "{out}");
    Ok(())
}
