//! Where things are in the source tree.

use std::path::{Path, PathBuf};

/// The top directory of the source tree.
#[must_use]
pub fn top() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors()
        .nth(2)
        .expect("this crate lies in crates/testkit")
        .to_path_buf()
}

/// Cargo's target directory.
#[must_use]
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => top().join(dir),
        None => top().join("target"),
    }
}

/// The directory of the guest programs' C headers.
#[must_use]
pub fn guest_include() -> PathBuf {
    top().join("guest/c/include")
}

/// All files below a directory with one of these extensions, sorted; none if there is no such
/// directory.
///
/// # Panics
/// If a directory cannot be read.
#[must_use]
pub fn files(dir: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if !dir.is_dir() {
        return found;
    }
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    for entry in entries {
        let path = entry
            .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
            .path();
        if path.is_dir() {
            if !path.ends_with("target") {
                found.extend(files(&path, extensions));
            }
        } else if path
            .extension()
            .is_some_and(|it| extensions.iter().any(|&want| it == want))
        {
            found.push(path);
        }
    }
    found.sort();
    found
}
