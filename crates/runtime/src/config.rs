//! Program configuration: what may be set, and how JSON becomes [`Settings`].
//!
//! Precedence: built-in defaults, then the keys with which the program was defined, then every
//! later `configure()` in call order. Numbers and lists replace; `environment`,
//! `allowed_paths` and `connect` append. A document
//! is applied as a whole or not at all.

mod document;
mod json;
mod keys;

use std::num::NonZero;
use std::sync::OnceLock;
use std::time::Duration;

use thiserror::Error;
use tinykvm_linux::ConnectRules;

pub use document::Document;
pub(crate) use json::apply;

use crate::fields::shown;
use crate::permissions::PathSetting;
use crate::text::OWN;

/// The longest program name.
const NAME_MAX: usize = 100;

/// Why a configuration is refused. Nothing of a refused document is in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The text is not JSON.
    #[error("line {line}, column {column}: {reason}{}", cut_off(*.ended))]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What the parser says.
        reason: String,
        /// The text has an end such as an object has.
        ended: bool,
    },
    /// The text is JSON, but not an object.
    #[error("expected an object of keys and values: {{ \"filename\": ... }}, found {found}")]
    NotAnObject {
        /// What it is.
        found: &'static str,
    },
    /// There is no such key.
    #[error("line {line}: unknown key \"{key}\"{}", did_you_mean(.nearest))]
    UnknownKey {
        /// Where it is.
        line: usize,
        /// The key.
        key: String,
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// The key is there twice.
    #[error("line {line}: key \"{key}\" is given twice")]
    DuplicateKey {
        /// Where the second one is.
        line: usize,
        /// The key.
        key: String,
    },
    /// The key exists, but this version can't do what it asks for.
    #[error("line {line}: key \"{key}\" is not supported yet")]
    Unsupported {
        /// Where it is.
        line: usize,
        /// The key.
        key: &'static str,
    },
    /// The key's value is of the wrong type or out of range.
    #[error("line {line}: key \"{key}\" must be {allowed}, found {found}")]
    BadValue {
        /// Where it is.
        line: usize,
        /// The key.
        key: &'static str,
        /// The value found, shortened.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// What was to be allowed makes no sense.
    #[error("{reason}")]
    BadPermission {
        /// What is wrong.
        reason: String,
    },
    /// The program is not defined, and this document does not define it either.
    #[error("unknown program \"{program}\": a \"filename\" defines it")]
    NoFile {
        /// Its name.
        program: String,
    },
    /// The program is not configured.
    #[error("unknown program \"{program}\": it is not configured, call configure() first; {}", configured_are(.configured))]
    UnknownProgram {
        /// Its name.
        program: String,
        /// The names of those that are, in order.
        configured: Vec<String>,
    },
    /// Two keys contradict each other.
    #[error("\"{larger}\" is {large}{unit}, more than \"{smaller}\", which is {small}{unit}")]
    Contradiction {
        /// The key with the larger value.
        larger: &'static str,
        /// That value.
        large: u64,
        /// The key that limits it.
        smaller: &'static str,
        /// Its value.
        small: u64,
        /// What is counted, with a space before it.
        unit: &'static str,
    },
    /// The program is defined already, with another file.
    #[error(
        "\"{program}\" is defined already, as {file}: another file is another program, with a name of its own"
    )]
    OtherFile {
        /// Its name.
        program: String,
        /// Its file.
        file: String,
    },
    /// A text is about several programs, and nobody says which is meant.
    #[error("which of several programs is meant: {}?", quoted(.programs))]
    SeveralPrograms {
        /// Their names.
        programs: Vec<String>,
    },
    /// The name can't be a program's.
    #[error("\"{program}\" can't be a program's name: {reason}")]
    BadName {
        /// The name.
        program: String,
        /// What is allowed.
        reason: &'static str,
    },
    /// Another program has this name in another case, and Varnish does not tell them apart.
    #[error("\"{program}\" can't be a program's name: it differs from \"{other}\" in case only")]
    SameName {
        /// The name.
        program: String,
        /// The other program's.
        other: String,
    },
    /// The program is running with its settings already.
    #[error("\"{program}\" is started already; configure it before that")]
    AlreadyStarted {
        /// Its name.
        program: String,
    },
    /// No list of arguments was given.
    #[error("no arguments for main() of program \"{program}\"")]
    NoArguments {
        /// The program's name.
        program: String,
    },
}

