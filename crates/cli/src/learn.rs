//! `tinykvm learn`: what does a program need of the host?

mod reduce;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tinykvm_runtime::{Journal, Used, Verdict};

use crate::args::Learn;
use crate::console::{Error, print, status};
use crate::rules::{Rules, is_speakable};

const WARNING: &str = "\
tinykvm: WARNING: while it is learned what the program needs, it has all files and the network
tinykvm: of the user who runs this. Do this only with programs that you trust.
";

/// What this can't find out.
const REMARKS: &str = "\
tinykvm: this is what this run needed; other requests may need more. Not learned: files that
tinykvm: were looked for and do not exist, and variables of the environment. Rules in --config
tinykvm: are not repeated.
";

/// The most paths, and places, that are recorded.
const MOST: usize = 100_000;

/// How a path was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Use {
    /// It was to be changed.
    write: bool,
    /// It was opened, or something else than looking at its metadata.
    opened: bool,
    /// It may have been created.
    created: bool,
}

/// Everything that was used.
#[derive(Debug, Default)]
struct Record {
    paths: BTreeMap<String, Use>,
    places: BTreeSet<String>,
    /// Memory was to be written and executed.
    exec_memory: bool,
    /// What no rule can name.
    unspeakable: BTreeSet<String>,
    /// There was more.
    full: bool,
}

/// Records what a program uses; its output goes to standard error.
#[derive(Debug, Default)]
struct Recorder(Mutex<Record>);

impl Journal for Recorder {
    fn log(&self, line: &str) {
        eprintln!("{line}");
    }

    // The failure that this is about is what the command's result says.
    fn error(&self, _: &str) {}

    fn used(&self, used: Used<'_>) {
        let mut record = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match used {
            Used::Place(place) => place.as_bytes(),
            Used::Path { path, .. } => path,
            Used::ExecMemory => {
                record.exec_memory = true;
                return;
            }
        };
        let text = match std::str::from_utf8(what) {
            Ok(text) if is_speakable(text) => text.to_owned(),
            _ => {
                let text = String::from_utf8_lossy(what).into_owned();
                if record.unspeakable.len() < MOST {
                    record.unspeakable.insert(text);
                }
                return;
            }
        };
        match used {
            Used::Place(_) if record.places.len() < MOST => {
                record.places.insert(text);
            }
            Used::Path { call, write, .. } if record.paths.len() < MOST => {
                let known = record.paths.entry(text).or_default();
                known.write |= write;
                known.opened |= !only_looks(call);
                known.created |= write && creates(call);
            }
            _ => record.full = true,
        }
    }
}

fn only_looks(call: &str) -> bool {
    matches!(
        call,
        "stat" | "lstat" | "newfstatat" | "statx" | "access" | "faccessat" | "faccessat2"
    )
}

fn creates(call: &str) -> bool {
    [
        "open", "creat", "mkdir", "mknod", "rename", "link", "symlink",
    ]
    .iter()
    .any(|start| call.starts_with(start))
}

/// Runs the program with everything allowed, and prints what it used.
pub(crate) fn learn(options: &Learn) -> Result<ExitCode, Error> {
    let requests = options.url.iter().map(|url| options.fields.prepare(url));
    let requests: Vec<_> = requests.collect::<Result<_, _>>()?;
    let recorder = Arc::new(Recorder::default());
    let journal = Arc::clone(&recorder);
    let configured = options.target.configure_with("{}", |_| journal)?;
    let program = &configured.program;
    configured.set_main_arguments(&options.main)?;
    configured.programs.audit(program.name())?;
    eprint!("{WARNING}");
    let mut worst = Verdict::Ok;
    match program.wait_until_ready() {
        Ok(()) => {
            for request in &requests {
                let mut transaction = request.transaction();
                let response = program.call(&request.request(), &mut transaction);
                for line in &transaction.errors {
                    eprintln!("{line}");
                }
                eprintln!("tinykvm: answered with status {}", response.status);
                if response.verdict != Verdict::Ok {
                    worst = response.verdict;
                }
            }
        }
        Err((verdict, reason)) => {
            eprintln!("tinykvm: {verdict}: {reason}");
            worst = verdict;
        }
    }
    let record = recorder.0.lock().unwrap_or_else(PoisonError::into_inner);
    for path in &record.unspeakable {
        eprintln!("tinykvm: {path:?} was used, but no rule can name it");
    }
    if record.full {
        eprintln!("tinykvm: more than {MOST} paths were used: what is printed is not all");
    }
    let home = std::env::var("HOME").unwrap_or_default();
    let rules = Rules {
        exec_memory: record.exec_memory,
        ..reduce::reduce(&record.paths, &record.places, &home)
    };
    eprint!("{REMARKS}");
    print(report(options, program.name(), &configured.file, &rules)?.as_bytes())?;
    Ok(status(worst))
}

/// What is printed: VCL, and the same as JSON.
fn report(options: &Learn, name: &str, file: &str, rules: &Rules) -> Result<String, Error> {
    let json = serde_json::to_string_pretty(&rules.json())
        .map_err(|error| Error::Argument(error.to_string()))?;
    if options.json {
        return Ok(format!("{json}\n"));
    }
    let file = serde_json::json!({ "filename": file });
    let vcl = rules.vcl(name);
    Ok(format!(
        "sub vcl_init {{\n    tinykvm.configure(\"{name}\", {{\"{file}\"}});\n{vcl}}}\n\n{json}\n"
    ))
}
