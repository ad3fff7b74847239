use crate::{PolicyError, Shape, check, table::Table};

/// Momentum of a cyclical policy: opposite to the learning rate, constant, or not set.
///
/// In a configuration file this is `[0.95, 0.85]` (high and low), a number, or `"none"`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Momentum {
    /// The policy does not set momentum; the optimizer keeps its own.
    Unset,
    /// The same value in every step.
    Constant(f64),
    /// High while the learning rate is low, low while it is high. Smith, "A disciplined approach to
    /// neural network hyper-parameters" (2018), section 4.3.
    Cycle {
        /// Value at the minimum of the learning rate and in the annihilation.
        high: f64,
        /// Value at the maximum of the learning rate.
        low: f64,
    },
}

impl Momentum {
    /// The paper's values: 0.95, down to 0.85, and back.
    pub(crate) const PAPER: Momentum = Momentum::Cycle {
        high: 0.95,
        low: 0.85,
    };

    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        match *self {
            Momentum::Unset => Ok(()),
            Momentum::Constant(value) => check::momentum("momentum", value),
            Momentum::Cycle { high, low } => {
                check::momentum("momentum", high)?;
                check::momentum("momentum", low)?;
                check::order("low momentum", low, "high momentum", high)
            }
        }
    }

    /// The table of momentum for a learning rate that peaks at step `up` and ends its cycle at
    /// `up + down`.
    pub(crate) fn cycle(&self, shape: Shape, up: u64, down: u64) -> Option<Table> {
        match *self {
            Momentum::Unset => None,
            Momentum::Constant(value) => Some(Table::constant("constant", value)),
            // Without steps for the rise there is no peak, so momentum stays high.
            Momentum::Cycle { high, .. } if up == 0 => Some(Table::constant("constant", high)),
            Momentum::Cycle { high, low } => {
                let back = Table::ramp("up", shape, low, high, down);
                Some(Table::ramp("down", shape, high, low, up).then(up, back))
            }
        }
    }
}

mod form {
    use super::Momentum;
    use core::fmt;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    impl Serialize for Momentum {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match *self {
                Momentum::Unset => serializer.serialize_str("none"),
                Momentum::Constant(value) => serializer.serialize_f64(value),
                Momentum::Cycle { high, low } => [high, low].serialize(serializer),
            }
        }
    }

    impl<'de> Deserialize<'de> for Momentum {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> de::Visitor<'de> for Visitor {
                type Value = Momentum;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("momentum: [high, low], one number, or \"none\"")
                }

                fn visit_f64<E: de::Error>(self, value: f64) -> Result<Momentum, E> {
                    Ok(Momentum::Constant(value))
                }

                fn visit_u64<E: de::Error>(self, value: u64) -> Result<Momentum, E> {
                    Ok(Momentum::Constant(value as f64))
                }

                fn visit_i64<E: de::Error>(self, value: i64) -> Result<Momentum, E> {
                    Ok(Momentum::Constant(value as f64))
                }

                fn visit_str<E: de::Error>(self, text: &str) -> Result<Momentum, E> {
                    match text {
                        "none" => Ok(Momentum::Unset),
                        other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                    }
                }

                fn visit_unit<E: de::Error>(self) -> Result<Momentum, E> {
                    Ok(Momentum::Unset)
                }

                fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Momentum, A::Error> {
                    let [high, low] =
                        <[f64; 2]>::deserialize(de::value::SeqAccessDeserializer::new(seq))?;
                    Ok(Momentum::Cycle { high, low })
                }
            }

            deserializer.deserialize_any(Visitor)
        }
    }
}
