use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

use super::Config;
use crate::{ConfigError, FileError};

/// Keys that do not change the result of a run.
pub(crate) const WITHOUT_EFFECT: [&str; 2] = ["log", "threads"];

impl Config {
    /// Returns the keys whose value in `other` differs, as `key was VALUE, is VALUE`. The number of
    /// threads and the log files are ignored, because no result depends on them.
    ///
    /// # Errors
    /// None for a valid configuration.
    pub fn differences(&self, other: &Config) -> Result<Vec<String>, ConfigError> {
        let (was, is) = (self.keys()?, other.keys()?);
        let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        let text = |value: Option<&String>| value.map_or("not set".to_owned(), String::clone);
        Ok(names
            .into_iter()
            .filter(|key| !WITHOUT_EFFECT.contains(&key.as_str()) && was.get(*key) != is.get(*key))
            .map(|key| format!("{key} was {}, is {}", text(was.get(key)), text(is.get(key))))
            .collect())
    }

    /// Returns every key with its tables (`policy.lr_max`), and its value as TOML.
    ///
    /// # Errors
    /// None for a valid configuration.
    pub fn keys(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let table = Table::try_from(self).map_err(FileError::to_toml)?;
        let mut rows = Vec::new();
        flatten("", &table, &mut rows);
        let with_text = |(key, value): (String, &Value)| (key, value.to_string());
        Ok(rows.into_iter().map(with_text).collect())
    }
}

/// Appends all keys of `table`, with `prefix` and the names of their tables, in alphabetical order.
pub(crate) fn flatten<'a>(prefix: &str, table: &'a Table, rows: &mut Vec<(String, &'a Value)>) {
    // As in TOML, the values of a table precede its inner tables.
    for (key, value) in table.iter().filter(|(_, value)| !value.is_table()) {
        rows.push((format!("{prefix}{key}"), value));
    }
    for (key, value) in table {
        if let Some(inner) = value.as_table() {
            flatten(&format!("{prefix}{key}."), inner, rows);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn differences_name_both_values() {
        let was = Config::default();
        let is = Layers::new()
            .unwrap()
            .set("steps", "7")
            .unwrap()
            .set("policy.lr_max", "0.4")
            .unwrap()
            .set("threads", "1")
            .unwrap()
            .set("log", "[\"tensorboard\"]")
            .unwrap()
            .resolve()
            .unwrap();
        assert_eq!(
            was.differences(&is).unwrap(),
            [
                "epochs was 5.0, is not set",
                "policy.lr_max was 0.2, is 0.4",
                "steps was not set, is 7",
            ]
        );
        assert!(was.differences(&was).unwrap().is_empty());
    }
}
