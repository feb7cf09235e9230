//! What documents tell to do, done as they say, word for word: files, commands, requests. Of
//! `docs/languages.md` each recipe by itself. Only `/srv` is a directory of the test's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};

use tinykvm_runtime::Programs;
use tinykvm_testkit::document::{Section, Step, sections};
use tinykvm_testkit::harness::{self, Case};
use tinykvm_testkit::paths;

/// The document with recipes.
const RECIPES: &str = "docs/languages.md";

/// Documents that are followed from their beginning to their end, and what of them is not run.
const FOLLOWED: [(&str, usize); 2] = [("README.md", 3), ("docs/filters.md", 2)];

/// Documents with configuration.
const CONFIGURED: [&str; 2] = ["docs/permissions.md", "docs/languages.md"];

/// Where programs lie in the document.
const SRV: &str = "/srv";

/// What is not run. Whoever adds to this has to say why.
const NOT_RUN: [(&str, &str); 1] = [("Rust", "a part of a program; the example is a whole one")];

fn read(document: &str) -> Result<String, String> {
    let path = paths::top().join(document);
    fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// The place of one recipe.
struct Place {
    srv: PathBuf,
}

impl Place {
    fn new(title: &str) -> Result<Self, String> {
        let name = title.replace(|it: char| !it.is_ascii_alphanumeric(), "-");
        // Not below the source tree: Cargo and others look for a project in directories above.
        let name = format!("tinykvm-recipe-{}-{name}", std::process::id());
        let srv = std::env::temp_dir().join(name);
        fs::create_dir_all(&srv).map_err(|error| format!("{}: {error}", srv.display()))?;
        Ok(Self { srv })
    }

    fn placed(&self, text: &str) -> String {
        text.replace(SRV, &self.srv.to_string_lossy())
    }

    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        if !path.starts_with("/srv/") {
            return Err(format!("{path} is not below {SRV}"));
        }
        let file = PathBuf::from(self.placed(path));
        let failed = |error| format!("{}: {error}", file.display());
        // A program of its own lies in a directory of its own.
        fs::create_dir_all(file.parent().unwrap_or(&self.srv)).map_err(failed)?;
        fs::write(&file, self.placed(text)).map_err(failed)
    }

    /// Runs commands in the source tree.
    fn shell(&self, commands: &str) -> Result<Output, String> {
        let mut shell = Command::new("sh");
        shell.args(["-eu", "-c", &self.placed(commands)]);
        shell.current_dir(paths::top()).stdin(Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        let command = cli().display().to_string();
        shell.env("PATH", format!("{command}:{path}"));
        // What `cargo test` says to its children is not meant for a project beside it.
        for inherited in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_MANIFEST_DIR",
        ] {
            shell.env_remove(inherited);
        }
        let output = shell.output().map_err(|error| format!("sh: {error}"))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{commands}{}\n{said}", output.status))
    }

    fn follow(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::File { path, text } => self.write(path, text),
            Step::Commands(commands) => self.shell(commands).map(drop),
            Step::Session { command, output } => {
                let done = self.shell(command)?;
                let printed = String::from_utf8_lossy(&done.stdout);
                if printed.trim_end() == self.placed(output).trim_end() {
                    return Ok(());
                }
                let said = String::from_utf8_lossy(&done.stderr);
                Err(format!(
                    "{command}\nprints {printed:?}, not {output:?}\n{said}"
                ))
            }
            Step::Skipped { .. } => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What stays there is in nobody's way.
        let _ = fs::remove_dir_all(&self.srv);
    }
}

/// The directory of the command `tinykvm`.
fn cli() -> PathBuf {
    paths::target().join("checked")
}

/// Builds it: most often it is there already.
fn build_cli() -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--profile", "checked", "--locked", "--quiet"]);
    command.args(["--package", "tinykvm-cli"]);
    let status = command.current_dir(paths::top()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?}: {status}")),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn recipe(section: Section) -> Case {
    Case::kvm(format!("recipe: {}", section.title), move || {
        build_cli()?;
        let place = Place::new(&section.title)?;
        section.steps.iter().try_for_each(|step| place.follow(step))
    })
}

