//! Arguments that several commands share.

use std::{
    ffi::OsString,
    ops::Deref,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args as ClapArgs, ValueEnum};
use onecycle_studies::study::Part;
use onecycle_train::{
    Config, ConfigError,
    config::{Layers, LogFormat},
    tta::Tta,
};
use onecycle_vision::catalog;

use crate::{
    bar::{self, Mode},
    on_finish::OnFinish,
    processes, screen, stop,
};

/// Flags of every command that has a configuration. A flag overrides `--set`, which overrides
/// `--config`.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigOptions {
    /// Built-in configuration, see `onecycle recipes`; --config, --set and flags change it
    #[arg(long, value_name = "NAME")]
    recipe: Option<String>,
    /// Configuration file (TOML); keys that it leaves out keep their defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set any key of the configuration, such as policy.lr_max=0.8; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Passes over the training set; may be fractional [key: epochs] [default: 5; `fit` uses more
    /// on few images]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<String>,
    /// Optimizer updates, instead of --epochs [key: steps]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        conflicts_with = "epochs"
    )]
    pub(crate) steps: Option<String>,
    /// Network: mlp, lenet5, lenet-caffe, convnet, convnet-plain, resnet-small, resnet9,
    /// resnet8, 20, 32, 44, 56 or 110, airbench94, resnet18, 34 or 50, efficientnet-lite0
    /// [key: model] [default: resnet-small]
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Start from existing weights, and the network of them unless --model is given: the folder of a
    /// run, or a safetensors file, also of timm or torchvision [key: init] [default: random weights]
    #[arg(long, value_name = "RUN|FILE")]
    init: Option<PathBuf>,
    /// Fine-tune pretrained weights, with images of their size and normalisation: a name of `onecycle
    /// weights list`, a safetensors file, or the folder of a run. `fit` trains the last layer first,
    /// then all layers [keys: init, finetune]
    #[arg(long, value_name = "NAME|FILE|RUN", conflicts_with = "init")]
    pretrained: Option<String>,
    /// Train the last layer only; the others stay as they are [key: finetune.freeze]
    #[arg(long, requires = "pretrained")]
    freeze: bool,
    /// Name of a known data set, or path of an image folder or of a data set's files [key:
    /// data.name or data.path] [default: fashion-mnist]
    #[arg(long, value_name = "NAME|PATH")]
    data: Option<String>,
    /// CSV file with the label of each image, if folders are not the classes: columns `file` and
    /// `label`, or the first two [key: data.labels]
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Leave out images that cannot be read [key: data.skip_bad]
    #[arg(long)]
    skip_bad: bool,
    /// Train on a random sample of N images, 0 for all [key: data.limit] [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    limit: Option<String>,
    /// Images per update [key: batch_size] [default: 128]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch_size: Option<String>,
    /// Largest learning rate of the cycle [key: policy.lr_max] [default: 0.2 for SGD
    /// and batches of 128 images or more, less for others and for pretrained weights]
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_max: Option<String>,
    /// Take the largest learning rate as that of a batch of N images, and scale it to the batch size
    /// of the run (linear scaling, Goyal et al. 2017)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    linear_scaling: Option<usize>,
    /// Weight decay [key: optimizer.weight_decay] [default: 5e-4 for SGD]
    #[arg(long, value_name = "WD", allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<String>,
    /// Seed of all random numbers [key: seed] [default: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    seed: Option<String>,
    /// Where to compute: cpu, cuda or wgpu [key: device] [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// CPU threads, 0 for all cores; results do not depend on it [key: threads] [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
}

impl ConfigOptions {
    /// The checked configuration: defaults, then the recipe, the file, `--set` and flags, each overriding the
    /// one before.
    pub(crate) fn resolve(&self) -> Result<Config, ConfigError> {
        self.layers()?.resolve()
    }

    /// The number of threads, 0 if it is not set.
    pub(crate) fn threads(&self) -> Result<usize, ConfigError> {
        Ok(self.resolve()?.threads)
    }

