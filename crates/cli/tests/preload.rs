//! Programs that know of nothing, by the preloaded library: what they answer is what they print
//! natively, wherever they are frozen.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::json;
use support::{command, finished};
use tinykvm_testkit::harness::{Case, run};
use tinykvm_testkit::paths;

const TEXT: &str = "pear 3\napple 1\nfig 22\napple 1\n{\"a\": [1, 2]}\n";

/// Programs of the distribution, with arguments. All read standard input; most of them close
/// standard output at their end, to notice a full disk.
const TOOLS: &[(&str, &[&str])] = &[
    ("sort", &[]),
    ("sort", &["-r", "-u"]),
    ("sed", &["s/a/b/"]),
    ("grep", &["apple"]),
    ("grep", &["-c", "e"]),
    ("base64", &[]),
    ("xz", &["-c", "-1"]),
    ("gzip", &["-cn"]),
    ("cut", &["-d", " ", "-f", "2"]),
    ("head", &["-n", "2"]),
    ("tail", &["-n", "2"]),
    ("wc", &["-c"]),
    ("wc", &["-l", "-w"]),
    ("uniq", &["-c"]),
    ("tr", &["a-z", "A-Z"]),
    ("sha256sum", &[]),
    ("cat", &[]),
    ("od", &["-c"]),
    ("mawk", &["{ print NR, $1 }"]),
    ("perl", &["-ne", "print if /a/"]),
    ("jq", &["-R", "-c", "."]),
];

/// Prints what it was asked for; whether two requests share their beginning shows where it was
/// frozen.
const PROGRAM: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
static unsigned long begun;
__attribute__((constructor)) static void begin(void) { getrandom(&begun, sizeof begun, 0); }
int main(int count, char **arguments)
{
    char line[100];
    const char *how = count > 1 ? arguments[1] : "";
    printf("begun %lx\n", begun);
    if (!strcmp(how, "open")) {
        FILE *file = fopen(arguments[2], "r");
        printf("opened %s\n", file && fgets(line, sizeof line, file) ? line : "nothing");
    }
    if (!strcmp(how, "syscalls")) {
        long length = read(0, line, sizeof line - 1);
        line[length < 0 ? 0 : length] = 0;
        printf("read %s\n", line);
    } else {
        while (fgets(line, sizeof line, stdin))
            printf("line %s", line);
    }
    if (!strcmp(how, "close"))
        return fclose(stdout) != 0;
    if (!strcmp(how, "all")) {
        fflush(stdout);
        closefrom(1);
    }
    if (!strcmp(how, "_exit")) {
        fflush(stdout);
        _exit(0);
    }
    if (!strcmp(how, "fail")) {
        fputs("this went wrong\n", stderr);
        return 3;
    }
    return 0;
}
"#;

const RUST: &str = r#"
use std::io::Read;
fn main() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let url = std::env::var("TINYKVM_URL").unwrap_or_default();
    println!("{arguments:?} {url} {}", text.len());
}
"#;

const CPP: &str = r#"
#include <fstream>
#include <iostream>
#include <string>
int main(int count, char **arguments)
{
    std::string word;
    if (count > 1) {
        std::ifstream file(arguments[1]);
        file >> word;
        std::cout << "file " << word << "\n";
    }
    while (std::cin >> word)
        std::cout << word << ";";
    std::cout << std::endl;
}
"#;

fn main() -> ExitCode {
    run(vec![
        Case::kvm("programs of the distribution", tools),
        Case::kvm("every end of a program", ends),
        Case::kvm("where it is frozen", points),
        Case::kvm("the request in arguments and environment", tells),
        Case::kvm("a failure is an answer of 500", failures),
        Case::kvm("a point that is none", wrong_point),
    ])
}

/// A directory with the library and programs built for it.
struct Workshop(PathBuf);

