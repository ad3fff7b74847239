//! The command line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::stop;
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use onecycle_train::{Config, ConfigError, config::Layers, tta::Tta};
use onecycle_vision::catalog;

/// Train image classifiers fast by Leslie Smith's 1cycle policy.
#[derive(Debug, Parser)]
#[command(name = "onecycle", version, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a policy does over a run, before any training
    Plan(Plan),
    /// Find learning rate and weight decay by a range test, train one cycle with them, test
    Fit(Fit),
    /// Make a learning rate range test, over several weight decays, momenta, batch sizes or seeds
    Find(Find),
    /// Say what all rules make of a recorded range test
    Suggest(Suggest),
    /// Train a network and leave a model, records, figures and a report
    Train(Train),
    /// Go on with a stopped run
    Resume(Resume),
    /// Train the same network by several policies and seeds, and compare them
    Compare(Compare),
    /// Repeat a figure or table of the 1cycle literature, or all of them
    Reproduce(Reproduce),
    /// Classify images by a trained model
    Predict(Predict),
    /// Say how well a trained model does on labelled images, class by class
    Evaluate(Evaluate),
    /// Say how noisy a run's gradients are, how sharp its minimum is, how large its gap
    Diagnose(Diagnose),
    /// List, fetch or check data sets
    #[command(subcommand)]
    Data(Data),
    /// Measure how fast this machine trains a network
    Bench(Bench),
}

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

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// How to show it
    #[arg(long, value_enum, default_value_t = PlanFormat::Plot)]
    pub(crate) format: PlanFormat,
    /// Write a figure of learning rate and momentum, by its ending .svg or .png; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) figure: Vec<PathBuf>,
    /// Images in the training set, where they are not those of a known data set
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) images: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// A plot for the terminal, and the table of phases
    Plot,
    /// The table of phases
    Table,
    /// A line a step
    Csv,
    /// All series
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Train {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Folder of the run; without it, a new one under runs/
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    /// Go on with the run in this folder; its own configuration holds
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "settings", "epochs", "steps", "model", "data",
        "limit", "batch_size", "lr_max", "weight_decay", "seed", "device"])]
    pub(crate) resume: Option<PathBuf>,
    /// Measure gradient noise, sharpness and gap every N updates and at the end, into diagnose.jsonl and the report
    #[arg(long, value_name = "every=N", conflicts_with = "resume")]
    pub(crate) diagnose: Option<String>,
    #[command(flatten)]
    pub(crate) course: Course,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Diagnose {
    /// Folder of the run: its result is diagnosed, or its newest checkpoint where it is not finished
    pub(crate) run: PathBuf,
    /// Micro-batches for the gradient noise scale, 0 for none; more of them make it surer
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batches: usize,
    /// Images of a micro-batch
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 64
    )]
    pub(crate) batch_size: usize,
    /// Training images that curvature, sharpness and slices are measured on, and validation images for the gap
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 1000
    )]
    pub(crate) images: usize,
    /// Largest eigenvalues of the Hessian, 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 3
    )]
    pub(crate) eigenvalues: usize,
    /// Half width of the box of Keskar's sharpness, for a weight of 0
    #[arg(
        long,
        value_name = "E",
        default_value_t = 1e-3,
        allow_negative_numbers = true
    )]
    pub(crate) epsilon: f64,
    /// Random directions along which the loss is measured, 0 for none
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 2
    )]
    pub(crate) slices: usize,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Fit {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    /// Folder of the run; without it, a new one under runs/
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Weight decays to choose from, the one to prefer first; the configured one, a fifth and five times of it by default
    #[arg(
        long,
        value_name = "WD,..",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub(crate) weight_decays: Vec<f64>,
    /// Stop after this time (90s, 10m, 2h), in the training with a checkpoint; with --out, the same command goes on
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// One short range test of the configured weight decay, and one epoch
    #[arg(long, conflicts_with = "weight_decays")]
    pub(crate) quick: bool,
    #[command(flatten)]
    pub(crate) sweep: Sweep,
    #[command(flatten)]
    pub(crate) show: Show,
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Find {
    #[command(flatten)]
    pub(crate) configuration: Configuration,
    #[command(flatten)]
    pub(crate) sweep: Sweep,
    /// Equal differences in place of equal ratios between rates, and validation accuracy along the way: Smith's own test
    #[arg(long)]
    pub(crate) linear: bool,
    /// Measure the accuracy on held-out images every N updates, 0 for never [default: 0; a fortieth of the test with --linear]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) validate_every: Option<usize>,
    /// A curve for each of these weight decays
    #[arg(long, value_name = "WD,..", value_delimiter = ',', allow_negative_numbers = true, conflicts_with_all = ["momenta", "batch_sizes"])]
    pub(crate) weight_decays: Vec<f64>,
    /// A curve for each of these momenta (Adam: beta1)
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_negative_numbers = true,
        conflicts_with = "batch_sizes"
    )]
    pub(crate) momenta: Vec<f64>,
    /// A curve for each of these batch sizes
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    pub(crate) batch_sizes: Vec<u32>,
    /// Folder for range_test.json and the figure
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Stop after this time (90s, 10m, 2h); with --out, the same command goes on after the tests that are finished
    #[arg(long, value_name = "DURATION", value_parser = stop::duration)]
    pub(crate) max_time: Option<Duration>,
    /// How to show it
    #[arg(long, value_enum, default_value_t = FindFormat::Text)]
    pub(crate) format: FindFormat,
    /// No progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FindFormat {
    /// A plot for the terminal, and the table of suggestions
    Text,
    /// A line an update
    Csv,
    /// Curves, suggestions and costs
    Json,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Suggest {
    /// CSV with columns lr and loss, or JSON with two such lists
    pub(crate) curve: PathBuf,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Resume {
    /// Folder of the run
    pub(crate) run: PathBuf,
    #[command(flatten)]
    pub(crate) course: Course,
    #[command(flatten)]
    pub(crate) show: Show,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compare {
    /// TOML files, a policy each, of the same network and data; variants are called after them
    #[arg(required = true, num_args = 2.., value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Runs of each file, with the seeds from that of the first file on
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 3, value_parser = at_least_one)]
    pub(crate) seeds: usize,
    /// Validation accuracies (0.9 is 90 %) whose steps and time to tell [default: the largest that all reach]
    #[arg(long, value_name = "A,..", value_delimiter = ',')]
    pub(crate) accuracies: Vec<f64>,
    /// Any key of the configuration, for all files; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Folder of runs and result; the same command again goes on there [default: runs/compare-NAME-NAME..]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trials: Trials,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Reproduce {
    /// all, or one of: schedule, full-cycle, higher-rate, long-annihilation, super-convergence, momentum, weight-decay,
    /// noise-scale, flat-minima, batch-warm-start, large-batch, curriculum, lenet-mnist, optimizers; or suggestions, how good
    /// the suggested rates are
    pub(crate) name: String,
    /// quick: all of them in less than half an hour on two cores; cpu: in some hours, ResNet-20 on CIFAR-10; paper: the originals'
    /// networks, data and epochs, for a GPU
    #[arg(long, value_name = "SCALE", default_value = "quick")]
    pub(crate) scale: String,
    /// Runs of each variant [default: 3; 1 at the scale of the paper]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) seeds: Option<usize>,
    /// Network in place of the scale's
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Training images in place of the scale's, the first N
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) images: Option<usize>,
    /// Test images in place of the scale's, the first N
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = at_least_one)]
    pub(crate) test_images: Option<usize>,
    /// Epochs of one cycle in place of the scale's; other lengths follow
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: Option<f64>,
    /// Of suggestions: these tasks only
    #[arg(long, value_name = "TASK,..", value_delimiter = ',')]
    pub(crate) tasks: Vec<String>,
    /// cpu, cuda or wgpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub(crate) device: String,
    /// Folder of runs and results; the same command again goes on there, and experiments share it [default:
    /// runs/reproduce-SCALE]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trials: Trials,
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

