use onecycle_burn::{
    Optimizer, OptimizerConfig,
    optim::{Group, Ignorable, Sgd},
};
use serde::{Deserialize, Serialize};
use toml::Table;

use crate::LabError;

/// The `[optimizer]` table: an [`OptimizerConfig`] by `kind`, and what goes with any of them.
///
/// | key | default | meaning |
/// |---|---|---|
/// | `kind` | `sgd` | `sgd`, `adam`, `adamw`, `rmsprop`; its own options stand beside it |
/// | `clip_norm` | | largest norm of all gradients together |
/// | `no_decay_on_bias_and_norm` | true | no weight decay on parameters of rank 1 |
/// | `groups` | | list of parameter groups, see [`Group`] |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Table", into = "Table")]
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

impl From<OptimizerTable> for Table {
    fn from(optimizer: OptimizerTable) -> Table {
        let common = Common {
            clip_norm: optimizer.clip_norm,
            no_decay_on_bias_and_norm: optimizer.no_decay_on_bias_and_norm,
            groups: optimizer.groups,
        };
        joined(&optimizer.config, &common)
    }
}

/// Takes the entries with these keys out of a table.
pub(super) fn take(table: &mut Table, keys: &[&str]) -> Table {
    keys.iter()
        .filter_map(|key| table.remove_entry(*key))
        .collect()
}

/// Two values that are tables, as one.
pub(super) fn joined(first: &impl Serialize, second: &impl Serialize) -> Table {
    let table = |value: Result<Table, toml::ser::Error>| value.unwrap_or_default();
    let mut all = table(Table::try_from(first));
    all.extend(table(Table::try_from(second)));
    all
}
