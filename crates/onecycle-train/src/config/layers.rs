use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use onecycle::Preset;
use onecycle_vision::weights;
use toml::{Table, Value};

use super::{Config, explain, policy::default_lr_max};
use crate::{ConfigError, FileError, files, recipe, weights_file};

/// Tables that are replaced as a whole if their `kind` changes.
const TAGGED: [&str; 3] = ["averaging", "optimizer", "policy"];

/// Defaults of a training that starts from pretrained weights, where they differ from those of any
/// other training.
const FINETUNE: &str = include_str!("finetune.toml");

/// Pairs of keys that exclude each other: setting one removes the other from the layers below.
const EXCLUSIVE: [(&str, [&str; 2]); 2] = [("", ["epochs", "steps"]), ("data", ["name", "path"])];

/// Builder of a [`Config`] from layers: the defaults, then files and single settings in the order in
/// which they are added. A later layer overrides an earlier one.
///
/// ```
/// use onecycle_train::config::Layers;
///
/// let config = Layers::new()?
///     .set("steps", "100")?
///     .set("policy.lr_max", "0.4")?
///     .resolve()?;
/// assert_eq!((config.steps, config.epochs), (Some(100), None));
/// # Ok::<(), onecycle_train::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Layers {
    table: Table,
    /// Single settings since the last file. They form one layer, so their order does not matter.
    settings: Table,
    /// Whether a file or a setting gave the length of the run.
    length_given: bool,
    /// Whether a file or a setting gave the network.
    model_given: bool,
    /// Whether a file or a setting gave the peak learning rate.
    lr_max_given: bool,
    /// Whether a file or a setting gave the views of a test image.
    tta_given: bool,
    /// Keys of `data` that a file or a setting gave.
    data_given: BTreeSet<String>,
}

impl Layers {
    /// Starts with the defaults.
    ///
    /// # Errors
    /// None: the default configuration can be written as TOML.
    pub fn new() -> Result<Self, ConfigError> {
        Ok(Layers {
            table: Table::try_from(Config::default()).map_err(FileError::to_toml)?,
            settings: Table::new(),
            length_given: false,
            model_given: false,
            lr_max_given: false,
            tta_given: false,
            data_given: BTreeSet::new(),
        })
    }

    /// Merges the defaults of a training that starts from pretrained weights over those of any other
    /// training. Call it before the other methods.
    ///
    /// # Errors
    /// None.
    pub fn finetune(mut self) -> Result<Self, ConfigError> {
        let over: Table = FINETUNE
            .parse()
            .map_err(|error| ConfigError::toml(Path::new("finetune"), FINETUNE, &error))?;
        merge(&mut self.table, over, "", true);
        Ok(self)
    }

    /// Sets `init` to pretrained weights: the folder of a run, a safetensors file, or the name of known
    /// weights ([`weights::resolve`]).
    ///
    /// # Errors
    /// [`ConfigError::Weights`] if there is no such file.
    pub fn pretrained(self, text: &str) -> Result<Self, ConfigError> {
        let path = match Path::new(text).is_dir() {
            true => PathBuf::from(text),
            false => weights::resolve(text)?.path,
        };
        self.set_text("init", &path.to_string_lossy())
    }

    /// Merges a TOML file over the layers so far. For the `run.toml` of a run, its configuration is
    /// used.
    ///
    /// # Errors
    /// The file cannot be read or is not TOML.
    pub fn file(self, path: &Path) -> Result<Self, ConfigError> {
        let text = files::read_text(path)?;
        self.text(path, &text)
    }

    /// Merges a [recipe](crate::recipe) over the layers so far.
    ///
    /// # Errors
    /// There is no recipe of this name.
    pub fn recipe(self, name: &str) -> Result<Self, ConfigError> {
        let recipe = recipe::find(name)?;
        self.text(Path::new(name), recipe.toml)
    }

    /// Merges the TOML of a file.
    fn text(self, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let mut over: Table = text
            .parse()
            .map_err(|error| ConfigError::toml(path, text, &error))?;
        if over.contains_key("version")
            && let Some(Value::Table(config)) = over.remove("config")
        {
            over = config;
        }
        let mut below = self.flushed();
        below.over(over);
        Ok(below)
    }

    /// Merges one setting over the layers so far. `key` is a path with dots. `value` is TOML;
    /// anything that is not TOML is taken as text.
    ///
    /// Consecutive settings form one layer: `policy.kind` may come before or after the keys of that
    /// kind.
    ///
    /// # Errors
    /// A part of the key is empty.
    pub fn set(self, key: &str, value: &str) -> Result<Self, ConfigError> {
        // The value must be one line of TOML, so that it cannot set other keys.
        let parsed = format!("value = {value}")
            .parse::<Table>()
            .ok()
            .filter(|table| table.len() == 1)
            .and_then(|mut table| table.remove("value"))
            .unwrap_or_else(|| Value::String(value.to_owned()));
        self.set_value(key, parsed)
    }