fn cut_off(ended: bool) -> &'static str {
    match ended {
        true => "",
        false => {
            "; the text ends without a \"}\": in VCL, {\" \"} ends at the first \"}, so write \"\"\" around JSON"
        }
    }
}

/// How many names of programs a message has.
const NAMES_TOLD: usize = 8;

fn configured_are(names: &[String]) -> String {
    if names.is_empty() {
        return "no program is configured".to_owned();
    }
    let told: Vec<_> = names
        .iter()
        .take(NAMES_TOLD)
        .map(|it| format!("\"{it}\""))
        .collect();
    let more = match names.len().saturating_sub(NAMES_TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("configured: {}{more}", told.join(", "))
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean \"{key}\"?"))
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("{:?}", shown(name.as_bytes())))
        .collect();
    names.join(", ")
}

/// True for characters that names of programs consist of. They appear in log lines, in names of
/// backends and in lists of filters, and end in none of them.
fn is_of_names(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// Fails unless `name` can be a program's name.
pub(crate) fn check_name(name: &str) -> Result<(), ConfigError> {
    let reason = if name.is_empty() || name.len() > NAME_MAX {
        "names have 1 to 100 characters"
    } else if !name.bytes().all(is_of_names) {
        "names consist of letters, digits, \"_\", \"-\" and \".\""
    } else if name.eq_ignore_ascii_case(OWN) {
        "by it the module's own log lines are known"
    } else {
        return Ok(());
    };
    Err(ConfigError::BadName {
        program: shown(name.as_bytes()),
        reason,
    })
}

/// What a program that is to have that name can be called: each character that no name has is
/// replaced.
#[must_use]
pub fn name_from(text: &str) -> String {
    let replaced = text.chars().map(|character| {
        u8::try_from(character)
            .ok()
            .filter(|byte| is_of_names(*byte))
            .map_or('_', char::from)
    });
    let name: String = replaced.take(NAME_MAX).collect();
    match check_name(&name) {
        Ok(()) => name,
        Err(_) => format!("program_{name}").chars().take(NAME_MAX).collect(),
    }
}

/// What happens to a fork's memory after each call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterCall {
    /// Back to the frozen state; the pages that changed stay with the fork, for speed.
    Reset,
    /// Back to the frozen state, and the pages that changed are given back to the system.
    Drop,
    /// It stays as it is.
    Keep,
}

/// What becomes of a body when the program that filters it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// The fetch or the delivery fails.
    Error,
    /// The original body goes on, unless there was output already.
    Original,
}

/// Everything that can be configured about a program. Sizes are bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// The program's file on the host.
    pub(crate) filename: String,
    /// A name for a set of programs; the guest sees it as `KVM_GROUP`.
    pub(crate) group: String,
    /// How many forks may exist, that is, requests be served at the same time.
    pub(crate) concurrency: u16,
    /// How long `main()` may take to reach its wait call.
    pub(crate) max_boot_time: Duration,
    /// How long a request may run.
    pub(crate) max_request_time: Duration,
    /// How long a request may wait for a free fork.
    pub(crate) max_queue_time: Duration,
    /// How many requests may wait for a free fork.
    pub(crate) max_queue: usize,
    /// How long a fork is kept that nobody uses.
    pub(crate) idle_time: Duration,
    /// Memory of the program.
    pub(crate) max_memory: u64,
    /// Memory that a request may change.
    pub(crate) max_request_memory: u64,
    /// A fork that changed more than this is made anew instead of reset.
    pub(crate) keep_memory: Option<u64>,
    /// The largest request body, and the largest that is filtered whole or remembered.
    pub(crate) max_body: u64,
    /// How long all functions of a filter may run together for one body.
    pub(crate) max_filter_time: Duration,
    /// How many forks deliveries may hold; `None`: all but one.
    pub(crate) max_deliveries: Option<u16>,
    /// What a failed filter leaves.
    pub(crate) on_failure: OnFailure,
    /// Forks are reset after each request.
    pub(crate) ephemeral: bool,
    /// Changed pages stay with the fork when it is reset.
    pub(crate) keep_working_memory: bool,
    /// The program may choose by itself, while it starts, whether it is ephemeral.
    pub(crate) control_ephemeral: bool,
    /// Memory may be writable and executable at once, as a JIT compiler needs it.
    pub(crate) executable_heap: bool,
    /// `argv[0]` of `main()`; `None`: the file's path.
    pub(crate) argv0: Option<String>,
    /// Arguments of `main()` behind `argv[0]`.
    pub(crate) main_arguments: Vec<Vec<u8>>,
    /// Environment strings, `NAME=value`.
    pub(crate) environment: Vec<Vec<u8>>,
    /// The system's libraries may be read.
    pub(crate) libraries: bool,
    /// What may be done with files.
    pub(crate) paths: Vec<PathSetting>,
    /// Where sockets may go.
    pub(crate) connect: ConnectRules,
    /// The working directory at the start.
    pub(crate) directory: String,
    /// Output of the program goes to the host's log, too, not only to the request's.
    pub(crate) stdout: bool,
    /// Everything is allowed, and told to the journal. No key of a configuration says this.
    pub(crate) audit: bool,
}

