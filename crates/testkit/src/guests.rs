//! The guest programs that `.vtc` files use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compile::{Toolchain, build_cargo, compile_file};
use crate::paths;

/// Builds every guest program of the tests and the examples into one directory, which it
/// returns. A program is named as its source file, or its Cargo project, or as Cargo names it if a
/// project has several; example programs that are C are also built with musl, if that is
/// installed, as `<name>-musl`.
///
/// # Panics
/// If one does not build, or two have the same name.
pub(crate) fn build_all() -> PathBuf {
    let top = paths::top();
    let dir = paths::target().join("guests-vtc");
    fs::create_dir_all(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let musl = Toolchain::MuslGcc.is_installed();

    let mut programs = BTreeMap::new();
    let mut add = |name: &str, binary: PathBuf| {
        let other = programs.insert(name.to_string(), binary);
        assert!(other.is_none(), "two guest programs are named {name}");
    };
    for area in ["tests/guests", "guest/examples", "vcl-examples"] {
        for source in paths::files(&top.join(area), &["c", "cpp"]) {
            let name = source
                .file_stem()
                .expect("a source file has a name")
                .to_string_lossy();
            let is_c = source.extension().is_some_and(|extension| extension == "c");
            let toolchain = if is_c { Toolchain::Gcc } else { Toolchain::Gxx };
            // The examples are all called hello; what differs is their directory.
            let name = match source.parent().and_then(Path::file_name) {
                Some(dir) if area == "guest/examples" => dir.to_string_lossy(),
                _ => name,
            };
            add(&name, compile_file(&source, toolchain));
            if musl && is_c && area == "guest/examples" {
                add(
                    &format!("{name}-musl"),
                    compile_file(&source, Toolchain::MuslGcc),
                );
            }
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
        for name in [
            "hello-c",
            "hello-cpp",
            "hello-rust",
            "minify",
            "misbehave",
            "state",
        ] {
            assert!(dir.join(name).is_file(), "{name}");
        }
    }
}
