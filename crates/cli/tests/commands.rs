//! The command as a user runs it.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

mod support;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Output, Stdio};

use support::{command, finished};
use tinykvm_testkit::compile_c;
use tinykvm_testkit::harness::{Case, run};

const SOURCE: &str = r#"
#include <tinykvm.h>
static void get(const char *url, const char *arg)
{
    if (strcmp(url, "/crash") == 0)
        __builtin_trap();
    if (strcmp(url, "/404") == 0)
        backend_response_str(404, "text/plain", "nothing\n");
    if (strcmp(url, "/name") == 0)
        backend_response_str(200, "text/plain", getenv("KVM_NAME"));
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
        Case::kvm("several requests to one started program", several_requests),
        Case::kvm("name and file from the configuration", from_configuration),
        Case::new("doctor of a program", doctor_of_a_program),
        Case::new(
            "doctor of a program with libraries beside it",
            doctor_of_origin,
        ),
        Case::new(
            "doctor of a program with indirect libraries",
            doctor_of_indirect_libraries,
        ),
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
    // What begins with a dash is an argument like others.
    for argument in ["-r", "--url", "-"] {
        let call = ["call", &program, "--arg", argument];
        let (status, _, err) = finished(&mut command(&call));
        assert_eq!(status, 0, "{err}");
        assert!(err.contains(&format!("got / {argument}\n")), "{err}");
    }
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

    // What is measured is answers, not how fast there are none.
    let bench = ["bench", &program, "-n", "5", "--url", "/404"];
    let (status, out, err) = finished(&mut command(&bench));
    assert_eq!((status, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("/404") && err.contains("status 404"), "{err}");
    for (expected, wanted) in [("404", 0), ("200", 1)] {
        let options = [&bench[..], &["--status", expected]].concat();
        assert_eq!(finished(&mut command(&options)).0, wanted, "{expected}");
    }
    // A later request that fails is found, too.
    let options = ["bench", &program, "-n", "5", "--next", "--url", "/404"];
    assert_eq!(finished(&mut command(&options)).0, 1);
    let options = [
        &options[..],
        &["--next", "--url", "/name", "--status", "200"],
    ]
    .concat();
    let (status, _, err) = finished(&mut command(&options));
    assert_eq!(status, 2);
    assert!(err.contains("--status"), "{err}");
    Ok(())
}

fn several_requests() -> Result<(), String> {
    let program = program();
    let next = ["--next", "--url", "/name", "--next", "--body", "/dev/null"];
    let call = [&["call", &program, "--url", "/404", "-i"], &next[..]].concat();
    let (status, out, err) = finished(&mut command(&call));
    assert_eq!(status, 0, "{err}");
    let statuses: Vec<_> = out
        .split("status: ")
        .skip(1)
        .map(|text| &text[..3])
        .collect();
    assert_eq!(statuses, ["404", "200", "201"], "{out}");
    assert_eq!(err.matches("ready after").count(), 1, "{err}");
    // The first failure is what the exit status tells, and the rest is done all the same.
    let call = [
        "call", &program, "--url", "/crash", "--next", "--url", "/name",
    ];
    let (status, out, _) = finished(&mut command(&call));
    assert_eq!(status, 1);
    assert!(!out.is_empty());
    Ok(())
}

fn from_configuration() -> Result<(), String> {
    let program = program();
    let file = std::env::temp_dir().join(format!("tinykvm-config-{}.json", std::process::id()));
    let path = file.to_str().unwrap();
    let named = format!(r#"{{ "shop": {{ "filename": "{program}" }} }}"#);
    let plain = format!("// a program\n{{ \"filename\": \"{program}\" }}");
    std::fs::write(&file, &plain).unwrap();
    let stem = std::path::Path::new(&program).file_stem().unwrap();
    let stem = stem.to_str().unwrap();
    let ways: [(&[&str], &str); 6] = [
        (&["--config", path], stem),
        (&["--config", &plain], stem),
        (&["--config", &named], "shop"),
        (&["--config", &named, "--name", "other"], "other"),
        (&[&program, "--name", "other"], "other"),
        // The command line goes before the configuration.
        (
            &[
                &program,
                "--config",
                r#"{ "shop": { "filename": "/nowhere" } }"#,
            ],
            "shop",
        ),
    ];
    for (way, name) in ways {
        let call = [&["call", "--url", "/name"], way].concat();
        let (status, out, err) = finished(&mut command(&call));
        assert_eq!((status, out.as_str()), (0, name), "{way:?}: {err}");
    }
    for command_line in [
        &["run", "--config", path, "--", "--one"][..],
        &["run", &program, "--one"],
    ] {
        let (status, out, err) = finished(&mut command(command_line));
        assert_eq!((status, out.as_str()), (0, "--one\n"), "{err}");
    }
    // Of a command that makes requests, too: what main() says is in the log.
    for command_line in [
        &["call", &program, "--", "--one"][..],
        &["call", "--config", path, "--url", "/name", "--", "--one"],
        &["call", &program, "--next", "--url", "/name", "--", "--one"],
        &["bench", &program, "-n", "3", "--", "--one"],
        &[
            "bench", "--config", path, "-n", "3", "--next", "--", "--one",
        ],
    ] {
        let (status, _, err) = finished(&mut command(command_line));
        assert_eq!(status, 0, "{command_line:?}: {err}");
        assert!(err.contains(" says: --one\n"), "{command_line:?}: {err}");
    }
    std::fs::remove_file(&file).unwrap();
    for lacking in [
        &["call"][..],
        &["call", "--config", r#"{ "concurrency": 1 }"#],
    ] {
        let (status, _, err) = finished(&mut command(lacking));
        assert_eq!(status, 2);
        assert!(err.contains("\"filename\""), "{err}");
    }
    let (_, _, err) = finished(&mut command(&["call", "--config", "[]"]));
    assert!(err.contains("an object of keys and values"), "{err}");
    // The line is that of the whole text.
    let wrong = "{\n  \"shop\": {\n    \"filname\": \"/x\"\n  }\n}";
    let (status, _, err) = finished(&mut command(&["call", "--config", wrong]));
    assert_eq!(status, 2);
    assert!(err.contains("line 3") && err.contains("filname"), "{err}");
    Ok(())
}

fn doctor_command() -> Result<(), String> {
    let (_, out, _) = finished(&mut command(&["doctor"]));
    for line in ["Linux", "KVM_CAP_SYNC_REGS", "open files", "KVM "] {
        assert!(out.contains(line), "no {line} in:\n{out}");
    }
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

/// A directory in which programs and libraries are built.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&base);
        std::fs::create_dir_all(base.join("lib/inner")).unwrap();
        let workshop = Self(base.canonicalize().unwrap());
        let shared = ["-shared", "-fPIC"];
        workshop.build(
            "int two(void) { return 2; }",
            "lib/inner/libtwo.so",
            &shared,
        );
        workshop
    }

    fn build(&self, source: &str, to: &str, flags: &[&str]) {
        let mut gcc = Command::new("gcc");
        gcc.current_dir(&self.0).args(["-x", "c", "-", "-o", to]);
        let mut child = gcc.args(flags).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(source.as_bytes()).unwrap();
        drop(stdin);
        assert!(child.wait().unwrap().success(), "{to}");
    }

    /// A library that needs that in lib/inner.
    fn library(&self, flags: &[&str]) {
        let source = "int two(void); int one(void) { return two(); }";
        let own = ["-shared", "-fPIC", "-Llib/inner", "-ltwo"];
        self.build(source, "lib/libone.so", &[&own, flags].concat());
    }

    /// A program that needs it.
    fn program(&self, flags: &[&str]) -> String {
        let source = "int one(void); int main(void) { return one() - 2; }";
        let own = ["-Llib", "-lone", "-Wl,-rpath-link,lib/inner"];
        self.build(source, "program", &[&own, flags].concat());
        self.0.join("program").display().to_string()
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const RUNPATH: &str = "-Wl,--enable-new-dtags";
const RPATH: &str = "-Wl,--disable-new-dtags";

/// Libraries that are named by their place: that of the program, that of the library.
fn doctor_of_origin() -> Result<(), String> {
    let workshop = Workshop::new("origin");
    for (tags, list) in [(RUNPATH, "$ORIGIN/lib"), (RPATH, "/nowhere:${ORIGIN}/lib")] {
        workshop.library(&[tags, "-Wl,-rpath,$ORIGIN/inner"]);
        let program = workshop.program(&[tags, &format!("-Wl,-rpath,{list}")]);
        let doctor = || finished(&mut command(&["doctor", &program]));
        let (status, out, err) = doctor();
        assert_eq!(status, 0, "{list}: {out}{err}");
        let two = workshop.0.join("lib/inner/libtwo.so");
        for path in [&workshop.0.join("lib/libone.so"), &two] {
            let name = path.file_name().unwrap().to_str().unwrap();
            let path = path.display();
            assert!(
                out.contains(&format!("{name} => {path}\n")),
                "{list}: {out}"
            );
            assert!(
                out.contains(&format!("read, \"{path}\");")),
                "{list}: {out}"
            );
        }
        // What the dynamic loader would not find is not found.
        let elsewhere = workshop.0.join("libtwo.so");
        std::fs::rename(&two, &elsewhere).unwrap();
        let (status, out, _) = doctor();
        std::fs::rename(&elsewhere, &two).unwrap();
        assert_eq!(status, 1, "{list}: {out}");
        let missing = "[!!] libtwo.so: not found, needed by";
        assert!(out.contains(missing), "{list}: {out}");
    }
    Ok(())
}

/// Directories that a program names are for libraries of its libraries, too, if they are
/// `DT_RPATH`, and not if they are `DT_RUNPATH`.
fn doctor_of_indirect_libraries() -> Result<(), String> {
    let workshop = Workshop::new("indirect");
    workshop.library(&[]);
    for (tags, wanted) in [(RUNPATH, 1), (RPATH, 0)] {
        let program = workshop.program(&[tags, "-Wl,-rpath,$ORIGIN/lib:$ORIGIN/lib/inner"]);
        let runs = Command::new(&program).stderr(Stdio::null()).status();
        assert_eq!(runs.unwrap().success(), wanted == 0, "{tags}");
        let (status, out, _) = finished(&mut command(&["doctor", &program]));
        assert_eq!(status, wanted, "{tags}: {out}");
    }
    Ok(())
}
