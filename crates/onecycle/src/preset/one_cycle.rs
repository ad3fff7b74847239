use serde::{Deserialize, Serialize};

use super::Momentum;
use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    math,
    policy::{Resolve, Tracks},
    table::Table,
};

/// Shape of the two legs of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegShape {
    /// Straight, as in the paper.
    #[default]
    Linear,
    /// Half a wave of the cosine.
    Cosine,
}

impl LegShape {
    pub(crate) fn shape(self) -> Shape {
        match self {
            LegShape::Linear => Shape::Linear,
            LegShape::Cosine => Shape::Cosine,
        }
    }
}

/// The 1cycle policy: one cycle, somewhat shorter than the run, then an annihilation far below the start.
///
/// With `T` steps of which the share `f` is annihilation, and `L = floor(T (1 - f) / 2)`:
///
/// ```text
/// lr(n) = min + (max - min) n / L                           0  <= n <= L       up
///         max - (max - min) (n - L) / L                     L  <= n <= 2L      down
///         min - (min - final) (n - 2L) / (T - 1 - 2L)       2L <= n <= T - 1   annihilation
/// momentum(n): high -> low -> high, then high
/// ```
///
/// so that `lr(0) = min`, `lr(L) = max`, `lr(2L) = min` and `lr(T - 1) = final`, exactly. With `shape` cosine,
/// half waves take the place of the straight lines.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr_max` | | peak, from a range test | above 0, no upper limit |
/// | `lr_min` | `lr_max / div` | start | 0 to `lr_max` |
/// | `div` | 10 | instead of `lr_min` | at least 1; 3 to 20 are common |
/// | `lr_final` | `lr_min / 100` | end of the annihilation | 0 to `lr_min` |
/// | `annihilation` | 10 % | length of the last phase | shorter than the run; 10 % to 15 % |
/// | `momentum` | `[0.95, 0.85]` | against the learning rate | 0 to 1; a constant, or none |
/// | `shape` | linear | of all legs | linear, cosine |
///
/// **Very short runs.** From 3 steps on the peak is reached (`L` is at least 1). Where there is no room for all
/// three phases (`2L >= T - 1`) the second leg goes straight to `lr_final` at `T - 1`. Two steps are `lr_min` and
/// `lr_final`, one step is `lr_min`.
///
/// Source: L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1" (2018,
/// arXiv:1803.09820), section 4.2; Smith & Topin, "Super-Convergence" (2018, arXiv:1708.07120), section 4; the
/// ratios of the annihilation are those of S. Gugger's notebook on it.
///
/// ```
/// use onecycle::{OneCycle, Run, Span};
/// let one_cycle = OneCycle { annihilation: Span::Epochs(13.0), ..OneCycle::new(0.8) };
/// let plan = one_cycle.policy()?.resolve(&Run::epochs(95.0, 50_000, 512))?;
/// let steps = [0, 2009, 4018, 8036, 9309];
/// let lr = steps.map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.4?}"), "[0.0800, 0.4400, 0.8000, 0.0800, 0.0008]");
/// let momentum = steps.map(|n| plan.at(n).momentum.unwrap_or_default());
/// assert_eq!(format!("{momentum:.3?}"), "[0.950, 0.900, 0.850, 0.950, 0.950]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneCycle {
    /// Peak learning rate.
    pub lr_max: f64,
    /// Learning rate of the first step. Give this or `div`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_min: Option<f64>,
    /// Ratio of `lr_max` and `lr_min`, 10 where neither is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub div: Option<f64>,
    /// Learning rate of the last step; `lr_min / 100` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_final: Option<f64>,
    /// Length of the last phase.
    #[serde(default = "defaults::tenth")]
    pub annihilation: Span,
    /// Momentum against the learning rate.
    #[serde(default = "defaults::momentum")]
    pub momentum: Momentum,
    /// Shape of the legs.
    #[serde(default)]
    pub shape: LegShape,
}

