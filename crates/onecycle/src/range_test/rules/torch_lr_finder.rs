//! torch-lr-finder 0.2's "steepest" (`LRFinder.plot`, `LRFinder.range_test`).

use super::{super::smooth, python};
use crate::range_test::LossCurve;

/// Weight of the newest loss in the running mean.
pub const SMOOTH_F: f64 = 0.05;
/// The test stops at the first smoothed loss above this multiple of the best one.
const DIVERGE_TH: f64 = 5.0;
/// Number of points skipped at the start and at the end.
const SKIP: (usize, usize) = (10, 5);

/// The rate at the steepest point of its own running mean, up to its own stop.
pub fn suggestion(curve: &LossCurve) -> Option<f64> {
    let smoothed = smooth::running_mean(curve.loss(), SMOOTH_F);
    let recorded = python::recorded(&smoothed, DIVERGE_TH);
    steepest(&smoothed[..recorded]).map(|index| curve.lr()[index])
}

/// The index of the steepest descent over the index, without the first ten points and the last
/// five. `None` for fewer than 17 points, where the original raises an exception.
pub fn steepest(losses: &[f64]) -> Option<usize> {
    let (skip_start, skip_end) = SKIP;
    let end = losses.len().saturating_sub(skip_end).max(skip_start);
    let slopes = python::gradient(losses.get(skip_start..end)?)?;
    Some(python::argmin(&slopes)? + skip_start)
}
