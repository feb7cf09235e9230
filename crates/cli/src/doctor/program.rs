//! `tinykvm doctor PROGRAM`: what a program needs to be started.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use goblin::elf::Elf;
use tinykvm::Image;
use tinykvm_runtime::is_library;

use super::finding::{Finding, Level};
use crate::console::{Error, print};
use crate::rules::{Extent, PathRule, Rules};
use crate::target::name_of;

/// Where libraries are without being told.
const USUAL: [&str; 6] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
];

/// More libraries than a program has.
const MOST: usize = 4096;

/// Prints whether all is there that the program needs, and the rules that allow it.
pub(crate) fn program(path: &Path) -> Result<ExitCode, Error> {
    let shown = path.display().to_string();
    let about = fs::metadata(path).map_err(|source| Error::io(&shown, source))?;
    // Others may have no end, or wait for somebody.
    if !about.is_file() {
        return Err(Error::Argument(format!("{shown}: not a file")));
    }
    let file = fs::read(path).map_err(|source| Error::io(&shown, source))?;
    // As it is when it is loaded.
    if let Err(error) = Image::parse(file.clone()) {
        return Err(Error::Argument(format!("{shown}: {error}")));
    }
    let needs = Needs::of(path, &file)
        .map_err(|error| Error::Argument(format!("{shown}: damaged ELF file: {error}")))?;
    if needs.interpreter.is_none() && needs.libraries.is_empty() {
        print(
            format!("[ok] {shown} is statically linked: it needs no other file to start\n")
                .as_bytes(),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    let (findings, found) = search(path, needs);
    let missing = findings.iter().any(|one| one.level == Level::Bad);
    let mut text: String = findings.iter().map(ToString::to_string).collect();
    text.push_str(&advice(&name_of(path), &found)?);
    print(text.as_bytes())?;
    Ok(match missing {
        false => ExitCode::SUCCESS,
        true => ExitCode::FAILURE,
    })
}

/// What a file says about others.
struct Needs {
    interpreter: Option<String>,
    libraries: Vec<String>,
    /// Where it wants its libraries to be looked for first.
    directories: Vec<PathBuf>,
    /// These are of `DT_RUNPATH`: for its own libraries alone, not for those that they need.
    only_own: bool,
}

impl Needs {
    fn of(path: &Path, file: &[u8]) -> Result<Self, goblin::error::Error> {
        let elf = Elf::parse(file)?;
        let own = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let origin = own.parent().unwrap_or(Path::new("/")).display().to_string();
        // With DT_RUNPATH, DT_RPATH means nothing.
        let only_own = !elf.runpaths.is_empty();
        let lists = if only_own { elf.runpaths } else { elf.rpaths };
        let directories = lists
            .iter()
            .flat_map(|list| list.split(':'))
            .filter(|one| !one.is_empty())
            .map(|one| {
                one.replace("${ORIGIN}", &origin)
                    .replace("$ORIGIN", &origin)
            })
            .map(PathBuf::from)
            .collect();
        Ok(Self {
            interpreter: elf.interpreter.map(str::to_owned),
            libraries: elf.libraries.iter().map(|&name| name.to_owned()).collect(),
            directories,
            only_own,
        })
    }
}

/// Looks for everything; gives what there is to say, and the paths of what was found.
fn search(program: &Path, needs: Needs) -> (Vec<Finding>, Vec<PathBuf>) {
    let mut findings = Vec::new();
    let mut found = Vec::new();
    let system = system_directories();
    let of_program = match needs.only_own {
        true => Vec::new(),
        false => needs.directories.clone(),
    };
    if let Some(interpreter) = &needs.interpreter {
        let path = PathBuf::from(interpreter);
        if path.is_file() {
            findings.push(Finding::good(format!("interpreter {interpreter}")));
            found.push(path);
        } else {
            findings.push(
                Finding::bad(format!("interpreter {interpreter}: does not exist"))
                    .remedy("Install the C library that the program was built for."),
            );
        }
    }
    let mut seen = BTreeSet::new();
    let mut waiting = VecDeque::from([(program.to_owned(), needs)]);
    while let Some((by, needs)) = waiting.pop_front() {
        for name in &needs.libraries {
            if seen.len() >= MOST || !seen.insert(name.clone()) {
                continue;
            }
            let inherited = of_program.iter().filter(|_| !needs.only_own);
            let directories = needs.directories.iter().chain(inherited).chain(&system);
            let Some((path, needs)) = find(name, directories) else {
                findings.push(
                    Finding::bad(format!("{name}: not found, needed by {}", by.display()))
                        .remedy("Install it; if it is in a directory of its own, set LD_LIBRARY_PATH in \"environment\" and allow reading it."),
                );
                continue;
            };
            findings.push(Finding::good(format!("{name} => {}", path.display())));
            found.push(path.clone());
            waiting.push_back((path, needs));
        }
    }
    (findings, found)
}

/// The first file of this name that is a library for this machine.
fn find<'a>(
    name: &str,
    mut directories: impl Iterator<Item = &'a PathBuf>,
) -> Option<(PathBuf, Needs)> {
    let library = |path: PathBuf| {
        let file = fs::read(&path).ok()?;
        // ELFCLASS64 at byte 4, EM_X86_64 at byte 18.
        let fits = file.get(4) == Some(&2) && file.get(18..20) == Some(&[62, 0]);
        let needs = Needs::of(&path, &file).ok().filter(|_| fits)?;
        Some((path, needs))
    };
    if name.contains('/') {
        return library(PathBuf::from(name));
    }
    directories.find_map(|directory| library(directory.join(name)))
}

/// The directories of `/etc/ld.so.conf` and the usual ones.
fn system_directories() -> Vec<PathBuf> {
    let mut texts = vec![fs::read_to_string("/etc/ld.so.conf").unwrap_or_default()];
    let mut files: Vec<_> = fs::read_dir("/etc/ld.so.conf.d")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "conf"))
        .collect();
    files.sort();
    texts.extend(
        files
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok()),
    );
    let configured = texts
        .iter()
        .flat_map(|text| text.lines())
        .map(str::trim)
        .filter(|line| line.starts_with('/'));
    configured.chain(USUAL).map(PathBuf::from).collect()
}

/// The rules that allow reading what was found.
fn advice(name: &str, found: &[PathBuf]) -> Result<String, Error> {
    let (system, others): (Vec<_>, Vec<_>) = found
        .iter()
        .map(|path| path.display().to_string())
        .partition(|path| is_library(path));
    let rule = |path: String| PathRule {
        path,
        extent: Extent::File,
        writable: false,
        instead: None,
    };
    let rules = Rules {
        libraries: !system.is_empty(),
        paths: others.into_iter().map(rule).collect(),
        connect: Vec::new(),
        exec_memory: false,
        ..Rules::default()
    };
    let json = serde_json::to_string_pretty(&rules.json())
        .map_err(|error| Error::Argument(error.to_string()))?;
    Ok(format!(
        "In vcl_init:\n{}or as JSON:\n{json}\n",
        rules.vcl(name)
    ))
}