const TENTH: Span = Span::Fraction(0.1);

mod defaults {
    use super::{Momentum, Span, TENTH};

    pub(super) fn tenth() -> Span {
        TENTH
    }

    pub(super) fn momentum() -> Momentum {
        Momentum::PAPER
    }
}

impl OneCycle {
    /// The paper's proportions for a given peak.
    pub fn new(lr_max: f64) -> Self {
        OneCycle {
            lr_max,
            lr_min: None,
            div: None,
            lr_final: None,
            annihilation: TENTH,
            momentum: Momentum::PAPER,
            shape: LegShape::Linear,
        }
    }

    /// The learning rate of the first step.
    pub fn lr_min(&self) -> f64 {
        self.lr_min
            .unwrap_or(self.lr_max / self.div.unwrap_or(10.0))
    }

    /// The learning rate of the last step.
    pub fn lr_final(&self) -> f64 {
        self.lr_final.unwrap_or(self.lr_min() / 100.0)
    }
}

impl Resolve for OneCycle {
    fn check(&self) -> Result<(), PolicyError> {
        check::positive("lr_max", self.lr_max)?;
        match (self.lr_min, self.div) {
            (Some(_), Some(_)) => {
                return Err(PolicyError::Conflict {
                    first: "lr_min",
                    second: "div",
                });
            }
            (None, Some(div)) => {
                check::finite("div", div)?;
                check::ensure(div >= 1.0, "div", div, "at least 1")?;
            }
            _ => {}
        }
        check::rate("lr_min", self.lr_min())?;
        check::order("lr_min", self.lr_min(), "lr_max", self.lr_max)?;
        check::rate("lr_final", self.lr_final())?;
        check::order("lr_final", self.lr_final(), "lr_min", self.lr_min())?;
        check::span("annihilation", self.annihilation)?;
        if let Span::Fraction(fraction) = self.annihilation {
            check::ensure(
                fraction < 1.0,
                "annihilation",
                fraction,
                "less than the whole run",
            )?;
        }
        self.momentum.check()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let steps = extent.steps;
        let cycle = match self.annihilation {
            Span::Fraction(fraction) => steps as f64 * (1.0 - fraction),
            span => {
                let annihilation = extent.last_steps("annihilation", span)?;
                if annihilation >= steps as f64 {
                    return Err(PolicyError::SpanLongerThanRun {
                        name: "annihilation",
                        span,
                        steps: annihilation,
                        available: steps.saturating_sub(1),
                    });
                }
                steps as f64 - annihilation
            }
        };
        let (min, max, last) = (self.lr_min(), self.lr_max, self.lr_final());
        let shape = self.shape.shape();
        let reach = extent.reach;
        if reach < 2 {
            let lr = Table::ramp("annihilation", shape, min, last, reach);
            let momentum = self.momentum.cycle(shape, 0, 0);
            return Ok(Tracks { lr, momentum });
        }
        let leg = (math::floor_decimal(cycle / 2.0) as u64).clamp(1, reach - 1);
        let up = Table::ramp("up", shape, min, max, leg);
        if 2 * leg >= reach {
            let down = reach - leg;
            return Ok(Tracks {
                lr: up.then(leg, Table::ramp("down", shape, max, last, down)),
                momentum: self.momentum.cycle(shape, leg, down),
            });
        }
        let lr = up
            .then(leg, Table::ramp("down", shape, max, min, leg))
            .then(
                2 * leg,
                Table::ramp("annihilation", shape, min, last, reach - 2 * leg),
            );
        let momentum = self
            .momentum
            .cycle(shape, leg, leg)
            .map(|cycle| match self.momentum {
                Momentum::Cycle { high, .. } => {
                    cycle.then(2 * leg, Table::constant("annihilation", high))
                }
                _ => cycle,
            });
        Ok(Tracks { lr, momentum })
    }
}
