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
        Case::kvm("a whole configuration", whole_configuration),
        Case::kvm("a program that ends with an error", ends),
        Case::kvm("links, random names, and a request by its body", odd_files),
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
    let mut rules: Value = serde_json::from_str(&json).unwrap_or_else(|_| panic!("{json}{err}"));
    // It is a whole configuration: what is left is what the rules are.
    if let Some(named) = Value::as_object_mut(&mut rules).unwrap().remove("shop") {
        rules = named;
    }
    let object = rules.as_object_mut().unwrap();
    assert_eq!(object.remove("filename"), Some(json!(program)));
    let given = (!arguments.is_empty()).then(|| json!(arguments));
    assert_eq!(object.remove("main_arguments"), given);
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
    let wanted = json!({ "filename": program, "main_arguments": [base], "allowed_paths": [
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

/// Takes connections, and checks what comes, while the test runs.
fn hears(listener: TcpListener) {
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut text = String::new();
            connection.unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hello");
        }
    });
}

fn connection() -> Result<(), String> {
    let program = uses(Toolchain::Gcc);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let place = format!("127.0.0.1:{port}");
    let port = port.to_string();
    let arguments = ["connect", &port];
    hears(listener);
    let (status, rules, err) = learnt(&[], &program, &arguments);
    assert_eq!(status, 0, "{err}");
    assert_eq!(rules, json!({ "connect": [place] }), "{err}");
    let (status, _, err) = called(&program, &arguments, &json!({}));
    assert_eq!(status, 3, "{err}");
    assert!(err.contains("denied") && err.contains(&place), "{err}");
    assert_answers(&program, &arguments, &rules);
    Ok(())
}