    /// The flags that were given, as on the command line, without the number of threads. They would
    /// change a run.
    pub(crate) fn given(&self) -> Vec<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let values = [
            ("--recipe", self.recipe.clone()),
            ("--config", path(&self.config)),
            ("--epochs", self.epochs.clone()),
            ("--steps", self.steps.clone()),
            ("--model", self.model.clone()),
            ("--init", path(&self.init)),
            ("--pretrained", self.pretrained.clone()),
            ("--data", self.data.clone()),
            ("--labels", path(&self.labels)),
            ("--limit", self.limit.clone()),
            ("--batch-size", self.batch_size.clone()),
            ("--lr-max", self.lr_max.clone()),
            (
                "--linear-scaling",
                self.linear_scaling.map(|images| images.to_string()),
            ),
            ("--weight-decay", self.weight_decay.clone()),
            ("--seed", self.seed.clone()),
            ("--device", self.device.clone()),
        ];
        let values = values
            .into_iter()
            .filter_map(|(flag, value)| Some(format!("{flag} {}", quoted(&value?))));
        let settings = self.settings.iter();
        let settings = settings.map(|setting| format!("--set {}", quoted(setting)));
        let skip_bad = self.skip_bad.then(|| "--skip-bad".to_owned());
        let freeze = self.freeze.then(|| "--freeze".to_owned());
        values
            .chain(settings)
            .chain(skip_bad)
            .chain(freeze)
            .collect()
    }

    /// The layers of the configuration before they are merged and checked.
    pub(crate) fn layers(&self) -> Result<Layers, ConfigError> {
        let mut layers = Layers::new()?;
        if self.pretrained.is_some() {
            layers = layers.finetune()?;
        }
        if let Some(name) = &self.recipe {
            layers = layers.recipe(name)?;
        }
        if let Some(path) = &self.config {
            layers = layers.file(path)?;
        }
        for (key, value) in pairs(&self.settings)? {
            layers = layers.set(&key, &value)?;
        }
        if let Some(data) = &self.data {
            layers = layers.set_text(data_key(data), data)?;
        }
        if let Some(pretrained) = &self.pretrained {
            layers = layers.pretrained(pretrained)?;
        }
        for (key, path) in [("data.labels", &self.labels), ("init", &self.init)] {
            if let Some(path) = path {
                layers = layers.set_text(key, &path.to_string_lossy())?;
            }
        }
        if self.freeze {
            layers = layers.set("finetune.freeze", "true")?;
        }
        if self.skip_bad {
            layers = layers.set("data.skip_bad", "true")?;
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
        if let Some(images) = self.linear_scaling {
            layers = layers.scale_linearly(images)?;
        }
        processes::share_batches(layers)
    }
}

/// A value as a shell reads it back.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_owned(),
        false => format!("'{}'", value.replace('\'', "'\\''")),
    }
}

/// Hides the flags of [`ConfigOptions`] in the help of a command that only refuses them.
pub(crate) fn hide_settings(arg: clap::Arg) -> clap::Arg {
    const SETTINGS: [&str; 19] = [
        "recipe",
        "config",
        "settings",
        "epochs",
        "steps",
        "model",
        "init",
        "pretrained",
        "freeze",
        "data",
        "labels",
        "skip_bad",
        "limit",
        "batch_size",
        "lr_max",
        "linear_scaling",
        "weight_decay",
        "seed",
        "device",
    ];
    let hidden = SETTINGS.contains(&arg.get_id().as_str());
    arg.hide(hidden)
}

/// Splits the `KEY=VALUE` arguments of `--set`.
pub(crate) fn pairs(settings: &[String]) -> Result<Vec<(String, String)>, ConfigError> {
    let pair = |setting: &String| {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| ConfigError::setting("--set", setting.clone(), "KEY=VALUE"))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    settings.iter().map(pair).collect()
}

/// The configuration key that `--data` sets: `data.name` or `data.path`.
pub(crate) fn data_key(data: &str) -> &'static str {
    let is_name = catalog::find(data).is_ok() || !Path::new(data).exists() && is_word(data);
    if is_name { "data.name" } else { "data.path" }
}

