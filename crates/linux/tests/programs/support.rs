//! Runs a program to its end and remembers what it did.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tinykvm::{BootOptions, Booting, Engine, Exit, Guest, Image, Limits};
use tinykvm_linux::{Flow, Host, Notice, Process, ProcessOptions, Stream, VDSO};
use tinykvm_testkit::{Toolchain, compile_file, compile_file_with};

/// More than any of these programs needs.
const BUDGET: Duration = Duration::from_secs(20);

/// What a program did.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) unknown: Vec<u64>,
    pub(crate) denied: Vec<String>,
    /// System calls made, by number.
    pub(crate) calls: BTreeMap<u64, u32>,
    pub(crate) slept: Duration,
}

/// Waits up to this are real.
const SHORT: Duration = Duration::from_millis(200);

/// The host of one run: a longer sleep takes the time away without waiting.
struct Recorder {
    outcome: Outcome,
    deadline: Instant,
}

impl Host for Recorder {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        let text = match stream {
            Stream::Out => &mut self.outcome.out,
            Stream::Err => &mut self.outcome.err,
        };
        text.push_str(&String::from_utf8_lossy(bytes));
    }

    fn sleep(&mut self, duration: Duration) -> bool {
        self.outcome.slept = self.outcome.slept.saturating_add(duration);
        if duration <= SHORT {
            std::thread::sleep(duration);
        }
        self.outcome.slept < self.deadline.saturating_duration_since(Instant::now())
    }

    fn notice(&mut self, notice: Notice<'_>, _: u64) {
        let denied = match notice {
            Notice::Absent(path) | Notice::Denied(path, _) => {
                format!("{} {}", path.call, String::from_utf8_lossy(path.path))
            }
            Notice::Unreachable { call, to } => format!("{call} {to}"),
            Notice::Query { call, name } => format!("{call} dns:{}", name.unwrap_or_default()),
            Notice::UnknownCall { number, .. } => {
                self.outcome.unknown.push(u64::from(number));
                return;
            }
            _ => return,
        };
        self.outcome.denied.push(denied);
    }
}

/// Boots a program and runs it until it ends.
pub(crate) fn run(program: &Path, options: &ProcessOptions) -> Result<(Flow, Outcome), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let open = |path: &Path| File::open(path).map_err(|error| text(&error));
    let image = Image::open(open(program)?).map_err(|error| text(&error))?;
    let interpreter = match image.interpreter() {
        Some(path) => {
            let file = open(Path::new(OsStr::from_bytes(path)))?;
            Some(Image::open_interpreter(file).map_err(|error| text(&error))?)
        }
        None => None,
    };
    let boot = BootOptions {
        interpreter: interpreter.map(Arc::new),
        image: Arc::new(image),
        limits: Limits::default(),
        vdso: Some(VDSO),
    };
    let engine = Engine::get().map_err(|error| text(&error))?;
    let mut guest = Booting::new(engine, &boot).map_err(|error| text(&error))?;
    let mut process = Process::new(options);
    let loaded = *guest.loaded();
    let rsp = process
        .build_stack(&mut guest, &loaded)
        .map_err(|error| text(&error))?;
    guest.start(loaded.start, rsp);
    let mut host = Recorder {
        outcome: Outcome::default(),
        deadline: Instant::now() + BUDGET,
    };
    loop {
        match guest.run(BUDGET).map_err(|error| text(&error))? {
            Exit::Syscall => {
                *host.outcome.calls.entry(guest.registers().rax).or_default() += 1;
                match process.syscall(&mut guest, &mut host) {
                    Flow::Continue => {}
                    end => return Ok((end, host.outcome)),
                }
            }
            Exit::Exception(exception) => match process.fault(&mut guest, &exception) {
                Flow::Continue => {}
                end => return Ok((end, host.outcome)),
            },
            Exit::TimeSlice => match process.time_slice(&mut guest, &mut host) {
                Flow::Continue => {}
                end => return Ok((end, host.outcome)),
            },
            other => return Err(format!("{other:?} after {:?}", host.outcome)),
        }
    }
}

/// Options with a name, one argument and one variable.
pub(crate) fn options() -> ProcessOptions {
    ProcessOptions {
        arguments: vec![b"program".to_vec(), b"first argument".to_vec()],
        environment: vec![b"LC_ALL=C".to_vec(), b"GREETING=hello".to_vec()],
        executable: b"/bin/program".to_vec(),
        memory: 256 << 20,
        ..ProcessOptions::default()
    }
}

/// A source file beside this one.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

/// Compiles and runs a C or C++ program.
pub(crate) fn run_c(name: &str, toolchain: Toolchain) -> Result<(Flow, Outcome), String> {
    run(&compile_file(&source(name), toolchain), &options())
}

/// Compiles with further flags, and runs.
pub(crate) fn run_with(
    name: &str,
    toolchain: Toolchain,
    flags: &[&str],
) -> Result<(Flow, Outcome), String> {
    run(
        &compile_file_with(&source(name), toolchain, flags),
        &options(),
    )
}

/// Compiles and runs a Rust program.
pub(crate) fn run_rust(name: &str) -> Result<(Flow, Outcome), String> {
    run(&compile_file(&source(name), Toolchain::Rustc), &options())
}
