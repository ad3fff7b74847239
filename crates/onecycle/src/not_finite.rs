//! Serde helpers for numbers that may not be finite.
//!
//! JSON has no NaN and no infinity, so they are written as the strings `"nan"`, `"inf"` and
//! `"-inf"`: the record of a diverged run must show that it diverged. Finite numbers are written as
//! numbers. Reading also accepts `"infinity"`, any case, and `null` for NaN.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Record {
//!     #[serde(with = "onecycle::not_finite")]
//!     loss: f64,
//!     #[serde(with = "onecycle::not_finite::optional")]
//!     grad_norm: Option<f64>,
//! }
//!
//! let record = Record { loss: f64::NAN, grad_norm: None };
//! let json = serde_json::to_string(&record)?;
//! assert_eq!(json, r#"{"loss":"nan","grad_norm":null}"#);
//! assert!(serde_json::from_str::<Record>(&json)?.loss.is_nan());
//! # Ok::<(), serde_json::Error>(())
//! ```

use alloc::{format, string::String, vec::Vec};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number that may not be finite.
#[derive(Clone, Copy)]
struct Number(f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Number(value) = *self;
        if value.is_finite() {
            serializer.serialize_f64(value)
        } else if value.is_nan() {
            serializer.serialize_str("nan")
        } else {
            serializer.serialize_str(if value > 0.0 { "inf" } else { "-inf" })
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Word(String),
            Nothing(()),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Ok(Number(value)),
            Written::Nothing(_) => Ok(Number(f64::NAN)),
            Written::Word(word) => match word.to_ascii_lowercase().as_str() {
                "nan" => Ok(Number(f64::NAN)),
                "inf" | "infinity" => Ok(Number(f64::INFINITY)),
                "-inf" | "-infinity" => Ok(Number(f64::NEG_INFINITY)),
                _ => Err(de::Error::custom(format!(
                    "`{word}` is not a number: expected a number, \"nan\", \"inf\" or \"-inf\""
                ))),
            },
        }
    }
}

/// Writes a number; for `#[serde(with = "onecycle::not_finite")]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number(*value).serialize(serializer)
}

/// Reads what [`serialize`] writes.
///
/// # Errors
/// The value is neither a number nor one of the strings.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Number::deserialize(deserializer).map(|Number(value)| value)
}

/// The same for a number that may be absent, written as `null`.
pub mod optional {
    use super::*;

    /// Writes a number or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    /// Reads what [`serialize`] writes; `null` is `None`.
    ///
    /// # Errors
    /// The value is neither `null`, a number, nor one of the strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        let number = Option::<Number>::deserialize(deserializer)?;
        Ok(number.map(|Number(value)| value))
    }
}

/// The same for a list of numbers.
pub mod list {
    use super::*;

    /// Writes a list of numbers.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(|value| Number(*value)))
    }

    /// Reads what [`serialize`] writes.
    ///
    /// # Errors
    /// The value is not a list, or an entry is neither a number nor one of the strings.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let numbers = Vec::<Number>::deserialize(deserializer)?;
        Ok(numbers.into_iter().map(|Number(value)| value).collect())
    }
}
