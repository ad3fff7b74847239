//! Arguments that several commands share.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::stop;
use clap::{Args as ClapArgs, ValueEnum};
use onecycle_train::{Config, ConfigError, config::Layers, tta::Tta};
use onecycle_vision::catalog;

/// What every command that has a configuration takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Configuration {
    /// TOML file to lay over the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Any key of the configuration, such as policy.lr_max=0.8; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Passes over the training set
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<String>,
    /// Optimizer updates, in place of epochs
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "epochs"
    )]
    pub(crate) steps: Option<String>,
    /// Network: mlp, lenet5, lenet-caffe, convnet, convnet-plain, resnet-small, resnet8 .. resnet110, resnet9
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Data set by name, or path of a folder or archive
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// Train on the first N images only
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
    /// Images an update
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch_size: Option<String>,
    /// Largest learning rate (policy.lr_max)
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_max: Option<String>,
    /// Weight decay (optimizer.weight_decay)
    #[arg(long, value_name = "WD", allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<String>,
    /// Seed of every random stream
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
    /// cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// CPU threads, 0 for all cores; results do not depend on it
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

impl Configuration {
    /// Defaults, file, `--set`, flags, in this order.
    pub(crate) fn resolve(&self) -> Result<Config, ConfigError> {
        self.layers()?.resolve()
    }

    /// The same, before it is checked.
    pub(crate) fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::new()?;
        if let Some(path) = &self.config {
            layers = layers.file(path)?;
        }
        for (key, value) in pairs(&self.settings)? {
            layers = layers.set(&key, &value)?;
        }
        if let Some(data) = &self.data {
            layers = layers.set_text(data_key(data), data)?;
        }
        for (key, name) in [("model", &self.model), ("device", &self.device)] {
            if let Some(name) = name {
                layers = layers.set_text(key, name)?;
            }
        }
        let flags = [
            ("epochs", &self.epochs),
            ("steps", &self.steps),
            ("data.limit", &self.limit),
            ("batch_size", &self.batch_size),
            ("policy.lr_max", &self.lr_max),
            ("optimizer.weight_decay", &self.weight_decay),
            ("seed", &self.seed),
            ("threads", &self.threads),
        ];
        for (key, value) in flags {
            if let Some(value) = value {
                layers = layers.set(key, value)?;
            }
        }
        Ok(layers)
    }
}

/// Keys and values of what `--set` was given.
pub(crate) fn pairs(settings: &[String]) -> Result<Vec<(String, String)>, ConfigError> {
    let pair = |setting: &String| {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| ConfigError::setting("--set", setting.clone(), "KEY=VALUE"))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    settings.iter().map(pair).collect()
}

/// The key of the configuration that `--data` is about: a name, or a path.
pub(crate) fn data_key(data: &str) -> &'static str {
    let known = catalog::find(data).is_ok() || !Path::new(data).exists() && is_a_word(data);
    if known { "data.name" } else { "data.path" }
}

/// Whether this looks like a name rather than a path: the message about an unknown one then lists the names.
fn is_a_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '-')
}

/// Flags with a former name, which still works: `(old, new)`.
const RENAMED_FLAGS: [(&str, &str); 1] = [("--rungs", "--num-steps")];

/// A note for each flag that is given by its former name.
pub(crate) fn deprecations(args: impl Iterator<Item = OsString>) -> Vec<String> {
    let names: Vec<String> = args
        .filter_map(|arg| Some(arg.to_str()?.split('=').next()?.to_owned()))
        .collect();
    let used = RENAMED_FLAGS
        .iter()
        .filter(|(old, _)| names.iter().any(|name| name == old));
    used.map(|(old, new)| format!("{old} is deprecated: use {new}"))
        .collect()
}

/// The learning rates of a range test.
#[derive(Debug, ClapArgs)]
pub(crate) struct Sweep {
    /// Smallest learning rate of the range test [default: 1e-5; 0 with --linear]
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_from: Option<f64>,
    /// Largest learning rate of the range test [default: 10; 3 with --linear]
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_to: Option<f64>,
    /// Updates of a range test; fewer than 25 a decade show an instability late, and the suggested rate is then too high
    #[arg(
        long,
        alias = "rungs",
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 150
    )]
    pub(crate) num_steps: u64,
    /// Updates at the smallest rate before these
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) warm_up: u64,
    /// Range tests with so many seeds, beginning with the configured one
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 1, value_parser = at_least_one)]
    pub(crate) seeds: usize,
}

/// How many of the machine's cores a command computes on.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct Threads {
    /// CPU threads, 0 for all cores; results do not depend on it
    #[arg(
        long = "threads",
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) count: usize,
}

/// What every command that trains many networks takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Trials {
    /// Stop after this time (90s, 10m, 2h), to go on later, with exit code 124
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// What becomes of a run when something comes in between.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Course {
    /// Stop after this time (90s, 10m, 2h) with a checkpoint to go on from, and with exit code 124
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// After a loss that is not finite: stop, or retry from a checkpoint with half the learning rate
    #[arg(long, value_name = "stop|retry")]
    pub(crate) on_divergence: Option<String>,
    /// Go on with a run though its data have changed or another version began it
    #[arg(long)]
    pub(crate) accept_changes: bool,
}

/// How a command tells what it did.
#[derive(Debug, ClapArgs)]
pub(crate) struct Show {
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// No progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// What the network is shown of an image.
#[derive(Debug, ClapArgs)]
pub(crate) struct WhichViews {
    /// Average the answers to each image and to its mirror image: more often right where images were flipped in training
    #[arg(long)]
    flip: bool,
}

impl WhichViews {
    pub(crate) fn views(&self) -> Tta {
        match self.flip {
            true => Tta::WithMirrorImage,
            false => Tta::Image,
        }
    }
}

/// A count that must not be 0.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}
