//! Serialises numbers that may not be finite. JSON has no NaN or infinity, so they are written as
//! "nan", "inf" and "-inf".

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

pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|value| Number(*value)))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<Number>::deserialize(deserializer)?;
    Ok(numbers.into_iter().map(|Number(value)| value).collect())
}

/// The same for an optional number.
pub(super) mod optional {
    use super::*;

    pub(in super::super) fn serialize<S: Serializer>(
        value: &Option<f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(Number).serialize(serializer)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f64>, D::Error> {
        let number = Option::<Number>::deserialize(deserializer)?;
        Ok(number.map(|Number(value)| value))
    }
}