/// A document as a whole.
fn followed(document: &str, not_run: usize) -> Result<(), String> {
    let sections = sections(&read(document)?)?;
    let steps: Vec<_> = sections.iter().flat_map(|section| &section.steps).collect();
    let skipped = |step: &&&Step| matches!(step, Step::Skipped { .. });
    let found = steps.iter().filter(skipped).count();
    if found != not_run {
        return Err(format!("{found} blocks are not run, expected {not_run}"));
    }
    if !steps
        .iter()
        .any(|step| matches!(step, Step::Session { .. }))
    {
        return Err("nothing is looked at".to_owned());
    }
    build_cli()?;
    let place = Place::new(document)?;
    steps.iter().try_for_each(|step| place.follow(step))
}

/// Every block of a document that is a JSON object is configuration that is accepted.
fn accepted(document: &str) -> Result<(), String> {
    let text = read(document)?;
    let mut blocks: Vec<String> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let line = line.strip_prefix("    ").unwrap_or(line);
        if line.starts_with("{ \"") {
            blocks.push(String::new());
            inside = true;
        }
        inside &= !line.is_empty() && !line.starts_with("```");
        if let Some(block) = blocks.last_mut().filter(|_| inside) {
            block.push_str(line);
            block.push('\n');
        }
    }
    if blocks.is_empty() {
        return Err("no configuration in it".to_owned());
    }
    for block in blocks {
        let programs = Programs::new();
        let configure = |json: &str| {
            let done = programs.configure("name", json);
            done.map_err(|error| format!("{block}{error}"))
        };
        configure(r#"{ "filename": "/srv/name" }"#)?;
        if !block.contains("\"filename\"") {
            configure(&block)?;
            continue;
        }
        let alone = Programs::new().configure("name", &block);
        alone.map_err(|error| format!("{block}{error}"))?;
    }
    Ok(())
}

/// A recipe for every library, and no block that is not run but those above.
fn nothing_is_left_out(sections: &[Section]) -> Result<(), String> {
    let mut not_run = Vec::new();
    let mut commands = String::new();
    for section in sections {
        let mut requests = 0;
        for step in &section.steps {
            match step {
                Step::Skipped { reason } => not_run.push((section.title.as_str(), reason.as_str())),
                Step::Commands(text) => commands.push_str(text),
                Step::Session { .. } => requests += 1,
                Step::File { .. } => {}
            }
        }
        if requests == 0 {
            return Err(format!("{} has no request", section.title));
        }
    }
    if not_run != NOT_RUN {
        return Err(format!("not run: {not_run:?}, expected {NOT_RUN:?}"));
    }
    let missing = |library: &&String| !commands.contains(&format!("guest/{library}"));
    match libraries()?.iter().find(missing) {
        Some(library) => Err(format!("no recipe uses guest/{library}")),
        None => Ok(()),
    }
}

/// The directories of `guest` with a library.
fn libraries() -> Result<Vec<String>, String> {
    let guest = paths::top().join("guest");
    let failed = |error| format!("{}: {error}", guest.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(&guest).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !Path::new(&*name).ends_with("examples") {
            names.push(name.into_owned());
        }
    }
    Ok(names)
}

fn main() -> ExitCode {
    let mut cases = match read(RECIPES).and_then(|text| sections(&text)) {
        Err(error) => vec![Case::new("recipes", move || {
            Err(format!("{RECIPES}: {error}"))
        })],
        Ok(sections) => {
            let complete = nothing_is_left_out(&sections);
            let mut cases = vec![Case::new("recipes: nothing is left out", || complete)];
            cases.extend(sections.into_iter().map(recipe));
            cases
        }
    };
    for (document, not_run) in FOLLOWED {
        let name = format!("followed: {document}");
        cases.push(Case::kvm(name, move || followed(document, not_run)));
    }
    for document in CONFIGURED {
        let name = format!("accepted: {document}");
        cases.push(Case::new(name, move || accepted(document)));
    }
    harness::run(cases)
}
