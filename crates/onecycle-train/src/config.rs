//! Configuration of a run: [`Config`], read from one TOML file. Every key can also be set from
//! outside.
//!
//! [`Layers`] merges the defaults, the file, and single settings `key=value`, in this order. Tables
//! are merged key by key. An `[averaging]`, `[optimizer]` or `[policy]` with a different `kind` replaces the table
//! below it, because its keys mean something else.

mod averaging;
mod choices;
mod class_weights;
mod data;
mod differences;
mod explain;
mod finetune;
mod layers;
mod policy;
mod suggest;
mod tables;
pub(crate) mod units;

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use onecycle::{OneCycle, Preset};
use onecycle_vision::{Augment, Border, Flip, models::Architecture};
use serde::{Deserialize, Serialize};

pub use averaging::Averaging;
pub use choices::{Keep, LogFormat, OnDivergence};
pub use class_weights::{ClassWeights, WeightRule};
pub use data::{CurriculumConfig, DataConfig};
pub(crate) use differences::{WITHOUT_EFFECT, flatten};
pub use finetune::{FinetuneConfig, NormStatistics};
pub use layers::Layers;
pub use policy::PolicyConfig;
pub use tables::{DiagnoseConfig, Freeze, OptimizerSection};

use crate::{ConfigError, FileError, device::Device, tta::Tta};

/// Largest number of threads. No machine of today has as many cores, and a system may refuse to
/// start more.
const MAX_THREADS: usize = 1024;

/// Complete configuration of a run.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `seed` | 1 | ≥ 0 | every random stream is derived from it |
/// | `epochs` | 5 | > 0 | passes over the training set; excludes `steps` |
/// | `steps` | | ≥ 1 | optimizer updates; excludes `epochs` |
/// | `model` | `resnet-small` | [`Architecture`] | name of the network |
/// | `device` | `cpu` | `cpu`, `cuda`, `wgpu` | where to compute |
/// | `threads` | 0 | 0 to 1024 | CPU threads, 0 for all cores; results do not depend on it |
/// | `batch_size` | 128 | ≥ 1 | images per update, unless the policy sets it |
/// | `drop_last` | false | | leave out the images at the end of an epoch that do not fill a batch |
/// | `eval_batch_size` | 500 | ≥ 1 | images per batch in evaluation |
/// | `eval_every` | 1; `fit --pretrained`: more for few images | ≥ 1 | epochs from one evaluation and record to the next; the run also ends with one |
/// | `ghost_batch` | 0 | ≥ 0 | images that [batch norm](onecycle_burn::nn::BatchNorm2d) normalises together, 0 for the whole batch |
/// | `shards` | 1 | a power of two | pieces of each batch that go through the network separately, so that several [processes](crate::processes) can share a step |
/// | `tta` | `image` | `image`, `mirror`, `mirror_and_shift` | views of a test image to average over at the end of the run: [`Tta`] |
/// | `label_smoothing` | 0 | 0 to < 1 | see [`cross_entropy`](onecycle_burn::nn::cross_entropy) |
/// | `class_weights` | none | > 0 | weights of the classes in the training loss: [`ClassWeights`] |
/// | `checkpoint_steps` | 0 | ≥ 0 | updates between checkpoints within an epoch, 0 for none; each epoch ends with one |
/// | `on_divergence` | `stop` | `stop`, `retry` | what to do after a loss that is not finite: [`OnDivergence`] |
/// | `init` | none | | existing weights to start from: the folder of a run, or a safetensors file |
/// | `keep` | `last` | `last`, `best` | which network the run saves: [`Keep`] |
/// | `log` | none | `tensorboard` | programs whose log files the run writes: [`LogFormat`] |
/// | `[data]` | Fashion-MNIST | | [`DataConfig`] |
/// | `[augment]` | flips only | | [`Augment`] |
/// | `[optimizer]` | SGD | | [`OptimizerSection`] |
/// | `[policy]` | 1cycle | | [`PolicyConfig`] |
/// | `[averaging]` | none | | [`Averaging`] |
/// | `[finetune]` | none | | [`FinetuneConfig`] |
/// | `[diagnose]` | never | | [`DiagnoseConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Seed from which every random stream is derived.
    pub seed: u64,
    /// Passes over the training set. Excludes `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Optimizer updates. Excludes `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Name of the network, one of [`Architecture`].
    pub model: String,
    /// Where to compute.
    pub device: Device,
    /// CPU threads, 0 for all cores.
    pub threads: usize,
    /// Images per update, unless the policy sets it.
    pub batch_size: usize,
    /// Whether the images at the end of an epoch that do not fill a batch are left out. Otherwise
    /// they are a smaller batch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_last: bool,
    /// Images per batch in evaluation.
    pub eval_batch_size: usize,
    /// Epochs from one evaluation on the validation images to the next; `None` for the default. The
    /// run also ends with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval_every: Option<u64>,
    /// Views of a test image to average over at the end of the run. After each epoch, the image
    /// alone is used.
    #[serde(default, skip_serializing_if = "Tta::is_image")]
    pub tta: Tta,
    /// Images that batch norm normalises together in training; 0 for the whole batch.
    #[serde(default)]
    pub ghost_batch: usize,
    /// Pieces of each batch that go through the network separately: a power of two, at most the
    /// images of a batch. Batch norm normalises each by itself.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: usize,
    /// Share of the target spread over all classes, at least 0 and below 1.
    pub label_smoothing: f64,
    /// Weights of the classes in the training loss; `None` for equal weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// Updates between checkpoints within an epoch; 0 for none. Each epoch ends with a checkpoint.
    pub checkpoint_steps: u64,
    /// What to do after a loss that is not finite.
    pub on_divergence: OnDivergence,
    /// Existing weights to start from: the folder of a run, or a safetensors file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Which network the run saves.
    #[serde(default, skip_serializing_if = "Keep::is_last")]
    pub keep: Keep,
    /// Programs whose log files the run writes, besides its records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogFormat>,
    /// The images.
    pub data: DataConfig,
    /// Random changes to training images.
    pub augment: Augment,
    /// The optimizer.
    pub optimizer: OptimizerSection,
    /// Learning rate, momentum, weight decay and batch size over the run.
    pub policy: PolicyConfig,
    /// The average of the weights that the run evaluates and saves.
    #[serde(default, skip_serializing_if = "Averaging::is_none")]
    pub averaging: Averaging,
    /// How pretrained weights are trained; `None` for a training like any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finetune: Option<FinetuneConfig>,
    /// What the run measures about its network while it trains.
    #[serde(default, skip_serializing_if = "DiagnoseConfig::is_default")]
    pub diagnose: DiagnoseConfig,
}

