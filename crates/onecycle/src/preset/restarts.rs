use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::{Law, Repeat, Table},
};

/// Cosine annealing with warm restarts.
///
/// Cycle `c` starts at step `b_c` and takes `P_c = period * period_mult^c` steps. With `k = n -
/// b_c`:
///
/// ```text
/// lr(n) = lr_min + (lr - lr_min) decay^c (1 + cos(pi k / P_c)) / 2
/// ```
///
/// A cycle would reach `lr_min` at the step at which the next one restarts. Only the last step of
/// the run, if it ends a cycle, reaches it.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | first rate of the first cycle | `lr_min` and above |
/// | `lr_min` | 0.0 | floor | 0 to `lr` |
/// | `period` | | length of the first cycle | at least one step |
/// | `period_mult` | 1 | factor on the length of each next cycle | whole, at least 1 |
/// | `decay` | 1.0 | factor on the height of each next cycle | above 0, at most 1 |
///
/// Source: Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017,
/// arXiv:1608.03983), equation 5 and section 4 (`T_0`, `T_mult`).
///
/// ```
/// use onecycle::{CosineRestarts, Run, Span};
/// let sgdr = CosineRestarts { period_mult: 2, ..CosineRestarts::new(0.4, Span::Steps(4)) };
/// let plan = sgdr.policy()?.resolve(&Run::steps(12))?;
/// let lr = [0, 2, 4, 8].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.400, 0.200, 0.400, 0.200]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineRestarts {
    /// First learning rate of the first cycle.
    pub lr: f64,
    /// Floor towards which every cycle falls.
    #[serde(default)]
    pub lr_min: f64,
    /// Length of the first cycle.
    pub period: Span,
    /// Factor on the length of each next cycle.
    #[serde(default = "one")]
    pub period_mult: u32,
    /// Factor on the height of each next cycle.
    #[serde(default = "crate::defaults::one")]
    pub decay: f64,
}

fn one() -> u32 {
    1
}

impl CosineRestarts {
    /// Equal cycles that fall from `lr` towards 0.
    pub fn new(lr: f64, period: Span) -> Self {
        CosineRestarts {
            lr,
            lr_min: 0.0,
            period,
            period_mult: 1,
            decay: 1.0,
        }
    }
}

impl Resolve for CosineRestarts {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)?;
        check::rate("lr_min", self.lr_min)?;
        check::order("lr_min", self.lr_min, "lr", self.lr)?;
        check::phase("cycle", "period", self.period)?;
        check::ensure(
            self.period_mult >= 1,
            "period_mult",
            f64::from(self.period_mult),
            "at least 1",
        )?;
        check::decay("decay", self.decay)
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let mut period = extent.period("cycle", "period", self.period)?;
        let (lr, floor) = (self.lr, self.lr_min);
        let cycle = |lr: f64, period: u64| Table::ramp("cycle", Shape::Cosine, lr, floor, period);
        if self.period_mult == 1 {
            let law = Law::Repeat(Box::new(Repeat {
                cycle: cycle(lr, period),
                period,
                decay: self.decay,
                gamma: 1.0,
                floor,
            }));
            return Ok(Table::new("cycle", law).into());
        }
        // The cycles at least double in length, so there are few of them.
        let mut table = cycle(lr, period);
        let mut first = period;
        let mut number = 1.0;
        while first < extent.steps {
            period = period.saturating_mul(u64::from(self.period_mult));
            let height = (lr - floor) * math::pow(self.decay, number);
            let peak = if self.decay == 1.0 {
                lr
            } else {
                floor + height
            };
            table = table.then(first, cycle(peak, period));
            first = first.saturating_add(period);
            number += 1.0;
        }
        Ok(table.into())
    }
}
