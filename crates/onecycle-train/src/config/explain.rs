//! Reads a configuration from a TOML table, with error messages that name the key.
//!
//! The parser says what is wrong ("expected f64") but not where, because tables with a `kind` are
//! read through a buffer that loses the keys. We find the key by removing entries one by one until
//! the message changes.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::suggest::{meant, nearest};
use crate::ConfigError;

/// Reads a value from a table. An error names the key with its tables; for an unknown key or word
/// it suggests the most similar known one.
pub(super) fn decode<T: DeserializeOwned>(table: Table) -> Result<T, ConfigError> {
    let complaint = |table: &Table| {
        let read: Result<T, _> = table.clone().try_into();
        read.err().map(|error| error.message().trim().to_owned())
    };
    match complaint(&table) {
        None => table.try_into().map_err(|error: toml::de::Error| {
            let why = error.message().to_owned();
            ConfigError::Value { why }
        }),
        Some(message) => {
            let mut path = Vec::new();
            find(&mut table.clone(), &message, &complaint, &mut path);
            Err(explain(&table, path, &message))
        }
    }
}

/// Key in a table, or index in a list.
#[derive(Debug, Clone)]
enum Place {
    Key(String),
    Index(usize),
}

/// Extends `path` to the deepest entry whose removal changes the message.
fn find(
    root: &mut Table,
    message: &str,
    complaint: &dyn Fn(&Table) -> Option<String>,
    path: &mut Vec<Place>,
) {
    for place in children(root, path) {
        let Some(removed) = remove(root, path, &place) else {
            continue;
        };
        // Earlier keys stay removed: if two keys cause the same message, the last one is reported.
        if complaint(root).as_deref() != Some(message) {
            insert(root, path, &place, removed);
            path.push(place);
            return find(root, message, complaint, path);
        }
    }
}

/// Entries of the table or list at `path`, in the order in which to remove them: `kind` last,
/// because it determines the meaning of the others, and lists from their end. A list of plain
/// values counts as one value.
fn children(root: &Table, path: &[Place]) -> Vec<Place> {
    let keys = |table: &Table| {
        let mut keys: Vec<Place> = table.keys().cloned().map(Place::Key).collect();
        keys.sort_by_key(|place| matches!(place, Place::Key(key) if key == "kind"));
        keys
    };
    match at(root, path) {
        None if path.is_empty() => keys(root),
        Some(Value::Table(table)) => keys(table),
        Some(Value::Array(list)) if list.iter().all(|item| item.is_table()) => {
            (0..list.len()).rev().map(Place::Index).collect()
        }
        _ => Vec::new(),
    }
}

fn at<'a>(root: &'a Table, path: &[Place]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let Place::Key(key) = first else { return None };
    rest.iter()
        .try_fold(root.get(key)?, |value, place| match place {
            Place::Key(key) => value.get(key),
            Place::Index(index) => value.get(index),
        })
}

fn at_mut<'a>(root: &'a mut Table, path: &[Place]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let Place::Key(key) = first else { return None };
    rest.iter()
        .try_fold(root.get_mut(key)?, |value, place| match place {
            Place::Key(key) => value.get_mut(key),
            Place::Index(index) => value.get_mut(index),
        })
}

fn remove(root: &mut Table, path: &[Place], place: &Place) -> Option<Value> {
    match (place, path) {
        (Place::Key(key), []) => root.remove(key),
        (Place::Key(key), _) => at_mut(root, path)?.as_table_mut()?.remove(key),
        (Place::Index(index), _) => {
            let list = at_mut(root, path)?.as_array_mut()?;
            (*index < list.len()).then(|| list.remove(*index))
        }
    }
}

fn insert(root: &mut Table, path: &[Place], place: &Place, value: Value) {
    match (place, path) {
        (Place::Key(key), []) => drop(root.insert(key.clone(), value)),
        (Place::Key(key), _) => {
            if let Some(Value::Table(table)) = at_mut(root, path) {
                table.insert(key.clone(), value);
            }
        }
        (Place::Index(index), _) => {
            if let Some(Value::Array(list)) = at_mut(root, path) {
                list.insert((*index).min(list.len()), value);
            }
        }
    }
}

