use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    PolicyError, Span,
    batch::check_points,
    check,
    clock::Extent,
    curve,
    resolve::{Resolve, Tracks},
    table::Table,
};

/// A constant learning rate: `lr(n) = lr`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `lr` | | learning rate | at least 0 |
///
/// Source: the method of Robbins & Monro (1951) without its decay. It is the baseline of every
/// comparison.
///
/// ```
/// use onecycle::{Constant, Run};
/// let plan = Constant::new(0.1).policy()?.resolve(&Run::steps(10))?;
/// let lr = [0, 9].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.100]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// The learning rate.
    pub lr: f64,
}

impl Constant {
    /// The same learning rate in every step.
    pub fn new(lr: f64) -> Self {
        Constant { lr }
    }
}

impl Resolve for Constant {
    fn check(&self) -> Result<(), PolicyError> {
        check::rate("lr", self.lr)
    }

    fn resolve(&self, _: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(Table::constant("constant", self.lr).into())
    }
}

/// A learning rate for each of several intervals: `lr(n) = v_i` for `b_i <= n < b_(i+1)`.
///
/// | parameter | default | purpose | range |
/// |---|---|---|---|
/// | `values` | | points and rates, `vec![(Span::Epochs(0.0), 0.35), (Span::Fraction(0.6), 0.035)]` | points increase from 0; rates at least 0 |
///
/// Points beyond the end of the run are ignored. Source: He et al., "Deep Residual Learning"
/// (2016), section 4.2: 0.1, divided by 10 at 32k and 48k of 64k steps.
///
/// ```
/// use onecycle::{PiecewiseConstant, Run, Span};
/// let values = [
///     (Span::Steps(0), 0.1),
///     (Span::Fraction(0.5), 0.01),
///     (Span::Fraction(0.75), 0.001),
/// ];
/// let plan = PiecewiseConstant::new(values).policy()?.resolve(&Run::steps(64_000))?;
/// let lr = [31_999, 32_000, 48_000].map(|n| plan.at(n).lr);
/// assert_eq!(format!("{lr:.3?}"), "[0.100, 0.010, 0.001]");
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PiecewiseConstant {
    /// Points in the run, increasing from 0, each with the learning rate from there on.
    pub values: Vec<(Span, f64)>,
}

impl PiecewiseConstant {
    /// Learning rates, each from its point on.
    pub fn new(values: impl IntoIterator<Item = (Span, f64)>) -> Self {
        PiecewiseConstant {
            values: values.into_iter().collect(),
        }
    }
}

impl Resolve for PiecewiseConstant {
    fn check(&self) -> Result<(), PolicyError> {
        check_points("values", &self.values)?;
        self.values
            .iter()
            .try_for_each(|(_, lr)| check::rate("values", *lr))
    }

    fn resolve(&self, extent: &Extent<'_>) -> Result<Tracks, PolicyError> {
        Ok(curve::piecewise(&self.values, extent)?.into())
    }
}
