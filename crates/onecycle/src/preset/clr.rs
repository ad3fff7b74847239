use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::Momentum;
use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    resolve::{Resolve, Tracks},
    table::{Law, Repeat, Table},
};

/// How the amplitude of [`Clr`]'s cycles changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClrMode {
    /// All cycles are equal.
    #[default]
    Triangular,
    /// Each cycle is half as high as the one before.
    Triangular2,
    /// The amplitude shrinks by `gamma` per step.
    ExpRange,
}

/// Cyclical learning rates: the rate moves linearly between two bounds in repeated cycles.
///
/// With `U` and `D` steps up and down, `c = floor(n / (U + D))` the number of the cycle and `k =
/// n - c (U + D)` the step in it:
///
/// ```text
/// s(n)  = k / U                   0 <= k <= U
///         1 - (k - U) / D         U <= k <  U + D
/// lr(n) = min + (max - min) s(n) d(n)
/// d(n)  = 1 (triangular), 2^-c (triangular2), gamma^n (exp_range)
/// ```
///
/// If momentum is cycled, it mirrors the learning rate. The run may end anywhere in a cycle.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr_min` | | lower bound | 0 to `lr_max` |
/// | `lr_max` | | upper bound | above 0 |
/// | `step_size` | | length of the rise | 2 to 10 epochs in the paper |
/// | `step_size_down` | `step_size` | length of the fall | |
/// | `mode` | `ClrMode::Triangular` | how the amplitude changes | `Triangular`, `Triangular2`, `ExpRange` |
/// | `gamma` | 1.0 | factor per step for `ExpRange` | above 0, at most 1 |
/// | `momentum` | `Momentum::Unset` | opposite to the learning rate | `Cycle { high, low }`, `Constant(0.9)`, `Unset` |
///
/// Source: L. N. Smith, "Cyclical Learning Rates for Training Neural Networks" (2017,
/// arXiv:1506.01186), section 3.
///
/// ```
/// use onecycle::{Clr, ClrMode, Run, Span};
/// let clr = Clr { mode: ClrMode::Triangular2, ..Clr::new(0.1, 0.5, Span::Steps(4)) };
/// let plan = clr.policy()?.resolve(&Run::steps(20))?;
/// let lr: Vec<f64> = (0..=16).step_by(4).map(|n| plan.at(n).lr).collect();
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.500, 0.100, 0.300, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clr {
    /// Lower bound.
    pub lr_min: f64,
    /// Upper bound.
    pub lr_max: f64,
    /// Length of the rise, at least one step.
    pub step_size: Span,
    /// Length of the fall, at least one step. Default: `step_size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_size_down: Option<Span>,
    /// How the amplitude changes.
    #[serde(default)]
    pub mode: ClrMode,
    /// Factor per step, only for [`ClrMode::ExpRange`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
    /// Momentum, opposite to the learning rate.
    #[serde(default = "unset")]
    pub momentum: Momentum,
}

fn unset() -> Momentum {
    Momentum::Unset
}

impl Clr {
    /// Equal triangular cycles between two bounds, with rise and fall of the same length.
    pub fn new(lr_min: f64, lr_max: f64, step_size: Span) -> Self {
        Clr {
            lr_min,
            lr_max,
            step_size,
            step_size_down: None,
            mode: ClrMode::Triangular,
            gamma: None,
            momentum: Momentum::Unset,
        }
    }
}

impl Resolve for Clr {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr_min", self.lr_min)?;
        check::positive("lr_max", self.lr_max)?;
        check::order("lr_min", self.lr_min, "lr_max", self.lr_max)?;
        check::phase("up", "step_size", self.step_size)?;
        if let Some(down) = self.step_size_down {
            check::phase("down", "step_size_down", down)?;
        }
        match (self.gamma, self.mode) {
            (Some(gamma), ClrMode::ExpRange) => check::decay("gamma", gamma)?,
            (Some(gamma), _) => {
                return check::ensure(false, "gamma", gamma, "no value unless `mode` is exp_range");
            }
            (None, ClrMode::ExpRange) => {
                return Err(PolicyError::Missing {
                    name: "gamma",
                    hint: "exp_range needs a factor per step, for example 0.99994",
                });
            }
            _ => {}
        }
        self.momentum.check()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let up = extent.period("up", "step_size", self.step_size)?;
        let down = match self.step_size_down {
            Some(down) => extent.period("down", "step_size_down", down)?,
            None => up,
        };
        let (decay, gamma) = match self.mode {
            ClrMode::Triangular => (1.0, 1.0),
            ClrMode::Triangular2 => (0.5, 1.0),
            ClrMode::ExpRange => (1.0, self.gamma.unwrap_or(1.0)),
        };
        let repeat = |cycle: Table, floor: f64| {
            let law = Law::Repeat(Box::new(Repeat {
                cycle,
                period: up.saturating_add(down),
                decay,
                gamma,
                floor,
            }));
            Table::new("cycle", law)
        };
        let (min, max) = (self.lr_min, self.lr_max);
        let cycle = Table::ramp("up", Shape::Linear, min, max, up)
            .then(up, Table::ramp("down", Shape::Linear, max, min, down));
        let momentum = match self.momentum {
            Momentum::Cycle { high, .. } => self
                .momentum
                .cycle(Shape::Linear, up, down)
                .map(|cycle| repeat(cycle, high)),
            other => other.cycle(Shape::Linear, up, down),
        };
        Ok(Tracks {
            lr: repeat(cycle, min),
            momentum,
        })
    }
}
