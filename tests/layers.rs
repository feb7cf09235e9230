//! What may use what: the modules of each crate against the drawing in its `lib.rs`.
//!
//! A drawing is the block of text under the heading `# Layers`: one line for each layer, the
//! highest first, with the modules of the layer, then two spaces or more, then what they are for.
//! A module uses only what stands in lines below its own. In any folder, drawn or not, files and
//! folders must not use each other in a circle. A re-export counts as what it stands for.

#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests report by panicking"
)]

#[path = "layers/check.rs"]
mod check;
#[path = "layers/source.rs"]
mod source;

use std::path::{Path, PathBuf};

use check::complaints;
use source::Crate;

/// Crates whose order is not drawn yet.
const NOT_YET: [&str; 1] = ["crates/runtime/src"];

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Complaints about the crate whose sources are in `directory`.
fn about(directory: &Path) -> Vec<String> {
    complaints(&Crate::read(directory))
}

#[test]
fn each_module_uses_what_is_below_it() {
    let mut found = Vec::new();
    for directory in ["src"].map(|name| top().join(name)).into_iter().chain(
        std::fs::read_dir(top().join("crates"))
            .unwrap()
            .map(|entry| entry.unwrap().path().join("src")),
    ) {
        let name = directory.strip_prefix(top()).unwrap().display().to_string();
        if NOT_YET.contains(&name.as_str()) {
            continue;
        }
        found.extend(
            about(&directory)
                .into_iter()
                .map(|line| format!("{name}: {line}")),
        );
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// A crate written for a test: pairs of a file's path and its text.
fn written(name: &str, files: &[(&str, &str)]) -> Vec<String> {
    let base = std::env::temp_dir().join(format!("layers-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&base);
    for (path, text) in files {
        let path = base.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let found = about(&base);
    std::fs::remove_dir_all(&base).unwrap();
    found
}

const DRAWING: &str = "//! # Layers\n//!\n//! ```text\n//! upper      what asks\n//! one, other what answers\n//! ```\n";

fn drawn(modules: &str) -> String {
    format!(
        "{}{modules}",
        DRAWING.replace("one, other ", "one, other  ")
    )
}

#[test]
fn what_goes_down_is_fine() {
    let lib = drawn("mod upper; mod one; mod other; pub use upper::Top;");
    let upper = "use crate::one::One; pub struct Top(One, crate::other::Other);";
    let found = written(
        "down",
        &[
            ("lib.rs", &lib),
            ("upper.rs", upper),
            ("one.rs", "pub struct One;"),
            ("other.rs", "pub struct Other;"),
        ],
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn what_goes_up_or_aside_is_told_in_every_spelling() {
    let lib = drawn("mod upper; mod one; mod other; pub use upper::Top;");
    let ways = [
        "use crate::upper::Top;",
        "use crate::Top;",
        "use super::{upper::{self, Top}};",
        "use crate::upper; fn f() { upper::go() }",
        "fn f() { crate::upper::go() }",
        "fn f() -> super::Top { todo!() }",
        "fn f() { println!(\"{}\", crate::upper::go()) }",
        "use crate::other::Other;",
        "mod deep { use super::super::upper::Top; }",
    ];
    for (number, way) in ways.iter().enumerate() {
        let found = written(
            &format!("up{number}"),
            &[
                ("lib.rs", &lib),
                ("upper.rs", "pub struct Top; pub fn go() {}"),
                ("one.rs", way),
                ("other.rs", "pub struct Other;"),
            ],
        );
        assert_eq!(found.len(), 1, "{way}: {found:?}");
        assert!(found[0].contains("one"), "{way}: {found:?}");
    }
}

#[test]
fn tests_may_use_what_they_like() {
    let lib = drawn("mod upper; mod one; mod other;");
    let one =
        "#[cfg(test)] use crate::upper::Top; #[cfg(test)] mod tests { use crate::upper::Top; }";
    let found = written(
        "tests",
        &[
            ("lib.rs", &lib),
            ("upper.rs", "pub struct Top;"),
            ("one.rs", one),
            ("other.rs", ""),
            ("one/tests.rs", "use crate::upper::Top;"),
        ],
    );
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn circles_in_a_folder_are_told() {
    let lib = drawn("mod upper; mod one; mod other;");
    let found = written(
        "circle",
        &[
            ("lib.rs", &lib),
            ("upper.rs", ""),
            ("one/mod.rs", "mod a; mod b; mod c; pub use a::A;"),
            ("one/a.rs", "pub struct A(super::b::B);"),
            ("one/b.rs", "use super::c::C; pub struct B(C);"),
            ("one/c.rs", "pub struct C(super::A);"),
            ("other.rs", ""),
        ],
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("circle"), "{found:?}");
}

#[test]
fn drawings_name_each_module_once() {
    let lib = drawn("mod upper; mod one; mod third;");
    let found = written(
        "names",
        &[
            ("lib.rs", &lib),
            ("upper.rs", ""),
            ("one.rs", ""),
            ("third.rs", ""),
        ],
    );
    assert_eq!(found.len(), 2, "{found:?}");
    let twice = drawn("mod upper; mod one; mod other;").replace("upper ", "upper, one ");
    let files = [
        ("lib.rs", twice.as_str()),
        ("upper.rs", ""),
        ("one.rs", ""),
        ("other.rs", ""),
    ];
    assert_eq!(written("twice", &files).len(), 1);
    let without = [("lib.rs", "mod upper;"), ("upper.rs", "")];
    assert!(written("without", &without)[0].contains("Layers"));
}
