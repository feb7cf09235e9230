//! Every option with values at and over its edges, and every way in which a command can end: no
//! panic, no hang, a documented exit status, and a message where it is not 0.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

#[allow(dead_code, reason = "each test takes what it needs")]
mod support;

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use support::{command, finished};
use tinykvm_testkit::compile_c;
use tinykvm_testkit::harness::{Case, run};

/// Longer than any of these takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Answers every request with its body, prints what it was told to, or never gets ready.
const SOURCE: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    static char large[1 << 20];
    memset(large, 'x', sizeof large);
    backend_response(200, "text/plain", 10, large, strcmp(url, "/large") ? 5 : sizeof large);
}
static void post(const char *url, const char *arg, const char *type, const uint8_t *data,
                 size_t len)
{
    backend_response(200, type, strlen(type), data, len);
}
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "never") == 0) {
        puts("begun");
        fflush(stdout);
        for (;;)
            ;
    }
    if (argc > 1)
        puts(argv[1]);
    set_backend_get(get);
    set_backend_post(post);
    wait_for_requests();
}
"#;

fn program() -> String {
    compile_c(SOURCE, &[]).display().to_string()
}

fn main() -> ExitCode {
    run(vec![
        Case::new("help of every command", help),
        Case::kvm("every option at and over its edges", options),
        Case::kvm("configurations from everywhere", configurations),
        Case::kvm("bodies from everywhere", bodies),
        Case::kvm("output that can't be written", outputs),
        Case::kvm("signals while a program boots", signals),
    ])
}

const COMMANDS: [&str; 6] = ["run", "call", "filter", "bench", "doctor", "learn"];

fn help() -> Result<(), String> {
    for name in COMMANDS {
        for option in ["--help", "-h"] {
            let (status, out, err) = finished(&mut command(&[name, option]));
            assert_eq!((status, err.as_str()), (0, ""), "{name}");
            assert!(out.contains("Usage: tinykvm"), "{name}: {out}");
            assert!(out.contains("Exit status: 0"), "{name}: {out}");
        }
        // Each option has a line of its own that says what it is for.
        let (_, out, _) = finished(&mut command(&[name, "--help"]));
        let lines: Vec<_> = out.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.trim_start().starts_with('-') && line.starts_with("  ") {
                let told = line.contains("  Print") || !lines[at + 1].trim().is_empty();
                assert!(told, "{name}: {line}");
            }
        }
    }
    for wrong in [&[][..], &["nonsense"], &["run"], &["--nonsense"]] {
        let (status, _, err) = finished(&mut command(wrong));
        assert_eq!(status, 2, "{wrong:?}: {err}");
        assert!(!err.is_empty(), "{wrong:?}");
    }
    Ok(())
}

/// Runs a command to its end, with nothing on standard input.
fn ended(command: &mut Command) -> (ExitStatus, String, String) {
    command.stdin(Stdio::null());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    ended_child(child.unwrap())
}

fn ended_child(mut child: Child) -> (ExitStatus, String, String) {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    fn read(source: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut source) = source {
                source.read_to_end(&mut bytes).unwrap();
            }
            bytes
        })
    }
    let (out, err) = (read(out), read(err));
    let status = wait(&mut child);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status, text(out.join().unwrap()), text(err.join().unwrap()))
}

fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    panic!("it does not end");
}

/// Checks how it ended: a documented status, no panic, and a reason unless all is well.
fn check(words: &[&str], wanted: &[i32]) -> (String, String) {
    let (status, out, err) = ended(&mut command(words));
    let shown: Vec<_> = words
        .iter()
        .map(|word| &word[..word.len().min(80)])
        .collect();
    let code = status
        .code()
        .unwrap_or_else(|| panic!("{shown:?}: {status}: {err}"));
    assert!(
        wanted.contains(&code),
        "{shown:?}: {code}, not {wanted:?}: {err}"
    );
    assert!(!err.contains("panicked"), "{shown:?}: {err}");
    assert!(
        code == 0 || !err.trim().is_empty(),
        "{shown:?}: {code} without a word"
    );
    assert!(
        err.len() < 20_000,
        "{shown:?}: {} bytes of messages",
        err.len()
    );
    (out, err)
}

