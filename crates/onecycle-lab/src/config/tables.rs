use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Group, Ignorable, Sgd},
};
use serde::{Deserialize, Serialize, Serializer, ser::Error as _};
use toml::Table;

use crate::{LabError, diagnose::DiagnoseOptions};

/// The `[diagnose]` table: what a run measures of itself along its way, into `diagnose.jsonl`. It changes nothing of the
/// training.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `every` | 0 | noise scale, sharpness and gap after every so many updates and at the end; 0 for never |
/// | `batches` | 32 | micro-batches for the noise scale, at least 2; 0 to leave it out |
/// | `batch_size` | 32 | images of a micro-batch, at most |
/// | `images` | 250 | training images for curvature and sharpness, and validation images for the gap |
/// | `eigenvalues` | 1 | eigenvalues of the Hessian; 0 for none |
/// | `epsilon` | 1e-3 | half width of the box of the ε-sharpness; 0 to leave it out |
/// | `slices` | 0 | slices of the loss; 0 for none |
///
/// All but `every` are those of [`DiagnoseOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnoseTable {
    /// Updates between diagnoses; 0 for none.
    pub every: u64,
    /// Micro-batches for the noise scale, at least 2; 0 to leave it out.
    pub batches: usize,
    /// Images of a micro-batch, at most.
    pub batch_size: usize,
    /// Training images that curvature and sharpness are measured on, and validation images for the gap.
    pub images: usize,
    /// Eigenvalues of the Hessian; 0 for none.
    pub eigenvalues: usize,
    /// Half width of the box of the ε-sharpness; 0 to leave it out.
    pub epsilon: f64,
    /// Slices of the loss; 0 for none.
    pub slices: usize,
}

impl Default for DiagnoseTable {
    /// Never; else [`DiagnoseOptions::along_the_way`].
    fn default() -> Self {
        let options = DiagnoseOptions::along_the_way();
        DiagnoseTable {
            every: 0,
            batches: options.batches,
            batch_size: options.batch_size,
            images: options.images,
            eigenvalues: options.eigenvalues,
            epsilon: options.epsilon.unwrap_or(0.0),
            slices: options.slices,
        }
    }
}

impl DiagnoseTable {
    /// Whether there is no diagnosis along the way.
    pub fn is_never(&self) -> bool {
        self.every == 0
    }

    /// Whether nothing is set.
    pub(super) fn is_default(&self) -> bool {
        *self == DiagnoseTable::default()
    }

    /// How much of everything a diagnosis along the way measures.
    pub fn options(&self) -> DiagnoseOptions {
        DiagnoseOptions {
            batches: self.batches,
            batch_size: self.batch_size,
            images: self.images,
            eigenvalues: self.eigenvalues,
            epsilon: (self.epsilon != 0.0).then_some(self.epsilon),
            slices: self.slices,
        }
    }

    pub(super) fn check(&self) -> Result<(), LabError> {
        self.options().check().map_err(|error| match error {
            LabError::Setting {
                key,
                value,
                expected,
            } => LabError::Setting {
                key: format!("diagnose.{}", key.replace('-', "_")),
                value,
                expected,
            },
            other => other,
        })
    }
}

/// The `[optimizer]` table: an [`OptimizerConfig`] by `kind`, and what goes with any of them.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `kind` | `sgd` | `sgd`, `adam`, `adamw`, `rmsprop`; its own options stand beside it |
/// | `clip_norm` | | largest norm of all gradients together |
/// | `no_decay_on_bias_and_norm` | true | no weight decay on parameters of rank 1 |
/// | `groups` | | list of parameter groups, see [`Group`] |
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Table")]
pub struct OptimizerTable {
    /// The optimizer with its options.
    pub config: OptimizerConfig,
    /// Largest norm of all gradients together.
    pub clip_norm: Option<f64>,
    /// No weight decay on parameters of rank 1.
    pub no_decay_on_bias_and_norm: bool,
    /// Further parameter groups; the first that matches a parameter counts.
    pub groups: Vec<Group>,
}

impl Default for OptimizerTable {
    fn default() -> Self {
        OptimizerTable {
            config: OptimizerConfig::Sgd(Sgd {
                weight_decay: 5e-4,
                ..Sgd::default()
            }),
            clip_norm: None,
            no_decay_on_bias_and_norm: true,
            groups: Vec::new(),
        }
    }
}

impl OptimizerTable {
    /// The optimizer, without state.
    ///
    /// # Errors
    /// Options out of range.
    pub fn build(&self) -> Result<Optimizer, LabError> {
        let mut groups = self.groups.clone();
        if self.no_decay_on_bias_and_norm {
            groups.push(Group::no_decay_on_bias_and_norm());
        }
        let optimizer = Optimizer::new(self.config.clone())?
            .with_groups(groups)?
            .ignore(Ignorable::BatchSize);
        Ok(match self.clip_norm {
            None => optimizer,
            Some(norm) => optimizer.with_clip_norm(norm)?,
        })
    }
}

/// The keys that go with any optimizer.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct Common {
    #[serde(skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,
    no_decay_on_bias_and_norm: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Group>,
}

impl Default for Common {
    fn default() -> Self {
        Common {
            clip_norm: None,
            no_decay_on_bias_and_norm: true,
            groups: Vec::new(),
        }
    }
}

impl TryFrom<Table> for OptimizerTable {
    type Error = toml::de::Error;

    fn try_from(mut table: Table) -> Result<Self, Self::Error> {
        let common: Common = take(
            &mut table,
            &["clip_norm", "no_decay_on_bias_and_norm", "groups"],
        )
        .try_into()?;
        Ok(OptimizerTable {
            config: table.try_into()?,
            clip_norm: common.clip_norm,
            no_decay_on_bias_and_norm: common.no_decay_on_bias_and_norm,
            groups: common.groups,
        })
    }
}

impl Serialize for OptimizerTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let common = Common {
            clip_norm: self.clip_norm,
            no_decay_on_bias_and_norm: self.no_decay_on_bias_and_norm,
            groups: self.groups.clone(),
        };
        serialize_joined(&self.config, &common, serializer)
    }
}

/// Takes the entries with these keys out of a table.
pub(super) fn take(table: &mut Table, keys: &[&str]) -> Table {
    keys.iter()
        .filter_map(|key| table.remove_entry(*key))
        .collect()
}

/// Writes two values that are tables as one.
pub(super) fn serialize_joined<S: Serializer>(
    first: &impl Serialize,
    second: &impl Serialize,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut all = Table::try_from(first).map_err(S::Error::custom)?;
    all.extend(Table::try_from(second).map_err(S::Error::custom)?);
    all.serialize(serializer)
}
