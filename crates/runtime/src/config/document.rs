//! What a text says about programs that it names, or about one that somebody else names.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;

use super::json::{apply, line_of, object};
use super::keys::KEYS;
use super::{ConfigError, Settings};

/// What a text says about one program: `{ "filename": ... }`, or `{ "NAME": { "filename": ... } }`,
/// also with several names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    name: Option<String>,
    text: String,
    file: String,
    plain: String,
}

impl Document {
    /// Reads a text. The keys are checked.
    ///
    /// # Errors
    /// See [`ConfigError`].
    ///
    /// # Example
    /// ```
    /// use tinykvm_runtime::Document;
    ///
    /// let document = Document::parse(r#"{ "hello": { "filename": "/srv/hello" } }"#, None)?;
    /// assert_eq!(document.name(), Some("hello"));
    /// assert_eq!(document.file(), Some("/srv/hello"));
    ///
    /// let both = r#"{ "a": { "filename": "/srv/a" }, "b": { "filename": "/srv/b" } }"#;
    /// assert!(Document::parse(both, None).is_err());
    /// assert_eq!(Document::parse(both, Some("b"))?.file(), Some("/srv/b"));
    /// # Ok::<(), tinykvm_runtime::ConfigError>(())
    /// ```
    ///
    /// `wanted` says which of several programs is meant.
    pub fn parse(text: &str, wanted: Option<&str>) -> Result<Self, ConfigError> {
        let parsed = object(text)?;
        let Some(programs) = programs(&parsed) else {
            let plain = plain(&parsed, text);
            return Self::new(None, text.to_owned(), plain);
        };
        let found = match &programs[..] {
            [only] => Some(only),
            several => several.iter().find(|(name, _)| Some(*name) == wanted),
        };
        let Some((name, keys)) = found else {
            let names = programs.iter().map(|(name, _)| (*name).to_owned());
            return Err(ConfigError::SeveralPrograms {
                programs: names.collect(),
            });
        };
        // The lines of messages stay those of the whole text.
        let mut padded = "\n".repeat(line_of(text, keys.range.start) - 1);
        padded.push_str(keys.text(text));
        Self::new(Some((*name).to_owned()), padded, plain(keys, text))
    }

    fn new(name: Option<String>, text: String, plain: String) -> Result<Self, ConfigError> {
        let file = apply(&Settings::default(), &text)?.filename;
        Ok(Self {
            name,
            text,
            file,
            plain,
        })
    }

    /// What it calls the program.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The program's file.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        Some(self.file.as_str()).filter(|file| !file.is_empty())
    }

    /// The keys, for [`Programs::configure`](crate::Programs::configure).
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The keys as JSON that anybody can read, without comments, and by the names that they have
    /// here.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.plain
    }
}

/// The programs that an object names; `None` if it has keys of one.
fn programs<'a>(object: &'a Object<'a>) -> Option<Vec<(&'a str, &'a Object<'a>)>> {
    let program = |name: &'a str, value: &'a Value<'a>| match value {
        Value::Object(keys) if !KEYS.iter().any(|key| key.is_called(name)) => Some((name, keys)),
        _ => None,
    };
    let properties = object.properties.iter();
    let all: Option<Vec<_>> = properties
        .map(|property| program(property.name.as_str(), &property.value))
        .collect();
    all.filter(|all| !all.is_empty())
}

fn plain(keys: &Object<'_>, text: &str) -> String {
    let property = |name: &str, value: &Value<'_>| {
        let key = KEYS.iter().find(|key| key.is_called(name));
        let name = key.map_or(name, |key| key.name);
        format!("\"{name}\":{}", plain_value(value, text))
    };
    let properties = keys.properties.iter();
    let all: Vec<_> = properties
        .map(|one| property(one.name.as_str(), &one.value))
        .collect();
    format!("{{{}}}", all.join(","))
}

fn plain_value(value: &Value<'_>, text: &str) -> String {
    match value {
        Value::Object(object) => {
            let properties = object.properties.iter();
            let all: Vec<_> = properties
                .map(|one| {
                    let name = &text[one.name.range().start..one.name.range().end];
                    format!("{name}:{}", plain_value(&one.value, text))
                })
                .collect();
            format!("{{{}}}", all.join(","))
        }
        Value::Array(array) => {
            let all: Vec<_> = array
                .elements
                .iter()
                .map(|one| plain_value(one, text))
                .collect();
            format!("[{}]", all.join(","))
        }
        other => other.text(text).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_other_names_of_keys_are_gone() {
        let text = r#"// a program
            { "p": { "filename": "/x", /* here */ "allowed_paths": [ // two
              "/a, \" // no comment", { "real": "/b", "prefix": true } ], "connect": [] } }"#;
        let document = Document::parse(text, None).expect("right");
        assert_eq!(
            document.json(),
            r#"{"filename":"/x","allowed_paths":["/a, \" // no comment",{"real":"/b","prefix":true}],"connect":[]}"#
        );
        let again = Document::parse(document.json(), None).expect("right");
        assert_eq!(again.json(), document.json());
    }

    #[test]
    fn of_several_programs_the_wanted_one_counts() {
        let text = r#"{ "a": { "filename": "/a" }, "b": { "filename": "/b" } }"#;
        for (wanted, file) in [(Some("a"), Some("/a")), (Some("b"), Some("/b"))] {
            let document = Document::parse(text, wanted).expect("right");
            assert_eq!((document.name(), document.file()), (wanted, file));
        }
        for wanted in [None, Some("c")] {
            let error = Document::parse(text, wanted)
                .expect_err("which?")
                .to_string();
            assert_eq!(error, "which of several programs is meant: \"a\", \"b\"?");
        }
        // Of one alone there is no doubt, whatever it is to be called.
        let one = r#"{ "a": { "filename": "/a" } }"#;
        let document = Document::parse(one, Some("c")).expect("right");
        assert_eq!(document.name(), Some("a"));
        // What a text is about is either a program or programs.
        let error = Document::parse(r#"{ "a": { }, "filename": "/b" }"#, None);
        assert!(error.expect_err("mixed").to_string().contains("\"a\""));
    }
}
