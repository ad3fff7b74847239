use std::path::Path;

use toml::{Table, Value};

use super::{Config, explain};
use crate::{ConfigError, FileError, files};

/// Tables of which another `kind` replaces the whole.
const TAGGED: [&str; 2] = ["optimizer", "policy"];

/// Keys of which one silences the other in the layers below.
const EXCLUSIVE: [(&str, [&str; 2]); 2] = [("", ["epochs", "steps"]), ("data", ["name", "path"])];

/// A configuration in the making: settings laid over one another.
///
/// ```
/// use crate::{config::Layers};
///
/// let config = Layers::new()?
///     .set("steps", "100")?
///     .set("policy.lr_max", "0.4")?
///     .resolve()?;
/// assert_eq!((config.steps, config.epochs), (Some(100), None));
/// # Ok::<(), crate::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Layers {
    table: Table,
    /// Single settings since the last file. They are one layer, so that their order does not matter.
    settings: Table,
    /// Whether anyone but the defaults said how long the run is.
    length_given: bool,
}

impl Layers {
    /// The defaults alone.
    ///
    /// # Errors
    /// None: the default configuration can be written as TOML.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Layers {
            table: Table::try_from(Config::default()).map_err(FileError::to_toml)?,
            settings: Table::new(),
            length_given: false,
        })
    }

    /// Lays a TOML file over what is there. The `run.toml` of a run serves as well: its configuration is taken.
    ///
    /// # Errors
    /// A file that cannot be read or is not TOML.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)?;
        let mut over: Table = text
            .parse()
            .map_err(|error| ConfigError::toml(path, &text, &error))?;
        if over.contains_key("version")
            && let Some(Value::Table(config)) = over.remove("config")
        {
            over = config;
        }
        let mut below = self.flushed();
        below.over(over);
        Ok(below)
    }

    /// Lays one setting over what is there. `key` is a path with dots, `value` TOML; what is not TOML is taken
    /// as text.
    ///
    /// Settings that follow one another are one layer: `policy.kind` may stand before or behind the kind's own keys.
    ///
    /// # Errors
    /// A key with an empty part.
    pub fn set(self, key: &str, value: &str) -> Result<Self, ConfigError> {
        // Only a value of one line is TOML here: nothing can be smuggled in behind it.
        let parsed = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        self.set_value(key, parsed)
    }

    /// As [`set`](Self::set), for a value that is text whatever it looks like: a path may be `2024`.
    ///
    /// # Errors
    /// A key with an empty part.
    pub fn set_text(self, key: &str, text: &str) -> Result<Self, ConfigError> {
        self.set_value(key, Value::String(text.to_owned()))
    }

    fn set_value(mut self, key: &str, value: Value) -> Result<Self, ConfigError> {
        let parts: Vec<&str> = key.split('.').map(str::trim).collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(ConfigError::setting(
                "--set",
                format!("{key}={value}"),
                "KEY=VALUE with a key such as policy.lr_max",
            ));
        }
        let over = parts.iter().rev().fold(value, |inner, part| {
            Value::Table(Table::from_iter([((*part).to_owned(), inner)]))
        });
        if let Value::Table(over) = over {
            // Within this layer a kind does not drop the keys that it goes with.
            merge(&mut self.settings, over, "", false);
        }
        Ok(self)
    }

    /// Whether a file or a setting says how long the run is; else the default length stands.
    pub fn says_length(&self) -> bool {
        self.length_given || has_length(&self.settings)
    }

    /// With the single settings laid over the rest.
    fn flushed(mut self) -> Self {
        let settings = std::mem::take(&mut self.settings);
        self.over(settings);
        self
    }

    fn over(&mut self, over: Table) {
        self.length_given |= has_length(&over);
        merge(&mut self.table, over, "", true);
    }

    /// The configuration, checked. A policy that says itself how long it is sets the length of the run, unless that
    /// was given.
    ///
    /// # Errors
    /// Keys that do not exist, values of the wrong type or out of range, contradictions.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let Layers {
            table,
            length_given,
            ..
        } = self.flushed();
        let mut config: Config = explain::decode(table)?;
        if !length_given && let Some(steps) = config.policy.policy()?.length() {
            (config.steps, config.epochs) = (Some(steps), None);
        }
        config.check()?;
        Ok(config)
    }
}

fn has_length(table: &Table) -> bool {
    table.contains_key("epochs") || table.contains_key("steps")
}

/// Lays `over` over `base`. With `kinds`, a table of another kind replaces the one below.
fn merge(base: &mut Table, over: Table, path: &str, kinds: bool) {
    for (at, pair) in EXCLUSIVE {
        if at == path {
            let [a, b] = pair;
            match (over.contains_key(a), over.contains_key(b)) {
                (true, false) => drop(base.remove(b)),
                (false, true) => drop(base.remove(a)),
                _ => {}
            }
        }
    }
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => {
                let another_kind = above
                    .get("kind")
                    .is_some_and(|kind| below.get("kind") != Some(kind));
                if kinds && path.is_empty() && TAGGED.contains(&key.as_str()) && another_kind {
                    *below = above;
                } else {
                    let deeper = if path.is_empty() {
                        key
                    } else {
                        format!("{path}.{key}")
                    };
                    merge(below, above, &deeper, kinds);
                }
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}
