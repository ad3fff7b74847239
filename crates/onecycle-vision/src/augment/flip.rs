//! Mirroring left to right: at random, or alternating from epoch to epoch.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Which images are mirrored left to right. In a configuration file: `false`, `true` or
/// `"alternating"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flip {
    /// None (`false`).
    #[default]
    Off,
    /// Each image with probability 1/2, in each epoch anew (`true`).
    Random,
    /// In the first epoch each image with probability 1/2. After that, an image is mirrored if it
    /// was not in the epoch before, so any two successive epochs show both sides of every image.
    ///
    /// Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, section 3.6.
    Alternating,
}

impl From<bool> for Flip {
    fn from(random: bool) -> Self {
        match random {
            true => Self::Random,
            false => Self::Off,
        }
    }
}

impl Serialize for Flip {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Random => serializer.serialize_bool(true),
            Self::Alternating => serializer.serialize_str(ALTERNATING),
        }
    }
}

const ALTERNATING: &str = "alternating";

impl<'de> Deserialize<'de> for Flip {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Flip;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false, or \"alternating\"")
            }

            fn visit_bool<E: de::Error>(self, random: bool) -> Result<Flip, E> {
                Ok(random.into())
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Flip, E> {
                match word {
                    ALTERNATING => Ok(Flip::Alternating),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // A failed unwrap is a failed test.
mod tests {
    use super::*;

    #[test]
    fn the_written_forms_are_a_boolean_or_a_word() {
        for (flip, text) in [
            (Flip::Off, "false"),
            (Flip::Random, "true"),
            (Flip::Alternating, "\"alternating\""),
        ] {
            assert_eq!(serde_json::to_string(&flip).unwrap(), text);
            assert_eq!(serde_json::from_str::<Flip>(text).unwrap(), flip);
        }
        for wrong in ["1", "\"yes\"", "\"true\"", "null"] {
            let error = serde_json::from_str::<Flip>(wrong).unwrap_err().to_string();
            assert!(
                error.contains("true or false, or \"alternating\""),
                "{error}"
            );
        }
    }
}