/// Most forks of a program.
pub(crate) const MOST_FORKS: u16 = 10_000;

/// As many requests at a time as there are processors, and two at least: one may wait for somebody
/// else.
fn default_concurrency() -> u16 {
    static PROCESSORS: OnceLock<u16> = OnceLock::new();
    *PROCESSORS.get_or_init(|| {
        let found = std::thread::available_parallelism().map_or(1, NonZero::get);
        u16::try_from(found)
            .unwrap_or(MOST_FORKS)
            .clamp(2, MOST_FORKS)
    })
}

/// One mebibyte, the unit of sizes in configurations.
pub(crate) const MIB: u64 = 1 << 20;

/// What stands in every environment. Nobody looks at a program's output but by a log: the last two
/// ask it not to colour what it writes to the terminal that its standard output is.
const STANDARD: [&str; 6] = [
    "LC_TYPE=C",
    "LC_ALL=C",
    "USER=root",
    "PATH=/usr/local/bin:/usr/bin:/bin",
    "TERM=dumb",
    "NO_COLOR=1",
];

/// The name of an environment string.
fn name_of(string: &[u8]) -> Option<&[u8]> {
    string.split(|&byte| byte == b'=').next()
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            filename: String::new(),
            group: "test".to_owned(),
            concurrency: default_concurrency(),
            max_boot_time: Duration::from_secs(16),
            max_request_time: Duration::from_secs(8),
            max_queue_time: Duration::from_secs(10),
            max_queue: 256,
            idle_time: Duration::from_secs(10),
            max_memory: 256 * MIB,
            max_request_memory: 64 * MIB,
            keep_memory: None,
            max_body: 64 * MIB,
            max_filter_time: Duration::from_secs(60),
            max_deliveries: None,
            on_failure: OnFailure::Error,
            ephemeral: true,
            keep_working_memory: true,
            control_ephemeral: false,
            executable_heap: false,
            argv0: None,
            main_arguments: Vec::new(),
            environment: Vec::new(),
            libraries: false,
            paths: Vec::new(),
            connect: ConnectRules::default(),
            directory: "/".to_owned(),
            stdout: false,
            audit: false,
        }
    }
}

impl Settings {
    /// What happens to forks after each call if the program is ephemeral or not.
    pub(crate) fn after_call(&self, ephemeral: bool) -> AfterCall {
        match (ephemeral, self.keep_working_memory) {
            (false, _) => AfterCall::Keep,
            (true, true) => AfterCall::Reset,
            (true, false) => AfterCall::Drop,
        }
    }

    /// How many forks deliveries may hold.
    pub(crate) fn deliveries(&self) -> u16 {
        let others = self.concurrency.saturating_sub(1).max(1);
        self.max_deliveries.unwrap_or(others).min(self.concurrency)
    }

    /// A request can't change more memory than the program has.
    pub(crate) fn request_memory(&self) -> u64 {
        self.max_request_memory.min(self.max_memory)
    }

    /// The environment of `main()`: the standard strings, the configured ones, and what says which
    /// program this is. Of two with the same name the later one takes the place of the other:
    /// which of them a program would find is up to its C library.
    pub(crate) fn full_environment(&self, name: &str) -> Vec<Vec<u8>> {
        let text = |text: &str| text.as_bytes().to_vec();
        let mut all: Vec<Vec<u8>> = STANDARD.map(text).into();
        for string in &self.environment {
            match all.iter_mut().find(|it| name_of(it) == name_of(string)) {
                Some(earlier) => earlier.clone_from(string),
                None => all.push(string.clone()),
            }
        }
        all.extend([
            format!("KVM_NAME={name}").into_bytes(),
            format!("KVM_GROUP={}", self.group).into_bytes(),
            text("KVM_TYPE=request"),
            text("KVM_STATE=state"),
            text("KVM_DEBUG=0"),
        ]);
        all
    }
}

#[cfg(test)]
mod tests;
