use serde::{Deserialize, Serialize};

use super::{InterpolateType, piecewise::Interpolation};
use crate::{
    PolicyError, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
};

fn check_arguments(
    transition_steps: u64,
    peak_value: f64,
    shares: &[(&'static str, f64)],
    divs: [f64; 2],
) -> Result<(), PolicyError> {
    check::ensure(transition_steps > 0, "transition_steps", 0.0, "at least 1")?;
    check::rate("peak_value", peak_value)?;
    for (name, share) in shares {
        check::share(name, *share)?;
    }
    check::positive("div_factor", divs[0])?;
    check::positive("final_div_factor", divs[1])?;
    check::finite("peak_value / div_factor", peak_value / divs[0])
}

/// Python's `int`, which truncates.
fn int(x: f64) -> u64 {
    x as u64
}

/// `cosine_onecycle_schedule`: half a cosine wave up until `int(pct_start T)`, another one down
/// until `T`, then constant.
///
/// The values are `peak_value / div_factor`, `peak_value` and `peak_value / (div_factor
/// final_div_factor)`. Each is computed from the one before by multiplication, so the peak is
/// reached up to one ulp.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `transition_steps` | | total number of steps `T` | at least 1 |
/// | `peak_value` | | peak | at least 0 |
/// | `pct_start` | 0.3 | fraction of the steps until the peak | 0 to 1 |
/// | `div_factor` | 25 | peak / first rate | above 0 |
/// | `final_div_factor` | 1e4 | first / last rate | above 0 |
///
/// The last rate belongs to step `T`, which a run of `T` steps does not reach. `int` truncates:
/// 0.29 of 100 is 28. If `int(pct_start T)` is 0, the schedule starts at the peak; if `pct_start`
/// is 1, it has no peak. Source: optax 0.2.8, `optax.cosine_onecycle_schedule`.
///
/// ```
/// use onecycle::{Run, optax::CosineOnecycle};
/// let plan = CosineOnecycle::new(100, 0.5).policy()?.resolve(&Run::steps(101))?;
/// let lr = [0, 30, 65, 100].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.6?}"), "[0.020000, 0.500000, 0.250001, 0.000002]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineOnecycle {
    /// Total number of steps.
    pub transition_steps: u64,
    /// Peak learning rate.
    pub peak_value: f64,
    /// Fraction of the steps until the peak.
    #[serde(default = "crate::defaults::three_tenths")]
    pub pct_start: f64,
    /// Ratio of the peak to the first rate.
    #[serde(default = "crate::defaults::div_factor")]
    pub div_factor: f64,
    /// Ratio of the first to the last rate.
    #[serde(default = "crate::defaults::final_div_factor")]
    pub final_div_factor: f64,
}

impl CosineOnecycle {
    /// optax's defaults.
    pub fn new(transition_steps: u64, peak_value: f64) -> Self {
        CosineOnecycle {
            transition_steps,
            peak_value,
            pct_start: 0.3,
            div_factor: 25.0,
            final_div_factor: 1e4,
        }
    }
}

impl Resolve for CosineOnecycle {
    fn check(&self) -> Result<(), PolicyError> {
        let divs = [self.div_factor, self.final_div_factor];
        let shares = [("pct_start", self.pct_start)];
        check_arguments(self.transition_steps, self.peak_value, &shares, divs)
    }

    fn resolve(&self, _: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = self.transition_steps;
        let scales = [
            (int(self.pct_start * steps as f64), self.div_factor),
            (steps, 1.0 / (self.div_factor * self.final_div_factor)),
        ];
        let init = self.peak_value / self.div_factor;
        let points = Interpolation::new(InterpolateType::Cosine, init, &scales);
        Ok(points
            .named(&["up", "annihilation"])
            .into_tracks("optax_cosine_onecycle"))
    }

    fn length(&self) -> Option<u64> {
        Some(self.transition_steps)
    }
}

/// `linear_onecycle_schedule`: straight lines up until `int(pct_start T)`, down until
/// `int(pct_final T)`, and further down until `T`.
///
/// The values are `peak_value / div_factor`, the peak, the first value again, and that value
/// divided by `final_div_factor`. Each is computed from the one before by multiplication.
///
/// | argument | default | purpose | range |
/// |---|---|---|---|
/// | `transition_steps` | | total number of steps `T` | at least 1 |
/// | `peak_value` | | peak | at least 0 |
/// | `pct_start` | 0.3 | end of the rise | 0 to 1 |
/// | `pct_final` | 0.85 | end of the fall | 0 to 1 |
/// | `div_factor` | 25 | peak / first rate | above 0 |
/// | `final_div_factor` | 1e4 | first / last rate | above 0 |
///
/// The last rate belongs to step `T`, which a run of `T` steps does not reach. As in optax, equal
/// boundaries are merged and the later factor applies, and boundaries in the wrong order are
/// sorted; both change the shape. Source: optax 0.2.8, `optax.linear_onecycle_schedule`.
///
/// ```
/// use onecycle::{Run, optax::LinearOnecycle};
/// let plan = LinearOnecycle::new(100, 0.5).policy()?.resolve(&Run::steps(101))?;
/// let lr = [0, 30, 85, 100].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.6?}"), "[0.020000, 0.500000, 0.020000, 0.000002]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearOnecycle {
    /// Total number of steps.
    pub transition_steps: u64,
    /// Peak learning rate.
    pub peak_value: f64,
    /// End of the rise, as a fraction of the steps.
    #[serde(default = "crate::defaults::three_tenths")]
    pub pct_start: f64,
    /// End of the fall, as a fraction of the steps.
    #[serde(default = "pct_final")]
    pub pct_final: f64,
    /// Ratio of the peak to the first rate.
    #[serde(default = "crate::defaults::div_factor")]
    pub div_factor: f64,
    /// Ratio of the first to the last rate.
    #[serde(default = "crate::defaults::final_div_factor")]
    pub final_div_factor: f64,
}

fn pct_final() -> f64 {
    0.85
}

impl LinearOnecycle {
    /// optax's defaults.
    pub fn new(transition_steps: u64, peak_value: f64) -> Self {
        LinearOnecycle {
            transition_steps,
            peak_value,
            pct_start: 0.3,
            pct_final: 0.85,
            div_factor: 25.0,
            final_div_factor: 1e4,
        }
    }
}

impl Resolve for LinearOnecycle {
    fn check(&self) -> Result<(), PolicyError> {
        let divs = [self.div_factor, self.final_div_factor];
        let shares = [("pct_start", self.pct_start), ("pct_final", self.pct_final)];
        check_arguments(self.transition_steps, self.peak_value, &shares, divs)
    }

    fn resolve(&self, _: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = self.transition_steps;
        let scales = [
            (int(self.pct_start * steps as f64), self.div_factor),
            (int(self.pct_final * steps as f64), 1.0 / self.div_factor),
            (steps, 1.0 / self.final_div_factor),
        ];
        let init = self.peak_value / self.div_factor;
        let points = Interpolation::new(InterpolateType::Linear, init, &scales);
        Ok(points
            .named(&["up", "down", "annihilation"])
            .into_tracks("optax_linear_onecycle"))
    }

    fn length(&self) -> Option<u64> {
        Some(self.transition_steps)
    }
}
