//! Schedulers that compute each value from the one before.

use alloc::{sync::Arc, vec::Vec};

use crate::{
    PolicyError,
    table::{Law, Table},
};

/// A scheduler as PyTorch runs it: `epoch` is its own counter, `lr` what the optimizer has now, `base` what it had
/// before any scheduler touched it.
pub(super) trait Recursion {
    /// The value after one more `step()`, at counter `epoch`; at 0 the one that the constructor sets.
    fn next(&self, epoch: u64, lr: f64, base: f64) -> f64;

    /// The value that a jump to `epoch` sets.
    fn jump(&self, epoch: u64, base: f64) -> f64;
}

/// Half a GiB of values.
const LIMIT: u64 = 1 << 26;

/// Collects `steps` values; `value` gets the step and the value before it.
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

/// The values of one scheduler alone.
pub(super) fn run(
    name: &'static str,
    scheduler: &dyn Recursion,
    base: Option<f64>,
    steps: u64,
) -> Result<Table, PolicyError> {
    let base = base.unwrap_or(0.0); // checked before: never missing here
    series(name, steps, base, |n, lr| scheduler.next(n, lr, base))
}