fn one() -> usize {
    1
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

impl Default for Config {
    /// The run of `onecycle train` without arguments.
    fn default() -> Self {
        Config {
            seed: 1,
            epochs: Some(5.0),
            steps: None,
            model: "resnet-small".to_owned(),
            device: Device::Cpu,
            threads: 0,
            batch_size: 128,
            drop_last: false,
            eval_batch_size: 500,
            eval_every: None,
            tta: Tta::Image,
            ghost_batch: 0,
            shards: 1,
            label_smoothing: 0.0,
            class_weights: None,
            checkpoint_steps: 0,
            on_divergence: OnDivergence::Stop,
            init: None,
            keep: Keep::Last,
            log: Vec::new(),
            data: DataConfig::default(),
            augment: Augment {
                flip: Flip::Random,
                border: Border::Zero,
                ..Augment::default()
            },
            optimizer: OptimizerSection::default(),
            policy: PolicyConfig::default(),
            averaging: Averaging::None,
            finetune: None,
            diagnose: DiagnoseConfig::default(),
        }
    }
}

impl Config {
    /// Reads a configuration file; keys that it lacks have their defaults.
    ///
    /// # Errors
    /// See [`Layers::resolve`].
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        Layers::new()?.file(path)?.resolve()
    }

    /// Returns the configuration as TOML, with every key.
    ///
    /// # Errors
    /// None for a valid configuration.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self).map_err(FileError::to_toml)?)
    }

    /// Whether the run writes log files for this program.
    pub fn logs(&self, format: LogFormat) -> bool {
        self.log.contains(&format)
    }

    /// Epochs from one evaluation on the validation images to the next.
    pub fn eval_every(&self) -> u64 {
        self.eval_every.unwrap_or(1)
    }

    /// Whether only the last layer is trained.
    pub fn freezes(&self) -> bool {
        self.finetune.is_some_and(|finetune| finetune.freeze)
    }

    /// The parameters of the 1cycle policy.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for any other policy.
    pub(crate) fn one_cycle_mut(&mut self) -> Result<&mut OneCycle, ConfigError> {
        match &mut self.policy.preset {
            Preset::OneCycle(one_cycle) => Ok(one_cycle),
            other => Err(ConfigError::setting(
                "policy.kind",
                other.kind(),
                "one_cycle, because the range test finds its maximum; use `onecycle train` for other policies",
            )),
        }
    }

    /// Makes the paths of the data set and of existing weights absolute, so that they are valid from any folder.
    ///
    /// # Errors
    /// [`FileError::Io`] if the current folder cannot be found.
    pub fn with_absolute_path(mut self) -> Result<Config, ConfigError> {
        for path in [&mut self.data.path, &mut self.data.labels, &mut self.init]
            .into_iter()
            .flatten()
        {
            *path = std::path::absolute(&path).map_err(FileError::io("find", path))?;
        }
        Ok(self)
    }

    /// Checks values that the types allow but a run cannot use, as far as possible without the
    /// data.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] with the key, its value and the possible values; an unknown
    /// network, or parameters of the optimizer or the policy that are out of range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_length()?;
        require(
            self.batch_size > 0,
            "batch_size",
            &self.batch_size,
            "at least 1",
        )?;
        require(
            self.shards.is_power_of_two() && self.shards <= self.batch_size,
            "shards",
            &self.shards,
            "1, 2, 4, 8 or another power of two, at most `batch_size`",
        )?;
        require(
            self.eval_batch_size > 0,
            "eval_batch_size",
            &self.eval_batch_size,
            "at least 1",
        )?;
        require(
            self.eval_every() > 0,
            "eval_every",
            &self.eval_every(),
            "at least 1; the run always ends with an evaluation",
        )?;
        require(
            (0.0..1.0).contains(&self.label_smoothing),
            "label_smoothing",
            &self.label_smoothing,
            "at least 0 and below 1",
        )?;
        if let Some(weights) = &self.class_weights {
            weights.check()?;
        }
        require(
            self.threads <= MAX_THREADS,
            "threads",
            &self.threads,
            "at most 1024, or 0 for all cores",
        )?;
        self.data.check()?;
        self.check_model()?;
        self.optimizer.build()?;
        self.policy.policy()?;
        self.averaging.check()?;
        if let Some(finetune) = &self.finetune {
            finetune.check(self)?;
        }
        self.diagnose.check()?;
        // TOML integers are signed 64-bit: a larger number would make a run.toml that cannot be
        // read.
        toml::Table::try_from(self).map_err(FileError::to_toml)?;
        Ok(())
    }

    fn check_model(&self) -> Result<(), ConfigError> {
        if self.model.parse::<Architecture>().is_ok() {
            return Ok(());
        }
        let known: Vec<&str> = Architecture::names().collect();
        let meant = suggest::nearest(&self.model, &known);
        let meant = meant.map_or(String::new(), |near| format!("; did you mean \"{near}\"?"));
        let expected = format!("one of {}{meant}", known.join(", "));
        Err(ConfigError::setting("model", &self.model, expected))
    }

    fn check_length(&self) -> Result<(), ConfigError> {
        match (self.epochs, self.steps) {
            (Some(epochs), Some(_)) => require(
                false,
                "epochs",
                &epochs,
                "either `epochs` or `steps`, not both",
            ),
            (Some(epochs), None) => require(
                epochs.is_finite() && epochs > 0.0,
                "epochs",
                &epochs,
                "a number above 0",
            ),
            (None, Some(steps)) => require(steps > 0, "steps", &steps, "at least 1"),
            (None, None) => Ok(()),
        }
    }
}

/// Reports `key = value: expected ..` unless `valid`.
fn require(valid: bool, key: &str, value: &dyn Display, expected: &str) -> Result<(), ConfigError> {
    match valid {
        true => Ok(()),
        false => Err(ConfigError::setting(key, value, expected)),
    }
}