/// The options that take a value: command, option, values that do, and values that do not.
const VALUES: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "call",
        "--url",
        &["/", "-x", "*", "/%00"],
        &["", "/a b", "/\n", "/\x7f"],
    ),
    ("call", "--arg", &["", "-", "--", "a b\n", "\u{202e}"], &[]),
    (
        "call",
        "--method",
        &["GET", "M-SEARCH"],
        &["", "G T", "GET\n", "GÉT"],
    ),
    ("call", "-X", &["PUT"], &["", ":"]),
    (
        "call",
        "--header",
        &["a:", "a: b", "a:b:c", "a: \u{e9}"],
        &["", ":", ": b", "a", "a b: c", "a\n: b", "a: b\r\nc: d"],
    ),
    (
        "call",
        "--name",
        &["a", "a.b-c_1"],
        &["", "a b", "/", "tinykvm", "\n"],
    ),
    (
        "bench",
        "--count",
        &["1"],
        &["0", "-1", "4294967295", "4294967296", "1.5", "", "x"],
    ),
    (
        "bench",
        "--threads",
        &["1", "3"],
        &["0", "256", "-1", "", "x"],
    ),
    (
        "bench",
        "--status",
        &["200"],
        &["99", "1000", "", "x", "-1"],
    ),
    (
        "filter",
        "--part",
        &["1", "4294967295"],
        &["0", "4294967296", "-1", "", "x"],
    ),
    ("filter", "--arg", &["", "-"], &[]),
    ("filter", "--filter-config", &["", "-"], &[]),
    ("filter", "--header", &["a: b"], &["a", ":"]),
    ("filter", "--request-header", &["a: b"], &["a", ":"]),
    ("learn", "--url", &["/"], &["", "/a b"]),
];

fn options() -> Result<(), String> {
    let program = program();
    for (name, option, right, wrong) in VALUES {
        let small: &[&str] = match *name {
            "bench" if *option != "--count" => &["-n", "1"],
            "learn" => &["--once"],
            _ => &[],
        };
        // The program has no function for filters, which is said.
        let done: &[i32] = if *name == "filter" { &[1] } else { &[0] };
        for (values, wanted) in [(right, done), (wrong, &[2][..])] {
            for value in *values {
                check(
                    &[&[name, &program[..], option, value], small].concat(),
                    wanted,
                );
            }
        }
        // Without a value, and what there is no such thing as.
        check(&[name, &program, option], &[2]);
        check(&[name, &format!("{option}x"), "1", &program], &[2]);
    }
    let threads = [
        "bench",
        &program,
        "-n",
        "20",
        "-t",
        "5",
        "--config",
        r#"{ "concurrency": 2 }"#,
    ];
    let (out, err) = check(&threads, &[0]);
    assert!(out.contains("100 in 5 thread(s)"), "{out}");
    assert!(err.contains("5 threads have 2 VMs"), "{err}");
    // More than can be kept in memory.
    check(&["bench", &program, "-n", "4294967295", "-t", "255"], &[2]);
    check(
        &[
            "bench", &program, "-n", "2", "--url", "/", "--status", "201",
        ],
        &[1],
    );
    for (odd, wanted) in [
        ("/", 3),
        ("/dev/null", 3),
        ("/dev/zero", 3),
        ("/nowhere", 3),
        ("", 2),
    ] {
        check(&["run", odd], &[wanted, 2]);
        check(&["doctor", odd], &[2, 0]);
    }
    Ok(())
}

/// A directory of this process.
struct Ground(PathBuf);

