//! The schedules of optax, to the last bit, under their own names (without `_schedule`) and argument names.
//!
//! They are functions of the step as those are, past their end included, and computed in float64 (jax with 64 bit
//! enabled). What optax lets pass and turns into another schedule is kept where it has a meaning, and said in the
//! preset's documentation; what it raises on is a [`PolicyError`](crate::PolicyError).

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

/// Presets whose struct is its own formula: one law for the whole run.
macro_rules! formula_schedule {
    ($kind:literal) => {
        fn resolve(
            &self,
            _: &crate::clock::Extent<'_>,
        ) -> Result<crate::policy::Tracks, crate::PolicyError> {
            let law = crate::table::Law::Formula(alloc::sync::Arc::new(self.clone()));
            Ok(crate::table::Table::new($kind, law).into())
        }
    };
}
pub(crate) use formula_schedule;
