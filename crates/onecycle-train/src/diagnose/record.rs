use onecycle_burn::diagnose::Hessian;
use onecycle_stats::{EpsilonSharpness, NoiseScale, lr_per_sample, sgd_temperature};
use serde::{Deserialize, Serialize};

use onecycle::Plan;

use crate::run_folder::RunFile;

/// Diagnosis of a network: `diagnose.json`, or a line of `diagnose.jsonl`. It contains no times.
///
/// Quantities that were not requested or could not be measured are `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// Position in the training.
    #[serde(flatten)]
    pub conditions: TrainingPoint,
    /// Source of the weights; `None` for those of a run in progress.
    pub weights: Option<String>,
    /// Gradient noise.
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
    /// Cost of the diagnosis.
    pub cost: DiagnosisCost,
    /// Quantities that could not be measured, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A position in a training, with the hyper-parameters of its last update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingPoint {
    /// Updates made.
    pub step: u64,
    /// Epochs done, if known.
    pub epoch: Option<f64>,
    /// Learning rate of the last update; before the first update, of that one.
    pub lr: f64,
    /// Momentum, or beta1, of that update.
    pub momentum: f64,
    /// Batch size of that update.
    pub batch_size: u64,
    /// [`lr_per_sample`], `lr / B`.
    pub lr_per_sample: f64,
    /// [`sgd_temperature`], `lr N / (B (1 - m))`: Smith & Le's scale of fluctuations, with
    /// momentum.
    pub temperature: f64,
}

/// The gradient noise scale, by two estimates.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Estimate from the variance over micro-batches; the more precise one.
    pub micro_batches: NoiseScale,
    /// Estimate from two batch sizes, a micro-batch and a group of them; `None` if a group is a
    /// single micro-batch.
    pub two_sizes: Option<NoiseScale>,
    /// Images per micro-batch.
    pub batch_size: u64,
    /// Number of micro-batches.
    pub batches: usize,
}

/// The loss at `θ + alpha d` for a filter-normalised direction `d`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Values of `alpha`, with 0 in the middle. At 1, the step is as long as the weights of the
    /// filters.
    pub alpha: Vec<f64>,
    /// Losses there; `None` if not finite.
    pub loss: Vec<Option<f64>>,
}

/// Mean cross-entropy in nats and accuracy on training and validation images, in evaluation mode
/// and without augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gap {
    /// Loss on training images.
    #[serde(with = "onecycle::not_finite")]
    pub train_loss: f64,
    /// Loss on validation images.
    #[serde(with = "onecycle::not_finite")]
    pub val_loss: f64,
    /// Validation loss minus training loss.
    #[serde(with = "onecycle::not_finite")]
    pub gap: f64,
    /// Accuracy on the training images, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the validation images, 0 to 1.
    pub val_accuracy: f64,
    /// Training images.
    pub train_images: u64,
    /// Validation images.
    pub val_images: u64,
}

/// Cost of a diagnosis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnosisCost {
    /// Images for which a loss or a gradient was computed, counted once per computation.
    pub images: u64,
    /// The same number of images in updates of the run, rounded up.
    pub steps: u64,
}

impl TrainingPoint {
    /// The position after `step` updates of the run of `run_file`, whose plan is `plan`.
    pub fn after(run_file: &RunFile, plan: &Plan, step: u64) -> Self {
        let last = step.saturating_sub(1);
        let hyper = plan.at(last);
        let config = &run_file.config;
        let optimizer = &config.optimizer.config;
        let lr = hyper.lr * run_file.lr_scale(last);
        let momentum = hyper.momentum.unwrap_or(optimizer.momentum());
        let configured = config.batch_size as u64;
        let batch_size = hyper.batch_size.unwrap_or(configured);
        let images = run_file.data.train_images as u64;
        TrainingPoint {
            step,
            epoch: plan.epoch_at(step),
            lr,
            momentum,
            batch_size,
            // The rates of a plan are always valid for these.
            lr_per_sample: lr_per_sample(lr, batch_size).unwrap_or_default(),
            temperature: sgd_temperature(lr, batch_size, images, momentum).unwrap_or_default(),
        }
    }
}