/// The path in TOML notation: `policy.parts[1].span`.
fn written(path: &[Place]) -> String {
    path.iter().fold(String::new(), |text, place| match place {
        Place::Key(key) if text.is_empty() => key.clone(),
        Place::Key(key) => format!("{text}.{key}"),
        Place::Index(index) => format!("{text}[{index}]"),
    })
}

fn explain(table: &Table, mut path: Vec<Place>, message: &str) -> ConfigError {
    let first_line = message.lines().next().unwrap_or_default();
    let quoted: Vec<&str> = first_line.split('`').skip(1).step_by(2).collect();
    if first_line.starts_with("missing field") {
        // Only a table can have a missing key.
        while at(table, &path).is_some_and(|value| !value.is_table()) {
            path.pop();
        }
        let key = quoted.first().copied().unwrap_or_default();
        let (within, kind) = match at(table, &path) {
            Some(value) => (written(&path) + ".", value.get("kind")),
            None => (String::new(), None),
        };
        let why = kind
            .and_then(Value::as_str)
            .map_or("it has no default; give it a value".to_owned(), |kind| {
                format!("kind = \"{kind}\" needs it; give it a value")
            });
        return ConfigError::MissingKey {
            key: format!("{within}{key}"),
            why,
        };
    }
    let key = written(&path);
    if first_line.starts_with("unknown field") {
        return ConfigError::UnknownKey {
            hint: hint(table, &path, quoted.get(1..).unwrap_or_default()),
            key,
        };
    }
    let value = at(table, &path).map_or("nothing".to_owned(), shown);
    if first_line.starts_with("unknown variant") {
        let known = quoted.get(1..).unwrap_or_default();
        let meant = match meant(quoted.first().copied().unwrap_or_default(), known) {
            Some(near) => format!("; did you mean \"{near}\"?"),
            None => String::new(),
        };
        let expected = format!("one of {}{meant}", known.join(", "));
        return ConfigError::Setting {
            key,
            value,
            expected,
        };
    }
    match first_line.split_once(", expected ") {
        Some((_, expected)) if !key.is_empty() => ConfigError::Setting {
            key,
            value,
            expected: in_words(expected).to_owned(),
        },
        _ if key.is_empty() => ConfigError::Value {
            why: first_line.to_owned(),
        },
        _ => ConfigError::Value {
            why: format!("{key}: {first_line}"),
        },
    }
}

/// Arguments of original schedulers that their presets do not have, and what to do instead.
const REMOVED: [(&str, &str); 1] = [(
    "last_epoch",
    "leave it out; a plan resumes at whatever step it is asked for",
)];

