//! Schedulers that compute each value from the one before.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    PolicyError,
    table::{Law, Table},
};

/// A scheduler in PyTorch's recursive form: `epoch` is its own counter, `lr` the optimizer's
/// current rate, `base` the rate before any scheduler changed it.
pub(super) trait Recursion {
    /// The value after one more `step()`, at counter `epoch`. At 0 it is the value that the
    /// constructor sets.
    fn next(&self, epoch: u64, lr: f64, base: f64) -> f64;

    /// The value that a jump to `epoch` sets.
    fn jump(&self, epoch: u64, base: f64) -> f64;
}

/// Largest number of values: half a GiB.
const LIMIT: u64 = 1 << 26;

/// Collects `steps` values; `value` takes the step and the value before it.
pub(super) fn series(
    name: &'static str,
    steps: u64,
    base: f64,
    mut value: impl FnMut(u64, f64) -> f64,
) -> Result<Table, PolicyError> {
    if steps > LIMIT {
        return Err(PolicyError::TooManySteps {
            steps,
            limit: LIMIT,
        });
    }
    let mut lr = base;
    let values: Vec<f64> = (0..steps)
        .map(|n| {
            lr = value(n, lr);
            lr
        })
        .collect();
    Ok(Table::new(name, Law::Series(Arc::from(values))))
}

/// The values of a single scheduler.
pub(super) fn run(
    name: &'static str,
    scheduler: &dyn Recursion,
    base: Option<f64>,
    steps: u64,
) -> Result<Table, PolicyError> {
    let base = base.unwrap_or(0.0); // checked before: never missing here
    series(name, steps, base, |n, lr| scheduler.next(n, lr, base))
}
