//! From a file to a program that waits for requests.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tinykvm::{BootOptions, Booting, ElfError, Engine, EngineError, Exit, Guest, Image, Limits};
use tinykvm_abi::structs::Meminfo;
use tinykvm_linux::{Permissions, Process, ProcessOptions, StartError, VDSO};

use crate::api::{Host, Registration, Stage};
use crate::config::Settings;
use crate::failure::Failure;
use crate::instance::{Booted, Instance};
use crate::journal::{Journal, Used};
use crate::output::Output;
use crate::permissions::{connect_rules, permissions};
use crate::run::{Machine, RunLimits, Stop, run};
use crate::start::Start;
use crate::text::{self, own_line};
use crate::unreadable::{user, why_unreadable};
use crate::verdict::Verdict;

/// The largest program file.
const FILE_MAX: u64 = 1 << 30;

/// Why a program is not there. Each says what was tried on what.
#[derive(Debug, Error)]
pub(crate) enum LoadError {
    /// The file can't be read.
    #[error("cannot read {path}: {source}{}", why_unreadable(.path, .source))]
    File {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The path leads to a directory, a device ...
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The path.
        path: String,
    },
    /// The file is too large.
    #[error("{path} has {}; {} are allowed", text::size(*.size), text::size(FILE_MAX))]
    TooLarge {
        /// Its path.
        path: String,
        /// Its size.
        size: u64,
    },
    /// The file is no program that can be run.
    #[error("{path}: {source}")]
    Elf {
        /// Its path.
        path: String,
        /// Why.
        source: ElfError,
    },
    /// It is dynamically linked, and its dynamic loader may not be read.
    #[error(
        "{path}: dynamically linked, needs the interpreter {interpreter}: allow reading it (\"libraries\": true allows it and the system's libraries)"
    )]
    Interpreter {
        /// Its path.
        path: String,
        /// The dynamic loader's path.
        interpreter: String,
    },
    /// KVM can't be used.
    #[error("KVM is not usable: {source}{} (\"tinykvm doctor\" says more)", which_user(.source))]
    NoKvm {
        /// Why.
        source: EngineError,
    },
    /// A VM for it can't be made.
    #[error("cannot make a VM for {path}: {source}{}", key_that_helps(.source))]
    Engine {
        /// The program's path.
        path: String,
        /// Why.
        source: EngineError,
    },
    /// Arguments or environment can't be handed over.
    #[error("{path}: {source}")]
    Start {
        /// The program's path.
        path: String,
        /// Why.
        source: StartError,
    },
    /// `main()` did not reach its wait call.
    #[error("main() of {path} did not reach its wait call: {reason}{}", last_words(.output))]
    Boot {
        /// The program's path.
        path: String,
        /// What happened instead.
        reason: String,
        /// The last lines that it printed.
        output: String,
    },
    /// The thread that would load it can't be started.
    #[error("cannot start a thread to load the program: {0}")]
    Thread(io::Error),
    /// A mistake in here.
    #[error("a panic while the program was loaded, which is a bug of the module: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
}

fn key_that_helps(error: &EngineError) -> &'static str {
    match error {
        EngineError::NoMemory { .. } => " (\"max_memory\" can be more)",
        EngineError::WriteExecute => " (\"executable_heap\": true allows that)",
        _ => "",
    }
}

/// Whom the device was denied to.
fn which_user(error: &EngineError) -> String {
    match error {
        EngineError::Device { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            format!(" for {}", user())
        }
        _ => String::new(),
    }
}

fn last_words(output: &str) -> String {
    if output.is_empty() {
        String::new()
    } else {
        format!("; its last output, the last line first: {output}")
    }
}

impl LoadError {
    /// The verdict on a call of the program.
    pub(crate) fn verdict(&self) -> Verdict {
        match self {
            Self::NoKvm { .. } => Verdict::NoKvm,
            _ => Verdict::NotLoaded,
        }
    }
}

/// What tells whether a file was changed: time of change and size.
pub(crate) type Stamp = Option<(SystemTime, u64)>;

