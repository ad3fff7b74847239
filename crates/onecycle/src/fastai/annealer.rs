use core::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::{PolicyError, check, math};

/// An annealer of fastai: a function from a position between 0 and 1 to a value.
///
/// | `func` | value at `p` |
/// |---|---|
/// | `SchedNo` | `start` |
/// | `SchedLin` | `start + p (end - start)` |
/// | `SchedCos` | `start + (1 + cos(pi (1 - p))) (end - start) / 2` |
/// | `SchedExp` | `start (end / start)^p` |
/// | `SchedPoly` | `start + (end - start) p^power` |
///
/// Source: fastai 2.8.12, `fastai.callback.schedule`.
///
/// ```
/// use onecycle::fastai::Annealer;
/// let annealer = Annealer::SchedExp { start: 0.001, end: 0.1 };
/// assert_eq!(format!("{:.3}", annealer.value(0.5)), "0.010");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "func", content = "args", deny_unknown_fields)]
#[allow(missing_docs, reason = "the table above says what the arguments are")]
#[allow(clippy::enum_variant_names, reason = "the original's names")]
pub enum Annealer {
    SchedNo { start: f64, end: f64 },
    SchedLin { start: f64, end: f64 },
    SchedCos { start: f64, end: f64 },
    SchedExp { start: f64, end: f64 },
    SchedPoly { start: f64, end: f64, power: f64 },
}

impl Annealer {
    /// The value at a position between 0 and 1.
    pub fn value(&self, position: f64) -> f64 {
        match *self {
            Annealer::SchedNo { start, .. } => start,
            Annealer::SchedLin { start, end } => start + position * (end - start),
            Annealer::SchedCos { start, end } => {
                start + (1.0 + math::cos(PI * (1.0 - position))) * (end - start) / 2.0
            }
            Annealer::SchedExp { start, end } => start * math::pow(end / start, position),
            Annealer::SchedPoly { start, end, power } => {
                start + (end - start) * math::pow(position, power)
            }
        }
    }

    /// Checks that the values are valid learning rates for the formula.
    pub(super) fn check(&self) -> Result<(), PolicyError> {
        match *self {
            Annealer::SchedNo { start, end }
            | Annealer::SchedLin { start, end }
            | Annealer::SchedCos { start, end } => {
                check::rate("start", start)?;
                check::rate("end", end)
            }
            Annealer::SchedExp { start, end } => {
                check::positive("start", start)?;
                check::positive("end", end)
            }
            Annealer::SchedPoly { start, end, power } => {
                check::rate("start", start)?;
                check::rate("end", end)?;
                check::positive("power", power)
            }
        }
    }
}
