//! What a run writes down as it goes: a line a step in `steps.jsonl`, a line an epoch in `epochs.jsonl`.
//!
//! Steps and epochs are both counted from 0. JSON has no NaN and no infinity, so numbers that are not
//! finite are written as the strings `"nan"`, `"inf"` and `"-inf"`: a run that diverged must show it.
//! What does not apply is `null`.

use serde::{Deserialize, Serialize};

/// A line of `steps.jsonl`: the hyper-parameters of one update and what was measured in it.
///
/// There is no clock in it, so a run that is repeated or resumed writes the same bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// The update, counted from 0.
    pub step: u64,
    /// The epoch that the step belongs to, counted from 0.
    pub epoch: u64,
    /// Learning rate of this update.
    #[serde(with = "number")]
    pub lr: f64,
    /// SGD's momentum or Adam's beta1; `None` for an optimizer without.
    #[serde(with = "number::option")]
    pub momentum: Option<f64>,
    /// Weight decay of this update.
    #[serde(with = "number")]
    pub weight_decay: f64,
    /// Images in this update.
    pub batch_size: u64,
    /// Mean loss over the batch, before the update.
    #[serde(with = "number")]
    pub loss: f64,
    /// L2 norm of all gradients together, before clipping; `None` where it was not measured.
    #[serde(with = "number::option", default)]
    pub grad_norm: Option<f64>,
}

/// A line of `epochs.jsonl`: one pass over the training set, and the validation after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// Updates made since the run began, up to the end of this epoch.
    pub steps: u64,
    /// Mean training loss over the epoch's images, as they were augmented, each before its update.
    #[serde(with = "number")]
    pub train_loss: f64,
    /// Share of the epoch's images classified rightly before their update, 0 to 1.
    #[serde(with = "number")]
    pub train_accuracy: f64,
    /// Mean loss over the validation set after the epoch.
    #[serde(with = "number")]
    pub val_loss: f64,
    /// Share of the validation set classified rightly after the epoch, 0 to 1.
    #[serde(with = "number")]
    pub val_accuracy: f64,
    /// `val_loss - train_loss` (see [`generalisation_gap`]).
    #[serde(with = "number")]
    pub generalisation_gap: f64,
    /// Learning rate of the epoch's last update.
    #[serde(with = "number")]
    pub lr: f64,
    /// Momentum (Adam: beta1) of the epoch's last update; `None` for an optimizer without.
    #[serde(with = "number::option")]
    pub momentum: Option<f64>,
    /// Wall-clock time of the epoch's training in seconds, validation left out.
    #[serde(with = "number")]
    pub seconds: f64,
    /// Training images per second of [`seconds`](Self::seconds).
    #[serde(with = "number")]
    pub images_per_second: f64,
}

/// The generalisation gap, validation loss less training loss (Smith, "A disciplined approach to neural
/// network hyper-parameters", section 3): it grows where a network overfits.
#[must_use]
pub fn generalisation_gap(train_loss: f64, val_loss: f64) -> f64 {
    val_loss - train_loss
}

/// Numbers in JSON, those included that JSON does not know; for `#[serde(with = "number")]`.
pub mod number {
    use std::fmt;

    use serde::de::{self, Deserializer, Visitor};
    use serde::ser::Serializer;

    /// Writes a finite number as a number, others as `"nan"`, `"inf"` or `"-inf"`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            serializer.serialize_f64(*value)
        } else if value.is_nan() {
            serializer.serialize_str("nan")
        } else if *value > 0.0 {
            serializer.serialize_str("inf")
        } else {
            serializer.serialize_str("-inf")
        }
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// Anything but a number or one of the three strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(Number)
    }

    struct Number;

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number, \"nan\", \"inf\" or \"-inf\"")
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
            Ok(value as f64)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<f64, E> {
            match text {
                "nan" => Ok(f64::NAN),
                "inf" => Ok(f64::INFINITY),
                "-inf" => Ok(f64::NEG_INFINITY),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }
    }

    /// The same for numbers that may be absent; for `#[serde(with = "number::option")]`.
    pub mod option {
        use std::fmt;

        use serde::de::{self, Deserializer, Visitor};
        use serde::ser::Serializer;

        /// Writes `null` for `None`, else as [`super::serialize`].
        ///
        /// # Errors
        /// Those of the serializer.
        pub fn serialize<S: Serializer>(
            value: &Option<f64>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, serializer),
                None => serializer.serialize_none(),
            }
        }

        /// Reads what [`serialize`] writes.
        ///
        /// # Errors
        /// Anything but `null`, a number or one of the three strings.
        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<f64>, D::Error> {
            deserializer.deserialize_option(MaybeNumber)
        }

        struct MaybeNumber;

        impl<'de> Visitor<'de> for MaybeNumber {
            type Value = Option<f64>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a number, \"nan\", \"inf\" or \"-inf\"")
            }

            fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
                Ok(None)
            }

            fn visit_some<D: Deserializer<'de>>(
                self,
                deserializer: D,
            ) -> Result<Self::Value, D::Error> {
                super::deserialize(deserializer).map(Some)
            }
        }
    }
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
        }
    }

    #[test]
    fn the_keys_are_those_that_other_programs_read() {
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
    fn numbers_that_are_not_finite_survive() {
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
            // Any NaN is as good as another; else the bits must agree.
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
    fn whole_numbers_are_read_and_other_words_refused() {
        let json = serde_json::to_string(&step()).unwrap();
        let whole: StepRecord = serde_json::from_str(&json.replace("2.5", "2")).unwrap();
        assert_eq!(whole.loss, 2.0);
        let error =
            serde_json::from_str::<StepRecord>(&json.replace("2.5", "\"high\"")).unwrap_err();
        assert!(error.to_string().contains("\"nan\""), "{error}");
    }

    #[test]
    fn absent_where_not_measured() {
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
