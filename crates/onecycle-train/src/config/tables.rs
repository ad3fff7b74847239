use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Ignorable, ParamGroup, Select, Sgd},
};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use toml::Table;

use super::require;
use crate::ConfigError;

/// The `[diagnose]` table: what a run measures about its network while it trains, written to
/// `diagnose.jsonl`. The training itself does not change.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `every` | 0 | ≥ 0 | updates between diagnoses, with one more at the end; 0 for never |
/// | `batches` | 32 | 0 or ≥ 2 | micro-batches for the noise scale; 0 skips it |
/// | `batch_size` | 32 | ≥ 1 | largest number of images per micro-batch |
/// | `images` | 250 | ≥ 1 | training images for curvature and sharpness, and validation images for the gap |
/// | `eigenvalues` | 1 | 0 to 100 | eigenvalues of the Hessian; 0 for none |
/// | `epsilon` | 1e-3 | ≥ 0 | half width of the box of the ε-sharpness; 0 skips it |
/// | `slices` | 0 | ≥ 0 | slices of the loss along random directions; 0 for none |
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnoseConfig {
    /// Updates between diagnoses; 0 for none.
    pub every: u64,
    /// Micro-batches for the noise scale, at least 2. If an epoch has fewer, its batches. 0 skips
    /// it.
    pub batches: usize,
    /// Largest number of images per micro-batch; smaller if the training set is small.
    pub batch_size: usize,
    /// Training images for curvature, sharpness and slices, and validation images for the gap.
    pub images: usize,
    /// Eigenvalues of the Hessian, at most 100; 0 for none.
    pub eigenvalues: usize,
    /// Half width of the box of the ε-sharpness; 0 skips it.
    pub epsilon: f64,
    /// Slices of the loss along random directions; 0 for none.
    pub slices: usize,
}

/// Largest number of eigenvalues. Lanczos' method keeps ten vectors as large as the network for each.
const MOST_EIGENVALUES: usize = 100;

impl Default for DiagnoseConfig {
    /// Never. The sizes are for diagnoses during a run, a quarter of [`thorough`](Self::thorough).
    fn default() -> Self {
        DiagnoseConfig {
            every: 0,
            batches: 32,
            batch_size: 32,
            images: 250,
            eigenvalues: 1,
            epsilon: 1e-3,
            slices: 0,
        }
    }
}

impl DiagnoseConfig {
    /// The sizes of `onecycle diagnose`: losses and gradients of about 100 000 images, two fifths
    /// of them losses only.
    pub fn thorough() -> Self {
        DiagnoseConfig {
            batches: 64,
            batch_size: 64,
            images: 1000,
            eigenvalues: 3,
            slices: 2,
            ..DiagnoseConfig::default()
        }
    }

    /// Whether a run makes no diagnoses.
    pub fn is_never(&self) -> bool {
        self.every == 0
    }

    /// Whether every value is the default.
    pub(super) fn is_default(&self) -> bool {
        *self == DiagnoseConfig::default()
    }

    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] with the key, its value and the possible values.
    pub fn check(&self) -> Result<(), ConfigError> {
        require(
            self.batches != 1,
            "diagnose.batches",
            &self.batches,
            "at least 2, or 0 for none",
        )?;
        require(
            self.batch_size > 0,
            "diagnose.batch_size",
            &self.batch_size,
            "at least 1",
        )?;
        require(
            self.images > 0,
            "diagnose.images",
            &self.images,
            "at least 1",
        )?;
        require(
            self.eigenvalues <= MOST_EIGENVALUES,
            "diagnose.eigenvalues",
            &self.eigenvalues,
            "at most 100, or 0 for none: each takes about ten gradients over the images",
        )?;
        require(
            self.epsilon.is_finite() && self.epsilon >= 0.0,
            "diagnose.epsilon",
            &self.epsilon,
            "a number above 0, or 0 to skip it",
        )
    }
}

/// The `[optimizer]` table: an [`OptimizerConfig`] chosen by `kind`, with its own options and these
/// common ones.
///
/// | key | default | range | meaning |
/// |---|---|---|---|
/// | `kind` | `sgd` | `sgd`, `adam`, `adamw`, `rmsprop`, `muon` | the optimizer |
/// | `clip_norm` | none | > 0 | largest norm of the whole gradient; a longer one is scaled down |
/// | `no_decay_on_bias_and_norm` | true | | no weight decay on parameters of rank 1 |
/// | `groups` | none | | parameter groups, see [`ParamGroup`] |
/// | `freeze` | none | | parameters that stop learning, see [`Freeze`] |
/// | `per_1024_images` | false | | learning rate and weight decay are per 1024 images, independent of momentum, batch size and each other (Jordan 2024, arXiv:2404.00498) |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub struct OptimizerSection {
    /// The optimizer with its options.
    pub config: OptimizerConfig,
    /// Largest norm of the whole gradient.
    pub clip_norm: Option<f64>,
    /// No weight decay on parameters of rank 1.
    pub no_decay_on_bias_and_norm: bool,
    /// Parameter groups; the first one that matches a parameter applies.
    pub groups: Vec<ParamGroup>,
    /// Parameters that stop learning.
    pub freeze: Vec<Freeze>,
    /// Whether learning rate and weight decay are per 1024 images: the optimizer uses `lr B / (1024
    /// (1 + 1 / (1 - m)))` for batches of `B` images and Nesterov momentum `m`, and the weight decay
    /// over the peak learning rate.
    pub per_1024_images: bool,
}

