//! From a JSON text to changed settings.

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::keys::{Effect, Found, KEYS, Key, nearest};
use super::{ConfigError, MIB, Settings};
use crate::fields::shown;

/// JSON as everybody knows it, with comments and nothing else beyond it.
const STRICT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_loose_object_property_names: false,
    allow_trailing_commas: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// `base` with the keys of `text` applied. Keys are applied in the order of the table of keys, so
/// their order in the text does not matter.
///
/// # Errors
/// See [`ConfigError`].
pub(crate) fn apply(base: &Settings, text: &str) -> Result<Settings, ConfigError> {
    let object = object(text)?;
    let given = collect(text, &object)?;
    let mut settings = base.clone();
    for key in KEYS {
        let Some(&(_, line, value)) = given.iter().find(|(known, ..)| known.name == key.name)
        else {
            continue;
        };
        set(&mut settings, key, line, value, text)?;
    }
    let has = |name: &str| given.iter().any(|(known, ..)| known.name == name);
    check(&settings, has)?;
    Ok(settings)
}

/// Fails if keys contradict each other. Defaults contradict nothing: they adapt.
fn check(settings: &Settings, has: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
    let (request, all) = (settings.max_request_memory, settings.max_memory);
    let default = Settings::default().max_request_memory;
    let chosen = has("max_request_memory") || (has("max_memory") && request != default);
    if chosen && request > all {
        return Err(ConfigError::Contradiction {
            larger: "max_request_memory",
            large: request / MIB,
            smaller: "max_memory",
            small: all / MIB,
            unit: " MiB",
        });
    }
    match settings.max_deliveries {
        Some(deliveries) if deliveries > settings.concurrency => Err(ConfigError::Contradiction {
            larger: "max_deliveries",
            large: deliveries.into(),
            smaller: "concurrency",
            small: settings.concurrency.into(),
            unit: "",
        }),
        _ => Ok(()),
    }
}

/// The object that a text is.
pub(super) fn object(text: &str) -> Result<Object<'_>, ConfigError> {
    let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT).map_err(|error| {
        ConfigError::Json {
            line: error.line_display(),
            column: error.column_display(),
            reason: error.kind().to_string(),
            ended: text.trim_end().ends_with('}'),
        }
    })?;
    match parsed.value {
        Some(Value::Object(object)) => Ok(object),
        other => Err(ConfigError::NotAnObject {
            found: other.as_ref().map_or("nothing", kind),
        }),
    }
}

/// Every key with its line and value, checked for being known and unique.
fn collect<'a>(
    text: &str,
    object: &'a Object<'a>,
) -> Result<Vec<(&'static Key, usize, &'a Value<'a>)>, ConfigError> {
    let mut given: Vec<(&'static Key, usize, &Value<'_>)> = Vec::new();
    for property in &object.properties {
        let name = property.name.as_str();
        let line = line_of(text, property.range.start);
        let Some(key) = KEYS.iter().find(|key| key.is_called(name)) else {
            return Err(ConfigError::UnknownKey {
                line,
                key: shown(name.as_bytes()),
                nearest: nearest(name),
            });
        };
        if given.iter().any(|(known, ..)| known.name == key.name) {
            return Err(ConfigError::DuplicateKey {
                line,
                key: name.to_owned(),
            });
        }
        given.push((key, line, &property.value));
    }
    Ok(given)
}

fn set(
    settings: &mut Settings,
    key: &'static Key,
    line: usize,
    value: &Value<'_>,
    text: &str,
) -> Result<(), ConfigError> {
    let found = Found(value);
    let outcome = match key.effect {
        Effect::Sets(apply) => apply(settings, found),
        Effect::Hint(check) => check(found),
        Effect::NotYet => {
            return if found.is_off() {
                Ok(())
            } else {
                Err(ConfigError::Unsupported {
                    line,
                    key: key.name,
                })
            };
        }
    };
    outcome.map_err(|allowed| ConfigError::BadValue {
        line,
        key: key.name,
        found: shown(value.text(text).as_bytes()),
        allowed,
    })
}

pub(super) fn line_of(text: &str, position: usize) -> usize {
    let before = text.as_bytes().iter().take(position);
    1 + before.filter(|&&byte| byte == b'\n').count()
}

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::StringLit(_) => "a string",
        Value::NumberLit(_) => "a number",
        Value::BooleanLit(_) => "a boolean",
        Value::Object(_) => "an object",
        Value::Array(_) => "an array",
        Value::NullKeyword(_) => "null",
    }
}
