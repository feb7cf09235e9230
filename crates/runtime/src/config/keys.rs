//! The table of keys: the one place where a key's name, type and range are said.

use std::ops::RangeInclusive;
use std::time::Duration;

use jsonc_parser::ast::Value;
use tinykvm::Limits;

use super::{MIB, MOST_FORKS, OnFailure, Settings};
use crate::fields::shown;
use crate::permissions::{PathKind, PathSetting};

/// The shortest and longest time limits in seconds.
const SECONDS: RangeInclusive<f64> = 0.001..=3600.0;
/// The most memory that a program can have, and so that anything in it can have.
const MOST: u64 = *Limits::MEMORY.end() / MIB;
/// What a program's memory can be, in MiB.
const MEMORY: RangeInclusive<u64> = Limits::MEMORY.start().div_ceil(MIB)..=MOST;
/// What can be said of a part of it, in MiB.
const SIZE: RangeInclusive<u64> = 1..=MOST;
/// What another engine's address space can be, in MiB: 1 TiB. Without effect here.
const ADDRESS_SPACE: RangeInclusive<u64> = 1..=1_048_576;
/// A key less similar than this is no suggestion.
const SIMILAR: f64 = 0.8;

/// One configuration key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// Another name for the same.
    alias: Option<&'static str>,
    /// What it does.
    pub(super) effect: Effect,
}

impl Key {
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.alias == Some(name)
    }
}

