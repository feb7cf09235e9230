//! Runs a case both ways, and compares.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::RwLock;
use std::time::Duration;

use crate::{differences, native, virtual_machine};

/// A case ends within this, natively and in the virtual machine.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(20);

/// Held for reading while a process is started. Until it has become another program it holds
/// copies of this one's descriptors, and with them the locks that a virtual machine gives back.
pub(crate) static STARTING: RwLock<()> = RwLock::new(());

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Exit(i32),
    Signal(i32),
    /// In the virtual machine only: stopped for another reason.
    Other(String),
}

/// What can be seen of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) out: String,
    pub(crate) end: End,
}

/// An empty directory, gone in the end. It is the same for both runs, so that paths are.
struct Directory(PathBuf);

impl Directory {
    fn new(case: &str) -> Result<Self, String> {
        let name = format!("tinykvm-conformance-{}-{case}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Fails if the two runs differ and should not, or should and do not.
pub(crate) fn run(name: &str, program: &Path, case: &str) -> Result<(), String> {
    let native = in_directory(case, |directory| native::run(program, case, directory))?;
    let virtual_ = in_directory(case, |directory| {
        let has_locks = case.contains("locks");
        let _alone = has_locks.then(|| STARTING.write());
        virtual_machine::run(program, case, directory)
    });
    let same = virtual_.as_ref() == Ok(&native);
    match (same, differences::reason(name)) {
        (true, None) | (false, Some(_)) => Ok(()),
        (true, Some(_)) => Err("is the same in both, but listed in differences.rs".to_string()),
        (false, None) => Err(explain(&native, &virtual_)),
    }
}

fn in_directory<T>(case: &str, run: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    let directory = Directory::new(case)?;
    run(directory.0.to_str().ok_or("a path that is not UTF-8")?)
}

/// The two outcomes with what differs marked.
fn explain(native: &Outcome, virtual_: &Result<Outcome, String>) -> String {
    let virtual_ = match virtual_ {
        Ok(outcome) => outcome,
        Err(error) => return format!("{error}\nnative: {native:?}"),
    };
    let mut text = format!(
        "native {:?}, virtual machine {:?}\n",
        native.end, virtual_.end
    );
    let (mut left, mut right) = (native.out.lines(), virtual_.out.lines());
    loop {
        match (left.next(), right.next()) {
            (None, None) => return text,
            (one, other) if one == other => {
                text.push_str(&format!("  {}\n", one.unwrap_or_default()));
            }
            (one, other) => text.push_str(&format!(
                "- {}\n+ {}\n",
                one.unwrap_or_default(),
                other.unwrap_or_default()
            )),
        }
    }
}
