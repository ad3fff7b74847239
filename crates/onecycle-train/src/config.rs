//! What a run is told: one TOML file, every key also settable from outside.
//!
//! The pieces are laid over one another: the defaults, the file, then single settings `key=value` in their
//! order. A table is merged key by key; but an `[optimizer]` or `[policy]` that names another `kind` replaces
//! the one below it, since its keys mean other things.

mod differences;
mod explain;
mod layers;
mod policy;
mod tables;

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use onecycle::{OneCycle, Preset};
use onecycle_vision::{Augment, Border, FolderOptions, models::Architecture};
use serde::{Deserialize, Serialize};

pub(crate) use differences::flatten;
pub use layers::Layers;
pub use policy::PolicyConfig;
pub use tables::{DiagnoseConfig, OptimizerSection};

use crate::{ConfigError, FileError, device::Device};

/// Largest height and width to which images of a folder are brought.
const LARGEST_SIDE: usize = 1024;
/// More threads than any machine of today has cores; a system may refuse to start more.
const MOST_THREADS: usize = 1024;

/// The whole configuration of a run.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `seed` | 1 | from which every random stream is derived |
/// | `epochs` | 5 | passes over the training set; or |
/// | `steps` | | optimizer updates |
/// | `model` | `resnet-small` | a network of the zoo |
/// | `device` | `cpu` | `cpu`, `cuda`, `wgpu` |
/// | `threads` | 0 | CPU threads, 0 for all cores; results do not depend on it |
/// | `batch_size` | 128 | images an update, where the policy sets none |
/// | `eval_batch_size` | 500 | images a batch of the evaluation |
/// | `ghost_batch` | 0 | images that batch norm normalises together, 0 for the whole batch: [`BatchNorm2d`](onecycle_burn::nn::BatchNorm2d) |
/// | `label_smoothing` | 0 | see [`cross_entropy`](onecycle_burn::nn::cross_entropy) |
/// | `checkpoint_steps` | 0 | updates between checkpoints besides those after each epoch, 0 for none |
/// | `on_divergence` | `stop` | after a loss that is not finite: [`OnDivergence`] |
/// | `[data]` | Fashion-MNIST | [`DataConfig`] |
/// | `[augment]` | none but flips | [`Augment`] |
/// | `[optimizer]` | SGD | [`OptimizerSection`] |
/// | `[policy]` | 1cycle | [`PolicyConfig`] |
/// | `[diagnose]` | never | [`DiagnoseConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// From which every random stream is derived.
    pub seed: u64,
    /// Passes over the training set. Excludes `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Optimizer updates. Excludes `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Name of a network in the zoo.
    pub model: String,
    /// Where to compute.
    pub device: Device,
    /// CPU threads, 0 for all cores.
    pub threads: usize,
    /// Images an update.
    pub batch_size: usize,
    /// Images a batch of the evaluation.
    pub eval_batch_size: usize,
    /// Images that batch norm normalises together in training, 0 for the whole batch.
    #[serde(default)]
    pub ghost_batch: usize,
    /// Share of the target spread over all classes, at least 0 and below 1.
    pub label_smoothing: f64,
    /// Updates between checkpoints besides those after each epoch; 0 for none.
    pub checkpoint_steps: u64,
    /// What to do after a loss that is not finite.
    pub on_divergence: OnDivergence,
    /// Which images.
    pub data: DataConfig,
    /// Random changes to training images.
    pub augment: Augment,
    /// How weights are updated.
    pub optimizer: OptimizerSection,
    /// What learning rate, momentum, weight decay and batch size do over the run.
    pub policy: PolicyConfig,
    /// What the run measures of itself along its way.
    #[serde(default, skip_serializing_if = "DiagnoseConfig::is_default")]
    pub diagnose: DiagnoseConfig,
}

/// What a run does after a loss that is not finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDivergence {
    /// It ends with an error and keeps its checkpoints.
    Stop,
    /// It goes back to a checkpoint and on from there with half the learning rate.
    ///
    /// The whole rest of the plan is scaled, whatever its policy: for one with `lr_max`, that is half the `lr_max`, the
    /// same shape and the same steps. See [`train`](crate::training) for which checkpoint and how often.
    Retry,
}

