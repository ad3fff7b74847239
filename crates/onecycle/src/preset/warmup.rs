use alloc::boxed::Box;

use serde::{Deserialize, Serialize};

use super::Preset;
use crate::{
    PolicyError, Shape, Span, check,
    clock::Extent,
    math,
    resolve::{Resolve, Tracks},
    table::Table,
};

/// How the learning rate scales with the batch size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// No scaling.
    #[default]
    None,
    /// Proportional: `k`. Goyal et al. (2017), section 2.1.
    Linear,
    /// `sqrt(k)`, for adaptive optimizers. Krizhevsky (2014), section 5.
    Sqrt,
}

/// Gradual warm-up before any other policy, with the learning rate scaled by the batch size.
///
/// With `k` the run's batch size over `reference_batch`, `s` the scale (1, `k` or `sqrt(k)`, by
/// `scaling`) and `W` steps of warm-up:
///
/// ```text
/// lr(n) = s then(0) (start_factor + (1 - start_factor) n / W)      0 <= n <  W
///         s then(n - W)                                            W <= n
/// ```
///
/// The other policy runs over the rest of the run. During the warm-up its momentum keeps its first
/// value.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `over` | | length of the warm-up | shorter than the run; 5 epochs in the paper |
/// | `then` | | the policy that follows | any |
/// | `start_factor` | `1 / s` if the rate is scaled up, else 0.1 | first rate, relative to the rate after the warm-up | 0 to 1 |
/// | `scaling` | `Scaling::None` | scaling of the learning rate by the batch size | `None`, `Linear`, `Sqrt` |
/// | `reference_batch` | | batch size for which the rates of `then` were chosen | at least 1; required for scaling |
///
/// Source: Goyal et al., "Accurate, Large Minibatch SGD" (2017, arXiv:1706.02677), section 2.
///
/// ```
/// use onecycle::{Run, Scaling, Span, Step, Warmup};
/// let then = Step::new(0.1, Span::Epochs(30.0));
/// let warmup = Warmup {
///     scaling: Scaling::Linear,
///     reference_batch: Some(256),
///     ..Warmup::new(Span::Epochs(5.0), then)
/// };
/// let plan = warmup.policy()?.resolve(&Run::epochs(90.0, 1_281_167, 1024))?;
/// let lr = [0, 5 * 1252].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.400]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Warmup {
    /// Length of the warm-up.
    pub over: Span,
    /// The policy that follows.
    pub then: Box<Preset>,
    /// First rate, relative to the rate after the warm-up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_factor: Option<f64>,
    /// How the learning rate scales with the batch size.
    #[serde(default)]
    pub scaling: Scaling,
    /// Batch size for which the rates of `then` were chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference_batch: Option<u64>,
}

impl Warmup {
    /// A warm-up from a tenth of the rate, without scaling.
    pub fn new(over: Span, then: impl Into<Preset>) -> Self {
        Warmup {
            over,
            then: Box::new(then.into()),
            start_factor: None,
            scaling: Scaling::None,
            reference_batch: None,
        }
    }

    fn scale(&self, batch_size: Option<u64>) -> Result<f64, PolicyError> {
        if self.scaling == Scaling::None {
            return Ok(1.0);
        }
        let Some(reference) = self.reference_batch else {
            return Err(PolicyError::Missing {
                name: "reference_batch",
                hint: "scaling needs the batch size for which the learning rate was chosen",
            });
        };
        let Some(batch_size) = batch_size else {
            return Err(PolicyError::Missing {
                name: "batch_size",
                hint: "scaling needs the batch size of the run",
            });
        };
        let ratio = batch_size as f64 / reference as f64;
        Ok(if self.scaling == Scaling::Sqrt {
            math::sqrt(ratio)
        } else {
            ratio
        })
    }
}

impl Resolve for Warmup {
    fn check(&self) -> Result<(), PolicyError> {
        check::span("over", self.over)?;
        if let Some(start_factor) = self.start_factor {
            check::share("start_factor", start_factor)?;
        }
        check::ensure(
            self.reference_batch != Some(0),
            "reference_batch",
            0.0,
            "at least 1",
        )?;
        if self.scaling != Scaling::None {
            self.scale(Some(1))?;
        }
        self.then.parameters().check()
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        let warmup = extent.whole_steps("over", 0, self.over)?;
        if warmup >= extent.steps && !matches!(self.over, Span::Fraction(_)) {
            return Err(PolicyError::SpanLongerThanRun {
                name: "over",
                span: self.over,
                steps: warmup as f64,
                available: extent.steps - 1,
            });
        }
        let warmup = warmup.min(extent.steps - 1);
        let scale = self.scale(extent.first_batch())?;
        let then = self.then.resolve(&extent.rest(warmup))?;
        let then = Tracks {
            lr: then.lr.scaled(scale),
            ..then
        };
        if warmup == 0 {
            return Ok(then);
        }
        let start_factor = self
            .start_factor
            .unwrap_or(if scale > 1.0 { 1.0 / scale } else { 0.1 });
        let goal = then.lr.at(0);
        let start = goal * start_factor;
        let lr = Table::ramp("warmup", Shape::Linear, start, goal, warmup).then(warmup, then.lr);
        let momentum = then
            .momentum
            .map(|table| Table::constant("warmup", table.at(0)).then(warmup, table));
        Ok(Tracks { lr, momentum })
    }
}
