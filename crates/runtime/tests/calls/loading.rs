//! From a configuration to a program that is ready, or to a message that says why not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tinykvm_runtime::{ConfigError, PlainTransaction, Programs, Verdict, counters};
use tinykvm_testkit::harness::Case;
use tinykvm_testkit::kvm::time_factor;

use crate::support::{bench, configured, file, from_file, get, shared};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("configuring", configuring),
        Case::new("files that are no programs", no_programs),
        Case::new("without KVM", without_kvm),
        Case::kvm("dynamically linked programs", dynamic),
        Case::kvm("a main that does not get there", bad_mains),
        Case::kvm("starting in the background", background),
        Case::kvm("a program that is put right", put_right),
        Case::kvm("closing gives everything back", closing),
        Case::kvm("arguments of main()", main_arguments),
    ]
}

const HELLO: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    backend_response_str(200, "text/plain", "hello");
}
int main(void) { set_backend_get(get); wait_for_requests(); }
"#;

/// The environment variable that makes this program the one that has no KVM.
const CHILD: &str = "TINYKVM_TEST_WITHOUT_KVM";

fn configuring() -> Result<(), String> {
    let programs = Programs::new();
    let unknown = programs.configure("x", r#"{"concurrency": 4}"#);
    assert!(
        matches!(unknown, Err(ConfigError::NoFile { .. })),
        "{unknown:?}"
    );
    assert!(programs.get("x").is_none());
    assert!(programs.start("x").is_err());
    assert!(programs.main_arguments("x", vec![b"a".to_vec()]).is_err());
    assert!(programs.configure("", r#"{"filename": "/x"}"#).is_err());
    programs
        .configure("x", r#"{"filename": "/nowhere"}"#)
        .unwrap();
    assert!(
        programs
            .configure("x", r#"{"concurrency": 10001}"#)
            .is_err()
    );
    let other = programs.configure("x", r#"{"filename": "/elsewhere"}"#);
    assert!(
        matches!(other, Err(ConfigError::OtherFile { .. })),
        "{other:?}"
    );
    programs
        .configure("x", r#"{"filename": "/nowhere", "stdout": true}"#)
        .unwrap();
    programs.replace_file("x", "/elsewhere").unwrap();
    programs.configure("x", r#"{"concurrency": 128}"#).unwrap();
    assert!(programs.main_arguments("x", Vec::new()).is_err());
    let program = programs.get("x").unwrap();
    assert_eq!(program.name(), "x");
    assert!(!program.is_ready());
    programs.start("x").unwrap();
    let late = programs.configure("x", "{}");
    assert!(
        matches!(late, Err(ConfigError::AlreadyStarted { .. })),
        "{late:?}"
    );
    Ok(())
}

fn expect_not_loaded(path: &Path, reason: &str) {
    let bench = from_file(path, "{}");
    for _ in 0..2 {
        let reply = bench.get("/");
        assert_eq!(
            (reply.verdict, reply.status),
            (Verdict::NotLoaded, 503),
            "{reply:?}"
        );
        let errors = &reply.transaction.errors;
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains(reason), "{errors:?}");
        assert!(
            errors[0].contains(&path.display().to_string()),
            "{errors:?}"
        );
    }
    assert!(bench.program.failure().unwrap().contains(reason));
}

fn no_programs() -> Result<(), String> {
    expect_not_loaded(Path::new("/nowhere/prog"), "No such file");
    expect_not_loaded(Path::new("/dev/zero"), "not a regular file");
    expect_not_loaded(Path::new("/"), "not a regular file");
    expect_not_loaded(Path::new("/dev/null/x"), "Not a directory");
    expect_not_loaded(Path::new("/nowhere/prog"), "there is no directory /nowhere");
    other_files()
}

/// Files that are something else.
fn other_files() -> Result<(), String> {
    let directory = tinykvm_testkit::paths::target().join("no-programs");
    fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let elf = |class: u8, kind: u16, machine: u16| {
        let mut file = b"\x7fELF\0\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file[4] = class;
        file.extend(kind.to_le_bytes());
        file.extend(machine.to_le_bytes());
        file.resize(200, 0);
        file
    };
    for (name, content, reason) in [
        ("empty", Vec::new(), "not an ELF program (0 bytes)"),
        (
            "text",
            b"some text\n".to_vec(),
            "not an ELF program (10 bytes)",
        ),
        (
            "cut",
            b"\x7fELF\x02\x01".to_vec(),
            "not a readable ELF file",
        ),
        (
            "script",
            b"#!/usr/bin/env python3\nprint(1)\n".to_vec(),
            "a script (#!/usr/bin/env python3), not an ELF program: configure its interpreter",
        ),
        (
            "hostile",
            b"#!/bin/sh\x1b[2J\rtinykvm p: ready".to_vec(),
            "a script (#!/bin/sh",
        ),
        (
            "aarch64",
            elf(2, 2, 183),
            "is for AArch64, and x86-64 is needed",
        ),
        (
            "i386",
            elf(1, 2, 3),
            "is for 32-bit x86, and x86-64 is needed",
        ),
        (
            "mips",
            elf(1, 2, 8),
            "is for another processor (ELF machine 8)",
        ),
        ("object", elf(2, 1, 62), "an object file that is not linked"),
        (
            "core",
            elf(2, 4, 62),
            "not a 64-bit little-endian x86-64 executable",
        ),
    ] {
        let path = directory.join(name);
        fs::write(&path, content).map_err(|error| error.to_string())?;
        expect_not_loaded(&path, reason);
    }
    // The emulated bed has no compiler.
    if time_factor() > 1 {
        return Ok(());
    }
    built_files(&directory)
}

/// What a compiler makes that is no program.
fn built_files(directory: &Path) -> Result<(), String> {
    for (name, flags, reason) in [
        (
            "library.so",
            &["-shared", "-fPIC"][..],
            "a shared library, not a program",
        ),
        ("object.o", &["-c"], "an object file that is not linked"),
    ] {
        let path = directory.join(name);
        let source = directory.join("source.c");
        fs::write(&source, "int f(void) { return 1; }").map_err(|error| error.to_string())?;
        let built = Command::new("gcc")
            .args(flags)
            .arg("-o")
            .arg(&path)
            .arg(&source)
            .status();
        assert!(built.is_ok_and(|status| status.success()), "{name}");
        expect_not_loaded(&path, reason);
    }
    Ok(())
}

/// The device is opened once per process, so this needs one of its own.
fn without_kvm() -> Result<(), String> {
    if std::env::var_os(CHILD).is_some() {
        let bench = bench(HELLO);
        let reply = bench.get("/");
        assert_eq!(
            (reply.verdict, reply.status),
            (Verdict::NoKvm, 503),
            "{reply:?}"
        );
        let errors = &reply.transaction.errors;
        assert!(errors[0].contains("/nonexistent/kvm"), "{errors:?}");
        assert!(errors[0].contains("doctor"), "{errors:?}");
        return Ok(());
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "without KVM"])
        .env(CHILD, "1")
        .env("TINYKVM_DEVICE", "/nonexistent/kvm")
        .env_remove("REQUIRE_KVM")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(text)
    }
}

fn dynamic() -> Result<(), String> {
    expect_not_loaded(Path::new("/bin/ls"), "needs the interpreter");
    // Without one, nothing loads what is to be loaded before it.
    for (variable, told) in [
        ("LD_PRELOAD=/srv/library.so", true),
        ("LD_DEBUG=all", false),
    ] {
        let bench = shared("echo.c", &format!(r#"{{"environment": ["{variable}"]}}"#));
        bench.program.wait_until_ready().expect("it starts");
        let journal = bench.journal.0.lock().map_err(|error| error.to_string())?;
        let vain = |line: &String| line.contains("it is statically linked");
        assert_eq!(journal.iter().any(vain), told, "{journal:?}");
    }
    Ok(())
}

fn bad_mains() -> Result<(), String> {
    for (mode, reason) in [
        ("init_assert", "signal 6"),
        (
            "init_loop",
            "time limit of 500ms exceeded (max_boot_time), running at 0x",
        ),
        (
            "init_sleep",
            "time limit of 500ms exceeded (max_boot_time), waiting in clock_nanosleep",
        ),
        (
            "init_read",
            "time limit of 500ms exceeded (max_boot_time), waiting in read of descriptor 3",
        ),
        (
            "init_exit",
            "exited with status 0 (a program calls wait_for_requests()",
        ),
        ("init_return", "exited with status 0"),
        ("init_respond", "answered a request before there was one"),
        ("init_hog", ""),
    ] {
        let json =
            format!(r#"{{"main_arguments": ["{mode}"], "max_boot_time": 0.5, "max_memory": 64}}"#);
        let bench = shared("misbehave.c", &json);
        for _ in 0..2 {
            let reply = bench.get("/ok");
            assert_eq!(
                (reply.verdict, reply.status),
                (Verdict::NotLoaded, 503),
                "{mode}"
            );
            let told = &reply.transaction.errors[0];
            assert!(told.contains("did not reach its wait call"), "{told}");
            assert!(told.contains(reason), "{told}");
        }
    }
    // The message quotes what the program said last.
    let json = r#"{"main_arguments": ["init_assert"]}"#;
    let told = shared("misbehave.c", json).get("/ok").transaction.errors;
    assert!(told[0].contains("Assertion"), "{told:?}");
    // What it was refused is why it ended.
    let source = r"
        #include <stdlib.h>
        int main(void) { void *volatile all = malloc(300 << 20); return all ? 1 : 9; }
    ";
    let told = configured(source, r#"{"max_memory": 64}"#)
        .get("/")
        .transaction
        .errors;
    let reason = "exited with status 9; before that, mmap: no memory is left for a mapping of 301 MiB \
                  (max_memory is 64 MiB)";
    assert!(told[0].contains(reason), "{told:?}");
    Ok(())
}

fn background() -> Result<(), String> {
    let bench = bench(HELLO);
    bench.programs.start("prog").unwrap();
    bench.programs.start("prog").unwrap();
    let start = Instant::now();
    while !bench.program.is_ready() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let journal = bench.journal.0.lock().unwrap().clone();
    assert!(
        journal.last().unwrap().contains("ready after"),
        "{journal:?}"
    );
    bench.get("/").is(200, "hello");
    Ok(())
}

fn put_right() -> Result<(), String> {
    let directory = std::env::temp_dir().join(format!("tinykvm-test-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join("prog");
    let bench = from_file(&path, "{}");
    assert_eq!(bench.get("/").verdict, Verdict::NotLoaded);
    // Nothing changed: the same answer at once.
    let start = Instant::now();
    assert_eq!(bench.get("/").verdict, Verdict::NotLoaded);
    assert!(start.elapsed() < Duration::from_millis(500));
    // There now: no waiting for the next try.
    fs::copy(file(HELLO), &path).unwrap();
    bench.get("/").is(200, "hello");
    fs::remove_dir_all(&directory).unwrap();
    Ok(())
}

fn closing() -> Result<(), String> {
    let bench = bench(HELLO);
    bench.get("/").is(200, "hello");
    bench.programs.close();
    let reply = bench.get("/");
    assert_eq!((reply.verdict, reply.status), (Verdict::NotLoaded, 503));
    assert!(reply.transaction.errors[0].contains("unloaded"));
    // A response that is still being read keeps its VM, and no longer.
    let source = HELLO.replace(
        r#"backend_response_str(200, "text/plain", "hello")"#,
        r#"backend_response(200, "a/b", 3, malloc(100000), 100000)"#,
    );
    let other = crate::support::bench(&source);
    let mut transaction = PlainTransaction::backend();
    let response = other.program.call(&get("/"), &mut transaction);
    drop(other);
    assert!(response.body.holds_vm());
    assert_eq!(response.body.into_bytes().len(), 100_000);
    assert!(counters().calls.load(Ordering::Relaxed) >= 3);
    Ok(())
}

fn main_arguments() -> Result<(), String> {
    let bench = shared("misbehave.c", "{}");
    bench
        .programs
        .main_arguments("prog", vec![b"init_exit".to_vec()])
        .unwrap();
    assert_eq!(bench.get("/ok").verdict, Verdict::NotLoaded);
    Ok(())
}