/// Whether this looks like a name rather than a path. An unknown name is answered with the list of
/// known names.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '-')
}

/// Renamed flags as `(old, new)`. The old name still works.
const RENAMED_FLAGS: [(&str, &str); 1] = [("--rungs", "--num-steps")];

/// One deprecation note per flag that is given by its old name.
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

/// Flags of a range test.
#[derive(Debug, ClapArgs)]
pub(crate) struct SweepOptions {
    /// First learning rate of the range test [default: 1e-5; 0 with `find --linear`]
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_from: Option<f64>,
    /// Last learning rate of the range test [default: 10; 3 with `find --linear`]
    #[arg(long, value_name = "LR", allow_negative_numbers = true)]
    pub(crate) lr_to: Option<f64>,
    /// Updates per range test; with fewer than 25 per decade of learning rates, an instability
    /// shows too late and the suggested rate is too high [default: 150; 100 with `fit`, 80 with
    /// `fit --quick`]
    #[arg(long, alias = "rungs", value_name = "N", allow_negative_numbers = true)]
    num_steps: Option<u64>,
    /// Updates at the first learning rate before the test
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) warm_up: u64,
    /// Number of range tests, each with another seed; the first uses --seed
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1,
        value_parser = at_least_one
    )]
    pub(crate) seeds: usize,
}

impl SweepOptions {
    /// Updates per range test, or `default` if the flag is not given.
    pub(crate) fn num_steps_or(&self, default: u64) -> u64 {
        self.num_steps.unwrap_or(default)
    }

    /// Updates per range test.
    pub(crate) fn num_steps(&self) -> u64 {
        self.num_steps_or(150)
    }
}

/// Flag for the number of CPU threads.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub(crate) struct ThreadsOption {
    /// CPU threads, 0 for all cores; results do not depend on it
    #[arg(
        long = "threads",
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub(crate) count: usize,
}

/// Flags of every command that trains many networks.
#[derive(Debug, ClapArgs)]
pub(crate) struct StudyOptions {
    /// Stop after this time (90s, 10m, 2h) with exit code 124; run the same command again to
    /// continue
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// Train the runs that no other worker trains. Any number of workers, on any machines, share a
    /// folder; the last one writes the result
    #[arg(long)]
    pub(crate) worker: bool,
    /// Train the I-th of N shares of the runs, for file systems without locks; then run the command
    /// without --shard for the result
    #[arg(long, value_name = "I/N", conflicts_with = "worker")]
    pub(crate) shard: Option<String>,
    #[command(flatten)]
    pub(crate) threads: ThreadsOption,
    #[command(flatten)]
    pub(crate) on_finish: OnFinish,
    #[command(flatten)]
    pub(crate) show: ShowOptions,
}

impl StudyOptions {
    /// The part of the study to train.
    pub(crate) fn part(&self) -> Result<Part, ConfigError> {
        Ok(match &self.shard {
            Some(shard) => Part::Shard(shard.parse()?),
            None if self.worker => Part::Worker,
            None => Part::All,
        })
    }
}

/// Flags for stopping, diverging and resumed runs.
#[derive(Debug, Default, ClapArgs)]
pub(crate) struct RunOptions {
    /// Stop after this time (90s, 10m, 2h) with a checkpoint and exit code 124; continue with
    /// `onecycle resume`
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// If the loss is not finite: stop, or retry from a checkpoint with half the learning rate, up
    /// to 8 times [key: on_divergence] [default: stop]
    #[arg(long, value_name = "stop|retry")]
    pub(crate) on_divergence: Option<String>,
    #[command(flatten)]
    pub(crate) log: LogOption,
    #[command(flatten)]
    pub(crate) on_finish: OnFinish,
    /// Resume a run although its data have changed or another version of onecycle started it
    #[arg(long)]
    pub(crate) accept_changes: bool,
}

/// Flag for log files besides the records of a run.
#[derive(Clone, Debug, Default, ClapArgs)]
pub(crate) struct LogOption {
    /// Write log files for another program while the run trains: tensorboard [key: log] [default: none]
    #[arg(long = "log", value_name = "PROGRAM")]
    pub(crate) formats: Vec<LogFormat>,
}

