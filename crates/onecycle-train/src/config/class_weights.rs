use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::require;
use crate::ConfigError;

/// Weights of the classes in the training loss: `class_weights`.
///
/// The loss is that of PyTorch's `CrossEntropyLoss(weight=..)`
/// ([`weighted_cross_entropy`](onecycle_burn::nn::weighted_cross_entropy)). Only ratios matter:
/// the mean is divided by the sum of the weights. The recorded training loss is not weighted, so
/// that it stays comparable with the validation loss.
///
/// | value | meaning |
/// |---|---|
/// | `"balanced"` | each class counts as much as any other: weight `images / (classes * images of the class)`, as in scikit-learn's `class_weight="balanced"` |
/// | `[1.0, 3.0]` | one weight per class, in the order of the classes |
/// | `{ cat = 1.0, dog = 3.0 }` | weights by class name; 1 for classes that are not named |
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "invalid class weights, expected \"balanced\", a list of weights, or a table of weights \
                 by class name"
)]
pub enum ClassWeights {
    /// A rule.
    Rule(WeightRule),
    /// One weight per class, above 0, in the order of the classes.
    Each(Vec<f64>),
    /// Weights above 0 by class name; 1 for the others.
    Named(BTreeMap<String, f64>),
}

/// How to compute class weights from the training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    /// `images / (classes * images of the class)`, over the classes that have images; 1 for the
    /// others.
    Balanced,
}

const KEY: &str = "class_weights";

impl ClassWeights {
    /// Checks the ranges, as far as possible without the data.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let valid = |weight: f64| weight.is_finite() && weight > 0.0;
        match self {
            ClassWeights::Rule(WeightRule::Balanced) => Ok(()),
            ClassWeights::Each(weights) => {
                require(
                    !weights.is_empty(),
                    KEY,
                    &"[]",
                    "one weight per class, or \"balanced\"",
                )?;
                match weights.iter().position(|weight| !valid(*weight)) {
                    None => Ok(()),
                    Some(index) => require(
                        false,
                        &format!("{KEY}[{index}]"),
                        &weights[index],
                        "a number above 0",
                    ),
                }
            }
            ClassWeights::Named(weights) => {
                match weights.iter().find(|(_, weight)| !valid(**weight)) {
                    None => Ok(()),
                    Some((class, weight)) => {
                        require(false, &format!("{KEY}.{class}"), weight, "a number above 0")
                    }
                }
            }
        }
    }

    /// The weight of each class, above 0. `images` has the number of training images of each
    /// class.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] if the number of weights is not that of the classes, or a class
    /// does not exist.
    pub fn resolve(&self, classes: &[String], images: &[usize]) -> Result<Vec<f64>, ConfigError> {
        match self {
            ClassWeights::Rule(WeightRule::Balanced) => Ok(balanced(images)),
            ClassWeights::Each(weights) => {
                let expected = format!(
                    "{} weights, one per class: {}",
                    classes.len(),
                    listed(classes)
                );
                let value = format!("{} weights", weights.len());
                require(weights.len() == classes.len(), KEY, &value, &expected)?;
                Ok(weights.clone())
            }
            ClassWeights::Named(weights) => {
                let known: BTreeSet<&String> = classes.iter().collect();
                if let Some((class, weight)) = weights.iter().find(|(c, _)| !known.contains(c)) {
                    let expected = format!("one of the classes: {}", listed(classes));
                    return Err(ConfigError::setting(
                        format!("{KEY}.{class}"),
                        weight,
                        expected,
                    ));
                }
                let weight = |class| weights.get(class).copied().unwrap_or(1.0);
                Ok(classes.iter().map(weight).collect())
            }
        }
    }
}

/// Scikit-learn's `compute_class_weight("balanced", ..)`.
fn balanced(images: &[usize]) -> Vec<f64> {
    let total: usize = images.iter().sum();
    let present = images.iter().filter(|count| **count > 0).count();
    let weight = |&count: &usize| match count {
        0 => 1.0,
        count => total as f64 / (present as f64 * count as f64),
    };
    images.iter().map(weight).collect()
}

/// The first names, and the number of the others.
fn listed(classes: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = classes.len().min(SHOWN);
    match classes.len() - shown {
        0 => classes.join(", "),
        more => format!("{} and {more} more", classes[..shown].join(", ")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;
    use crate::{Config, config::Layers};

    fn classes() -> Vec<String> {
        ["cat", "dog", "eel"].map(str::to_owned).into()
    }

    fn read(text: &str) -> Result<Option<ClassWeights>, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, text).unwrap();
        Ok(Layers::new()?.file(&path)?.resolve()?.class_weights)
    }

    // scikit-learn 1.9.1:
    //     t = [0] * 6 + [1] * 3 + [2] * 2 + [4]
    //     print(compute_class_weight("balanced", classes=np.unique(t), y=t))
    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        assert_eq!(balanced(&[6, 3, 2, 0, 1]), [0.5, 1.0, 1.5, 1.0, 3.0]);
    }

    #[test]
    fn all_three_forms_are_read_and_written() {
        let cases = [
            (
                "class_weights = \"balanced\"",
                vec![2.0 / 3.0, 4.0 / 3.0, 4.0 / 3.0],
            ),
            ("class_weights = [1, 2.5, 3]", vec![1.0, 2.5, 3.0]),
            (
                "class_weights = { dog = 4, eel = 0.5 }",
                vec![1.0, 4.0, 0.5],
            ),
        ];
        for (text, expected) in cases {
            let weights = read(text).unwrap().unwrap();
            let found = weights.resolve(&classes(), &[2, 1, 1]).unwrap();
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-12, "{text}: {found}");
            }
            let config = Config {
                class_weights: Some(weights),
                ..Config::default()
            };
            assert_eq!(
                read(&config.to_toml().unwrap()).unwrap(),
                config.class_weights,
                "{text}"
            );
        }
        assert_eq!(read("seed = 3").unwrap(), None);
        let default = Config::default().to_toml().unwrap();
        assert!(!default.contains("class_weights"), "{default}");
    }

    #[test]
    fn wrong_weights_are_named() {
        let cases = [
            (
                "class_weights = 3",
                "class_weights = 3: expected \"balanced\", a list of weights",
            ),
            (
                "class_weights = \"balance\"",
                "\"balanced\", a list of weights",
            ),
            (
                "class_weights = []",
                "class_weights = []: expected one weight per class",
            ),
            (
                "class_weights = [1, 0]",
                "class_weights[1] = 0: expected a number above 0",
            ),
            ("class_weights = [nan]", "class_weights[0] = NaN"),
            (
                "class_weights.cat = -1",
                "class_weights.cat = -1: expected a number above 0",
            ),
        ];
        for (text, expected) in cases {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{text}: {message}");
            assert!(message.contains("class_weights"), "{text}: {message}");
        }
        let few = ClassWeights::Each(vec![1.0, 2.0]);
        let message = few.resolve(&classes(), &[1; 3]).unwrap_err().to_string();
        assert!(
            message.contains("2 weights: expected 3 weights, one per class: cat, dog, eel"),
            "{message}"
        );
        let foreign = ClassWeights::Named([("fox".to_owned(), 2.0)].into());
        let message = foreign
            .resolve(&classes(), &[1; 3])
            .unwrap_err()
            .to_string();
        assert!(message.contains("class_weights.fox"), "{message}");
        assert!(message.contains("cat, dog, eel"), "{message}");
    }
}