#[derive(Debug, ClapArgs)]
pub(crate) struct Predict {
    /// model.safetensors of a run, or the run's folder
    pub(crate) model: PathBuf,
    /// Image files, png or jpeg
    #[arg(required = true)]
    pub(crate) images: Vec<PathBuf>,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
    /// Classes to show of each image
    #[arg(long, default_value_t = 3, value_parser = at_least_one)]
    pub(crate) top: usize,
    #[command(flatten)]
    pub(crate) views: WhichViews,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Evaluate {
    /// Folder of a run, or its model.safetensors
    pub(crate) model: PathBuf,
    /// Evaluate on the test images of this data set (name, or path of a folder or archive) in place of the run's own
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: Option<String>,
    #[command(flatten)]
    pub(crate) views: WhichViews,
    #[command(flatten)]
    pub(crate) threads: Threads,
    #[command(flatten)]
    pub(crate) show: Show,
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

#[derive(Debug, Subcommand)]
pub(crate) enum Data {
    /// List the known data sets and where they are
    List {
        /// text, or json for programs
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Download the published files of a data set
    Get {
        /// Name of the data set
        name: String,
        /// Folder to put it into; the user's cache folder by default
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
        /// Address to fetch from in place of the published one
        #[arg(long, value_name = "URL")]
        from: Option<String>,
    },
    /// Check the files of a data set against the published checksums
    Verify {
        /// Name of the data set
        name: String,
        /// Where it is, if not where it is looked for
        #[arg(long, value_name = "PATH")]
        path: Option<PathBuf>,
        /// text, or json for programs
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// Network
    #[arg(long, default_value = "resnet-small")]
    pub(crate) model: String,
    /// Images a step
    #[arg(long, default_value_t = 128, value_parser = at_least_one)]
    pub(crate) batch: usize,
    /// Shape of an image, CHANNELSxHEIGHTxWIDTH; 1x28x28 for resnet-small, lenet5, convnet and mlp, else 3x32x32
    #[arg(long)]
    pub(crate) shape: Option<String>,
    /// Classes
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) classes: usize,
    #[command(flatten)]
    pub(crate) threads: Threads,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    pub(crate) device: String,
    /// Steps that are measured
    #[arg(long, default_value_t = 10, value_parser = at_least_one)]
    pub(crate) steps: usize,
    /// Steps before these
    #[arg(long, default_value_t = 3)]
    pub(crate) warm_up: usize,
    /// text, or json for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,
}

/// A count that must not be 0.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err("expected a whole number of at least 1".to_owned()),
    }
}
