//! Records of a run: [`StepRecord`] is a line of `steps.jsonl`, [`EpochRecord`] a line of
//! `epochs.jsonl`.
//!
//! Steps and epochs are counted from 0. Numbers that are not finite are written as strings
//! ([`onecycle::not_finite`]), and values that do not apply as `null`.

use std::fmt;

use onecycle::{Hyper, not_finite};
use onecycle_burn::OptimizerConfig;
use onecycle_vision::ImageSize;
use serde::{Deserialize, Serialize};

use crate::{
    metrics::MetricSums,
    trainer::{Cursor, Update},
};

/// A line of `steps.jsonl`: the hyper-parameters of one update and its measurements.
///
/// It contains no times, so a repeated or resumed run writes the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The update, counted from 0.
    pub step: u64,
    /// The epoch of the update, counted from 0.
    pub epoch: u64,
    /// Learning rate of this update.
    #[serde(with = "not_finite")]
    pub lr: f64,
    /// SGD's momentum or Adam's beta1; `None` if the optimizer has none.
    #[serde(with = "not_finite::optional")]
    pub momentum: Option<f64>,
    /// Weight decay of this update.
    #[serde(with = "not_finite")]
    pub weight_decay: f64,
    /// Images in this update.
    pub batch_size: u64,
    /// Mean loss over the batch, before the update.
    #[serde(with = "not_finite")]
    pub loss: f64,
    /// Euclidean norm of the whole gradient, before clipping; `None` if it was not computed.
    #[serde(with = "not_finite::optional", default)]
    pub grad_norm: Option<f64>,
    /// Size of the images if it changes over the run ([`ImageSizes`](crate::image_sizes::ImageSizes)):
    /// a number for squares, otherwise `[height, width]`. Left out for full images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_size: Option<ImageSize>,
}

impl StepRecord {
    /// The record of an update that was made with `hyper`.
    pub(crate) fn of(update: &Update, hyper: &Hyper, optimizer: &OptimizerConfig) -> Self {
        StepRecord {
            step: update.step,
            epoch: update.epoch,
            lr: hyper.lr,
            momentum: Some(hyper.momentum.unwrap_or(optimizer.momentum())),
            weight_decay: hyper.weight_decay.unwrap_or(optimizer.weight_decay()),
            batch_size: update.metrics.images,
            loss: update.metrics.mean_loss(),
            grad_norm: update.grad_norm,
            image_size: update.image_size,
        }
    }
}

/// A line of `epochs.jsonl`: one pass over the training set, or several with `eval_every`, and the
/// validation after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The last epoch before the validation, counted from 0.
    pub epoch: u64,
    /// Updates from the start of the run to the end of this epoch.
    pub steps: u64,
    /// Mean training loss of the augmented images, each measured before its update.
    #[serde(with = "not_finite")]
    pub train_loss: f64,
    /// Training accuracy, 0 to 1, measured in the same way.
    #[serde(with = "not_finite")]
    pub train_accuracy: f64,
    /// Mean loss on the validation set after the epoch.
    #[serde(with = "not_finite")]
    pub val_loss: f64,
    /// Accuracy on the validation set after the epoch, 0 to 1.
    #[serde(with = "not_finite")]
    pub val_accuracy: f64,
    /// `val_loss - train_loss`; see [`generalisation_gap`].
    #[serde(with = "not_finite")]
    pub generalisation_gap: f64,
    /// Learning rate of the last update of the epoch.
    #[serde(with = "not_finite")]
    pub lr: f64,
    /// Momentum (Adam: beta1) of the last update of the epoch; `None` if the optimizer has none.
    #[serde(with = "not_finite::optional")]
    pub momentum: Option<f64>,
    /// Wall-clock time of training since the previous record, in seconds, without validation.
    #[serde(with = "not_finite")]
    pub seconds: f64,
    /// Training images per second over [`seconds`](Self::seconds).
    #[serde(with = "not_finite")]
    pub images_per_second: f64,
}

/// Measurements since the previous record.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct EpochSums {
    /// On the training images, each measured before its update.
    pub(crate) train: MetricSums,
    /// On the validation images, after the last update.
    pub(crate) validation: MetricSums,
    /// Time of training, in seconds.
    pub(crate) seconds: f64,
}

impl EpochRecord {
    /// The record of an epoch that ends at `end`, whose last update was made with `last`.
    pub(crate) fn of(
        sums: &EpochSums,
        end: Cursor,
        last: &Hyper,
        optimizer: &OptimizerConfig,
    ) -> Self {
        let (train, val) = (sums.train, sums.validation);
        EpochRecord {
            epoch: end.epoch,
            steps: end.step,
            train_loss: train.mean_loss(),
            train_accuracy: train.accuracy(),
            val_loss: val.mean_loss(),
            val_accuracy: val.accuracy(),
            generalisation_gap: generalisation_gap(train.mean_loss(), val.mean_loss()),
            lr: last.lr,
            momentum: Some(last.momentum.unwrap_or(optimizer.momentum())),
            seconds: sums.seconds,
            images_per_second: train.images as f64 / sums.seconds,
        }
    }
}

