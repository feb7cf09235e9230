//! What `tinykvm learn` finds out about each program that can run is enough for it, and without any
//! one of the rules something fails.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use serde_json::{Map, Value};
use tinykvm_programs::{Program, all};
use tinykvm_testkit::harness::{self, Case};
use tinykvm_testkit::{kvm, paths};

/// What is taken out of a program's configuration, to be learned again.
const PERMISSIONS: [&str; 3] = ["libraries", "executable_heap", "connect"];

fn main() -> ExitCode {
    // The emulated bed has no command, and static programs that need no rules.
    let chosen = |program: &Program| !program.missing && kvm::time_factor() == 1;
    let cases = match all() {
        Ok(programs) => programs.into_iter().filter(chosen).map(case).collect(),
        Err(error) => vec![Case::new("descriptions", || Err(error))],
    };
    harness::run(cases)
}

fn case(program: Program) -> Case {
    Case::kvm(program.name.clone(), move || {
        program.prepare()?;
        check(&program)
    })
}

/// The command, built once.
fn command() -> Result<Command, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(paths::top());
    build.args(["build", "--quiet", "--locked", "--profile", "checked"]);
    let output = build.args(["--package", "tinykvm-cli"]).output();
    let output = output.map_err(|error| format!("{build:?}: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(Command::new(path()))
}

fn path() -> PathBuf {
    paths::target().join("checked/tinykvm")
}

/// The configuration without rules. Those that give a file another name stay: a program that has
/// that name in its arguments would not find it.
fn without_rules(program: &Program) -> Map<String, Value> {
    let mut config = program.config.as_object().cloned().unwrap_or_default();
    for key in PERMISSIONS {
        config.remove(key);
    }
    if let Some(Value::Array(paths)) = config.get_mut("allowed_paths") {
        paths.retain(|rule| rule.get("virtual").is_some());
    }
    config
}

fn check(program: &Program) -> Result<(), String> {
    let bare = without_rules(program);
    let config = Value::Object(bare.clone()).to_string();
    let argument = program.argument.replace("${number}", "0");
    let request = ["--url", "/0", "--arg", &argument];
    let mut learn = command()?;
    learn.args([
        "learn",
        "--json",
        "--config",
        &config,
        "--name",
        &program.name,
    ]);
    let output = learn.args(request).output();
    let output = output.map_err(|error| format!("learn: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        return Err(format!("learn: {}: {said}", output.status));
    }
    let rules: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("learn: {error}: {said}"))?;
    let rules = only_rules(rules, &bare);
    let scratch = scratch(&program.name)?;
    let answer = |rules: &Map<String, Value>| {
        let mut config = bare.clone();
        add(&mut config, rules, &scratch);
        let config = Value::Object(config).to_string();
        let mut call = Command::new(path());
        call.args(["call", "--config", &config, "--name", &program.name]);
        let output = call.args(request).output();
        let output = output.map_err(|error| format!("call: {error}"))?;
        Ok::<_, String>((output.status.success(), output.stdout, output.stderr))
    };
    let (success, body, err) = answer(&rules)?;
    let expected = program.answer.as_ref();
    if !success || expected.is_some_and(|expected| expected.as_bytes() != body) {
        let err = String::from_utf8_lossy(&err);
        return Err(format!("not enough: {rules:?}: {err}{said}"));
    }
    for (without, less) in one_less(&rules) {
        let (success, other, _) = answer(&less)?;
        if success && other == body {
            return Err(format!("{without} is not needed: {rules:?}: {said}"));
        }
    }
    Ok(())
}

/// Of a whole configuration the rules that another one does not have.
fn only_rules(config: Value, bare: &Map<String, Value>) -> Map<String, Value> {
    let Value::Object(mut rules) = config else {
        return Map::new();
    };
    rules.retain(|key, _| key == "allowed_paths" || PERMISSIONS.contains(&key.as_str()));
    if let (Some(Value::Array(paths)), Some(Value::Array(known))) =
        (rules.get_mut("allowed_paths"), bare.get("allowed_paths"))
    {
        paths.retain(|rule| !known.contains(rule));
    }
    rules
}

/// Adds rules to a configuration. `scratch` is the program's own directory for temporary files.
fn add(config: &mut Map<String, Value>, rules: &Map<String, Value>, scratch: &Path) {
    for (key, value) in rules {
        if let (Some(Value::Array(all)), Value::Array(more)) = (config.get_mut(key), value) {
            all.extend(more.iter().cloned());
        } else {
            config.insert(key.clone(), value.clone());
        }
    }
    if let Some(Value::Array(paths)) = config.get_mut("allowed_paths") {
        for rule in paths {
            let own = |real: &str| real.starts_with("/var/lib/tinykvm/");
            if rule.get("real").and_then(Value::as_str).is_some_and(own)
                && let Some(rule) = rule.as_object_mut()
            {
                rule.insert("real".to_owned(), scratch.to_string_lossy().into());
            }
        }
    }
}

/// The rules without each of them, and its name.
fn one_less(rules: &Map<String, Value>) -> Vec<(String, Map<String, Value>)> {
    let mut all = Vec::new();
    for (key, value) in rules {
        let count = value.as_array().map_or(1, Vec::len);
        for index in 0..count {
            let mut less = rules.clone();
            let mut name = key.clone();
            if let Some(Value::Array(list)) = less.get_mut(key) {
                name = list.remove(index).to_string();
            } else {
                less.remove(key);
            }
            all.push((name, less));
        }
    }
    all
}

fn scratch(name: &str) -> Result<PathBuf, String> {
    let path = paths::target().join("programs/scratch").join(name);
    std::fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}
