//! Runs `.vtc` files, each as a named test, with `varnishtest`.
//!
//! All files under `tests/vtc` and `vcl-examples` run. Before the first, the VMOD and all guest
//! programs are built: `cargo test` alone would leave a stale VMOD. Macros in the files:
//!
//! | macro | what |
//! |---|---|
//! | `${vmod_tinykvm}` | path of the VMOD: `import tinykvm from "${vmod_tinykvm}";` |
//! | `${vmod_dir}` | its directory: `-p vmod_path=${vmod_dir}` for VCL that just says `import tinykvm;` |
//! | `${tinykvm}` | the command |
//! | `${guests}` | directory of the guest programs, named as their source without suffix, or by Cargo |
//! | `${topsrc}` | top directory of the source tree |
//! | `${jail}` | argument of varnishd: `varnish v1 -arg "${jail}" ...` |
//!
//! `${jail}` is `-jnone`, because `/dev/kvm` often belongs to the user who runs the tests and
//! varnishd started by root would give that up. The environment variable `TEST_JAIL` replaces it,
//! to test on a machine where user `vcache` may use KVM (`TEST_JAIL=-junix`).
//!
//! The VCL in documents is compiled by varnishd (`vcl of README.md`): see [`vcl`].
//!
//! A file that needs KVM says so with `feature cmd "test -w /dev/kvm"` and is skipped, or with
//! `REQUIRE_KVM=1` fails, where that is not so.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::OnceLock;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{guests, harness, kvm, paths, vcl};

/// `varnishtest`'s exit code for a skipped file.
const SKIPPED: i32 = 77;
/// Documents that have VCL, so that it is noticed if none is found.
const WITH_VCL: [&str; 4] = [
    "README.md",
    "vmod.vcc",
    "docs/filters.md",
    "docs/permissions.md",
];
/// Lines of a failed file's log that are shown.
const LOG_TAIL: usize = 80;

/// The `main` of `tests/vtc.rs`.
#[must_use]
pub fn main() -> ExitCode {
    let missing = kvm::unavailable();
    if let Some(why) = &missing {
        harness::note(&format!("files that need KVM cannot run: {why}"));
    }
    let blocked = missing.is_some() && !kvm::is_required();
    let top = paths::top();
    let mut trials = Vec::new();
    for area in ["tests/vtc", "vcl-examples"] {
        for file in paths::files(&top.join(area), &["vtc"]) {
            let name = file
                .strip_prefix(&top)
                .unwrap_or(&file)
                .display()
                .to_string();
            let ignored = blocked && needs_kvm(&file);
            let trial = Trial::ignorable_test(name, move || run(&file));
            trials.push(trial.with_ignored_flag(ignored));
        }
    }
    trials.extend(documents(&top));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test for the VCL of each document that has some.
fn documents(top: &Path) -> Vec<Trial> {
    let mut files = vec![top.join("README.md"), top.join("vmod.vcc")];
    files.extend(paths::files(&top.join("docs"), &["md"]));
    files.extend(paths::files(&top.join("vcl-examples"), &["md"]));
    let mut trials = Vec::new();
    for file in files {
        let name = file.strip_prefix(top).unwrap_or(&file).display();
        let name = format!("vcl of {name}");
        let blocks = match fs::read_to_string(&file) {
            Ok(text) => vcl::blocks(&text),
            Err(error) => {
                let error = format!("{}: {error}", file.display());
                trials.push(Trial::test(name, move || Err(error.into())));
                continue;
            }
        };
        let expected = WITH_VCL.iter().any(|known| file == top.join(known));
        if expected || !blocks.is_empty() {
            trials.push(Trial::test(name, move || compile(&file, &blocks)));
        }
    }
    trials
}

/// Where Varnish has its own modules, if pkg-config knows.
fn varnish_modules() -> Option<String> {
    let mut command = Command::new("pkg-config");
    let output = command.args(["--variable=vmoddir", "varnishapi"]).output();
    let path = String::from_utf8(output.ok()?.stdout).ok()?;
    Some(path.trim().to_owned()).filter(|path| !path.is_empty())
}

/// Has varnishd compile each block; the error has the lines of the document.
fn compile(document: &Path, blocks: &[vcl::Block]) -> Result<(), Failed> {
    let release = &built()?.release;
    let modules = varnish_modules().map_or_else(String::new, |path| format!(":{path}"));
    if blocks.is_empty() {
        return Err("no VCL in it".into());
    }
    let mut complaints = String::new();
    for block in blocks {
        let place = format!("{}:{}", document.display(), block.line);
        let text = vcl::whole(&block.text).map_err(|why| format!("{place}: {why}"))?;
        let name = format!(
            "tinykvm-{}-{}.vcl",
            std::process::id(),
            place.replace('/', "-")
        );
        let file = std::env::temp_dir().join(name);
        fs::write(&file, &text)?;
        let mut command = Command::new("varnishd");
        command.args(["-j", "none", "-C", "-p"]);
        command.arg(format!("vmod_path={}{modules}", release.display()));
        let output = command.arg("-f").arg(&file).output();
        fs::remove_file(&file)?;
        let output = output.map_err(|error| format!("{command:?}: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            complaints += &format!("{place}:\n{text}\n{}\n", tail(&said, LOG_TAIL));
        }
    }
    match complaints.as_str() {
        "" => Ok(()),
        _ => Err(complaints.into()),
    }
}

/// Whether the file asks for KVM; known beforehand, it is listed as ignored and not just found
/// to be.
fn needs_kvm(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .any(|line| line.trim_start().starts_with("feature") && line.contains("/dev/kvm"))
}

/// What all files need, built once per process.
#[derive(Debug)]
struct Built {
    vmod: PathBuf,
    /// Where the module and the command are.
    release: PathBuf,
    guests: PathBuf,
}

fn built() -> Result<&'static Built, Failed> {
    static BUILT: OnceLock<Result<Built, String>> = OnceLock::new();
    let result = BUILT.get_or_init(|| {
        let release = build_release()?;
        let vmod = release.join("libvmod_tinykvm.so");
        // A compiler's complaint is a panic; every file is to show it, not only the first.
        let guests = std::panic::catch_unwind(guests::build_all)
            .map_err(|payload| message(payload.as_ref()))?;
        Ok(Built {
            vmod,
            release,
            guests,
        })
    });
    result.as_ref().map_err(|error| Failed::from(error.clone()))
}

/// What a panic said.
fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("panic")
        .to_string()
}