/// The stamp of a file, if there is one.
pub(crate) fn stamp(path: &str) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// Loads a program and runs its `main()` up to the wait call.
pub(crate) fn load(
    name: &str,
    settings: Settings,
    journal: &Arc<dyn Journal>,
    start: &Start,
) -> Result<Arc<Instance>, LoadError> {
    let path = settings.filename.clone();
    let image = Image::open(open_program(&path)?).map_err(|source| LoadError::Elf {
        path: path.clone(),
        source,
    })?;
    let permissions = Arc::new(permissions(name, &settings, &**journal));
    let interpreter = match image.interpreter() {
        Some(wanted) => {
            if permissions.is_audited(wanted) {
                journal.used(Used::Path {
                    call: "execve",
                    path: wanted,
                    write: false,
                });
            }
            Some(open_interpreter(&path, &permissions, wanted)?)
        }
        None => {
            tell_vain_preload(name, &settings, &**journal);
            None
        }
    };
    let engine = Engine::get().map_err(|source| LoadError::NoKvm { source })?;
    let broken = |source| LoadError::Engine {
        path: path.clone(),
        source,
    };
    let limits = Limits {
        memory: settings.max_memory,
        request_memory: settings.request_memory(),
        allow_write_execute: settings.executable_heap || settings.audit,
    };
    let options = BootOptions {
        image: Arc::new(image),
        interpreter,
        limits,
        vdso: Some(VDSO).filter(|vdso| !vdso.is_empty()),
    };
    let booting = Booting::new(engine, &options).map_err(broken)?;
    start.stop_with(booting.stopper());
    let process = process(name, &settings, permissions);
    let booted = boot(name, &settings, booting, process, &**journal, start)?;
    Instance::new(name, settings, booted, Arc::clone(journal)).map_err(broken)
}

/// Tells of a library for the dynamic loader of a program that has none.
fn tell_vain_preload(name: &str, settings: &Settings, journal: &dyn Journal) {
    let preload = |variable: &Vec<u8>| variable.starts_with(b"LD_PRELOAD=/");
    if settings.environment.iter().any(preload) {
        let text =
            "LD_PRELOAD is in its environment, and nothing reads that: it is statically linked";
        journal.error(&own_line(name, text));
    }
}

fn open_program(path: &str) -> Result<File, LoadError> {
    let failed = |source| LoadError::File {
        path: path.to_owned(),
        source,
    };
    // Looked at before it is opened: opening a pipe would wait for its other end.
    let about = std::fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err(LoadError::NotAFile {
            path: path.to_owned(),
        });
    }
    if about.len() > FILE_MAX {
        return Err(LoadError::TooLarge {
            path: path.to_owned(),
            size: about.len(),
        });
    }
    File::open(path).map_err(failed)
}

/// The dynamic loader that a program asks for, if the program may read it.
fn open_interpreter(
    path: &str,
    permissions: &Permissions,
    wanted: &[u8],
) -> Result<Arc<Image>, LoadError> {
    let interpreter = String::from_utf8_lossy(wanted).into_owned();
    let Ok(file) = permissions.open_for_reading(wanted) else {
        return Err(LoadError::Interpreter {
            path: path.to_owned(),
            interpreter,
        });
    };
    let image = Image::open_interpreter(file).map_err(|source| LoadError::Elf {
        path: interpreter,
        source,
    })?;
    Ok(Arc::new(image))
}

fn boot(
    name: &str,
    settings: &Settings,
    mut booting: Booting,
    mut process: Process,
    journal: &dyn Journal,
    start: &Start,
) -> Result<Booted, LoadError> {
    let path = settings.filename.clone();
    let loaded = *booting.loaded();
    let stack = process
        .build_stack(&mut booting, &loaded)
        .map_err(|source| LoadError::Start {
            path: path.clone(),
            source,
        })?;
    booting.start(loaded.start, stack);
    let mut registration = Registration {
        ephemeral: settings.ephemeral,
        may_choose: settings.control_ephemeral,
        ..Registration::default()
    };
    let deadline = Instant::now() + settings.max_boot_time;
    let mut output = Output::with_tail();
    let mut host = Host {
        program: name,
        stage: Stage::Init {
            registration: &mut registration,
            start,
        },
        output: &mut output,
        journal: Some(journal),
        operator: journal,
        deadline,
        memory: Meminfo {
            max_memory: settings.max_memory,
            max_reqmem: settings.request_memory(),
            ..Meminfo::default()
        },
        by_syscall: false,
    };
    let mut machine = Boot {
        booting,
        deadline,
        start,
    };
    let limits = RunLimits {
        time: settings.max_boot_time,
        key: Some("max_boot_time"),
        booting: true,
        memory: settings.max_memory,
    };
    let result = run(&mut machine, &mut process, &mut host, limits);
    host.flush();
    let mut reason = match result {
        Ok(Stop::Waiting { paused }) => {
            process.freeze(&machine.booting);
            let template = machine.booting.freeze();
            let template = template.map_err(|source| LoadError::Engine { path, source })?;
            return Ok(Booted {
                template,
                process,
                callbacks: registration.callbacks,
                filter: registration.filter,
                paused,
                ephemeral: registration.ephemeral,
            });
        }
        Ok(Stop::Responded { .. }) => "it answered a request before there was one".to_owned(),
        Ok(_) => "it ended".to_owned(),
        Err(failure) => explain(&failure, &machine.booting),
    };
    if let Some(refused) = &output.refused {
        reason.push_str("; before that, ");
        reason.push_str(refused);
    }
    Err(LoadError::Boot {
        path,
        reason,
        output: output.last_words(),
    })
}