impl Workshop {
    fn new(name: &str) -> Self {
        let base = std::env::temp_dir().join(format!("tinykvm-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(&base).unwrap();
        let workshop = Self(base.canonicalize().unwrap());
        // As its own text says.
        let mut gcc = Command::new("gcc");
        gcc.current_dir(paths::top())
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared"]);
        gcc.args(["-fPIC", "-Wl,-z,initfirst", "-Iguest/c/include"]);
        gcc.args(["guest/preload/tinykvm_main.c", "-o"]);
        assert!(
            gcc.arg(workshop.path("preload.so"))
                .status()
                .unwrap()
                .success()
        );
        workshop
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.0.join(name), text).unwrap();
        self.path(name)
    }

    fn build(&self, name: &str, compiler: &[&str], source: &str) -> String {
        let from = self.write(&format!("{name}.source"), source);
        let mut build = Command::new(compiler[0]);
        build
            .args(&compiler[1..])
            .arg(from)
            .arg("-o")
            .arg(self.path(name));
        assert!(build.status().unwrap().success(), "{name}");
        self.path(name)
    }

    fn c(&self) -> String {
        self.build("program", &["gcc", "-O2", "-xc", "-D_GNU_SOURCE"], PROGRAM)
    }

    /// What two requests are answered: status and body.
    fn answers(&self, what: &What<'_>) -> (Vec<(u16, Vec<u8>)>, String) {
        let mut environment = vec![format!("LD_PRELOAD={}", self.path("preload.so"))];
        environment.push(format!("TINYKVM_FREEZE={}", what.point));
        let config = json!({
            "filename": what.program,
            "main_arguments": what.configured,
            "environment": environment,
            "libraries": true,
            "max_memory": 512,
            "allowed_paths": [{ "real": self.0, "prefix": true }, "/usr/share/perl", "/etc/perl"],
        });
        let body = self.write("body", what.body);
        let request = [
            "--url",
            "/u",
            "--arg",
            &what.arguments.join("\n"),
            "--body",
            &body,
        ]
        .map(str::to_owned);
        let mut words = vec!["call".to_owned(), "-i".to_owned(), "--config".to_owned()];
        words.push(config.to_string());
        words.extend(request.clone());
        words.push("--next".to_owned());
        words.extend(request);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let output = command(&words).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (parse(&output.stdout), err)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Copy)]
struct What<'a> {
    program: &'a str,
    point: &'a str,
    /// Arguments of the configuration, and of the request.
    configured: &'a [&'a str],
    arguments: &'a [&'a str],
    body: &'a str,
}

/// Responses as `call -i` prints them after each other.
fn parse(mut text: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all = Vec::new();
    while !text.is_empty() {
        let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
        let head = std::str::from_utf8(&text[..end]).unwrap();
        let value = |name: &str| -> usize {
            let mut lines = head.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .unwrap()
                .parse()
                .unwrap()
        };
        let length = value("Content-Length: ");
        let body = text[end + 2..end + 2 + length].to_vec();
        all.push((u16::try_from(value("status: ")).unwrap(), body));
        text = &text[end + 2 + length..];
    }
    all
}

/// What the program prints natively: with a file as standard input, or a pipe, as before the
/// freeze. Some look.
fn native(program: &str, arguments: &[&str], body: &Path, point: &str) -> (bool, Vec<u8>) {
    let file = fs::File::open(body).unwrap();
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    let output = if point == "start" {
        command.stdin(file).output().unwrap()
    } else {
        let mut cat = Command::new("cat");
        let mut cat = cat.stdin(file).stdout(Stdio::piped()).spawn().unwrap();
        command.stdin(cat.stdout.take().unwrap());
        let output = command.output().unwrap();
        cat.wait().unwrap();
        output
    };
    (output.status.success(), output.stdout)
}

fn tools() -> Result<(), String> {
    let workshop = Workshop::new("preload-tools");
    for &(tool, arguments) in TOOLS {
        let program = ["/usr/bin", "/bin"].map(|dir| Path::new(dir).join(tool));
        let program = program.into_iter().find(|path| path.exists());
        let program = program.unwrap_or_else(|| panic!("{tool} is not installed"));
        let program = program.canonicalize().unwrap().display().to_string();
        for point in ["start", "stdin"] {
            let (configured, own) = match point {
                "start" => (&[][..], arguments),
                _ => (arguments, &[][..]),
            };
            for body in [TEXT, "x"] {
                let what = What {
                    program: &program,
                    point,
                    configured,
                    arguments: own,
                    body,
                };
                let (answers, err) = workshop.answers(&what);
                let file = workshop.0.join("body");
                let (success, text) = native(&program, arguments, &file, point);
                let expected = (if success { 200 } else { 500 }, text);
                let wanted = [expected.clone(), expected];
                assert!(
                    answers == wanted,
                    "{tool} {arguments:?} {point}: {answers:?} {err}"
                );
            }
        }
    }
    Ok(())
}

fn ends() -> Result<(), String> {
    let workshop = Workshop::new("preload-ends");
    let program = workshop.c();
    for how in ["", "close", "all", "_exit", "syscalls"] {
        for point in ["start", "stdin"] {
            let (configured, own) = match point {
                "start" => (vec![], vec![how]),
                _ => (vec![how], vec![]),
            };
            let what = What {
                program: &program,
                point,
                configured: &configured,
                arguments: &own,
                body: "one\ntwo\n",
            };
            let (answers, err) = workshop.answers(&what);
            let expected = match how {
                "syscalls" => "read one\ntwo\n\n",
                _ => "line one\nline two\n",
            };
            assert_eq!(answers.len(), 2, "{how} {point}: {err}");
            for (status, body) in answers {
                let body = String::from_utf8(body).unwrap();
                let (_, rest) = body.split_once('\n').unwrap_or_default();
                assert_eq!((status, rest), (200, expected), "{how} {point}: {err}");
            }
        }
    }
    Ok(())
}

