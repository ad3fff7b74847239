use onecycle_burn::diagnose::Hessian;
use onecycle_stats::{EpsilonSharpness, NoiseScale, lr_per_sample, sgd_temperature};
use serde::{Deserialize, Serialize};

use crate::{Experiment, record::number, run_folder::RunFile};

/// What was found of a network: `diagnose.json`, or a line of `diagnose.jsonl`. There is no clock in it.
///
/// What was not asked for, or could not be measured, is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Where in the training.
    #[serde(flatten)]
    pub conditions: TrainingPoint,
    /// Where the weights were found; `None` for those of a run in progress.
    pub weights: Option<String>,
    /// How noisy the gradient is.
    pub noise: Option<Noise>,
    /// Eigenvalues of the Hessian.
    pub hessian: Option<Hessian>,
    /// Keskar's ε-sharpness.
    pub sharpness: Option<EpsilonSharpness>,
    /// The loss along random directions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slices: Vec<Slice>,
    /// Loss on training and validation images.
    pub gap: Gap,
    /// What it took.
    pub cost: DiagnosisCost,
    /// What could not be measured, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Where in a training, and with which hyper-parameters its last update was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingPoint {
    /// Updates made.
    pub step: u64,
    /// Epochs passed, where they are known.
    pub epoch: Option<f64>,
    /// Learning rate of the last update; of the first one to come where none was made.
    pub lr: f64,
    /// Its momentum, or beta1.
    pub momentum: f64,
    /// Its batch size.
    pub batch_size: u64,
    /// [`lr_per_sample`], `lr / B`.
    pub lr_per_sample: f64,
    /// [`sgd_temperature`], `lr N / (B (1 - m))`: Smith & Le's scale of fluctuations, with momentum.
    pub temperature: f64,
}

/// The noise scale, by two ways.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// By the variance over micro-batches; the surer of the two.
    pub micro_batches: NoiseScale,
    /// By two batch sizes, a micro-batch and a group of them; `None` where a group is a single micro-batch.
    pub two_sizes: Option<NoiseScale>,
    /// Images of a micro-batch.
    pub batch_size: u64,
    /// Micro-batches.
    pub batches: usize,
}

/// The loss at `θ + alpha d` for a filter-normalised direction `d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Places; 0 in the middle. At 1 the step is as long as the filters' weights.
    pub alpha: Vec<f64>,
    /// Losses there; `None` where not finite.
    pub loss: Vec<Option<f64>>,
}

/// Mean cross-entropy and accuracy on training and validation images, in evaluation and without augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Loss on training images.
    #[serde(with = "number")]
    pub train_loss: f64,
    /// Loss on validation images.
    #[serde(with = "number")]
    pub val_loss: f64,
    /// Validation less training loss.
    #[serde(with = "number")]
    pub gap: f64,
    /// Share of the training images classified rightly, 0 to 1.
    pub train_accuracy: f64,
    /// Share of the validation images classified rightly, 0 to 1.
    pub val_accuracy: f64,
    /// Training images.
    pub train_images: u64,
    /// Validation images.
    pub val_images: u64,
}

/// What a diagnosis took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosisCost {
    /// Images of which a loss or a gradient was evaluated, each as often as it was.
    pub images: u64,
    /// That many updates of the run's batch size, rounded up.
    pub steps: u64,
}

impl TrainingPoint {
    /// After `step` updates of a run.
    pub fn after(experiment: &Experiment, run_file: &RunFile, step: u64) -> Self {
        let last = step.saturating_sub(1);
        let hyper = experiment.plan.at(last);
        let optimizer = &experiment.config.optimizer.config;
        let lr = hyper.lr * run_file.lr_scale(last);
        let momentum = hyper.momentum.unwrap_or(optimizer.momentum());
        let configured = experiment.config.batch_size as u64;
        let batch_size = hyper.batch_size.unwrap_or(configured);
        let images = experiment.data.train.len() as u64;
        TrainingPoint {
            step,
            epoch: experiment.plan.epoch_at(step),
            lr,
            momentum,
            batch_size,
            // A plan has no rates that these could refuse.
            lr_per_sample: lr_per_sample(lr, batch_size).unwrap_or_default(),
            temperature: sgd_temperature(lr, batch_size, images, momentum).unwrap_or_default(),
        }
    }
}
