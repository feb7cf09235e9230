//! `tinykvm learn` as a user runs it: what a program needs becomes rules, and with these it runs.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

mod support;

use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use serde_json::{Value, json};
use support::{command, finished};
use tinykvm_testkit::harness::{Case, run};
use tinykvm_testkit::{Toolchain, compile_c, compile_file};

fn main() -> ExitCode {
    run(vec![
        Case::kvm("files and directories", files),
        Case::kvm("a dynamic program needs libraries", libraries),
        Case::kvm("a connection", connection),
        Case::kvm("memory to write and to execute", exec_memory),
        Case::kvm("rules of the configuration are not repeated", configured),
        Case::kvm("a program that ends with an error", ends),
    ])
}

/// The program that uses what its arguments say.
fn uses(toolchain: Toolchain) -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/uses.c");
    compile_file(&here, toolchain).display().to_string()
}

/// An empty directory of this process.
fn directory(name: &str) -> PathBuf {
    let base = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&base);
    std::fs::create_dir_all(&base).unwrap();
    base.canonicalize().unwrap()
}

/// What `learn` prints for a program with these arguments, which it starts and requests once.
fn learnt(options: &[&str], program: &str, arguments: &[&str]) -> (i32, Value, String) {
    let words = [
        &["learn", "--url", "/", "--json"],
        options,
        &[program],
        arguments,
    ]
    .concat();
    let (status, json, err) = finished(&mut command(&words));
    let rules = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}{err}"));
    (status, rules, err)
}

/// Calls a program that has what the rules say.
fn called(program: &str, arguments: &[&str], rules: &Value) -> (i32, String, String) {
    let mut config = rules.clone();
    config["main_arguments"] = json!(arguments);
    let config = config.to_string();
    finished(&mut command(&["call", program, "--config", &config]))
}

/// With the rules the program answers.
fn assert_answers(program: &str, arguments: &[&str], rules: &Value) {
    let (status, out, err) = called(program, arguments, rules);
    assert_eq!((status, out.as_str()), (0, "ok"), "{rules}: {err}");
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

fn files() -> Result<(), String> {
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
    let wanted = json!({ "allowed_paths": [
        { "real": format!("{base}/listed"), "prefix": false },
        format!("{base}/one"),
        format!("{base}/requested"),
        format!("{base}/two"),
        { "real": format!("{base}/written"), "prefix": false, "writable": true },
    ]});
    let learnt: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(learnt, wanted, "{err}");

    let answers = |config: &Value| {
        let mut config = config.clone();
        config["main_arguments"] = json!([base]);
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

fn libraries() -> Result<(), String> {
    let program = uses(Toolchain::DynamicGcc);
    let (status, rules, err) = learnt(&[], &program, &[]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(rules, json!({ "libraries": true }), "{err}");
    assert_answers(&program, &[], &rules);
    let (status, _, err) = called(&program, &[], &json!({}));
    assert_eq!(status, 3, "{err}");

    let (_, out, _) = finished(&mut command(&["learn", &program]));
    assert!(out.contains("read, \"libraries\");"), "{out}");
    // A static program needs nothing.
    let (_, rules, err) = learnt(&[], &uses(Toolchain::Gcc), &[]);
    assert_eq!(rules, json!({}), "{err}");
    Ok(())
}

/// Takes so many connections, and checks what comes.
fn hears(listener: TcpListener, count: usize) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for _ in 0..count {
            let mut text = String::new();
            let (mut connection, _) = listener.accept().unwrap();
            connection.read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    })
}

fn connection() -> Result<(), String> {
    let program = uses(Toolchain::Gcc);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let arguments = ["connect", &port];
    // One while it is learned, one with what was learned.
    let heard = hears(listener, 2);
    let (status, rules, err) = learnt(&[], &program, &arguments);
    assert_eq!(status, 0, "{err}");
    assert_eq!(rules, json!({ "connect": [place] }), "{err}");
    let (status, _, err) = called(&program, &arguments, &json!({}));
    assert_eq!(status, 3, "{err}");
    assert!(err.contains("denied") && err.contains(&place), "{err}");
    assert_answers(&program, &arguments, &rules);
    heard.join().map_err(|_| "the listener panicked".to_owned())
}

fn exec_memory() -> Result<(), String> {
    let program = uses(Toolchain::Gcc);
    for arguments in [["execute", ""], ["ask", ""]] {
        let (status, rules, err) = learnt(&[], &program, &arguments);
        assert_eq!(status, 0, "{err}");
        assert_eq!(rules, json!({ "executable_heap": true }), "{err}");
        assert_answers(&program, &arguments, &rules);
        let words = ["learn", &program, arguments[0], arguments[1]];
        let (_, out, _) = finished(&mut command(&words));
        assert!(out.contains(", exec_memory);\n"), "{out}");
    }
    // Without it, the denial is in the log, once.
    let denied = |arguments: &[&str], call: &str| {
        let (status, _, err) = called(&program, arguments, &json!({}));
        let lines = err.lines().filter(|line| line.contains("exec_memory"));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 1, "{err}");
        assert!(
            lines[0].contains(call) && lines[0].contains("denied"),
            "{err}"
        );
        status
    };
    assert_eq!(denied(&["execute", ""], "mprotect"), 3);
    assert_eq!(denied(&["ask", ""], "mmap"), 0);
    Ok(())
}

fn configured() -> Result<(), String> {
    let base = directory("learn-configured");
    let [one, two] = ["one", "two"].map(|name| {
        let path = base.join(name);
        std::fs::write(&path, name).unwrap();
        path.display().to_string()
    });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let port = listener.local_addr().unwrap().port().to_string();
    let heard = hears(listener, 1);
    let program = uses(Toolchain::DynamicGcc);
    let config = json!({
        "allowed_paths": [one],
        "connect": [place],
        "executable_heap": true,
        "libraries": true,
    });
    let arguments = ["read", &one, "read", &two, "connect", &port, "execute", ""];
    let (status, rules, err) = learnt(&["--config", &config.to_string()], &program, &arguments);
    std::fs::remove_dir_all(&base).unwrap();
    assert_eq!(status, 0, "{err}");
    assert_eq!(rules, json!({ "allowed_paths": [two] }), "{err}");
    heard.join().map_err(|_| "the listener panicked".to_owned())
}

/// What it needed until then is printed all the same.
fn ends() -> Result<(), String> {
    let base = directory("learn-ends");
    let file = base.join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let program = uses(Toolchain::Gcc);
    let (status, rules, err) = learnt(&[], &program, &["read", &file, "exit", "5"]);
    assert_eq!(status, 3, "{err}");
    assert!(err.contains("exited with status 5"), "{err}");
    assert_eq!(rules, json!({ "allowed_paths": [file] }), "{err}");
    std::fs::remove_dir_all(&base).unwrap();
    Ok(())
}