/// What a key does. The error of its function says what is allowed.
#[derive(Debug)]
pub(super) enum Effect {
    /// Changes the settings.
    Sets(fn(&mut Settings, Found<'_>) -> Result<(), String>),
    /// Is about how the work is done elsewhere; checked, and without effect here.
    Hint(fn(Found<'_>) -> Result<(), String>),
    /// Asks for something that is not there yet, unless it is switched off.
    NotYet,
}

const fn sets(
    name: &'static str,
    apply: fn(&mut Settings, Found<'_>) -> Result<(), String>,
) -> Key {
    Key {
        name,
        alias: None,
        effect: Effect::Sets(apply),
    }
}

const fn hint(name: &'static str, check: fn(Found<'_>) -> Result<(), String>) -> Key {
    Key {
        name,
        alias: None,
        effect: Effect::Hint(check),
    }
}

const fn not_yet(name: &'static str) -> Key {
    Key {
        name,
        alias: None,
        effect: Effect::NotYet,
    }
}

/// Changes one setting, if the value found is good.
fn put<T>(setting: &mut T, found: Result<T, String>) -> Result<(), String> {
    *setting = found?;
    Ok(())
}

/// All keys, in the order in which they are applied.
pub(super) static KEYS: &[Key] = &[
    sets("group", |to, found| put(&mut to.group, found.name())),
    sets("filename", |to, found| {
        let path = found.path()?;
        if !path.starts_with('/') {
            return Err("the absolute path of a file".to_owned());
        }
        to.filename = path;
        Ok(())
    }),
    sets("concurrency", |to, found| {
        let number = found.count(1..=u64::from(MOST_FORKS))?;
        to.concurrency = u16::try_from(number).map_err(|error| error.to_string())?;
        Ok(())
    }),
    sets("max_boot_time", |to, found| {
        put(&mut to.max_boot_time, found.seconds())
    }),
    sets("max_request_time", |to, found| {
        put(&mut to.max_request_time, found.seconds())
    }),
    sets("max_queue_time", |to, found| {
        put(&mut to.max_queue_time, found.seconds())
    }),
    sets("max_queue", |to, found| {
        let number = found.count(0..=100_000)?;
        to.max_queue = usize::try_from(number).map_err(|error| error.to_string())?;
        Ok(())
    }),
    sets("idle_time", |to, found| {
        put(&mut to.idle_time, found.seconds())
    }),
    sets("max_memory", |to, found| {
        put(&mut to.max_memory, found.mebibytes(MEMORY))
    }),
    sets("max_request_memory", |to, found| {
        put(&mut to.max_request_memory, found.size())
    }),
    Key {
        name: "req_mem_limit_after_reset",
        alias: Some("limit_workmem_after_req"),
        effect: Effect::Sets(|to, found| put(&mut to.keep_memory, found.size().map(Some))),
    },
    sets("max_body", |to, found| put(&mut to.max_body, found.size())),
    sets("max_filter_time", |to, found| {
        put(&mut to.max_filter_time, found.seconds())
    }),
    sets("max_deliveries", |to, found| {
        let number = found.count(1..=u64::from(MOST_FORKS))?;
        to.max_deliveries = Some(u16::try_from(number).map_err(|error| error.to_string())?);
        Ok(())
    }),
    sets("on_failure", |to, found| {
        put(&mut to.on_failure, found.on_failure())
    }),
    sets("ephemeral", |to, found| {
        put(&mut to.ephemeral, found.flag())
    }),
    sets("ephemeral_keep_working_memory", |to, found| {
        to.keep_working_memory = found.flag()?;
        to.ephemeral |= to.keep_working_memory;
        Ok(())
    }),
    sets("control_ephemeral", |to, found| {
        put(&mut to.control_ephemeral, found.flag())
    }),
    sets("executable_heap", |to, found| {
        put(&mut to.executable_heap, found.flag())
    }),
    sets("argv0", |to, found| {
        put(&mut to.argv0, found.name().map(Some))
    }),
    sets("main_arguments", |to, found| {
        put(
            &mut to.main_arguments,
            found.strings("strings without NUL", |_| true),
        )
    }),
    sets("environment", |to, found| {
        let mut more = found.strings("\"NAME=value\" strings", |text| {
            text.find('=').is_some_and(|at| at > 0)
        })?;
        to.environment.append(&mut more);
        Ok(())
    }),
    sets("libraries", |to, found| {
        put(&mut to.libraries, found.flag())
    }),
    sets("allowed_paths", |to, found| {
        to.paths.append(&mut found.allowed_paths()?);
        Ok(())
    }),
    sets("connect", |to, found| {
        for rule in found.strings(
            "rules (\"host:port\", \"10.0.0.0/8:443\", \"unix:/path\", \"dns\")",
            |_| true,
        )? {
            let rule = String::from_utf8_lossy(&rule).into_owned();
            to.connect
                .add(&rule)
                .map_err(|error| format!("a rule that can be understood ({error})"))?;
        }
        Ok(())
    }),
    sets("current_working_directory", |to, found| {
        let path = found.path()?;
        if !path.starts_with('/') {
            return Err("an absolute path".to_owned());
        }
        to.directory = path;
        Ok(())
    }),
    sets("stdout", |to, found| put(&mut to.stdout, found.flag())),
    hint("address_space", |found| {
        found.mebibytes(ADDRESS_SPACE).map(drop)
    }),
    hint("hugepages", |found| found.flag().map(drop)),
    hint("split_hugepages", |found| found.flag().map(drop)),
    hint("transparent_hugepages", |found| found.flag().map(drop)),
    hint("hugepage_arena_size", |found| found.arena()),
    Key {
        name: "request_hugepage_arena_size",
        alias: Some("request_hugepages"),
        effect: Effect::Hint(|found| found.arena()),
    },
    hint("mmap_backed_files", |found| found.flag().map(drop)),
    hint("relocate_fixed_mmap", |found| found.flag().map(drop)),
    hint("verbose", |found| found.flag().map(drop)),
    hint("verbose_syscalls", |found| found.flag().map(drop)),
    hint("verbose_pagetables", |found| found.flag().map(drop)),
    not_yet("uri"),
    not_yet("sha256"),
    not_yet("md5"),
    not_yet("key"),
    not_yet("start"),
    not_yet("max_storage_time"),
    not_yet("shared_memory"),
    not_yet("storage"),
    not_yet("remapping"),
    not_yet("executable_remapping"),
    not_yet("blackout_area"),
    not_yet("cold_start_file"),
    not_yet("download"),
    not_yet("warmup"),
    not_yet("smp"),
    not_yet("allow_debug"),
    not_yet("remote_debug_on_exception"),
    not_yet("server"),
    not_yet("websocket_server"),
];

/// The known key that is most like `name`, if one is like it at all.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    most_like(name, KEYS.iter().map(|key| key.name))
}

fn most_like(name: &str, keys: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let score = |key: &str| strsim::jaro_winkler(key, name);
    keys.max_by(|a, b| score(a).total_cmp(&score(b)))
        .filter(|key| score(key) >= SIMILAR)
}

/// A value as it stands in the document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a>(pub(super) &'a Value<'a>);

impl Found<'_> {
    /// True for the values with which a feature is switched off.
    pub(super) fn is_off(self) -> bool {
        match self.0 {
            Value::BooleanLit(flag) => !flag.value,
            Value::NumberLit(number) => number.value.parse() == Ok(0.0),
            Value::StringLit(text) => text.value.is_empty(),
            Value::Array(array) => array.elements.is_empty(),
            Value::Object(object) => object.properties.is_empty(),
            Value::NullKeyword(_) => false,
        }
    }

    fn flag(self) -> Result<bool, String> {
        match self.0 {
            Value::BooleanLit(flag) => Ok(flag.value),
            _ => Err("true or false".to_owned()),
        }
    }

    fn on_failure(self) -> Result<OnFailure, String> {
        match self.0 {
            Value::StringLit(text) if text.value == "error" => Ok(OnFailure::Error),
            Value::StringLit(text) if text.value == "original" => Ok(OnFailure::Original),
            _ => Err("\"error\" or \"original\"".to_owned()),
        }
    }

    fn count(self, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        let range = format!(
            "a whole number from {} to {}",
            allowed.start(),
            allowed.end()
        );
        match self.0 {
            Value::NumberLit(number) => number.value.parse().ok(),
            _ => None,
        }
        .filter(|number| allowed.contains(number))
        .ok_or(range)
    }

    fn size(self) -> Result<u64, String> {
        self.mebibytes(SIZE)
    }

    fn mebibytes(self, allowed: RangeInclusive<u64>) -> Result<u64, String> {
        self.count(allowed)
            .map(|mebibytes| mebibytes * MIB)
            .map_err(|allowed| format!("{allowed} (MiB)"))
    }

    /// 0, or a size in steps of 2 MiB.
    fn arena(self) -> Result<(), String> {
        let size = self.count(0..=524_288);
        if size.is_ok_and(|size| size.is_multiple_of(2)) {
            return Ok(());
        }
        Err("an even number from 0 to 524288 (MiB)".to_owned())
    }

    fn seconds(self) -> Result<Duration, String> {
        match self.0 {
            Value::NumberLit(number) => number.value.parse::<f64>().ok(),
            _ => None,
        }
        .filter(|seconds| SECONDS.contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| {
            let (least, most) = (SECONDS.start(), SECONDS.end());
            format!("a number of seconds from {least} to {most}")
        })
    }

    /// A name that can stand in an environment string.
    fn name(self) -> Result<String, String> {
        match self.0 {
            Value::StringLit(text)
                if !text.value.is_empty() && !text.value.chars().any(char::is_control) =>
            {
                Ok(text.value.clone().into_owned())
            }
            _ => Err("a string that is not empty".to_owned()),
        }
    }

    fn path(self) -> Result<String, String> {
        match self.0 {
            Value::StringLit(text) if !text.value.is_empty() && !text.value.contains('\0') => {
                Ok(expand(&text.value))
            }
            _ => Err("the path of a file".to_owned()),
        }
    }

    fn strings(self, what: &str, ok: fn(&str) -> bool) -> Result<Vec<Vec<u8>>, String> {
        let allowed = || format!("an array of {what}");
        let Value::Array(array) = self.0 else {
            return Err(allowed());
        };
        array
            .elements
            .iter()
            .map(|element| match element {
                Value::StringLit(text) if !text.value.contains('\0') && ok(&text.value) => {
                    Ok(expand(&text.value).into_bytes())
                }
                _ => Err(allowed()),
            })
            .collect()
    }
}

/// What `allowed_paths` may hold.
const PATHS: &str = "an array of absolute paths and objects { \"real\", \"virtual\", \"prefix\", \"writable\", \"symlink\" }";

impl Found<'_> {
    /// `allowed_paths`: paths, which are read and called the same, and objects.
    fn allowed_paths(self) -> Result<Vec<PathSetting>, String> {
        let Value::Array(array) = self.0 else {
            return Err(PATHS.to_owned());
        };
        array.elements.iter().map(allowed_path).collect()
    }
}

fn allowed_path(element: &Value<'_>) -> Result<PathSetting, String> {
    let absolute = |path: String| {
        if path.starts_with('/') {
            Ok(path)
        } else {
            Err(PATHS.to_owned())
        }
    };
    let object = match element {
        Value::StringLit(_) => {
            let path = absolute(Found(element).path().map_err(|_| PATHS)?)?;
            return Ok(PathSetting {
                shown: path.clone(),
                real: path,
                kind: PathKind::Any,
                writable: false,
            });
        }
        Value::Object(object) => object,
        _ => return Err(PATHS.to_owned()),
    };
    let (mut real, mut shown) = (None, None);
    let (mut prefix, mut writable, mut symlink) = (None, false, false);
    for property in &object.properties {
        let found = Found(&property.value);
        match property.name.as_str() {
            "real" => real = Some(found.path().map_err(|_| PATHS)?),
            "virtual" => match found.0 {
                // Without the values of variables: it is the program's path.
                Value::StringLit(text) if !text.value.contains('\0') => {
                    shown = Some(text.value.clone().into_owned());
                }
                _ => return Err(PATHS.to_owned()),
            },
            "prefix" => prefix = Some(found.flag().map_err(|_| PATHS)?),
            "writable" => writable = found.flag().map_err(|_| PATHS)?,
            "symlink" => symlink = found.flag().map_err(|_| PATHS)?,
            other => return Err(unknown_path_key(other)),
        }
    }
    let real = real.ok_or(PATHS)?;
    let shown = absolute(shown.unwrap_or_else(|| real.clone()))?;
    if symlink && (writable || prefix == Some(true) || shown == real) {
        return Err(
            "without \"writable\" and \"prefix\", and between two paths, for a \"symlink\""
                .to_owned(),
        );
    }
    if !symlink {
        absolute(real.clone())?;
    }
    let kind = match (symlink, prefix) {
        (true, _) => PathKind::Link,
        (false, Some(true)) => PathKind::Tree,
        (false, Some(false)) => PathKind::File,
        (false, None) => PathKind::Any,
    };
    Ok(PathSetting {
        shown,
        real,
        kind,
        writable,
    })
}

/// The keys of an object in `allowed_paths`.
const PATH_KEYS: [&str; 5] = ["real", "virtual", "prefix", "writable", "symlink"];

fn unknown_path_key(found: &str) -> String {
    let nearest = most_like(found, PATH_KEYS.into_iter());
    let suggestion = nearest.map_or_else(String::new, |key| format!("; did you mean \"{key}\"?"));
    format!(
        "{PATHS}, which have no key \"{}\"{suggestion}",
        shown(found.as_bytes())
    )
}

/// Puts the values of `$HOME` and `$PWD` into a string. A variable without value stays.
fn expand(text: &str) -> String {
    let mut expanded = text.to_owned();
    if expanded.contains("$HOME")
        && let Some(home) = std::env::var_os("HOME")
    {
        expanded = expanded.replace("$HOME", &home.to_string_lossy());
    }
    if expanded.contains("$PWD")
        && let Ok(directory) = std::env::current_dir()
    {
        expanded = expanded.replace("$PWD", &directory.to_string_lossy());
    }
    expanded
}
