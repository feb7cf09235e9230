//! Permissions as a user writes them: VCL and JSON.

use serde_json::{Map, Value, json};

/// How much of a path a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Extent {
    /// A file.
    File,
    /// The names in a directory.
    Names,
    /// All that is in a directory.
    Tree,
}

/// What the directory for temporary files is called that a program has for itself.
const TEMPORARY: &str = "/var/lib/tinykvm";

/// One path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PathRule {
    /// Absolute, without a slash at the end.
    pub(crate) path: String,
    pub(crate) extent: Extent,
    pub(crate) writable: bool,
    /// What the program has there is this directory: others should not see what it writes, nor it
    /// what others do.
    pub(crate) instead: Option<String>,
}

/// What a program may have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) libraries: bool,
    pub(crate) paths: Vec<PathRule>,
    pub(crate) connect: Vec<String>,
    /// Memory may be written and executed.
    pub(crate) exec_memory: bool,
    /// Directories in which files with random names are created, and that no rule may be about.
    pub(crate) unnamed: Vec<String>,
}

/// One of the rules.
#[derive(Debug, Clone)]
pub(crate) enum Single {
    ExecMemory,
    Connect(String),
    Path(PathRule),
    Libraries,
}

impl Single {
    /// All of them, the largest rights first, with those together of which none or few may be
    /// needed.
    pub(crate) fn groups(rules: &Rules) -> Vec<Vec<Self>> {
        let mut all = Vec::new();
        if rules.exec_memory {
            all.push(vec![Self::ExecMemory]);
        }
        all.extend(
            rules
                .connect
                .iter()
                .map(|place| vec![Self::Connect(place.clone())]),
        );
        for writable in [true, false] {
            for extent in [Extent::Tree, Extent::Names, Extent::File] {
                let paths = rules.paths.iter();
                let paths = paths.filter(|path| (path.writable, path.extent) == (writable, extent));
                let group: Vec<_> = paths.cloned().map(Self::Path).collect();
                if !group.is_empty() {
                    all.push(group);
                }
            }
        }
        if rules.libraries {
            all.push(vec![Self::Libraries]);
        }
        all
    }
}

impl Rules {
    /// Takes one out.
    pub(crate) fn take(&mut self, single: &Single) {
        match single {
            Single::ExecMemory => self.exec_memory = false,
            Single::Libraries => self.libraries = false,
            Single::Connect(place) => self.connect.retain(|other| other != place),
            Single::Path(path) => self.paths.retain(|other| other != path),
        }
    }

    /// Adds one.
    pub(crate) fn add(&mut self, single: Single) {
        match single {
            Single::ExecMemory => self.exec_memory = true,
            Single::Libraries => self.libraries = true,
            Single::Connect(place) => self.connect.push(place),
            Single::Path(path) => self.paths.push(path),
        }
    }

    /// Puts them in order.
    pub(crate) fn sort(&mut self) {
        self.connect.sort();
        self.paths.sort();
    }

    /// The directory that the program has for its temporary files alone, if it needs one.
    pub(crate) fn temporary(&self) -> Option<&str> {
        self.paths.iter().find_map(|path| path.instead.as_deref())
    }

    /// The same with another directory for temporary files.
    pub(crate) fn with_temporary(&self, directory: Option<&str>) -> Self {
        let mut rules = self.clone();
        let replaced = rules.paths.iter_mut().filter(|path| path.instead.is_some());
        for path in replaced {
            path.instead = directory.map(str::to_owned);
        }
        rules
    }

    /// The rules that `allow()` can't say.
    pub(crate) fn only_json(&self) -> Option<Value> {
        let paths = self.paths.iter().filter(|path| path.instead.is_some());
        let paths: Vec<_> = paths.map(PathRule::json).collect();
        (!paths.is_empty()).then(|| json!({ "allowed_paths": paths }))
    }

    /// Lines for `vcl_init`, but for those in [`only_json`](Self::only_json).
    pub(crate) fn vcl(&self, name: &str) -> String {
        let mut text = String::new();
        let mut allow = |kind: &str, what: &str| {
            let (name, what) = (quoted(name), quoted(what));
            text.push_str(&format!("    tinykvm.allow({name}, {kind}, {what});\n"));
        };
        if self.libraries {
            allow("read", "libraries");
        }
        for rule in self.paths.iter().filter(|path| path.instead.is_none()) {
            let slash = match rule.extent {
                Extent::Tree => "/",
                Extent::File | Extent::Names => "",
            };
            let kind = if rule.writable { "write" } else { "read" };
            allow(kind, &format!("{}{slash}", rule.path));
        }
        for place in &self.connect {
            allow("connect", place);
        }
        if self.exec_memory {
            text.push_str(&format!(
                "    tinykvm.allow({}, exec_memory);\n",
                quoted(name)
            ));
        }
        text
    }

    /// A configuration.
    pub(crate) fn json(&self) -> Value {
        let mut all = Map::new();
        if self.libraries {
            all.insert("libraries".to_owned(), Value::Bool(true));
        }
        if !self.paths.is_empty() {
            let paths = self.paths.iter().map(PathRule::json).collect();
            all.insert("allowed_paths".to_owned(), paths);
        }
        if !self.connect.is_empty() {
            all.insert("connect".to_owned(), json!(self.connect));
        }
        if self.exec_memory {
            all.insert("executable_heap".to_owned(), Value::Bool(true));
        }
        Value::Object(all)
    }
}

impl PathRule {
    /// A directory of the program's own in the place of one that all share.
    pub(crate) fn own_temporary(path: &str, program: &str) -> Self {
        Self {
            path: path.to_owned(),
            extent: Extent::Tree,
            writable: true,
            instead: Some(format!("{TEMPORARY}/{program}{path}")),
        }
    }

    fn json(&self) -> Value {
        if self.extent == Extent::File && !self.writable && self.instead.is_none() {
            return json!(self.path);
        }
        let mut rule = Map::new();
        if let Some(instead) = &self.instead {
            rule.insert("real".to_owned(), json!(instead));
            rule.insert("virtual".to_owned(), json!(self.path));
        } else {
            rule.insert("real".to_owned(), json!(self.path));
        }
        rule.insert("prefix".to_owned(), json!(self.extent == Extent::Tree));
        if self.writable {
            rule.insert("writable".to_owned(), Value::Bool(true));
        }
        Value::Object(rule)
    }
}

/// A string of VCL.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// True if a rule can name this path or place: VCL has no escapes, and a configuration replaces
/// some variables.
pub(crate) fn is_speakable(text: &str) -> bool {
    let odd = |letter: char| letter.is_control() || letter == '"';
    !text.contains(odd) && !text.contains("$HOME") && !text.contains("$PWD")
}