impl Ground {
    fn new(name: &str) -> Self {
        let top = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&top);
        std::fs::create_dir_all(&top).unwrap();
        Self(top)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    fn pipe(&self, name: &str) -> String {
        let made = Command::new("mkfifo").arg(self.path(name)).status();
        assert!(made.unwrap().success());
        self.path(name)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs a command that gets `input` on standard input.
fn fed(words: &[&str], input: &[u8]) -> (i32, String, String) {
    let mut child = command(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let (status, out, err) = ended_child(child);
    feeding.join().unwrap();
    assert!(!err.contains("panicked"), "{words:?}: {err}");
    (status.code().unwrap(), out, err)
}

fn configurations() -> Result<(), String> {
    let program = program();
    let ground = Ground::new("configurations");
    let one = format!(r#"{{ "filename": "{program}" }}"#);
    let two = format!(r#"{{ "a": {one}, "b": {{ "filename": "/nowhere" }} }}"#);
    let file = ground.file("one.json", &one);
    let pipe = ground.pipe("pipe");
    for (config, input) in [(&one[..], ""), (&file, ""), ("-", &one), (&pipe, "")] {
        for name in ["run", "call", "bench", "learn"] {
            let mut words = vec![name, "--config", config];
            words.extend(match name {
                "bench" => &["-n", "1"][..],
                _ => &[],
            });
            let writer = (config == pipe).then(|| {
                let (pipe, text) = (pipe.clone(), one.clone());
                std::thread::spawn(move || {
                    let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
                    pipe.write_all(text.as_bytes()).unwrap();
                })
            });
            let (status, _, err) = fed(&words, input.as_bytes());
            assert_eq!(status, 0, "{words:?}: {err}");
            if let Some(writer) = writer {
                writer.join().unwrap();
            }
        }
    }
    // Of several programs, one is named.
    for name in ["run", "call", "learn"] {
        check(&[name, "--config", &two, "--name", "a"], &[0]);
        check(&[name, "--config", &two, "--name", "b"], &[3]);
        for more in [&["--name", "c"][..], &[]] {
            let words = [&[name, "--config", &two], more].concat();
            let (_, err) = check(&words, &[2]);
            assert!(
                err.contains("\"a\", \"b\"") && err.contains("--name"),
                "{err}"
            );
        }
    }
    let broken = ground.file("broken.json", "{ \"filename\": ");
    let binary = ground.path("binary");
    std::fs::write(&binary, [b'{', 0xff]).unwrap();
    let top = ground.path("");
    let odd = [
        &broken,
        &binary,
        &top,
        "/nowhere.json",
        "/dev/zero",
        "",
        "[]",
        "{",
        "{}",
        "null",
    ];
    for config in odd {
        for name in ["run", "call", "filter", "bench", "learn"] {
            check(&[name, "--config", config], &[2]);
        }
    }
    let (status, _, err) = fed(&["call", "--config", "-", "--body", "-"], one.as_bytes());
    assert_eq!(status, 2, "{err}");
    assert!(err.contains("for --config, or for --body"), "{err}");
    Ok(())
}

fn bodies() -> Result<(), String> {
    let program = program();
    let ground = Ground::new("bodies");
    let small = ground.file("small", "content");
    let empty = ground.file("empty", "");
    let large = ground.path("large");
    File::create(&large).unwrap().set_len(1 << 30).unwrap();
    let pipe = ground.pipe("pipe");
    let call = |body: &str, wanted: i32| check(&["call", &program, "--body", body], &[wanted]);
    assert_eq!(call(&small, 0).0, "content");
    // Without a byte it is no body, whatever the method.
    assert_eq!(call(&empty, 0).0, "xxxxx");
    assert_eq!(call("-", 0).0, "xxxxx");
    for missing in ["/nowhere", "@/nowhere", "", &ground.path("")] {
        call(missing, 2);
    }
    let (_, err) = call(&format!("@{small}"), 2);
    assert!(err.contains(&format!("without the @: {small}")), "{err}");
    // As a client's would be that is larger than `max_body`; what has no end, too.
    for body in [&large, "/dev/zero"] {
        let (out, err) = call(body, 1);
        assert!(out.is_empty() && err.contains("64 MiB (max_body"), "{err}");
    }
    let writer = {
        let pipe = pipe.clone();
        std::thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(pipe).unwrap();
            pipe.write_all(b"piped").unwrap();
        })
    };
    assert_eq!(call(&pipe, 0).0, "piped");
    writer.join().unwrap();
    let twice = ["call", &program, "--body", "-", "--next", "--body", "-"];
    let (_, err) = check(&twice, &[2]);
    assert!(err.contains("standard input can be read once"), "{err}");
    let (status, out, _) = fed(&["call", &program, "--body", "-"], b"fed");
    assert_eq!((status, out.as_str()), (0, "fed"));
    Ok(())
}

/// Standard output, or error, is full, closed, or nobody reads it.
fn outputs() -> Result<(), String> {
    let program = program();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let large = ["call", &program, "--url", "/large"];
    let commands: [&[&str]; 7] = [
        &["run", &program, "text"],
        &["call", &program],
        &large,
        &["bench", &program, "-n", "1"],
        &["learn", &program, "--once"],
        &["doctor", &program],
        &["doctor"],
    ];
    for words in commands {
        let mut command = command(words);
        let child = command.stdout(full()).stderr(Stdio::piped()).spawn();
        let (status, _, err) = ended_child(child.unwrap());
        assert_eq!(status.code(), Some(2), "{words:?}: {err}");
        assert!(
            err.contains("standard output: No space left"),
            "{words:?}: {err}"
        );

        // Messages that can't be written change nothing.
        let child = command.stdout(Stdio::piped()).stderr(full()).spawn();
        let (status, _, _) = ended_child(child.unwrap());
        assert!(
            status.code().is_some_and(|code| code < 2),
            "{words:?}: {status}"
        );

        // Whoever reads has seen enough.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn();
        let (status, _, err) = ended_child(child.unwrap());
        assert_eq!(status.code(), Some(0), "{words:?}: {err}");
        assert!(!err.contains("panicked"), "{words:?}: {err}");
    }
    for closed in [">&-", "2>&-", "<&- >&- 2>&-"] {
        let mut shell = Command::new("sh");
        let path = env!("CARGO_BIN_EXE_tinykvm");
        shell.args(["-c", &format!("exec {path} call {program} {closed}")]);
        let (status, _, err) = ended(&mut shell);
        assert!(
            status.code().is_some_and(|code| code <= 2),
            "{closed}: {status}: {err}"
        );
    }
    Ok(())
}

fn signals() -> Result<(), String> {
    let program = program();
    for signal in ["INT", "TERM", "HUP"] {
        for name in ["run", "learn"] {
            // A background job of a shell ignores interrupts, and so does what it starts.
            let mut child = Command::new("env")
                .args(["--default-signal", env!("CARGO_BIN_EXE_tinykvm")])
                .args([name, &program, "never"])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            // It has begun when it says so, wherever it says it.
            let mut told = [0; 4096];
            let count = match name {
                "run" => child.stdout.as_mut().unwrap().read(&mut told),
                _ => child.stderr.as_mut().unwrap().read(&mut told),
            };
            assert!(count.unwrap() > 0, "{name}");
            let sent = Command::new("kill")
                .args([&format!("-{signal}"), &child.id().to_string()])
                .status();
            assert!(sent.unwrap().success());
            let begun = Instant::now();
            let status = wait(&mut child);
            assert!(status.signal().is_some(), "{name} {signal}: {status}");
            assert!(begun.elapsed() < Duration::from_secs(10), "{name} {signal}");
        }
    }
    Ok(())
}