/// One line for people, in which epochs count from 1.
impl fmt::Display for EpochRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            train_loss,
            val_loss,
            ..
        } = self;
        write!(
            f,
            "epoch {}: training loss {train_loss:.4}, validation loss {val_loss:.4}, accuracy {:.2} %",
            self.epoch + 1,
            100.0 * self.val_accuracy
        )
    }
}

/// Generalisation gap: validation loss minus training loss (Smith, "A disciplined approach to
/// neural network hyper-parameters" (2018), section 3). It grows if a network overfits.
#[must_use]
pub fn generalisation_gap(train_loss: f64, val_loss: f64) -> f64 {
    val_loss - train_loss
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    fn step() -> StepRecord {
        StepRecord {
            step: 3,
            epoch: 0,
            lr: 0.1 + 0.2,
            momentum: None,
            weight_decay: 1e-4,
            batch_size: 128,
            loss: 2.5,
            grad_norm: Some(0.5),
            image_size: None,
        }
    }

    #[test]
    fn keys_of_a_step_record() {
        let json = serde_json::to_value(step()).unwrap();
        let keys: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let wanted = [
            "batch_size",
            "epoch",
            "grad_norm",
            "loss",
            "lr",
            "momentum",
            "step",
            "weight_decay",
        ];
        assert_eq!(keys, wanted);
        assert!(json["momentum"].is_null());
        assert_eq!(json["lr"], 0.1 + 0.2);
    }

    #[test]
    fn the_size_of_the_images_is_written_if_it_changes() {
        assert!(
            !serde_json::to_string(&step())
                .unwrap()
                .contains("image_size")
        );
        let of = |height, width| StepRecord {
            image_size: Some(ImageSize { height, width }),
            ..step()
        };
        for (record, written) in [(of(16, 16), "16"), (of(16, 24), "[16,24]")] {
            let json = serde_json::to_string(&record).unwrap();
            assert!(
                json.ends_with(&format!("\"image_size\":{written}}}")),
                "{json}"
            );
            assert_eq!(serde_json::from_str::<StepRecord>(&json).unwrap(), record);
        }
    }

    #[test]
    fn numbers_that_are_not_finite_round_trip() {
        for value in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -0.0,
            f64::MIN_POSITIVE,
            1e300,
        ] {
            let record = StepRecord {
                loss: value,
                grad_norm: Some(value),
                ..step()
            };
            let json = serde_json::to_string(&record).unwrap();
            let back: StepRecord = serde_json::from_str(&json).unwrap();
            // Any NaN equals any other; other numbers must agree to the bit.
            let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
            assert!(
                same(back.loss, value) && same(back.grad_norm.unwrap(), value),
                "{json}"
            );
        }
        assert!(
            serde_json::to_string(&StepRecord {
                loss: f64::NAN,
                ..step()
            })
            .unwrap()
            .contains(r#""loss":"nan""#)
        );
    }

    #[test]
    fn integers_are_read_and_other_words_rejected() {
        let json = serde_json::to_string(&step()).unwrap();
        let whole: StepRecord = serde_json::from_str(&json.replace("2.5", "2")).unwrap();
        assert_eq!(whole.loss, 2.0);
        let error =
            serde_json::from_str::<StepRecord>(&json.replace("2.5", "\"high\"")).unwrap_err();
        assert!(error.to_string().contains("\"nan\""), "{error}");
    }

    #[test]
    fn values_that_were_not_measured_are_none() {
        let json = r#"{"step":0,"epoch":0,"lr":1,"momentum":null,"weight_decay":0,"batch_size":1,"loss":1}"#;
        let record: StepRecord = serde_json::from_str(json).unwrap();
        assert_eq!((record.momentum, record.grad_norm), (None, None));
    }

    #[test]
    fn epochs_round_trip() {
        let record = EpochRecord {
            epoch: 0,
            steps: 469,
            train_loss: 0.5,
            train_accuracy: 0.8,
            val_loss: f64::NAN,
            val_accuracy: 0.1,
            generalisation_gap: f64::NAN,
            lr: 0.3,
            momentum: Some(0.9),
            seconds: 12.0,
            images_per_second: 5000.0,
        };
        let json = serde_json::to_string(&record).unwrap();
        let back: EpochRecord = serde_json::from_str(&json).unwrap();
        assert!(back.val_loss.is_nan() && back.generalisation_gap.is_nan());
        let with = |r: EpochRecord| EpochRecord {
            val_loss: 0.0,
            generalisation_gap: 0.0,
            ..r
        };
        assert_eq!(with(back), with(record));
        assert_eq!(generalisation_gap(0.25, 0.75), 0.5);
    }
}
