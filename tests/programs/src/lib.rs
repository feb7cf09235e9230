//! Real programs in real VMs: interpreters, runtimes, libraries, each as its distribution has it.
//!
//! Each directory beside `src` is a program: `program.json` says what it is and how it is
//! configured, the script `prepare` builds or fetches what it needs. See `README.md` there.

#![forbid(unsafe_code)]

mod calls;
mod native;
mod report;
mod unique;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use tinykvm_testkit::paths;

pub use calls::{Figures, run};
pub use report::{Outcome, write};

/// What `program.json` says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The directory's name.
    #[serde(skip)]
    pub name: String,
    /// What it is, and what a request has it do.
    pub about: String,
    /// Where it is not the whole truth that it runs: what is different, or what is missing.
    #[serde(default)]
    pub remark: String,
    /// True if it can't run, for the reason that is in `remark`.
    #[serde(default)]
    pub missing: bool,
    /// What is in the message of its failure then.
    #[serde(default)]
    pub error: String,
    /// The argument of a request, if it has one: `${number}` is that of the request.
    #[serde(default)]
    pub argument: String,
    /// True if it knows nothing of requests, and so can't count them.
    #[serde(default)]
    pub only_answers: bool,
    /// What is in the log after `/fail`, where an error is raised and nobody catches it. Nothing if
    /// the program has no such request.
    #[serde(default)]
    pub complaint: String,
    /// What is in the log after `/nothing`, where a function returns what is no answer. Nothing if
    /// the program has no such request.
    #[serde(default)]
    pub nothing: String,
    /// What it tells that must be unique, and clocks.
    #[serde(default)]
    pub unique: Unique,
    /// Its configuration, as VCL has it.
    pub config: serde_json::Value,
    /// The command that does the same work natively.
    #[serde(default)]
    pub native: Vec<String>,
    /// The answer to the first request; nothing if it depends on the installed version, and only
    /// the native run can tell.
    #[serde(default)]
    pub answer: Option<String>,
}

/// What the answer to `/unique` has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Unique {
    /// The argument of this request.
    pub argument: String,
    /// Names that must be there: clocks, and what differs in each answer. What else an answer has
    /// must differ, too. None if the program can't tell.
    pub names: Vec<String>,
}

impl Default for Unique {
    fn default() -> Self {
        let names = [
            "urandom",
            "uuid",
            "nonce",
            "random",
            unique::MONOTONIC,
            unique::REALTIME,
        ];
        Self {
            argument: String::new(),
            names: names.map(str::to_owned).to_vec(),
        }
    }
}

/// Where the programs are.
#[must_use]
pub fn home() -> PathBuf {
    paths::top().join("tests/programs")
}

/// All programs, by name.
///
/// # Errors
/// If a description can't be read.
pub fn all() -> Result<Vec<Program>, String> {
    let files = paths::files(&home(), &["json"]);
    let descriptions = files.iter().filter(|file| file.ends_with("program.json"));
    descriptions.map(|file| read(file)).collect()
}

fn read(file: &Path) -> Result<Program, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let here = file.parent().ok_or("a file lies in a directory")?;
    let name = here.file_name().ok_or("a directory has a name")?;
    let name = name.to_string_lossy().into_owned();
    let text = fs::read_to_string(file).map_err(|error| failed(&error))?;
    let text = text
        .replace("${here}", &here.to_string_lossy())
        .replace("${out}", &out(&name).to_string_lossy())
        .replace("${top}", &paths::top().to_string_lossy());
    let mut program: Program = serde_json::from_str(&text).map_err(|error| failed(&error))?;
    program.name = name;
    Ok(program)
}

/// What belongs to a program and is not in the source tree.
#[must_use]
pub fn out(name: &str) -> PathBuf {
    paths::target().join("programs").join(name)
}

impl Program {
    /// What there is to say beside its figures: the remark, and the version where that is whatever
    /// there was to fetch.
    #[must_use]
    pub fn remarks(&self) -> String {
        let version = fs::read_to_string(out(&self.name).join("version")).unwrap_or_default();
        match (self.remark.is_empty(), version.trim()) {
            (_, "") => self.remark.clone(),
            (true, version) => format!("version {version}"),
            (false, version) => format!("{}; version {version}", self.remark),
        }
    }

    /// Builds or fetches what it needs. What is there already stays.
    ///
    /// # Errors
    /// With what the script said.
    pub fn prepare(&self) -> Result<(), String> {
        let here = home().join(&self.name);
        let out = out(&self.name);
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        let mut command = Command::new("./prepare");
        command.current_dir(&here);
        command.env("OUT", &out).env("TOP", paths::top());
        // A program's own configuration says how it is built.
        for inherited in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            command.env_remove(inherited);
        }
        let output = command.output();
        let output = output.map_err(|error| format!("{}/prepare: {error}", here.display()))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("cannot be prepared: {}", said.trim()))
    }
}
