//! What came of it, for machines and for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tinykvm_testkit::paths;

use crate::{Figures, Program, home};

/// What came of one program; no figures if it failed, as it should.
pub type Outcome = Result<Option<Figures>, String>;

/// Writes `target/programs.json`. Programs that were not run keep what is there. When all were
/// run, writes the table into `docs/programs.md`, too.
///
/// # Errors
/// If a file can't be written.
pub fn write(outcomes: &[(&Program, Outcome)], all: bool) -> Result<(), String> {
    let file = paths::target().join("programs.json");
    let known = fs::read_to_string(&file).unwrap_or_default();
    let mut entries: BTreeMap<String, Value> = serde_json::from_str(&known).unwrap_or_default();
    if all {
        entries.clear();
    }
    for (program, outcome) in outcomes {
        entries.insert(program.name.clone(), entry(program, outcome));
    }
    let text = serde_json::to_string_pretty(&entries).map_err(|error| error.to_string())?;
    save(&file, &(text + "\n"))?;
    if all {
        let page = fs::read_to_string(home().join("programs.md.in"));
        let page = page.map_err(|error| error.to_string())?;
        let page = page.replace("${table}\n", &table(outcomes));
        save(&paths::top().join("docs/programs.md"), &page)?;
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

fn entry(program: &Program, outcome: &Outcome) -> Value {
    let reason = match outcome {
        Ok(_) => &program.remarks(),
        Err(reason) => reason,
    };
    let figures = outcome.as_ref().ok().and_then(Option::as_ref);
    json!({
        "ok": figures.is_some(),
        "freeze_ms": figures.map(|it| it.freeze_ms),
        "dirty_pages": figures.map(|it| it.dirty_pages),
        "exits": figures.map(|it| it.exits),
        "warm_call_us": figures.map(|it| it.warm_call_us.round()),
        "native_us": figures.map(|it| it.native_us.round()),
        "reason": reason,
    })
}

fn table(outcomes: &[(&Program, Outcome)]) -> String {
    let mut text = String::from(
        "| program | what a request does | start to freeze, ms | pages per request | exits per request | warm call, µs | natively, µs | remarks |\n\
         |---|---|---:|---:|---:|---:|---:|---|\n",
    );
    for (program, outcome) in outcomes {
        let Program { name, about, .. } = program;
        let remark = &program.remarks();
        // Writing to a string does not fail.
        let _ = match outcome {
            Ok(Some(it)) => writeln!(
                text,
                "| {name} | {about} | {} | {} | {} | {:.0} | {:.0} | {remark} |",
                it.freeze_ms, it.dirty_pages, it.exits, it.warm_call_us, it.native_us
            ),
            Ok(None) | Err(_) => {
                let reason = outcome.as_ref().err().unwrap_or(remark);
                let reason = reason.replace('|', "\\|").replace('\n', " ");
                writeln!(
                    text,
                    "| {name} | {about} | – | – | – | – | – | does not run: {reason} |"
                )
            }
        };
    }
    text
}