/// Builds the module and the command, and returns where they are.
fn build_release() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--release",
        "--lib",
        "--bins",
        "--package",
        "vmod_tinykvm",
        "--package",
        "tinykvm-cli",
        "--quiet",
    ]);
    command.current_dir(paths::top());
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "the module and the command: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(paths::target().join("release"))
}

fn run(file: &Path) -> Result<Completion, Failed> {
    let built = built()?;
    let jail = std::env::var("TEST_JAIL").unwrap_or_else(|_| "-jnone".to_string());
    let mut command = Command::new("varnishtest");
    command
        // Seconds for a file; a hundred VCLs to compile take a slow machine half of it.
        .args(["-t", "180"])
        .arg(format!("-Dvmod_tinykvm={}", built.vmod.display()))
        .arg(format!("-Dvmod_dir={}", built.release.display()))
        .arg(format!("-Dtinykvm={}", built.release.join("tinykvm").display()))
        .arg(format!("-Dguests={}", built.guests.display()))
        .arg(format!("-Dtopsrc={}", paths::top().display()))
        .arg(format!("-Djail={jail}"))
        .arg(file)
        .current_dir(paths::top());
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    match output.status.code() {
        Some(0) => Ok(Completion::Completed),
        Some(SKIPPED) if !kvm::is_required() => Ok(Completion::ignored_with(
            "a feature that it needs is missing",
        )),
        Some(SKIPPED) => Err(Failed::from("skipped, although REQUIRE_KVM=1")),
        _ => {
            let log = String::from_utf8_lossy(&output.stdout);
            Err(Failed::from(format!(
                "{}\n{command:?}",
                tail(&log, LOG_TAIL)
            )))
        }
    }
}

/// The last lines of a log.
fn tail(log: &str, lines: usize) -> String {
    let all: Vec<&str> = log.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_shown_from_its_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
        assert_eq!(tail("a", 2), "a");
    }

    #[test]
    fn panics_are_quoted() {
        assert_eq!(message(&"text"), "text");
        assert_eq!(message(&String::from("text")), "text");
        assert_eq!(message(&1), "panic");
    }
}