impl FromStr for OnDivergence {
    type Err = ConfigError;

    fn from_str(word: &str) -> Result<Self, ConfigError> {
        match word {
            "stop" => Ok(OnDivergence::Stop),
            "retry" => Ok(OnDivergence::Retry),
            _ => Err(ConfigError::setting("on_divergence", word, "stop or retry")),
        }
    }
}

/// Which images a run trains and measures on.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `name` | `fashion-mnist` | a known data set; or |
/// | `path` | | a folder or archive |
/// | `limit` | 0 | the first so many training images only; 0 for all |
/// | `test_limit` | 0 | the first so many test images only, for measurements that must be quick; 0 for all |
/// | `validation` | 0 | share of the training images held out to measure on in place of the test set |
/// | `image_size` | 64 | height and width to which the images of a folder are brought |
/// | `[data.curriculum]` | none | easy images first: [`CurriculumConfig`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataConfig {
    /// Name of a known data set.
    // Not the default's name: a table with a path alone has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Folder or archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The first so many training images only; 0 for all.
    pub limit: usize,
    /// The first so many test images only; 0 for all.
    pub test_limit: usize,
    /// Share of the training images, of each class alike, held out to measure on in place of the test set, at
    /// least 0 and below 1. The choice depends on the seed.
    pub validation: f64,
    /// Height and width to which the images of a folder are brought.
    pub image_size: usize,
    /// Easy images first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub curriculum: Option<CurriculumConfig>,
}

/// Easy images first: Bengio et al., "Curriculum Learning" (2009), section 4; the pace is linear.
///
/// How hard an image is, the same network says after a brief training of its own: by its loss on the image. That training
/// is made anew whenever the run begins or goes on, and depends on the seed alone.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `start` | 0.25 | share of the images, the easiest, that the first epoch draws from |
/// | `epochs` | | epochs until all images are drawn from |
/// | `scoring_epochs` | 1 | length of the brief training |
/// | `scoring_lr` | 0.05 | its learning rate |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurriculumConfig {
    /// Share of the images that the first epoch draws from, above 0 and at most 1.
    #[serde(default = "quarter")]
    pub start: f64,
    /// Epochs until all images are drawn from, at least 0.
    pub epochs: f64,
    /// Epochs of the training that says how hard images are, at least 1.
    #[serde(default = "one")]
    pub scoring_epochs: u64,
    /// Its learning rate, above 0; plain SGD with momentum 0.9.
    #[serde(default = "twentieth")]
    pub scoring_lr: f64,
}

impl CurriculumConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, value: f64, expected: &str| {
            let key = format!("data.curriculum.{key}");
            Err(ConfigError::setting(key, value, expected))
        };
        if !(self.start > 0.0 && self.start <= 1.0) {
            return wrong("start", self.start, "above 0 and at most 1");
        }
        if !(self.epochs.is_finite() && self.epochs >= 0.0) {
            return wrong("epochs", self.epochs, "a number of at least 0");
        }
        if self.scoring_epochs == 0 {
            return wrong("scoring_epochs", 0.0, "at least 1");
        }
        if !(self.scoring_lr.is_finite() && self.scoring_lr > 0.0) {
            return wrong("scoring_lr", self.scoring_lr, "a number above 0");
        }
        Ok(())
    }
}

fn quarter() -> f64 {
    0.25
}

fn one() -> u64 {
    1
}

fn twentieth() -> f64 {
    0.05
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            name: Some("fashion-mnist".to_owned()),
            path: None,
            limit: 0,
            test_limit: 0,
            validation: 0.0,
            image_size: FolderOptions::default().size,
            curriculum: None,
        }
    }
}