/// Parameters that are trained in the first epochs only. Afterwards they are constant, and their
/// gradients are not computed.
///
/// In a configuration file: `freeze = [{ select = { prefix = "whiten.bias" }, after_epochs = 3 }]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Freeze {
    /// Which parameters.
    pub select: Select,
    /// Number of epochs in which they are trained; 0 for none.
    pub after_epochs: u64,
}

impl Default for OptimizerSection {
    fn default() -> Self {
        OptimizerSection {
            config: OptimizerConfig::Sgd(Sgd {
                weight_decay: 5e-4,
                ..Sgd::default()
            }),
            clip_norm: None,
            no_decay_on_bias_and_norm: true,
            groups: Vec::new(),
            freeze: Vec::new(),
            per_1024_images: false,
        }
    }
}

impl OptimizerSection {
    /// Builds the optimizer, without state.
    ///
    /// # Errors
    /// Options are out of range.
    pub fn build(&self) -> Result<Optimizer, ConfigError> {
        self.build_with(self.all_groups())
    }

    /// The parameter groups, with that of `no_decay_on_bias_and_norm`.
    pub(crate) fn all_groups(&self) -> Vec<ParamGroup> {
        let mut groups = self.groups.clone();
        if self.no_decay_on_bias_and_norm {
            groups.push(ParamGroup::no_decay_on_bias_and_norm());
        }
        groups
    }

    /// Builds the optimizer with other parameter groups, without state.
    pub(crate) fn build_with(&self, groups: Vec<ParamGroup>) -> Result<Optimizer, ConfigError> {
        let optimizer = Optimizer::new(self.config.clone())?
            .with_groups(groups)?
            .ignore(Ignorable::BatchSize);
        Ok(match self.clip_norm {
            None => optimizer,
            Some(norm) => optimizer.with_clip_norm(norm)?,
        })
    }
}

/// The keys that every optimizer accepts.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,
    no_decay_on_bias_and_norm: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<ParamGroup>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    freeze: Vec<Freeze>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    per_1024_images: bool,
}

impl Default for Common {
    fn default() -> Self {
        Common {
            clip_norm: None,
            no_decay_on_bias_and_norm: true,
            groups: Vec::new(),
            freeze: Vec::new(),
            per_1024_images: false,
        }
    }
}

impl TryFrom<Table> for OptimizerSection {
    type Error = toml::de::Error;

    fn try_from(mut table: Table) -> Result<Self, Self::Error> {
        let common: Common = take(
            &mut table,
            &[
                "clip_norm",
                "no_decay_on_bias_and_norm",
                "groups",
                "freeze",
                "per_1024_images",
            ],
        )
        .try_into()?;
        Ok(OptimizerSection {
            config: table.try_into()?,
            clip_norm: common.clip_norm,
            no_decay_on_bias_and_norm: common.no_decay_on_bias_and_norm,
            groups: common.groups,
            freeze: common.freeze,
            per_1024_images: common.per_1024_images,
        })
    }
}

impl Serialize for OptimizerSection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let common = Common {
            clip_norm: self.clip_norm,
            no_decay_on_bias_and_norm: self.no_decay_on_bias_and_norm,
            groups: self.groups.clone(),
            freeze: self.freeze.clone(),
            per_1024_images: self.per_1024_images,
        };
        serialize_joined(&self.config, &common, serializer)
    }
}

/// Removes the entries with these keys from a table and returns them.
pub(super) fn take(table: &mut Table, keys: &[&str]) -> Table {
    keys.iter()
        .filter_map(|key| table.remove_entry(*key))
        .collect()
}

/// Serialises two values that are tables as one table.
pub(super) fn serialize_joined<S: Serializer>(
    first: &impl Serialize,
    second: &impl Serialize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut all = Table::try_from(first).map_err(S::Error::custom)?;
    all.extend(Table::try_from(second).map_err(S::Error::custom)?);
    all.serialize(serializer)
}
