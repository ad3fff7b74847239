use serde::{Deserialize, Serialize};

use super::{Config, require};
use crate::ConfigError;

/// Largest number of views. Features of more take longer than the trainings that use them.
const MAX_VIEWS: usize = 100;

/// Views of all images together from which on more would cost more time than they are worth, unless
/// they are configured.
const MANY: usize = 4000;

/// The `[finetune]` table: how a run trains a network that starts from pretrained weights, which
/// `init` names.
///
/// `onecycle fit --pretrained` makes two runs with it, one after the other: the first with `freeze`,
/// the second without it, from the network of the first.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `freeze` | false | | train the last layer only, on features that the frozen network computes once |
/// | `views` | 4, fewer for many images | 1 to 100 | with `freeze`: augmented views of each training image to compute features of: [`views_of`](Self::views_of) |
/// | `head_epochs` | 20 | > 0 | epochs of the first run of `fit` |
/// | `head_weight_decay` | 0.1 | ≥ 0 | weight decay of the first run of `fit` |
/// | `lowest_rate` | 0.01 | > 0 to 1 | without `freeze`: learning rate of the first layers over that of the last one; it rises geometrically in between (discriminative rates; Howard & Ruder 2018, section 3.2) |
/// | `batch_norm` | `frozen` | `frozen`, `train` | without `freeze`: whether batch norm keeps its statistics: [`NormStatistics`] |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Train the last layer only, on features that the frozen network computes once.
    pub freeze: bool,
    /// Augmented views of each training image to compute features of. Epochs take turns. `None` for a
    /// number that depends on the images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<usize>,
    /// Epochs of the run of `fit` that trains the last layer.
    pub head_epochs: f64,
    /// Weight decay of the run of `fit` that trains the last layer. It is large because features of
    /// few images are easily separated.
    pub head_weight_decay: f64,
    /// Learning rate of the first group of layers over that of the last one, above 0 and at most 1.
    pub lowest_rate: f64,
    /// Whether batch norm keeps the statistics of the pretrained network.
    pub batch_norm: NormStatistics,
}

/// Statistics by which batch norm normalises while all layers are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NormStatistics {
    /// Those of the pretrained network, which do not change: evaluation mode. Scale and shift are
    /// trained.
    #[default]
    Frozen,
    /// Those of each batch, as in any training.
    Train,
}

impl Default for FinetuneConfig {
    fn default() -> Self {
        FinetuneConfig {
            freeze: false,
            views: None,
            head_epochs: 20.0,
            head_weight_decay: 0.1,
            lowest_rate: 0.01,
            batch_norm: NormStatistics::default(),
        }
    }
}

impl FinetuneConfig {
    /// Number of views of each of `images` training images: as configured, or 4, but only as many as
    /// give 4000 views together.
    pub fn views_of(&self, images: usize) -> usize {
        self.views
            .unwrap_or_else(|| (MANY / images.max(1)).clamp(1, 4))
    }

    /// Checks the ranges, and the other keys of `config` that its runs cannot use.
    pub(super) fn check(&self, config: &Config) -> Result<(), ConfigError> {
        require(
            config.init.is_some(),
            "finetune",
            &"a table",
            "pretrained weights as well: --pretrained, or the key `init`",
        )?;
        require(
            self.views
                .is_none_or(|views| (1..=MAX_VIEWS).contains(&views)),
            "finetune.views",
            &self.views.unwrap_or_default(),
            "1 to 100",
        )?;
        require(
            self.head_epochs.is_finite() && self.head_epochs > 0.0,
            "finetune.head_epochs",
            &self.head_epochs,
            "a number above 0",
        )?;
        require(
            self.head_weight_decay.is_finite() && self.head_weight_decay >= 0.0,
            "finetune.head_weight_decay",
            &self.head_weight_decay,
            "a number of at least 0",
        )?;
        require(
            self.lowest_rate > 0.0 && self.lowest_rate <= 1.0,
            "finetune.lowest_rate",
            &self.lowest_rate,
            "above 0 and at most 1; 1 gives all layers the same rate",
        )?;
        if !self.freeze {
            return Ok(());
        }
        // Features are computed before the training, from whole images with one label.
        let frozen =
            "with finetune.freeze, which trains on features of whole images computed before";
        require(
            !config.augment.mixes(),
            "augment.mixup",
            &config.augment.mixup.max(config.augment.cutmix),
            &format!("neither mixup nor cutmix {frozen}"),
        )?;
        require(
            config.policy.image_size.is_none(),
            "policy.image_size",
            &"a curve",
            &format!("no other size {frozen}"),
        )?;
        require(
            config.diagnose.is_never(),
            "diagnose.every",
            &config.diagnose.every,
            &format!("0 {frozen}; `onecycle diagnose` measures the finished run"),
        )
    }
}