impl LogOption {
    /// Adds the programs to those of a configuration.
    pub(crate) fn add_to(&self, config: &mut Config) {
        for format in &self.formats {
            if !config.logs(*format) {
                config.log.push(*format);
            }
        }
    }
}

/// Flags for the output of a command.
#[derive(Debug, ClapArgs)]
pub(crate) struct OutputOptions {
    /// Output format
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Show no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Smallest terminal, in columns and rows, on which the dashboard is the default.
const ROOM_FOR_DASHBOARD: (usize, usize) = (60, 16);

/// Flags for the output of a command that trains.
#[derive(Debug, ClapArgs)]
pub(crate) struct ShowOptions {
    #[command(flatten)]
    output: OutputOptions,
    /// How to show progress; without a terminal always plain [default: dashboard, or bar on a terminal
    /// with less than 60 columns or 16 rows]
    #[arg(long, value_enum)]
    pub(crate) progress: Option<Progress>,
}

/// How progress is shown on a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// A line now and then
    Plain,
    /// A bar in one line
    Bar,
    /// Curves, times and memory
    Dashboard,
}

impl ShowOptions {
    /// How to show progress on standard error.
    pub(crate) fn mode(&self) -> Mode {
        if self.quiet {
            return Mode::Hidden;
        }
        if !bar::is_terminal() {
            return Mode::Lines;
        }
        let (columns, rows) = screen::size();
        let has_room = columns >= ROOM_FOR_DASHBOARD.0 && rows >= ROOM_FOR_DASHBOARD.1;
        match self.progress {
            Some(Progress::Plain) => Mode::Lines,
            Some(Progress::Dashboard) => Mode::Dashboard,
            None if has_room => Mode::Dashboard,
            Some(Progress::Bar) | None => Mode::Bar,
        }
    }
}

impl Deref for ShowOptions {
    type Target = OutputOptions;

    fn deref(&self) -> &OutputOptions {
        &self.output
    }
}

/// Output format of most commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Readable text
    Text,
    /// One JSON document
    Json,
}

/// Flag for test-time augmentation.
#[derive(Debug, ClapArgs)]
pub(crate) struct TtaOptions {
    /// Average the predictions for each image and its mirror image; usually more accurate if
    /// training images were mirrored, which is the default. Short for --tta mirror
    #[arg(long, conflicts_with = "tta")]
    flip: bool,
    /// Average the predictions over views of each image: image (no others), mirror, or
    /// mirror_and_shift (six views) [default: the run's own, or image for a model file without a
    /// run]
    #[arg(long, value_name = "VIEWS")]
    tta: Option<String>,
}

impl TtaOptions {
    /// The test-time augmentation for a model of `run`. Without an option it is the one by which the
    /// run's own accuracy was measured.
    pub(crate) fn tta(&self, run: Option<&Config>) -> Result<Tta, ConfigError> {
        match (&self.tta, self.flip) {
            (Some(name), _) => name.parse(),
            (None, true) => Ok(Tta::Mirror),
            (None, false) => Ok(run.map(|config| config.tta).unwrap_or_default()),
        }
    }
}

/// Parses a count of at least 1.
pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct CommandLine {
        #[command(flatten)]
        sweep: SweepOptions,
    }

    #[test]
    fn a_renamed_flag_still_works_and_is_noted() {
        let notes = |flag: &str| {
            let line = ["find", flag, "20"];
            let args = <CommandLine as clap::Parser>::try_parse_from(line);
            assert!(matches!(args, Ok(args) if args.sweep.num_steps() == 20));
            deprecations(line.into_iter().map(OsString::from))
        };
        assert_eq!(notes("--rungs"), ["--rungs is deprecated: use --num-steps"]);
        assert!(notes("--num-steps").is_empty());
        let joined = ["onecycle", "fit", "--rungs=20"].map(OsString::from);
        assert_eq!(deprecations(joined.into_iter()).len(), 1);
    }
}