impl Default for Config {
    /// The run that `onecycle train` makes without arguments.
    fn default() -> Self {
        Config {
            seed: 1,
            epochs: Some(5.0),
            steps: None,
            model: "resnet-small".to_owned(),
            device: Device::Cpu,
            threads: 0,
            batch_size: 128,
            eval_batch_size: 500,
            ghost_batch: 0,
            label_smoothing: 0.0,
            checkpoint_steps: 0,
            on_divergence: OnDivergence::Stop,
            data: DataConfig::default(),
            augment: Augment {
                flip: true,
                border: Border::Zero,
                ..Augment::default()
            },
            optimizer: OptimizerSection::default(),
            policy: PolicyConfig::default(),
            diagnose: DiagnoseConfig::default(),
        }
    }
}

impl Config {
    /// Reads a configuration file over the defaults.
    ///
    /// # Errors
    /// See [`Layers::resolve`].
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        Layers::new()?.file(path)?.resolve()
    }

    /// The configuration as TOML, all keys written out.
    ///
    /// # Errors
    /// None that a valid configuration can cause.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self).map_err(FileError::to_toml)?)
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
                "one_cycle, whose maximum the range test finds; other policies go with `onecycle train`",
            )),
        }
    }

    /// With the path of the data set as one that holds from any folder.
    ///
    /// # Errors
    /// [`FileError::Io`] where the current folder cannot be found.
    pub fn with_absolute_path(mut self) -> Result<Config, ConfigError> {
        if let Some(path) = &mut self.data.path {
            *path = std::path::absolute(&path).map_err(FileError::io("find", path))?;
        }
        Ok(self)
    }

    /// Checks what the types do not say, so far as it can be known without the data.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] with the key, its value and what is possible; a network or an optimizer that cannot be;
    /// impossible parameters of the policy.
    pub fn check(&self) -> Result<(), ConfigError> {
        let setting = |key: &str, value: String, expected: &str| {
            Err(ConfigError::setting(key, value, expected))
        };
        match (self.epochs, self.steps) {
            (Some(epochs), Some(_)) => {
                return setting(
                    "epochs",
                    epochs.to_string(),
                    "either `epochs` or `steps`, not both",
                );
            }
            (Some(epochs), None) if !(epochs.is_finite() && epochs > 0.0) => {
                return setting("epochs", epochs.to_string(), "a number above 0");
            }
            (None, Some(0)) => return setting("steps", "0".to_owned(), "at least 1"),
            _ => {}
        }
        if self.batch_size == 0 {
            return setting("batch_size", "0".to_owned(), "at least 1");
        }
        if self.eval_batch_size == 0 {
            return setting("eval_batch_size", "0".to_owned(), "at least 1");
        }
        let smoothing = self.label_smoothing;
        if !(0.0..1.0).contains(&smoothing) {
            return setting(
                "label_smoothing",
                smoothing.to_string(),
                "at least 0 and below 1",
            );
        }
        let validation = self.data.validation;
        if !(0.0..1.0).contains(&validation) {
            return setting(
                "data.validation",
                validation.to_string(),
                "at least 0 and below 1",
            );
        }
        let side = self.data.image_size;
        if !(1..=LARGEST_SIDE).contains(&side) {
            return setting("data.image_size", side.to_string(), "1 to 1024 pixels");
        }
        if let Some(curriculum) = &self.data.curriculum {
            curriculum.check()?;
        }
        if self.threads > MOST_THREADS {
            let threads = self.threads.to_string();
            return setting("threads", threads, "at most 1024, or 0 for all cores");
        }
        if let (Some(name), Some(_)) = (&self.data.name, &self.data.path) {
            return setting(
                "data.name",
                name.clone(),
                "either `data.name` or `data.path`, not both",
            );
        }
        if let Some(path) = &self.data.path
            && path.as_os_str().is_empty()
        {
            let expected = "the path of a folder or an archive";
            return setting("data.path", "\"\"".to_owned(), expected);
        }
        self.model.parse::<Architecture>()?;
        self.optimizer.build()?;
        self.policy.policy()?;
        self.diagnose.check()?;
        // A number beyond TOML's 64 bits with sign would make a run.toml that cannot be read again.
        toml::Table::try_from(self).map_err(FileError::to_toml)?;
        Ok(())
    }
}