/// Two requests begin alike if the program was frozen behind its beginning.
fn points() -> Result<(), String> {
    let workshop = Workshop::new("preload-points");
    let program = workshop.c();
    let file = workshop.write("file", "content");
    let begun = |point: &str, configured: &[&str]| {
        let what = What {
            program: &program,
            point,
            configured,
            arguments: &[],
            body: "one\n",
        };
        let (answers, err) = workshop.answers(&what);
        let [one, two] = &answers[..] else {
            panic!("{point}: {err}");
        };
        let texts = [one, two].map(|(status, body)| {
            assert_eq!(*status, 200, "{point}: {err}");
            String::from_utf8(body.clone()).unwrap()
        });
        assert!(texts[0].ends_with("line one\n"), "{point}: {texts:?}");
        assert_eq!(
            texts[0].contains("opened content"),
            configured.len() == 2,
            "{texts:?}"
        );
        texts[0] == texts[1]
    };
    assert!(!begun("start", &[]));
    assert!(!begun("", &[]));
    assert!(begun("stdin", &[]));
    assert!(begun("stdin", &["open", &file]));
    assert!(begun(&file, &["open", &file]));
    // It reads its input before it opens that.
    assert!(begun("/never/opened", &[]));

    let cpp = workshop.build("cpp", &["g++", "-O2", "-xc++"], CPP);
    for (point, configured, expected) in [
        ("start", &[][..], "a;b;\n"),
        ("stdin", &[], "a;b;\n"),
        ("stdin", &[file.as_str()], "file content\na;b;\n"),
        (&file, &[file.as_str()], "file content\na;b;\n"),
    ] {
        let what = What {
            program: &cpp,
            point,
            configured,
            arguments: &[],
            body: "a b",
        };
        let (answers, err) = workshop.answers(&what);
        let expected = (200, expected.as_bytes().to_vec());
        assert_eq!(answers, [expected.clone(), expected], "{point}: {err}");
    }
    Ok(())
}

fn tells() -> Result<(), String> {
    let workshop = Workshop::new("preload-tells");
    let rust = workshop.build("rust", &["rustc", "-O", "--crate-name", "rust"], RUST);
    let many: Vec<_> = (0..1000)
        .map(|number| format!("argument {number}"))
        .collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let lists: [(&[&str], &[&str]); 5] = [
        (&[], &[]),
        (&["configured"], &[]),
        (&["configured"], &["one", "two words"]),
        (&[], &["", "-x", ""]),
        (&[], &many),
    ];
    for (configured, arguments) in lists {
        let what = What {
            program: &rust,
            point: "start",
            configured,
            arguments,
            body: "12345",
        };
        let (answers, err) = workshop.answers(&what);
        let all = [configured, arguments].concat();
        let expected = (200, format!("{all:?} /u 5\n").into_bytes());
        assert_eq!(answers, [expected.clone(), expected], "{err}");
    }
    // A program that runs already has its arguments, but not its environment.
    let what = What {
        program: &rust,
        point: "stdin",
        configured: &["configured"],
        arguments: &["one"],
        body: "",
    };
    let (answers, err) = workshop.answers(&what);
    let expected = (200, b"[\"configured\"] /u 0\n".to_vec());
    assert_eq!(answers, [expected.clone(), expected], "{err}");
    Ok(())
}

fn failures() -> Result<(), String> {
    let workshop = Workshop::new("preload-failures");
    let program = workshop.c();
    let what = What {
        program: &program,
        point: "start",
        configured: &["fail"],
        arguments: &[],
        body: "one\n",
    };
    for point in ["start", "stdin"] {
        let (answers, err) = workshop.answers(&What { point, ..what });
        let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [500, 500], "{err}");
        assert!(answers[0].1.ends_with(b"line one\n"), "{err}");
        assert_eq!(err.matches("says: this went wrong").count(), 2, "{err}");
    }
    // One that ends before it was frozen never serves; what it printed is in the log.
    let config = json!({
        "filename": program,
        "main_arguments": ["open", "/never"],
        "environment": [
            format!("LD_PRELOAD={}", workshop.path("preload.so")),
            "TINYKVM_FREEZE=stdin",
        ],
        "libraries": true,
        "allowed_paths": [workshop.path("preload.so")],
    });
    let echo = Path::new("/bin/echo").canonicalize().unwrap();
    let (status, _, err) = finished(&mut command(&[
        "call",
        echo.to_str().unwrap(),
        "--config",
        &config.to_string(),
    ]));
    assert_eq!(status, 3, "{err}");
    assert!(err.contains("exited with status 0"), "{err}");
    assert!(err.contains("open /never"), "{err}");
    Ok(())
}

fn wrong_point() -> Result<(), String> {
    let workshop = Workshop::new("preload-wrong");
    let program = workshop.c();
    let what = What {
        program: &program,
        point: "sometime",
        configured: &[],
        arguments: &[],
        body: "",
    };
    let (answers, err) = workshop.answers(&what);
    assert!(answers.iter().all(|(status, _)| *status == 503), "{err}");
    assert!(err.contains("TINYKVM_FREEZE=sometime is none of"), "{err}");
    Ok(())
}
