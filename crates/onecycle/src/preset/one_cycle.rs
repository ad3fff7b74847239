use serde::{Deserialize, Serialize};

use super::Momentum;
use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::Table,
};

/// Shape of the two legs of a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegShape {
    /// A straight line, as in the paper.
    #[default]
    Linear,
    /// Half a cosine wave.
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

/// The 1cycle policy. The learning rate rises linearly to a peak, falls back by the same path, and
/// drops far below its start for the last epochs (Smith's *annihilation*). Momentum moves the
/// opposite way.
///
/// With `T` steps, the fraction `f` of them annihilation, and `L = floor(T (1 - f) / 2)`:
///
/// ```text
/// lr(n) = min + (max - min) n / L                           0  <= n <= L       up
///         max - (max - min) (n - L) / L                     L  <= n <= 2L      down
///         min - (min - final) (n - 2L) / (T - 1 - 2L)       2L <= n <= T - 1   annihilation
/// momentum(n): high -> low -> high, then high
/// ```
///
/// so that `lr(0) = min`, `lr(L) = max`, `lr(2L) = min` and `lr(T - 1) = final` exactly. With
/// `shape` cosine, half cosine waves replace the straight lines.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr_max` | | peak, from a range test | above 0, no upper limit |
/// | `lr_min` | `lr_max / div` | first rate | 0 to `lr_max` |
/// | `div` | 10.0 | alternative to `lr_min` | at least 1; 3 to 20 are common |
/// | `lr_final` | `lr_min / 100` | last rate, at the end of the annihilation | 0 to `lr_min` |
/// | `annihilation` | `Span::Fraction(0.1)` | length of the last phase | shorter than the run; 10 % to 15 % |
/// | `momentum` | `Momentum::Cycle { high: 0.95, low: 0.85 }` | opposite to the learning rate | 0 to below 1; `Momentum::Constant(0.9)`, `Momentum::Unset` |
/// | `shape` | `LegShape::Linear` | shape of all legs | `Linear`, `Cosine` |
///
/// Each parameter is a field and, except for `lr_max`, a method: `.momentum(0.95, 0.85)`,
/// `.annihilation(Span::Epochs(13.0))`.
///
/// **Very short runs.** With 3 or more steps the peak is reached (`L` is at least 1). If the three
/// phases do not fit (`2L >= T - 1`), the second leg goes straight to `lr_final` at `T - 1`. A run
/// of two steps is `lr_min`, `lr_final`; a run of one step is `lr_min`.
///
/// Source: L. N. Smith, "A disciplined approach to neural network hyper-parameters: Part 1" (2018,
/// arXiv:1803.09820), section 4.2; Smith & Topin, "Super-Convergence" (2018, arXiv:1708.07120),
/// section 4. The ratios of the annihilation are from S. Gugger's notebook on it.
///
/// ```
/// use onecycle::{OneCycle, Run, Span};
/// let one_cycle = OneCycle::new(0.8).annihilation(Span::Epochs(13.0));
/// let plan = one_cycle.plan(&Run::epochs(95, 50_000, 512))?;
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
    /// Ratio of `lr_max` to `lr_min`. Default: 10 if `lr_min` is not given either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub div: Option<f64>,
    /// Learning rate of the last step. Default: `lr_min / 100`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr_final: Option<f64>,
    /// Length of the last phase.
    #[serde(default = "defaults::tenth")]
    pub annihilation: Span,
    /// Momentum, opposite to the learning rate.
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
    pub fn first_lr(&self) -> f64 {
        self.lr_min
            .unwrap_or(self.lr_max / self.div.unwrap_or(10.0))
    }

    /// The learning rate of the last step.
    pub fn last_lr(&self) -> f64 {
        self.lr_final.unwrap_or(self.first_lr() / 100.0)
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
        check::rate("lr_min", self.first_lr())?;
        check::order("lr_min", self.first_lr(), "lr_max", self.lr_max)?;
        check::rate("lr_final", self.last_lr())?;
        check::order("lr_final", self.last_lr(), "lr_min", self.first_lr())?;
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
        let (min, max, last) = (self.first_lr(), self.lr_max, self.last_lr());
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