fn process(name: &str, settings: &Settings, permissions: Arc<Permissions>) -> Process {
    let executable = absolute(&settings.filename);
    let first = settings.argv0.as_ref().map(|name| name.as_bytes().to_vec());
    let mut arguments = vec![first.unwrap_or_else(|| executable.clone())];
    arguments.extend(settings.main_arguments.iter().cloned());
    Process::new(&ProcessOptions {
        arguments,
        environment: settings.full_environment(name),
        file: resolved(&settings.filename),
        executable,
        memory: settings.max_memory,
        // So that output comes line by line, before a reset takes what is left in a buffer.
        terminal: true,
        connect: connect_rules(settings),
        directory: settings.directory.clone().into_bytes(),
        permissions,
        audit_exec_memory: settings.audit && !settings.executable_heap,
        ..ProcessOptions::default()
    })
}

/// What would help a program that ended where it should have waited.
const NO_WAIT: &str = " (a program calls wait_for_requests(); what knows nothing of requests waits by \
                       the preloaded library, if it is no static program: docs/languages.md)";

/// A failure and, for a crash, where. Of a program that ends itself the last words tell more.
fn explain(failure: &Failure, booting: &Booting) -> String {
    let mut text = failure.to_string() + &failure.details();
    if matches!(failure, Failure::Exited { status: 0 }) {
        text.push_str(NO_WAIT);
    }
    if let Some(registers) = failure.place(None) {
        let frames = tinykvm::backtrace(booting, booting.image(), registers);
        for frame in frames.iter().take(8) {
            text.push_str(", ");
            text.push_str(frame);
        }
    }
    text
}

/// A booting VM with its deadline.
struct Boot<'a> {
    booting: Booting,
    deadline: Instant,
    start: &'a Start,
}

impl Machine for Boot<'_> {
    fn go(&mut self) -> Result<Exit, EngineError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left == Duration::ZERO || self.start.is_off() {
            return Ok(Exit::Deadline);
        }
        self.booting.run(left)
    }

    fn guest(&mut self) -> &mut dyn Guest {
        &mut self.booting
    }

    fn private_bytes(&mut self) -> u64 {
        0
    }
}

/// What `/proc/self/exe` says, which C libraries expect to be absolute.
/// Where the links on the way to the file lead.
fn resolved(filename: &str) -> Vec<u8> {
    match std::fs::canonicalize(filename) {
        Ok(path) => path.into_os_string().into_encoded_bytes(),
        Err(_) => absolute(filename),
    }
}

/// The path as it is configured, from the root.
fn absolute(filename: &str) -> Vec<u8> {
    let path = std::path::absolute(filename).unwrap_or_else(|_| filename.into());
    path.into_os_string().into_encoded_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_refuses_names_the_key_that_helps() {
        let of = |source| LoadError::Engine {
            path: "/srv/p".to_owned(),
            source,
        };
        let memory = of(EngineError::NoMemory {
            what: "the stack",
            needed: 786_433,
            limit: 2 << 20,
        });
        assert_eq!(
            memory.to_string(),
            "cannot make a VM for /srv/p: no room is left for the stack, which needs 769 KiB, in a \
             memory of 2048 KiB (\"max_memory\" can be more)"
        );
        let rights = of(EngineError::WriteExecute).to_string();
        assert!(
            rights.ends_with("(\"executable_heap\": true allows that)"),
            "{rights}"
        );
        let other = of(EngineError::ImagesOverlap).to_string();
        assert!(!other.contains('('), "{other}");
    }
}