fn exec_memory() -> Result<(), String> {
    let program = uses(Toolchain::Gcc);
    let needed = json!({ "executable_heap": true });
    let (status, rules, err) = learnt(&[], &program, &["execute", ""]);
    assert_eq!(status, 0, "{err}");
    assert_eq!(rules, needed, "{err}");
    assert_answers(&program, &["execute", ""], &rules);
    // It asks, and can do without.
    let (_, rules, err) = learnt(&[], &program, &["ask", ""]);
    assert_eq!(rules, json!({}), "{err}");
    let spare = "not needed for these requests: tinykvm.allow(";
    assert!(
        err.contains(spare) && err.contains(", exec_memory);"),
        "{err}"
    );
    let (_, rules, err) = learnt(&["--once"], &program, &["ask", ""]);
    assert_eq!(rules, needed, "{err}");
    for (how, beginning) in [("execute", "    tinykvm"), ("ask", "    # tinykvm")] {
        let (_, out, _) = finished(&mut command(&["learn", &program, how, ""]));
        let line = out.lines().find(|line| line.ends_with(", exec_memory);"));
        assert!(
            line.is_some_and(|line| line.starts_with(beginning)),
            "{out}"
        );
    }
    // Without it, the denial is in the log, once.
    let denied = |arguments: &[&str], call: &str| {
        let (status, _, err) = called(&program, arguments, &json!({}));
        let lines = err.lines().filter(|line| line.contains("executable_heap"));
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
    hears(listener);
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
    // What it had, and what it needs besides.
    let mut all = config.clone();
    all["allowed_paths"] = json!([one, two]);
    assert_eq!(rules, all, "{err}");
    Ok(())
}

/// The configuration is printed in the form in which it was given, and can be given as it is.
fn whole_configuration() -> Result<(), String> {
    let base = directory("learn-whole");
    let file = base.join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.display().to_string();
    let program = uses(Toolchain::Gcc);
    let named = format!(
        r#"// of a file
        {{ "shop": {{ "filename": "{program}", "max_memory": 64, "environment": ["A=1"] }} }}"#
    );
    let ways: [(&[&str], &str); 4] = [
        (&[&program, "read", &file], ""),
        (&["--config", &named, "--", "read", &file], "/shop"),
        (
            &["--name", "other", "--config", &named, "--", "read", &file],
            "/other",
        ),
        (&["--config", "-", &program, "read", &file], "/shop"),
    ];
    for (way, at) in ways {
        let input = base.join("input");
        std::fs::write(&input, &named).unwrap();
        let mut learn = command(&[&["learn", "--json", "--url", "/"], way].concat());
        learn.stdin(std::fs::File::open(&input).unwrap());
        let (status, json, err) = finished(&mut learn);
        assert_eq!(status, 0, "{way:?}: {err}");
        let printed: Value = serde_json::from_str(&json).unwrap();
        let config = printed.pointer(at).unwrap();
        assert_eq!(config["filename"], json!(program), "{json}");
        assert_eq!(config["allowed_paths"], json!([file]), "{json}");
        assert_eq!(config.get("max_memory").is_some(), !at.is_empty(), "{json}");
        let (status, out, err) = finished(&mut command(&["call", "--config", &json]));
        assert_eq!((status, out.as_str()), (0, "ok"), "{json}: {err}");
        let mut less = printed.clone();
        less.pointer_mut(at).unwrap()["allowed_paths"] = json!([]);
        let less = less.to_string();
        let (status, _, err) = finished(&mut command(&["call", "--config", &less]));
        assert_ne!(status, 0, "{less}: {err}");
    }
    std::fs::remove_dir_all(&base).unwrap();
    Ok(())
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
    // What does not even begin needs nothing.
    for absent in [base.join("absent").to_str().unwrap(), &file, "/etc/passwd"] {
        for json in [&[][..], &["--json"]] {
            let (status, out, err) = finished(&mut command(&[&["learn", absent], json].concat()));
            assert_eq!((status, out.as_str()), (3, ""), "{absent}: {err}");
            assert!(err.contains("no rules to print"), "{absent}: {err}");
        }
    }
    std::fs::remove_dir_all(&base).unwrap();
    Ok(())
}

/// Reads what a link in a tree leads to; creates files with random names, of which one stays;
/// answers what it was sent.
const ODD_FILES: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <tinykvm.h>
static const char *base;
static int make(const char *directory, int keep)
{
    char path[512];
    snprintf(path, sizeof path, "%s/x.XXXXXX", directory);
    int fd = mkstemp(path);
    if (fd >= 0 && !keep)
        unlink(path);
    return fd;
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data, size_t len)
{
    char path[512];
    for (int i = 0; i < 10; i++) {
        snprintf(path, sizeof path, "%s/links/%d", base, i);
        if (open(path, O_RDONLY) < 0)
            backend_response_str(500, "text/plain", path);
    }
    snprintf(path, sizeof path, "%s/cache", base);
    if (make("/tmp", 0) < 0 || make("/tmp", 1) < 0 || make(path, 1) < 0)
        backend_response_str(500, "text/plain", "not created");
    backend_response(200, "text/plain", 10, data, len);
}
int main(int argc, char **argv)
{
    base = argv[1];
    set_backend_post(post);
    wait_for_requests();
}
"#;

fn odd_files() -> Result<(), String> {
    let base = directory("learn-odd");
    for name in ["links", "cache"] {
        std::fs::create_dir(base.join(name)).unwrap();
    }
    for number in 0..9 {
        std::fs::write(base.join(format!("links/{number}")), "").unwrap();
    }
    std::fs::write(base.join("target"), "").unwrap();
    std::os::unix::fs::symlink(base.join("target"), base.join("links/9")).unwrap();
    let body = base.join("body");
    std::fs::write(&body, "sent").unwrap();
    let body = body.display().to_string();
    let text = base.display().to_string();
    let program = compile_c(ODD_FILES, &[]).display().to_string();
    let before: Vec<_> = random_names();
    // A name in the configuration is the name in the rules, too.
    let config = json!({ "shop": { "filename": program } }).to_string();
    let words = [
        "learn", "--json", "--body", &body, "--config", &config, "--", &text,
    ];
    let (status, out, err) = finished(&mut command(&words));
    assert_eq!(status, 0, "{err}");
    let rules: Value = serde_json::from_str(&out).unwrap();
    let rules = rules["shop"].clone();
    let own = "/var/lib/tinykvm/shop/tmp";
    let wanted = json!({ "filename": program, "main_arguments": [base], "allowed_paths": [
        { "real": own, "virtual": "/tmp", "prefix": true, "writable": true },
        { "real": format!("{text}/cache"), "prefix": true, "writable": true },
        { "real": format!("{text}/links"), "prefix": true },
        format!("{text}/target"),
    ]});
    assert_eq!(rules, wanted, "{err}");
    assert!(err.contains(own), "{err}");

    // Enough, and nothing that could be left out.
    let scratch = base.join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let answers = |rules: &Value| {
        let mut config = rules.clone();
        for path in config["allowed_paths"].as_array_mut().unwrap() {
            if path["virtual"] == "/tmp" {
                path["real"] = json!(scratch);
            }
        }
        config["main_arguments"] = json!([text]);
        let config = config.to_string();
        finished(&mut command(&[
            "call", &program, "--body", &body, "--config", &config,
        ]))
    };
    let (_, out, err) = answers(&rules);
    assert_eq!(out, "sent", "{err}");
    for left_out in 0..4 {
        let mut less = rules.clone();
        less["allowed_paths"]
            .as_array_mut()
            .unwrap()
            .remove(left_out);
        let (_, out, err) = answers(&less);
        assert_ne!(out, "sent", "without {left_out}: {err}");
    }
    for name in random_names()
        .into_iter()
        .filter(|name| !before.contains(name))
    {
        let _ = std::fs::remove_file(name);
    }
    std::fs::remove_dir_all(&base).unwrap();
    Ok(())
}

/// Files in `/tmp` that have such a name as the program gives them.
fn random_names() -> Vec<PathBuf> {
    let all = std::fs::read_dir("/tmp").unwrap().flatten();
    all.map(|entry| entry.path())
        .filter(|path| {
            path.to_str()
                .is_some_and(|path| path.starts_with("/tmp/x."))
        })
        .collect()
}