    /// Like [`set`](Self::set), but the value is always text: a path may be `2024`.
    ///
    /// # Errors
    /// A part of the key is empty.
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
            // Within one layer, a new kind does not replace the keys that were set with it.
            merge(&mut self.settings, over, "", false);
        }
        Ok(self)
    }

    /// Takes `policy.lr_max`, or its default for this batch size, as the learning rate of a batch of
    /// `images` images, and scales it to the batch size of the run: "when the minibatch size is
    /// multiplied by k, multiply the learning rate by k" (Goyal et al. 2017, arXiv:1706.02677, section
    /// 2.1).
    ///
    /// # Errors
    /// Those of [`resolve`](Self::resolve); the policy has no `lr_max`.
    pub fn scale_linearly(self, images: usize) -> Result<Self, ConfigError> {
        let images = images.max(1);
        let flushed = self.clone().flushed();
        let lr_max_given = flushed.lr_max_given;
        let config = flushed.resolve()?;
        let policy = Table::try_from(&config.policy).map_err(FileError::to_toml)?;
        let Some(lr_max) = policy.get("lr_max").and_then(Value::as_float) else {
            let expected = "a policy with `lr_max`, such as one_cycle";
            return Err(ConfigError::setting("--linear-scaling", images, expected));
        };
        let lr_max = match lr_max_given {
            true => lr_max,
            false => default_lr_max(&config, images),
        };
        let scaled = lr_max * config.batch_size as f64 / images as f64;
        self.set("policy.lr_max", &format!("{scaled:?}"))
    }

    /// Whether a file or a setting gave the length of the run; otherwise it has the default length.
    pub fn says_length(&self) -> bool {
        self.length_given || has_length(&self.settings)
    }

    /// Whether a file or a setting gave the views of a test image.
    pub fn says_tta(&self) -> bool {
        self.tta_given || self.settings.contains_key("tta")
    }

    /// Merges the pending single settings over the rest.
    fn flushed(mut self) -> Self {
        let settings = std::mem::take(&mut self.settings);
        self.over(settings);
        self
    }

    fn over(&mut self, over: Table) {
        self.length_given |= has_length(&over);
        self.model_given |= over.contains_key("model");
        self.tta_given |= over.contains_key("tta");
        self.lr_max_given |= matches!(over.get("policy"), Some(Value::Table(policy)) if policy.contains_key("lr_max"));
        if let Some(Value::Table(data)) = over.get("data") {
            self.data_given.extend(data.keys().cloned());
        }
        merge(&mut self.table, over, "", true);
    }

    /// Returns the checked configuration. Without a peak learning rate, one cycle has the default for
    /// the optimizer and the batch size. If the policy has a length of its own and no length was given,
    /// the run has the length of the policy. If existing weights were given but no network,
    /// it is the network that these weights are of. With `[finetune]`, the same holds for the size of
    /// the images and for `data.resize` and `data.background`.
    ///
    /// # Errors
    /// Unknown keys, values of a wrong type or out of range, keys that contradict each other.
    pub fn resolve(self) -> Result<Config, ConfigError> {
        let Layers {
            table,
            length_given,
            model_given,
            lr_max_given,
            data_given,
            ..
        } = self.flushed();
        let mut config: Config = explain::decode(table)?;
        let default = default_lr_max(&config, config.batch_size);
        if !lr_max_given && let Preset::OneCycle(one_cycle) = &mut config.policy.preset {
            one_cycle.lr_max = default;
        }
        if !length_given && let Some(steps) = config.policy.policy()?.length() {
            (config.steps, config.epochs) = (Some(steps), None);
        }
        if let Some(init) = &config.init {
            if config.finetune.is_some()
                && let Some(images) = weights_file::images_of(init)
            {
                let (of_run, given) = (&mut config.data, |key| data_given.contains(key));
                if !given("image_size") {
                    of_run.image_size = images.size;
                }
                if !given("resize") {
                    of_run.resize = images.resize;
                }
                if !given("background") {
                    of_run.background = images.background;
                }
            }
            if let (false, Some(network)) = (model_given, weights_file::network_in(init)) {
                config.model = network;
            }
        }
        config.check()?;
        Ok(config)
    }
}

fn has_length(table: &Table) -> bool {
    table.contains_key("epochs") || table.contains_key("steps")
}

/// Merges `over` into `base`. With `kinds`, a table of another kind replaces the one in `base`.
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