/// Suggests a replacement for an unknown key.
fn hint(table: &Table, path: &[Place], known: &[&str]) -> String {
    let Some((Place::Key(key), tables)) = path.split_last() else {
        return String::new();
    };
    if let Some((_, hint)) = REMOVED.iter().find(|(removed, _)| removed == key) {
        return (*hint).to_owned();
    }
    let within = written(tables);
    let full = |key: &str| match within.as_str() {
        "" => key.to_owned(),
        _ => format!("{within}.{key}"),
    };
    if let Some(near) = nearest(key, known) {
        return format!("did you mean `{}`?", full(near));
    }
    // The right name without its table, such as `lr_max` for `policy.lr_max`.
    let elsewhere = table.iter().find_map(|(name, value)| {
        let inner = value.as_table()?;
        (inner.contains_key(key) && *name != within).then(|| format!("{name}.{key}"))
    });
    match elsewhere {
        Some(other) => format!("did you mean `{other}`?"),
        None if known.is_empty() => "this table has no keys".to_owned(),
        None => format!("expected one of {}", known.join(", ")),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Plain words for the parser's names of types.
fn in_words(expected: &str) -> &str {
    match expected {
        "f64" | "f32" => "a number",
        "u64" | "u32" | "usize" => "a whole number of at least 0",
        "i64" => "a whole number",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a string" | "a borrowed string" => "a text in quotes",
        "a map" => "a table",
        "a sequence" => "a list",
        other if other.starts_with("struct ") || other.starts_with("internally tagged enum") => {
            "a table"
        }
        other => other,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::Config;

    /// The error message for the default configuration merged with `text`.
    fn message(text: &str) -> String {
        let mut table = Table::try_from(Config::default()).unwrap();
        for (key, value) in text.parse::<Table>().unwrap() {
            match (table.get_mut(&key), value) {
                (Some(Value::Table(below)), Value::Table(above)) if !above.contains_key("kind") => {
                    below.extend(above);
                }
                (_, value) => drop(table.insert(key, value)),
            }
        }
        decode::<Config>(table).unwrap_err().to_string()
    }

    #[test]
    fn the_key_is_named_at_any_depth() {
        let cases = [
            (
                "seed = \"x\"",
                "seed = \"x\": expected a whole number of at least 0",
            ),
            (
                "seed = -1",
                "seed = -1: expected a whole number of at least 0",
            ),
            ("epochs = \"x\"", "epochs = \"x\": expected a number"),
            (
                "data.limit = \"x\"",
                "data.limit = \"x\": expected a whole number of at least 0",
            ),
            (
                "augment.flip = 1",
                "augment.flip = 1: expected true or false, or \"alternating\"",
            ),
            (
                "policy.lr_max = \"x\"",
                "policy.lr_max = \"x\": expected a number",
            ),
            (
                "optimizer.momentum = []",
                "optimizer.momentum = []: expected a number",
            ),
            ("policy = 3", "policy = 3: expected a table"),
            (
                "policy.at_end = \"x\"",
                "policy.at_end = \"x\": expected one of hold, error, restart",
            ),
            (
                "[policy]\nkind = \"warmup\"\nover = 5\nthen = { kind = \"constant\", lr = \"x\" }",
                "policy.then.lr = \"x\": expected a number",
            ),
            (
                "[policy]\nkind = \"sequence\"\nparts = [\
                 { span = 5, policy = { kind = \"constant\", lr = 1 } }, { policy = { kind = \"constant\", lr = true } }]",
                "policy.parts[1].policy.lr = true: expected a number",
            ),
            // Two keys with the same message.
            (
                "policy.lr_max = \"x\"\npolicy.lr_min = \"x\"",
                "policy.lr_min = \"x\": expected a number",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(message(text), expected, "{text}");
        }
    }

    #[test]
    fn missing_keys_are_named_with_their_table() {
        let text = "[policy]\nkind = \"torch_multi_step\"\nlr = 0.1";
        assert_eq!(
            message(text),
            "policy.milestones is missing: kind = \"torch_multi_step\" needs it; give it a value"
        );
        let text = "[policy]\nkind = \"warmup\"\nover = 5\nthen = { kind = \"constant\" }";
        assert!(message(text).starts_with("policy.then.lr is missing"));
        let text = "[policy]\nkind = \"warmup\"\nover = 5\nthen = { lr = 3 }";
        assert!(
            message(text).starts_with("policy.then.kind is missing"),
            "{}",
            message(text)
        );
    }

    #[test]
    fn unknown_keys_and_words_suggest_similar_ones() {
        let cases = [
            (
                "batchsize = 3",
                "unknown key `batchsize`: did you mean `batch_size`?",
            ),
            (
                "policy.lr_maxx = 3",
                "unknown key `policy.lr_maxx`: did you mean `policy.lr_max`?",
            ),
            (
                "lr_max = 3",
                "unknown key `lr_max`: did you mean `policy.lr_max`?",
            ),
            (
                "[policy]\nkind = \"torch_exponential\"\nlr = 0.1\ngamma = 0.9\nlast_epoch = -1",
                "unknown key `policy.last_epoch`: leave it out; a plan resumes at whatever step it is asked for",
            ),
            (
                "augment.flp = true",
                "unknown key `augment.flp`: did you mean `augment.flip`?",
            ),
            (
                "data.colour = 3",
                "unknown key `data.colour`: expected one of name, path, limit, test_limit, validation, image_size, \
                 resize, background, skip_bad, labels, curriculum",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(message(text), expected, "{text}");
        }
        let text = message("[policy]\nkind = \"one_cycel\"");
        assert!(text.contains("policy.kind = \"one_cycel\""), "{text}");
        assert!(text.ends_with("did you mean \"one_cycle\"?"), "{text}");
    }
}
