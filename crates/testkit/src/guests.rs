//! The guest programs that `.vtc` files use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::compile::{Toolchain, build_cargo, compile_file};
use crate::paths;

/// Builds every guest program of the tests and the examples into one directory, which it
/// returns. A program is named as its source file, or its Cargo project; example programs are
/// built by their own Makefile, which says how they are named.
///
/// # Panics
/// If one does not build, or two have the same name.
pub(crate) fn build_all() -> PathBuf {
    let top = paths::top();
    let dir = paths::target().join("guests-vtc");
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    make_examples(&dir);

    let mut programs = BTreeMap::new();
    let mut add = |name: &str, binary: PathBuf| {
        let other = programs.insert(name.to_string(), binary);
        assert!(other.is_none(), "two guest programs are named {name}");
        let example = top.join("guest/examples").join(name);
        assert!(!example.exists(), "an example is named {name}, too");
    };
    for area in ["tests/guests", "vcl-examples"] {
        for source in paths::files(&top.join(area), &["c", "cpp"]) {
            let name = source
                .file_stem()
                .expect("a source file has a name")
                .to_string_lossy();
            let is_c = source.extension().is_some_and(|extension| extension == "c");
            let toolchain = if is_c { Toolchain::Gcc } else { Toolchain::Gxx };
            add(&name, compile_file(&source, toolchain));
        }
        for manifest in paths::files(&top.join(area), &["toml"]) {
            let project = manifest.parent().expect("a file lies in a directory");
            if manifest.ends_with("Cargo.toml") {
                for (name, binary) in build_cargo(project) {
                    add(&name, binary);
                }
            }
        }
    }
    for (name, binary) in programs {
        install(&binary, &dir.join(name));
    }
    dir
}

/// Builds the example programs as their users do: they say themselves what they are linked with.
fn make_examples(dir: &Path) {
    let mut command = Command::new("make");
    command
        .args(["--silent", "-C"])
        .arg(paths::top().join("guest/examples"))
        .arg(format!("OUT={}", dir.display()))
        .arg(format!(
            "RUST_OUT={}",
            paths::target().join("guests-rust").display()
        ));
    // Of this build, not of theirs.
    for inherited in [
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_BUILD_TARGET",
        "MAKEFLAGS",
    ] {
        command.env_remove(inherited);
    }
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "the example programs do not build:\n{}\n{command:?}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Copies a program; a varnishd that still runs the old one keeps it.
fn install(binary: &Path, to: &Path) {
    let unfinished = to.with_extension(format!("{}.new", std::process::id()));
    fs::copy(binary, &unfinished)
        .and_then(|_| fs::rename(&unfinished, to))
        .unwrap_or_else(|e| panic!("{}: {e}", to.display()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_program_builds() {
        let dir = build_all();
        for name in ["hello-c", "hello-cpp", "hello-rust", "misbehave", "state"] {
            assert!(dir.join(name).is_file(), "{name}");
        }
    }
}
