//! docs/conformance.md: what is compared, and what differs.

use std::fmt::Write;
use std::fs;

use tinykvm_testkit::paths;

use crate::Area;
use crate::differences::{DIFFERENCES, reason};

const HEAD: &str = "\
# Conformance

The personality is compared with Linux: static programs of many small cases (`crates/linux/tests/conformance`) run natively and in a
virtual machine, and what a case prints and how it ends must be the same. What a case is about is in its name; its source is in the file of its area.

This page is made by the test: `BLESS=1 cargo test --profile checked -p tinykvm-linux --test conformance document`.

";

/// The names of all cases.
pub(crate) fn names(areas: &[Area]) -> Vec<String> {
    let full = |area: &Area| {
        let name = area.name;
        let names = area.cases.iter().map(move |case| format!("{name}::{case}"));
        names.collect::<Vec<_>>()
    };
    areas.iter().flat_map(full).collect()
}

/// The document as it should be.
pub(crate) fn text(areas: &[Area]) -> String {
    let mut text = HEAD.to_string();
    text.push_str("| area | about | cases | of these the same |\n|---|---|---|---|\n");
    let (mut all, mut all_same) = (0, 0);
    for area in areas {
        let same = area
            .cases
            .iter()
            .filter(|case| reason(&format!("{}::{case}", area.name)).is_none())
            .count();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {same} |",
            area.name,
            area.about,
            area.cases.len()
        );
        all += area.cases.len();
        all_same += same;
    }
    let _ = writeln!(text, "| all | | {all} | {all_same} |");
    text.push_str(
        "\n## Differences\n\nA case listed here that starts to agree fails the test, too.\n\n",
    );
    text.push_str("| case | why it differs |\n|---|---|\n");
    for (name, reason) in DIFFERENCES {
        let _ = writeln!(text, "| `{name}` | {reason} |");
    }
    text
}

/// Fails unless the document is what it should be; with `BLESS=1` writes it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let path = paths::top().join("docs/conformance.md");
    if std::env::var_os("BLESS").is_some_and(|value| value == "1") {
        return fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()));
    }
    match fs::read_to_string(&path) {
        Ok(found) if found == text => Ok(()),
        _ => Err("docs/conformance.md is not current: run with BLESS=1".to_string()),
    }
}
