use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{PolicyError, check, not_finite};

/// A validation during a range test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Validation {
    /// Number of updates before it: it evaluates the network after the updates with `lr[..after]`.
    pub after: usize,
    /// Loss on the validation set.
    #[serde(
        default,
        with = "not_finite::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub loss: Option<f64>,
    /// Accuracy on the validation set, 0 to 1.
    #[serde(
        default,
        with = "not_finite::optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub accuracy: Option<f64>,
}

/// Conditions under which a curve was recorded. `None` means unknown.
///
/// A rate found with one weight decay, momentum or batch size does not hold for another. Source:
/// Smith, "A disciplined approach to neural network hyper-parameters" (2018, arXiv:1803.09820),
/// section 4.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// SGD's momentum or Adam's beta1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Weight decay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Samples per batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Seed of the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Updates at the first rate before the first recorded update.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<u64>,
    /// Planned number of steps of the sweep; the curve is shorter if the test stopped early.
    #[serde(alias = "ladder_steps", skip_serializing_if = "Option::is_none")]
    pub num_steps: Option<u64>,
}

/// The raw losses of a range test, by learning rate.
///
/// A loss can be any number: negative values, NaN and infinity are valid. The minimal JSON form is
/// `{"lr": [..], "loss": [..]}`. Numbers that are not finite are written as "nan", "inf" and
/// "-inf".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw")]
pub struct LossCurve {
    lr: Vec<f64>,
    #[serde(with = "not_finite::list")]
    loss: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    validation: Vec<Validation>,
    conditions: Conditions,
}

/// An unchecked curve, as deserialised.
#[derive(Deserialize)]
struct Raw {
    lr: Vec<f64>,
    #[serde(with = "not_finite::list")]
    loss: Vec<f64>,
    #[serde(default)]
    validation: Vec<Validation>,
    #[serde(default)]
    conditions: Conditions,
}

impl TryFrom<Raw> for LossCurve {
    type Error = PolicyError;

    fn try_from(raw: Raw) -> Result<Self, PolicyError> {
        let curve = LossCurve::new(raw.lr, raw.loss)?.with_conditions(raw.conditions);
        curve.with_validation(raw.validation)
    }
}

/// The recorded quantity that a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// The training loss of each update.
    #[default]
    Loss,
    /// The loss of each validation.
    ValidationLoss,
    /// The negated accuracy of each validation, so that small is good. Smith used the accuracy.
    ValidationAccuracy,
}

impl LossCurve {
    /// A curve of raw losses. `lr[i]` is the learning rate of update `i`; `loss[i]` is the training
    /// loss before that update.
    ///
    /// # Errors
    /// Returns an error if the lists differ in length, or if a rate is negative, not finite or not
    /// larger than the one before.
    pub fn new(lr: Vec<f64>, loss: Vec<f64>) -> Result<Self, PolicyError> {
        check::count("loss", loss.len(), lr.len())?;
        lr.iter().try_for_each(|lr| check::rate("lr", *lr))?;
        for (i, pair) in lr.windows(2).enumerate() {
            if pair[1] <= pair[0] {
                return Err(PolicyError::RateNotIncreasing {
                    index: i + 1,
                    earlier: pair[0],
                    later: pair[1],
                });
            }
        }
        Ok(LossCurve {
            lr,
            loss,
            validation: Vec::new(),
            conditions: Conditions::default(),
        })
    }

    /// A curve from a range test, which has already checked it.
    pub(super) fn recorded(
        lr: Vec<f64>,
        loss: Vec<f64>,
        validation: Vec<Validation>,
        conditions: Conditions,
    ) -> Self {
        LossCurve {
            lr,
            loss,
            validation,
            conditions,
        }
    }

    /// Sets the conditions under which the curve was recorded.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = conditions;
        self
    }

    /// Adds the validations, in their order.
    ///
    /// # Errors
    /// Returns an error if a validation precedes the first update, follows the last one, or is out
    /// of order.
    pub fn with_validation(mut self, validation: Vec<Validation>) -> Result<Self, PolicyError> {
        for (i, one) in validation.iter().enumerate() {
            let earlier = i
                .checked_sub(1)
                .map_or(0, |before| validation[before].after);
            check::ensure(
                one.after > earlier && one.after <= self.lr.len(),
                "after",
                one.after as f64,
                "updates made, more than at the validation before and at most those of the curve",
            )?;
        }
        self.validation = validation;
        Ok(self)
    }

    /// Learning rates in increasing order.
    pub fn lr(&self) -> &[f64] {
        &self.lr
    }

    /// Raw losses.
    pub fn loss(&self) -> &[f64] {
        &self.loss
    }

    /// Validations during the test.
    pub fn validation(&self) -> &[Validation] {
        &self.validation
    }

    /// Conditions under which the curve was recorded.
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Number of recorded updates.
    pub fn len(&self) -> usize {
        self.lr.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.lr.is_empty()
    }

    /// The same test by another signal, as a curve that a rule can use: small values are good.
    ///
    /// A validation's value is assigned to the rate of the update before it. The curve is empty if
    /// the signal was not recorded.
    pub fn seen_by(&self, signal: Signal) -> LossCurve {
        let value = |one: &Validation| match signal {
            Signal::Loss => None,
            Signal::ValidationLoss => one.loss,
            Signal::ValidationAccuracy => one.accuracy.map(|accuracy| -accuracy),
        };
        if signal == Signal::Loss {
            return LossCurve {
                validation: Vec::new(),
                ..self.clone()
            };
        }
        let (lr, loss) = self
            .validation
            .iter()
            .filter_map(|one| Some((self.lr[one.after - 1], value(one)?)))
            .unzip();
        LossCurve {
            lr,
            loss,
            validation: Vec::new(),
            conditions: Conditions {
                num_steps: None,
                ..self.conditions
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn rates_must_increase() {
        assert_eq!(
            LossCurve::new(vec![1.0, 2.0, 2.0], vec![0.0; 3]),
            Err(PolicyError::RateNotIncreasing {
                index: 2,
                earlier: 2.0,
                later: 2.0
            })
        );
        assert!(matches!(
            LossCurve::new(vec![-1.0], vec![0.0]),
            Err(PolicyError::Negative { value: -1.0, .. })
        ));
        assert!(matches!(
            LossCurve::new(vec![1.0], vec![]),
            Err(PolicyError::Count { found: 0, .. })
        ));
    }

    #[test]
    fn accuracy_upside_down() {
        let at = |after, accuracy| Validation {
            after,
            loss: None,
            accuracy: Some(accuracy),
        };
        let curve = LossCurve::new(vec![0.1, 0.2, 0.3], vec![f64::NAN; 3])
            .and_then(|curve| curve.with_validation(vec![at(1, 0.25), at(3, 0.5)]))
            .unwrap();
        let seen = curve.seen_by(Signal::ValidationAccuracy);
        assert_eq!(
            (seen.lr(), seen.loss()),
            (&[0.1, 0.3][..], &[-0.25, -0.5][..])
        );
        assert!(curve.seen_by(Signal::ValidationLoss).is_empty());
        assert!(curve.clone().with_validation(vec![at(4, 0.1)]).is_err());
        assert!(curve.with_validation(vec![at(2, 0.1), at(2, 0.1)]).is_err());
    }
}
