//! Checks of parameters. Each error carries the offending value.

use crate::{PolicyError, Span};

type Checked = Result<(), PolicyError>;

pub(crate) fn finite(name: &'static str, value: f64) -> Checked {
    if value.is_finite() {
        Ok(())
    } else {
        Err(PolicyError::NotFinite { name, value })
    }
}

/// A learning rate, weight decay or another number that must not be negative.
pub(crate) fn rate(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    if value < 0.0 {
        return Err(PolicyError::Negative { name, value });
    }
    // There is no upper limit on a learning rate, but sums in formulas must not overflow.
    ensure(value <= LARGEST, name, value, "at most 1e300")
}

const LARGEST: f64 = 1e300;

pub(crate) fn positive(name: &'static str, value: f64) -> Checked {
    rate(name, value)?;
    ensure(value > 0.0, name, value, "a number above 0")
}

/// SGD's momentum or Adam's beta1.
pub(crate) fn momentum(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    ensure(
        (0.0..1.0).contains(&value),
        name,
        value,
        "at least 0 and below 1",
    )
}

/// A decay factor: above 0, at most 1.
pub(crate) fn decay(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    ensure(
        value > 0.0 && value <= 1.0,
        name,
        value,
        "above 0 and at most 1",
    )
}

pub(crate) fn share(name: &'static str, value: f64) -> Checked {
    finite(name, value)?;
    ensure((0.0..=1.0).contains(&value), name, value, "between 0 and 1")
}

pub(crate) fn ensure(
    holds: bool,
    name: &'static str,
    value: f64,
    expected: &'static str,
) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(PolicyError::OutOfRange {
            name,
            value,
            expected,
        })
    }
}

pub(crate) fn order(
    low: &'static str,
    low_value: f64,
    high: &'static str,
    high_value: f64,
) -> Checked {
    if low_value <= high_value {
        Ok(())
    } else {
        Err(PolicyError::Order {
            low,
            low_value,
            high,
            high_value,
        })
    }
}

pub(crate) fn span(name: &'static str, span: Span) -> Checked {
    match span {
        Span::Steps(_) | Span::Samples(_) => Ok(()),
        Span::Epochs(epochs) => rate(name, epochs),
        Span::Fraction(fraction) => share(name, fraction),
    }
}

/// A span that must not be zero.
pub(crate) fn phase(phase: &'static str, name: &'static str, value: Span) -> Checked {
    span(name, value)?;
    if value.is_zero() {
        return Err(PolicyError::EmptyPhase {
            phase,
            name,
            span: value,
        });
    }
    Ok(())
}

/// A list with exactly the expected number of entries.
pub(crate) fn count(name: &'static str, found: usize, expected: usize) -> Checked {
    if found == expected {
        Ok(())
    } else {
        Err(PolicyError::Count {
            name,
            found,
            expected,
        })
    }
}

/// Fractions of consecutive parts of a run, which must not add up to more than the whole.
pub(crate) fn fractions(name: &'static str, spans: &[Span]) -> Checked {
    let sum: f64 = spans
        .iter()
        .filter_map(|span| match span {
            Span::Fraction(fraction) => Some(*fraction),
            _ => None,
        })
        .sum();
    ensure(
        sum <= 1.0 + 1e-9,
        name,
        sum,
        "shares of the run that add up to at most 1",
    )
}
