//! The same computation natively and in a guest.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tinykvm_runtime::{CallRequest, PlainTransaction, Program, Programs, Verdict};
use tinykvm_testkit::{Toolchain, compile, paths};

use crate::figures::{Figures, median};

const ROUNDS: usize = 15;

/// The work as a native process that answers lines.
struct Native {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Native {
    fn run(&mut self, work: &str) -> (f64, String) {
        writeln!(self.input, "{work}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        parse(&line)
    }
}

/// "nanoseconds result"
fn parse(line: &str) -> (f64, String) {
    let (time, result) = line.trim().split_once(' ').unwrap();
    (time.parse().unwrap(), result.to_owned())
}

fn in_guest(program: &std::sync::Arc<Program>, work: &str) -> (f64, String) {
    let url = format!("/{work}");
    let request = CallRequest {
        url: url.as_bytes(),
        method: b"GET",
        ..CallRequest::default()
    };
    let response = program.call(&request, &mut PlainTransaction::backend());
    assert_eq!(response.verdict, Verdict::Ok);
    parse(&String::from_utf8(response.body.into_bytes()).unwrap())
}

pub(crate) fn run(figures: &mut Figures) {
    println!("compute: guest speed over native speed");
    let source = paths::top().join("benches/guests/compute.c");
    let built = |flags: &[&str]| compile::compile_file_with(&source, Toolchain::Gcc, flags);
    let mut process = Command::new(built(&["-mavx2", "-DNATIVE"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut native = Native {
        input: process.stdin.take().unwrap(),
        output: BufReader::new(process.stdout.take().unwrap()),
        process,
    };
    let programs = Programs::new();
    let path = built(&["-mavx2"]);
    let config = format!(
        r#"{{ "filename": "{}", "concurrency": 1 }}"#,
        path.display()
    );
    programs.configure("compute", &config).unwrap();
    let program = programs.get("compute").unwrap();
    for work in ["int", "avx2", "mem"] {
        let mut ratios = Vec::new();
        in_guest(&program, work);
        native.run(work);
        for _ in 0..ROUNDS {
            let (outside, expected) = native.run(work);
            let (inside, result) = in_guest(&program, work);
            let (again, _) = native.run(work);
            assert_eq!(result, expected);
            // Native runs on both sides: a machine that changes its speed changes both.
            ratios.push((outside + again) / 2.0 / inside);
        }
        figures.add(&format!("compute_{work}_ratio"), median(&mut ratios));
    }
    programs.close();
    drop(native.input);
    native.process.wait().unwrap();
}
