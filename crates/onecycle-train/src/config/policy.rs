use onecycle::{AtEnd, BatchSizes, Curve, OneCycle, Policy, Preset, fastai, optax, preset, torch};
use onecycle_burn::optim::OptimizerConfig;
use serde::{Deserialize, Serialize, Serializer};
use toml::Table;

use super::{
    Config,
    tables::{serialize_joined, take},
};
use crate::ConfigError;

/// The `[policy]` table: a [`Preset`] chosen by `kind`, with its own keys and these common ones.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `kind` | `one_cycle` | [`Preset::KINDS`] | the preset |
/// | `momentum_curve` | | [`Curve`] | momentum over the run, instead of the preset's own |
/// | `weight_decay` | the optimizer's | [`Curve`] | weight decay over the run |
/// | `batch_size` | `batch_size` of the run | [`BatchSizes`] | batch size over the run |
/// | `image_size` | the full size | [`Curve`] | shorter side of the training images in pixels over the run: [`ImageSizes`](crate::image_sizes::ImageSizes) |
/// | `at_end` | `hold` | `hold`, `error`, `restart` | what happens after the last step |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub struct PolicyConfig {
    /// The preset with its parameters.
    pub preset: Preset,
    /// Momentum over the run, instead of the preset's own.
    pub momentum_curve: Option<Curve>,
    /// Weight decay over the run; `None` for the optimizer's own.
    pub weight_decay: Option<Curve>,
    /// Batch size over the run; `None` for the configuration's own.
    pub batch_size: Option<BatchSizes>,
    /// Shorter side of the training images over the run; `None` for the full size.
    pub image_size: Option<Curve>,
    /// What happens after the last step.
    pub at_end: AtEnd,
}

/// Peak learning rate of the default run. It reaches 92.8 % on 10 000 held-out training images
/// (`data.validation = 0.1666`).
const DEFAULT_LR_MAX: f64 = 0.2;

/// Batch size up to which the default rates grow: rates scaled up further diverge in short runs.
const DEFAULT_LR_BATCH: f64 = 128.0;

/// Peak learning rate of one cycle where none is given, for batches of `batch_size` images.
///
/// | optimizer | batches of 128 and more | smaller batches |
/// |---|---|---|
/// | `sgd` | 0.2 | in proportion (Goyal et al. 2017, arXiv:1706.02677, section 2.1) |
/// | `adam`, `adamw`, any other | 0.005 | with the square root (Malladi et al. 2022, arXiv:2205.10287) |
/// | `rmsprop` | 0.0005 | with the square root |
/// | `muon` | 0.05 | with the square root |
///
/// With `[finetune]` it is a fifth: pretrained weights do not survive the rates of a training from
/// scratch. With `per_1024_images` it does not depend on the batch size.
pub(super) fn default_lr_max(config: &Config, batch_size: usize) -> f64 {
    let share = match config.optimizer.per_1024_images {
        true => 1.0,
        // An empty batch is refused later, with a message of its own.
        false => (batch_size.max(1) as f64 / DEFAULT_LR_BATCH).min(1.0),
    };
    let from_scratch = match config.optimizer.config {
        OptimizerConfig::Sgd(_) => DEFAULT_LR_MAX * share,
        OptimizerConfig::RmsProp(_) => 0.0005 * share.sqrt(),
        OptimizerConfig::Muon(_) => 0.05 * share.sqrt(),
        _ => 0.005 * share.sqrt(),
    };
    let lr_max = match config.finetune {
        None => from_scratch,
        Some(_) => from_scratch / 5.0,
    };
    // Three digits, as a person would write it.
    format!("{lr_max:.2e}").parse().unwrap_or(lr_max)
}

impl Default for PolicyConfig {
    fn default() -> Self {
        OneCycle::new(DEFAULT_LR_MAX).into()
    }
}

impl From<Preset> for PolicyConfig {
    /// A policy with this preset, and the defaults of the common keys.
    fn from(preset: Preset) -> Self {
        PolicyConfig {
            preset,
            momentum_curve: None,
            weight_decay: None,
            batch_size: None,
            image_size: None,
            at_end: AtEnd::default(),
        }
    }
}

// One implementation for all `P: Into<Preset>` would overlap with `TryFrom<Table>`.
macro_rules! from_presets {
    ($($preset:ty),*) => {
        $(impl From<$preset> for PolicyConfig {
            fn from(preset: $preset) -> Self {
                Preset::from(preset).into()
            }
        })*
    };
}

from_presets!(
    preset::OneCycle,
    preset::Clr,
    preset::PiecewiseConstant,
    preset::Constant,
    preset::Step,
    preset::Exponential,
    preset::Polynomial,
    preset::Cosine,
    preset::CosineRestarts,
    preset::Linear,
    preset::Warmup,
    preset::WarmupStableDecay,
    preset::FlatCosine,
    preset::Trapezoid,
    preset::Sequence,
    preset::Product,
    torch::OneCycleLr,
    torch::CyclicLr,
    torch::MultiStepLr,
    torch::StepLr,
    torch::ExponentialLr,
    torch::CosineAnnealingLr,
    torch::CosineAnnealingWarmRestarts,
    torch::LinearLr,
    torch::PolynomialLr,
    torch::ConstantLr,
    torch::SequentialLr,
    torch::Trapezoid,
    optax::CosineOnecycle,
    optax::LinearOnecycle,
    optax::WarmupCosineDecay,
    optax::CosineDecay,
    optax::Sgdr,
    optax::PiecewiseConstant,
    optax::PiecewiseInterpolate,
    optax::Polynomial,
    optax::Linear,
    optax::ExponentialDecay,
    optax::Join,
    optax::Constant,
    fastai::OneCycle,
    fastai::V1OneCycle,
    fastai::FlatCos,
    fastai::Sgdr,
    fastai::CombinedCos,
    fastai::CombineScheds
);

impl PolicyConfig {
    /// Builds the checked policy.
    ///
    /// # Errors
    /// Parameters are out of range.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        let mut policy = Policy::from_preset(self.preset.clone())?.at_end(self.at_end);
        if let Some(momentum) = &self.momentum_curve {
            policy = policy.with_momentum(momentum.clone())?;
        }
        if let Some(weight_decay) = &self.weight_decay {
            policy = policy.with_weight_decay(weight_decay.clone())?;
        }
        if let Some(batch_size) = &self.batch_size {
            policy = policy.with_batch_size(batch_size.clone())?;
        }
        Ok(policy)
    }
}

/// The keys that every preset accepts.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    momentum_curve: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_decay: Option<Curve>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_size: Option<BatchSizes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_size: Option<Curve>,
    at_end: AtEnd,
}

impl TryFrom<Table> for PolicyConfig {
    type Error = toml::de::Error;

    fn try_from(mut table: Table) -> Result<Self, Self::Error> {
        let common: Common = take(
            &mut table,
            &[
                "momentum_curve",
                "weight_decay",
                "batch_size",
                "image_size",
                "at_end",
            ],
        )
        .try_into()?;
        Ok(PolicyConfig {
            preset: table.try_into()?,
            momentum_curve: common.momentum_curve,
            weight_decay: common.weight_decay,
            batch_size: common.batch_size,
            image_size: common.image_size,
            at_end: common.at_end,
        })
    }
}

impl Serialize for PolicyConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let common = Common {
            momentum_curve: self.momentum_curve.clone(),
            weight_decay: self.weight_decay.clone(),
            batch_size: self.batch_size.clone(),
            image_size: self.image_size.clone(),
            at_end: self.at_end,
        };
        serialize_joined(&self.preset, &common, serializer)
    }
}
