//! What a program uses while everything is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use tinykvm_runtime::{Journal, Used, Wording};

use crate::rules::is_speakable;

/// The most paths, and places, that are recorded.
pub(super) const MOST: usize = 100_000;

/// How a path was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// It was to be changed.
    pub(super) write: bool,
    /// It was opened, or something else than looking at its metadata.
    pub(super) opened: bool,
    /// It may have been created.
    pub(super) created: bool,
    /// Its name differs from run to run.
    pub(super) random: bool,
}

/// Everything that was used.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) paths: BTreeMap<String, Use>,
    pub(super) places: BTreeSet<String>,
    /// Memory was to be written and executed.
    pub(super) exec_memory: bool,
    /// What no rule can name.
    pub(super) unspeakable: BTreeSet<String>,
    /// There was more.
    pub(super) full: bool,
}

impl Record {
    /// True if files were created whose names may be others the next time.
    pub(super) fn has_created(&self) -> bool {
        self.paths.values().any(|how| how.created)
    }

    /// Adds what another run used. Files that were created in one of them only have random names.
    pub(super) fn add(&mut self, other: Self) {
        for (path, how) in &mut self.paths {
            how.random |= how.created && !other.paths.contains_key(path);
        }
        for (path, how) in other.paths {
            let random = how.created && !self.paths.contains_key(&path);
            let known = self.paths.entry(path).or_default();
            known.write |= how.write;
            known.opened |= how.opened;
            known.created |= how.created;
            known.random |= random;
        }
        self.places.extend(other.places);
        self.exec_memory |= other.exec_memory;
        self.unspeakable.extend(other.unspeakable);
        self.full |= other.full;
    }
}

/// Records what a program uses; its output goes to standard error.
#[derive(Debug)]
pub(super) struct Recorder {
    record: Mutex<Record>,
    aloud: bool,
}

impl Recorder {
    /// `aloud`: the program's output is shown.
    pub(super) fn new(aloud: bool) -> Self {
        Self {
            record: Mutex::default(),
            aloud,
        }
    }

    /// Takes what was recorded.
    pub(super) fn take(&self) -> Record {
        std::mem::take(&mut *self.record.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Journal for Recorder {
    fn log(&self, line: &str) {
        if self.aloud {
            say!("{line}");
        }
    }

    // The failure that this is about is what the command's result says.
    fn error(&self, _: &str) {}

    fn wording(&self) -> Wording {
        Wording::Config
    }

    fn used(&self, used: Used<'_>) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match used {
            Used::Place(place) => place.as_bytes(),
            Used::Path { path, .. } => path,
            Used::ExecMemory => {
                record.exec_memory = true;
                return;
            }
        };
        let text = match std::str::from_utf8(what) {
            Ok(text) if is_speakable(text) => text.to_owned(),
            _ => {
                let text = String::from_utf8_lossy(what).into_owned();
                if record.unspeakable.len() < MOST {
                    record.unspeakable.insert(text);
                }
                return;
            }
        };
        match used {
            Used::Place(_) if record.places.len() < MOST => {
                record.places.insert(text);
            }
            Used::Path { call, write, .. } if record.paths.len() < MOST => {
                let known = record.paths.entry(text).or_default();
                known.write |= write;
                known.opened |= !only_looks(call);
                known.created |= write && creates(call);
            }
            _ => record.full = true,
        }
    }
}

fn only_looks(call: &str) -> bool {
    matches!(
        call,
        "stat"
            | "lstat"
            | "newfstatat"
            | "statx"
            | "access"
            | "faccessat"
            | "faccessat2"
            | "readlink"
            | "readlinkat"
            | "statfs"
    )
}

fn creates(call: &str) -> bool {
    [
        "open", "creat", "mkdir", "mknod", "rename", "link", "symlink",
    ]
    .iter()
    .any(|start| call.starts_with(start))
}
