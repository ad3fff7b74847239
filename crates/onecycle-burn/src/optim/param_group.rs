use std::fmt;

use onecycle::GroupScale;
use serde::{Deserialize, Serialize};

use crate::BurnError;

/// A set of parameters and its factors on the plan's learning rate and weight decay.
///
/// A parameter belongs to the first group that matches it. The factors of a parameter without a
/// group are 1.
///
/// In a configuration file: `{ select = { prefix = "stage1." }, lr = 0.1, weight_decay = 1.0 }`,
/// where `lr` and `weight_decay` are 1 by default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Table", into = "Table")]
pub struct ParamGroup {
    /// Which parameters.
    pub select: Select,
    /// Factors on learning rate and weight decay, each at least 0. A learning rate of 0 freezes the
    /// group.
    pub scale: GroupScale,
}

/// How a [`ParamGroup`] finds its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Parameters of rank 1: biases, and the scale and shift of normalisations.
    BiasAndNorm,
    /// Parameters whose path in the module starts with this, e.g. `stage1.` or `fc.weight`.
    Prefix(String),
    /// Parameters of the modules with these paths, e.g. `conv1` and `layer1`, and of all modules in
    /// them.
    Modules(Vec<String>),
    /// Parameters that all of these select.
    All(Vec<Select>),
}

impl Select {
    /// Whether it selects a parameter. `path` is its path in the module, `rank` its number of
    /// dimensions.
    pub fn matches(&self, path: &str, rank: usize) -> bool {
        match self {
            Select::BiasAndNorm => rank == 1,
            Select::Prefix(prefix) => path.starts_with(prefix.as_str()),
            Select::Modules(modules) => modules.iter().any(|module| {
                let rest = path.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            Select::All(selections) => selections.iter().all(|one| one.matches(path, rank)),
        }
    }
}

impl fmt::Display for Select {
    /// As in a configuration file, for one kind: `bias_and_norm`, `"stage1."`, `["conv1", "bn1"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Select::BiasAndNorm => f.write_str("bias_and_norm"),
            Select::Prefix(prefix) => write!(f, "{prefix:?}"),
            Select::Modules(modules) => write!(f, "{modules:?}"),
            Select::All(selections) => {
                for (index, one) in selections.iter().enumerate() {
                    let and = if index == 0 { "" } else { " and " };
                    write!(f, "{and}{one}")?;
                }
                Ok(())
            }
        }
    }
}

impl ParamGroup {
    /// No weight decay on biases and normalisations (He et al. 2019, "Bag of tricks", section 3.1).
    pub fn no_decay_on_bias_and_norm() -> Self {
        ParamGroup {
            select: Select::BiasAndNorm,
            scale: GroupScale {
                lr: 1.0,
                weight_decay: 0.0,
            },
        }
    }

    /// Factors on learning rate and weight decay of all parameters whose path starts with `prefix`
    /// (discriminative rates, Howard & Ruder 2018, section 3.2).
    pub fn prefix(prefix: impl Into<String>, lr: f64, weight_decay: f64) -> Self {
        ParamGroup {
            select: Select::Prefix(prefix.into()),
            scale: GroupScale { lr, weight_decay },
        }
    }

    /// Whether a parameter belongs here. `path` is its path in the module, `rank` its number of
    /// dimensions.
    pub fn matches(&self, path: &str, rank: usize) -> bool {
        self.select.matches(path, rank)
    }

    pub(crate) fn check(&self) -> Result<(), BurnError> {
        for (option, value) in [
            ("groups.lr", self.scale.lr),
            ("groups.weight_decay", self.scale.weight_decay),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(BurnError::InvalidOption {
                    option,
                    value,
                    expected: "a finite number of at least 0",
                });
            }
        }
        Ok(())
    }
}

/// A [`ParamGroup`] in a configuration file. Serde cannot flatten `scale` and refuse unknown keys
/// as well.
#[derive(Serialize, Deserialize)]
#[serde(rename = "ParamGroup", deny_unknown_fields)]
struct Table {
    select: Select,
    #[serde(default = "one")]
    lr: f64,
    #[serde(default = "one")]
    weight_decay: f64,
}

fn one() -> f64 {
    1.0
}

impl From<Table> for ParamGroup {
    fn from(table: Table) -> Self {
        let Table {
            select,
            lr,
            weight_decay,
        } = table;
        ParamGroup {
            select,
            scale: GroupScale { lr, weight_decay },
        }
    }
}

impl From<ParamGroup> for Table {
    fn from(group: ParamGroup) -> Self {
        Table {
            select: group.select,
            lr: group.scale.lr,
            weight_decay: group.scale.weight_decay,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_and_prefix_select() {
        let norm = ParamGroup::no_decay_on_bias_and_norm();
        assert!(norm.matches("bn1.weight", 1));
        assert!(!norm.matches("conv1.weight", 4));
        let stage = ParamGroup::prefix("stage1.", 0.1, 1.0);
        assert!(stage.matches("stage1.0.conv1.weight", 4));
        assert!(!stage.matches("stage10.0.conv1.weight", 4));
    }

    #[test]
    fn modules_and_combinations_select() {
        let modules = Select::Modules(vec!["conv1".to_owned(), "layer1".to_owned()]);
        assert!(modules.matches("layer1.0.bn1.weight", 1) && modules.matches("conv1", 1));
        assert!(!modules.matches("layer10.weight", 1));
        let both = Select::All(vec![modules, Select::BiasAndNorm]);
        assert!(both.matches("layer1.0.bn1.weight", 1));
        assert!(!both.matches("layer1.0.conv1.weight", 4) && !both.matches("fc.bias", 1));
        assert_eq!(both.to_string(), r#"["conv1", "layer1"] and bias_and_norm"#);
        let text = r#"{"all":[{"modules":["conv1","layer1"]},"bias_and_norm"]}"#;
        assert_eq!(serde_json::to_string(&both).expect("text"), text);
        assert_eq!(
            serde_json::from_str::<Select>(text).expect("a selection"),
            both
        );
    }

    #[test]
    fn factors_must_be_finite_and_not_negative() {
        assert_eq!(
            ParamGroup::prefix("fc", -1.0, 1.0).check(),
            Err(BurnError::InvalidOption {
                option: "groups.lr",
                value: -1.0,
                expected: "a finite number of at least 0"
            })
        );
        assert!(ParamGroup::prefix("fc", 1.0, f64::NAN).check().is_err());
    }

    #[test]
    fn configuration_is_one_flat_table() {
        let text = r#"{"select":{"prefix":"fc"},"lr":0.5,"weight_decay":1.0}"#;
        let group: ParamGroup = serde_json::from_str(text).expect("a group");
        assert_eq!(group, ParamGroup::prefix("fc", 0.5, 1.0));
        assert_eq!(serde_json::to_string(&group).expect("text"), text);
        let short: ParamGroup =
            serde_json::from_str(r#"{"select":"bias_and_norm"}"#).expect("ones");
        assert_eq!(short.scale, GroupScale::default());
        let unknown = r#"{"select":"bias_and_norm","momentum":0.9}"#;
        let error = serde_json::from_str::<ParamGroup>(unknown).expect_err("an unknown key");
        assert!(error.to_string().contains("momentum"), "{error}");
    }
}
