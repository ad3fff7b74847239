use alloc::vec::Vec;

use serde::Serialize;

use crate::{PolicyError, Span, check, count::sealed::Count as _};

/// Batch size over a run: constant, or piecewise constant.
///
/// Source: Keskar et al., "On Large-Batch Training for Deep Learning" (2017), section 3: small
/// batches first, large ones later. The other spans of a policy follow the batch size: an epoch has
/// fewer steps once the batches are larger.
///
/// In a configuration file this is a number, or a list of points and sizes: `[["0ep", 64], ["2ep",
/// 256]]`.
///
/// ```
/// use onecycle::{BatchSizes, Constant, Run, Span};
/// let sizes = BatchSizes::Piecewise(vec![(Span::Epochs(0.0), 64), (Span::Epochs(2.0), 256)]);
/// let plan = Constant::new(0.1).batch_size(sizes).plan(&Run::epochs(3, 1024, 64))?;
/// assert_eq!(plan.steps(), 16 + 16 + 4);
/// assert_eq!(plan.at(31).batch_size, Some(64));
/// assert_eq!(plan.at(32).batch_size, Some(256));
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum BatchSizes {
    /// The same size in every step.
    Constant(u64),
    /// Each size applies from its point on. Points count from the start of the run; the first is 0,
    /// and they increase.
    Piecewise(Vec<(Span, u64)>),
}

impl BatchSizes {
    pub(crate) fn check(&self) -> Result<(), PolicyError> {
        let positive = |size: u64| check::ensure(size > 0, "batch_size", size as f64, "at least 1");
        match self {
            BatchSizes::Constant(size) => positive(*size),
            BatchSizes::Piecewise(points) => {
                check_points("batch_size", points)?;
                points.iter().try_for_each(|(_, size)| positive(*size))
            }
        }
    }

    pub(crate) fn points(&self) -> Vec<(Span, u64)> {
        match self {
            BatchSizes::Constant(size) => alloc::vec![(Span::Steps(0), *size)],
            BatchSizes::Piecewise(points) => points.clone(),
        }
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for BatchSizes {
            /// The same size in every step.
            fn from(size: $integer) -> Self {
                BatchSizes::Constant(size.count())
            }
        }
    )*};
}

from_integer!(usize, u64, u32, i32);

/// Checks a list of points: at least one, the first of them 0, all others above 0, and increasing
/// as far as points in different units can be compared.
pub(crate) fn check_points<T>(name: &'static str, points: &[(Span, T)]) -> Result<(), PolicyError> {
    let Some((first, _)) = points.first() else {
        return check::count(name, 0, 1);
    };
    if !first.is_zero() {
        return Err(PolicyError::NotIncreasing {
            name,
            earlier: Span::Steps(0),
            later: *first,
        });
    }
    for (span, _) in points {
        check::span(name, *span)?;
    }
    for pair in points.windows(2) {
        let (earlier, later) = (pair[0].0, pair[1].0);
        let increases = match (earlier, later) {
            (Span::Steps(a), Span::Steps(b)) | (Span::Samples(a), Span::Samples(b)) => a < b,
            (Span::Epochs(a), Span::Epochs(b)) | (Span::Fraction(a), Span::Fraction(b)) => a < b,
            _ => !later.is_zero(),
        };
        if !increases {
            return Err(PolicyError::NotIncreasing {
                name,
                earlier,
                later,
            });
        }
    }
    Ok(())
}

mod form {
    use super::BatchSizes;
    use alloc::vec::Vec;
    use core::fmt;
    use serde::{Deserialize, Deserializer, de};

    impl<'de> Deserialize<'de> for BatchSizes {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl<'de> de::Visitor<'de> for Visitor {
                type Value = BatchSizes;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(
                        "a batch size, or a list of points and sizes ([[\"0ep\", 64], [\"2ep\", 256]])",
                    )
                }

                fn visit_u64<E: de::Error>(self, size: u64) -> Result<BatchSizes, E> {
                    Ok(BatchSizes::Constant(size))
                }

                fn visit_i64<E: de::Error>(self, size: i64) -> Result<BatchSizes, E> {
                    u64::try_from(size)
                        .map(BatchSizes::Constant)
                        .map_err(|_| E::invalid_value(de::Unexpected::Signed(size), &self))
                }

                fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<BatchSizes, A::Error> {
                    Vec::deserialize(de::value::SeqAccessDeserializer::new(seq))
                        .map(BatchSizes::Piecewise)
                }
            }

            deserializer.deserialize_any(Visitor)
        }
    }
}
