//! What programs may have of the host: from the configuration to what the personality enforces.

use std::path::{Path, PathBuf};

use tinykvm_linux::{ConnectRules, Extent, PathRule, Permissions, resolvers_in};

use crate::config::Settings;
use crate::fields::shown;
use crate::journal::Journal;
use crate::text::own_line;

/// What `allow()` can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading a file, a directory with all that is in it, or the system's libraries.
    Read,
    /// The same for reading and changing.
    Write,
    /// Connecting to somewhere.
    Connect,
    /// A variable of this process's environment.
    Environment,
    /// Memory that is writable and executable.
    ExecMemory,
}

/// What may be done with paths: an entry of `allowed_paths`, or a path that `allow()` named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathSetting {
    /// As the program sees it.
    pub(crate) shown: String,
    /// On the host; of a link, where it points as the program sees it.
    pub(crate) real: String,
    pub(crate) kind: PathKind,
    pub(crate) writable: bool,
}

/// How much a setting is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathKind {
    /// A file; of a directory only its names.
    File,
    /// A file; of a directory all that is in it.
    Any,
    /// All that is in a directory.
    Tree,
    /// A symbolic link.
    Link,
}

/// What `allow(…, read, "libraries")` and the key `libraries` stand for: where the dynamic loader
/// and the libraries of a Linux system are, the loader's cache of their names, where Debian's
/// links to alternatives lead, and the time zones that C libraries and languages read.
const LIBRARIES: [(&str, PathKind); 8] = [
    ("/lib", PathKind::Tree),
    ("/lib64", PathKind::Tree),
    ("/usr/lib", PathKind::Tree),
    ("/usr/lib64", PathKind::Tree),
    ("/etc/ld.so.cache", PathKind::File),
    ("/etc/alternatives", PathKind::Tree),
    ("/usr/share/zoneinfo", PathKind::Tree),
    ("/etc/timezone", PathKind::File),
];

/// The word that stands for them.
const LIBRARIES_WORD: &str = "libraries";

/// True if the key `libraries` allows reading this absolute path.
#[must_use]
pub fn is_library(path: &str) -> bool {
    LIBRARIES.iter().any(|&(known, kind)| {
        path.strip_prefix(known)
            .is_some_and(|rest| rest.is_empty() || kind == PathKind::Tree && rest.starts_with('/'))
    })
}

/// Adds what `allow()` said to the settings of a program.
///
/// # Errors
/// A text that says what is wrong with `what`.
pub(crate) fn allow(settings: &mut Settings, access: Access, what: &str) -> Result<(), String> {
    match access {
        Access::Read if what == LIBRARIES_WORD => settings.libraries = true,
        Access::Read | Access::Write => {
            if !what.starts_with('/') || what.contains('\0') {
                return Err(format!(
                    "\"{}\" is not an absolute path",
                    what.escape_debug()
                ));
            }
            settings.paths.push(PathSetting {
                shown: what.to_owned(),
                real: what.to_owned(),
                kind: if what.ends_with('/') {
                    PathKind::Tree
                } else {
                    PathKind::File
                },
                writable: access == Access::Write,
            });
        }
        Access::Connect => settings
            .connect
            .add(what)
            .map_err(|error| error.to_string())?,
        Access::Environment => {
            if what.is_empty() || what.contains(['=', '\0']) {
                return Err(format!(
                    "\"{}\" can't be a variable's name",
                    what.escape_debug()
                ));
            }
            if let Ok(value) = std::env::var(what) {
                settings
                    .environment
                    .push(format!("{what}={value}").into_bytes());
            }
        }
        Access::ExecMemory => settings.executable_heap = true,
    }
    Ok(())
}

/// Opens what the settings name. What is missing is reported, and does not exist for the program.
pub(crate) fn permissions(name: &str, settings: &Settings, journal: &dyn Journal) -> Permissions {
    let complain = |error: &dyn std::fmt::Display| {
        let text = format!("allowed, but not there: {error}");
        journal.error(&own_line(name, &text));
    };
    let mut all = match settings.audit {
        true => Permissions::audit().unwrap_or_else(|error| {
            complain(&error);
            Permissions::default()
        }),
        false => Permissions::default(),
    };
    for setting in &settings.paths {
        if let Err(error) = all.allow(&rule(setting)) {
            complain(&error);
        }
    }
    if settings.libraries {
        for (path, kind) in LIBRARIES {
            if !Path::new(path).exists() {
                continue;
            }
            let rule = rule(&PathSetting {
                shown: path.to_owned(),
                real: path.to_owned(),
                kind,
                writable: false,
            });
            if let Err(error) = all.allow(&rule) {
                complain(&error);
            }
        }
    }
    let own = std::path::absolute(&settings.filename)
        .unwrap_or_else(|_| settings.filename.clone().into());
    let shown = own.clone().into_os_string().into_encoded_bytes();
    let file = PathRule {
        shown,
        real: own.clone(),
        extent: Extent::Exact,
        writable: false,
    };
    if let Err(error) = all.allow(&file) {
        complain(&error);
    }
    check_directory(name, settings, &all, journal);
    let mut state = own.into_os_string();
    state.push(".state");
    if let Err(error) = all.allow_state(&PathBuf::from(state)) {
        complain(&error);
    }
    if let Ok(zone) = std::fs::read("/etc/localtime") {
        all.set_local_time(zone);
    }
    all
}

/// Tells of a working directory that the program can't see.
fn check_directory(name: &str, settings: &Settings, all: &Permissions, journal: &dyn Journal) {
    if settings.directory != "/" && !all.has_directory(settings.directory.as_bytes()) {
        let text = format!(
            "\"current_working_directory\" is {}, and there is no such directory for the program: \
             \"allowed_paths\" can give it one",
            shown(settings.directory.as_bytes())
        );
        journal.error(&own_line(name, &text));
    }
}

fn rule(setting: &PathSetting) -> PathRule {
    let real = PathBuf::from(&setting.real);
    let extent = match setting.kind {
        PathKind::Link => Extent::Link,
        PathKind::Tree => Extent::Tree,
        PathKind::Any if real.is_dir() => Extent::Tree,
        PathKind::Any | PathKind::File => Extent::Exact,
    };
    PathRule {
        shown: setting.shown.clone().into_bytes(),
        real,
        extent,
        writable: setting.writable,
    }
}

/// The connect rules with names looked up, and the host's resolvers if the program may use them.
pub(crate) fn connect_rules(settings: &Settings) -> ConnectRules {
    let mut rules = settings.connect.clone();
    if settings.audit {
        rules.audit();
    }
    if rules.is_empty() {
        return rules;
    }
    rules.resolve();
    let servers = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    rules.set_resolvers(resolvers_in(&servers));
    rules
}
