//! The schedules of optax, reproduced to the last bit, with its names (without `_schedule`) and
//! argument names.
//!
//! They are functions of the step, also past their end, computed in float64 (as in jax with 64-bit
//! enabled). Some invalid arguments do not fail in optax but give another schedule; where that
//! schedule has a meaning, it is reproduced and documented. Arguments for which optax raises an
//! exception give a [`PolicyError`](crate::PolicyError).

mod decay;
mod join;
mod one_cycle;
mod piecewise;
mod warmup;

pub use decay::{Constant, CosineDecay, ExponentialDecay, Linear, Polynomial};
pub use join::{Join, Schedule};
pub use one_cycle::{CosineOnecycle, LinearOnecycle};
pub use piecewise::{InterpolateType, PiecewiseConstant, PiecewiseInterpolate};
pub use warmup::{Sgdr, WarmupCosineDecay};

/// Resolves a preset whose struct is its own formula: one formula for the whole run.
macro_rules! formula_schedule {
    ($kind:literal) => {
        fn resolve(
            &self,
            _: &crate::clock::Extent<'_>,
        ) -> Result<crate::resolve::Tracks, crate::PolicyError> {
            let law = crate::table::Law::Formula(alloc::sync::Arc::new(self.clone()));
            Ok(crate::table::Table::new($kind, law).into())
        }
    };
}
pub(crate) use formula_schedule;
