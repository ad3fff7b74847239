use serde::{Deserialize, Serialize};

use crate::BurnError;

/// A set of parameters with multipliers of their own on the plan's rates.
///
/// A parameter belongs to the first group that matches it, and to none (all multipliers 1) if no group does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Which parameters.
    pub select: Select,
    /// Multiplier of the learning rate, at least 0. 0 freezes the group.
    #[serde(default = "one")]
    pub lr: f64,
    /// Multiplier of the weight decay, at least 0. 0 switches it off.
    #[serde(default = "one")]
    pub weight_decay: f64,
}

fn one() -> f64 {
    1.0
}

/// How a [`Group`] finds its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Select {
    /// Parameters of rank 1: biases, and the scale and shift of normalisations.
    BiasAndNorm,
    /// Parameters whose path in the module starts with this, e.g. `stage1.` or `fc.weight`.
    Prefix(String),
}

impl Group {
    /// No weight decay on biases and normalisations (He et al. 2019, "Bag of tricks", section 3.1).
    pub fn no_decay_on_bias_and_norm() -> Self {
        Group {
            select: Select::BiasAndNorm,
            lr: 1.0,
            weight_decay: 0.0,
        }
    }

    /// Multipliers for all parameters whose path starts with `prefix` (discriminative rates, Howard & Ruder
    /// 2018, section 3.2).
    pub fn prefix(prefix: impl Into<String>, lr: f64, weight_decay: f64) -> Self {
        Group {
            select: Select::Prefix(prefix.into()),
            lr,
            weight_decay,
        }
    }

    pub(crate) fn matches(&self, path: &str, rank: usize) -> bool {
        match &self.select {
            Select::BiasAndNorm => rank == 1,
            Select::Prefix(prefix) => path.starts_with(prefix.as_str()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), BurnError> {
        for (option, value) in [
            ("groups.lr", self.lr),
            ("groups.weight_decay", self.weight_decay),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rank_and_prefix_select() {
        let norm = Group::no_decay_on_bias_and_norm();
        assert!(norm.matches("bn1.weight", 1));
        assert!(!norm.matches("conv1.weight", 4));
        let stage = Group::prefix("stage1.", 0.1, 1.0);
        assert!(stage.matches("stage1.0.conv1.weight", 4));
        assert!(!stage.matches("stage10.0.conv1.weight", 4));
    }

    #[test]
    fn multipliers_must_be_sane() {
        assert_eq!(
            Group::prefix("fc", -1.0, 1.0).check(),
            Err(BurnError::InvalidOption {
                option: "groups.lr",
                value: -1.0,
                expected: "a finite number of at least 0"
            })
        );
        assert!(Group::prefix("fc", 1.0, f64::NAN).check().is_err());
    }
}
