//! A case in a virtual machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tinykvm::{BootOptions, Booting, Engine, Exit, Image, Limits};
use tinykvm_linux::{
    Extent, Flow, Host, Notice, PathRule, Permissions, Process, ProcessOptions, Stream, VDSO,
};
use tinykvm_testkit::kvm::time_factor;

use crate::compare::{End, Outcome, TIME_LIMIT};

/// The embedder's side of one run.
struct Recorder {
    out: Vec<u8>,
    deadline: Instant,
}

impl Host for Recorder {
    fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Out {
            self.out.extend_from_slice(bytes);
        }
    }

    fn sleep(&mut self, duration: Duration) -> bool {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if !duration.is_zero() {
            thread::sleep(duration.min(left));
        }
        duration < left
    }

    fn notice(&mut self, _: Notice<'_>, _: u64) {}
}

/// Boots a program, and runs a case to its end.
pub(crate) fn run(program: &Path, case: &str, directory: &str) -> Result<Outcome, String> {
    let text = |error: &dyn std::error::Error| format!("virtual machine: {error}");
    let file = File::open(program).map_err(|error| text(&error))?;
    let image = Image::open(file).map_err(|error| text(&error))?;
    let boot = BootOptions {
        interpreter: None,
        image: Arc::new(image),
        limits: Limits::default(),
        vdso: Some(VDSO),
    };
    let engine = Engine::get().map_err(|error| text(&error))?;
    let mut guest = Booting::new(engine, &boot).map_err(|error| text(&error))?;
    let mut process = Process::new(&options(program, case, directory)?);
    let loaded = *guest.loaded();
    let rsp = process
        .build_stack(&mut guest, &loaded)
        .map_err(|error| text(&error))?;
    guest.start(loaded.start, rsp);
    let budget = TIME_LIMIT * time_factor();
    let mut host = Recorder {
        out: Vec::new(),
        deadline: Instant::now() + budget,
    };
    let end = loop {
        let left = host.deadline.saturating_duration_since(Instant::now());
        let flow = match guest.run(left).map_err(|error| text(&error))? {
            Exit::Syscall => process.syscall(&mut guest, &mut host),
            Exit::Exception(exception) => process.fault(&mut guest, &exception),
            Exit::TimeSlice => process.time_slice(&mut guest, &mut host),
            other => break End::Other(format!("{other:?}")),
        };
        match flow {
            Flow::Continue => {}
            Flow::Exit { status } => break End::Exit(status),
            Flow::Signal { number } => break End::Signal(number),
            other => break End::Other(format!("{other:?}")),
        }
    };
    Ok(Outcome {
        out: String::from_utf8_lossy(&host.out).into_owned(),
        end,
    })
}

/// The case may write its directory, as it may natively.
fn options(program: &Path, case: &str, directory: &str) -> Result<ProcessOptions, String> {
    let program = program.to_string_lossy().into_owned().into_bytes();
    let mut permissions = Permissions::default();
    let rule = PathRule {
        shown: directory.as_bytes().to_vec(),
        real: PathBuf::from(directory),
        extent: Extent::Tree,
        writable: true,
    };
    permissions
        .allow(&rule)
        .map_err(|error| error.to_string())?;
    Ok(ProcessOptions {
        arguments: vec![
            program.clone(),
            case.as_bytes().to_vec(),
            directory.as_bytes().to_vec(),
        ],
        environment: vec![b"LC_ALL=C".to_vec()],
        executable: program,
        memory: 256 << 20,
        permissions: Arc::new(permissions),
        ..ProcessOptions::default()
    })
}
