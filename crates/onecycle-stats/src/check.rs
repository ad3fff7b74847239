//! Checks of arguments. Each error carries the offending value.

use crate::StatsError;

type Checked = Result<(), StatsError>;

/// Largest accepted magnitude, so that sums and squares of a few such numbers stay finite.
const LARGEST: f64 = 1e300;

pub(crate) fn finite(name: &'static str, value: f64) -> Checked {
    match value.is_finite() {
        true => Ok(()),
        false => Err(StatsError::NotFinite { name, value }),
    }
}

pub(crate) fn not_negative(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    if value < 0.0 {
        return Err(StatsError::Negative { name, value });
    }
    ensure(value <= LARGEST, name, value, "at most 1e300")
}

pub(crate) fn positive(name: &'static str, value: f64) -> Checked {
    not_negative(name, value)?;
    ensure(value > 0.0, name, value, "a number above 0")
}

pub(crate) fn momentum(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    let holds = (0.0..1.0).contains(&value);
    ensure(holds, name, value, "at least 0 and below 1")
}

pub(crate) fn ensure(
    holds: bool,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(StatsError::OutOfRange {
            name,
            value,
            expected,
        }),
    }
}

pub(crate) fn count(name: &'static str, found: usize, expected: usize) -> Checked {
    match found == expected {
        true => Ok(()),
        false => Err(StatsError::Count {
            name,
            found,
            expected,
        }),
    }
}

/// Checks that a vector has one entry per weight and that all of them are finite.
pub(crate) fn vector(name: &'static str, vector: &[f64], weights: usize) -> Checked {
    count(name, vector.len(), weights)?;
    vector.iter().try_for_each(|value| finite(name, *value))
}
