//! Guest programs from source.
//!
//! Results are kept in `target/guests-cache` under a hash of everything that goes into them, so
//! that a test run compiles only what has changed. Several test programs may do so at once.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::paths;

/// Which compiler makes a guest program, and against which C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Toolchain {
    /// gcc and glibc.
    Gcc,
    /// g++ and glibc.
    Gxx,
    /// gcc and musl.
    MuslGcc,
    /// gcc and glibc, linked dynamically.
    DynamicGcc,
    /// rustc and glibc, linked statically. From files only.
    Rustc,
}

impl Toolchain {
    /// The compiler's command.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Gcc | Self::DynamicGcc => "gcc",
            Self::Gxx => "g++",
            Self::MuslGcc => "musl-gcc",
            Self::Rustc => "rustc",
        }
    }

    /// True if the compiler is installed.
    #[must_use]
    pub fn is_installed(self) -> bool {
        let mut version = Command::new(self.command());
        version
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    }

    /// The command line that makes `binary` from a file, or from standard input.
    fn compilation(self, path: Option<&Path>, flags: &[&str], binary: &Path) -> Command {
        let mut command = Command::new(self.command());
        let language = match self {
            Self::Gcc | Self::MuslGcc | Self::DynamicGcc => "c",
            Self::Gxx => "c++",
            Self::Rustc => {
                command.args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static"]);
                command.args(path).args(flags).arg("-o").arg(binary);
                return command;
            }
        };
        let dynamic = self == Self::DynamicGcc;
        command.args(FLAGS.iter().filter(|flag| !dynamic || **flag != "-static"));
        command.arg("-I").arg(paths::guest_include());
        command
            .args(["-x", language])
            .arg(path.unwrap_or(Path::new("-")));
        command.args(flags).arg("-o").arg(binary);
        command
    }
}

/// Flags of every compilation; a test's own come later and so win.
const FLAGS: &[&str] = &[
    "-O2",
    "-g",
    "-static",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
];

/// Compiles C source to a static executable and returns its path. The source finds `tinykvm.h`.
///
/// # Panics
/// With the compiler's messages if it fails.
#[must_use]
pub fn compile_c(source: &str, flags: &[&str]) -> PathBuf {
    compile("inline", source.as_bytes(), None, Toolchain::Gcc, flags)
}

/// Compiles one source file to a static executable and returns its path. The source finds
/// `tinykvm.h`, and headers beside it.
///
/// # Panics
/// With the compiler's messages if it fails, or if the file cannot be read.
#[must_use]
pub fn compile_file(path: &Path, toolchain: Toolchain) -> PathBuf {
    compile_file_with(path, toolchain, &[])
}

/// As [`compile_file`], with further flags.
///
/// # Panics
/// As [`compile_file`].
#[must_use]
pub fn compile_file_with(path: &Path, toolchain: Toolchain, flags: &[&str]) -> PathBuf {
    let source = read(path);
    let name = path
        .file_stem()
        .expect("a source file has a name")
        .to_string_lossy();
    compile(&name, &source, Some(path), toolchain, flags)
}

/// Compiles `source`, which is the contents of `path` or goes through a pipe.
fn compile(
    name: &str,
    source: &[u8],
    path: Option<&Path>,
    toolchain: Toolchain,
    flags: &[&str],
) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let include = paths::guest_include();
    let mut hasher = DefaultHasher::new();
    (source, path, toolchain, FLAGS, flags).hash(&mut hasher);
    for dir in [Some(include.as_path()), path.and_then(Path::parent)]
        .into_iter()
        .flatten()
    {
        for header in paths::files(dir, &["h"]) {
            read(&header).hash(&mut hasher);
        }
    }
    let cache = paths::target().join("guests-cache");
    let binary = cache.join(format!("{name}-{:016x}", hasher.finish()));
    if binary.exists() {
        return binary;
    }

    // Others may be compiling the same: each to its own file, and the last rename wins.
    fs::create_dir_all(&cache).unwrap_or_else(|e| panic!("{}: {e}", cache.display()));
    let unique = COUNT.fetch_add(1, Ordering::Relaxed);
    let unfinished = cache.join(format!(".{name}-{}-{unique}", std::process::id()));
    let mut command = toolchain.compilation(path, flags, &unfinished);
    run_compiler(&mut command, name, source);
    fs::rename(&unfinished, &binary).unwrap_or_else(|e| panic!("{}: {e}", binary.display()));
    binary
}

fn run_compiler(command: &mut Command, name: &str, source: &[u8]) {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    // A compiler that gives up early, or reads a file, does not take this; its message tells.
    let _ = child
        .stdin
        .take()
        .expect("stdin is a pipe")
        .write_all(source);
    let output = child
        .wait_with_output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "guest program {name} does not compile:\n{}\n{command:?}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds a Cargo project of guest programs, as its author would, and returns their names and
/// the paths of their executables. One is named as the project's directory, or each as its file
/// or directory in `src/bin`.
///
/// # Panics
/// With Cargo's messages if it fails.
#[must_use]
pub fn build_cargo(project: &Path) -> Vec<(String, PathBuf)> {
    let target = paths::target().join("guests-rust");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--quiet"])
        .current_dir(project);
    command.arg("--target-dir").arg(&target);
    // The project's own configuration says how a guest is linked; these would override it.
    for inherited in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(inherited);
    }
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{} does not build:\n{}",
        project.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let binaries = target.join("x86_64-unknown-linux-gnu/release");
    let built = programs(project).into_iter().map(|name| {
        let binary = binaries.join(&name);
        assert!(binary.exists(), "{} was not built", binary.display());
        (name, binary)
    });
    built.collect()
}

/// The names of a project's programs.
fn programs(project: &Path) -> Vec<String> {
    let several = project.join("src/bin");
    if !several.is_dir() {
        let name = project.file_name().expect("a project has a directory");
        return vec![name.to_string_lossy().into_owned()];
    }
    let entries = fs::read_dir(&several).unwrap_or_else(|e| panic!("{}: {e}", several.display()));
    let names = entries.map(|entry| {
        let path = entry
            .unwrap_or_else(|e| panic!("{}: {e}", several.display()))
            .path();
        let name = path.file_stem().expect("a program has a name");
        name.to_string_lossy().into_owned()
    });
    names.collect()
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "#include <tinykvm.h>\nint main(void) { return STATUS; }\n";

    #[test]
    fn compiles_once_and_again_when_something_changed() {
        let first = compile_c(SOURCE, &["-DSTATUS=3"]);
        let again = compile_c(SOURCE, &["-DSTATUS=3"]);
        let other = compile_c(SOURCE, &["-DSTATUS=4"]);
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert_eq!(Command::new(&first).status().unwrap().code(), Some(3));
        assert_eq!(Command::new(&other).status().unwrap().code(), Some(4));
    }

    #[test]
    #[should_panic(expected = "STATUS")]
    fn a_failure_shows_the_compilers_message() {
        let _ = compile_c(SOURCE, &[]);
    }
}
