//! Permissions as a user writes them: VCL and JSON.

use serde_json::{Map, Value, json};

/// How much of a path a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A file.
    File,
    /// The names in a directory.
    Names,
    /// All that is in a directory.
    Tree,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PathRule {
    /// Absolute, without a slash at the end.
    pub(crate) path: String,
    pub(crate) extent: Extent,
    pub(crate) writable: bool,
}

/// What a program may have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) libraries: bool,
    pub(crate) paths: Vec<PathRule>,
    pub(crate) connect: Vec<String>,
    /// Memory may be written and executed.
    pub(crate) exec_memory: bool,
}

impl Rules {
    /// Lines for `vcl_init`.
    pub(crate) fn vcl(&self, name: &str) -> String {
        let mut text = String::new();
        let mut allow = |kind: &str, what: &str| {
            let (name, what) = (quoted(name), quoted(what));
            text.push_str(&format!("    tinykvm.allow({name}, {kind}, {what});\n"));
        };
        if self.libraries {
            allow("read", "libraries");
        }
        for rule in &self.paths {
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
    fn json(&self) -> Value {
        if self.extent == Extent::File && !self.writable {
            return json!(self.path);
        }
        let mut rule = Map::new();
        rule.insert("real".to_owned(), json!(self.path));
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
