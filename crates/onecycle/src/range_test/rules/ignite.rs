//! Ignite 0.5's `FastaiLRFinder.lr_suggestion`.

use alloc::vec::Vec;

use super::{super::smooth, python};
use crate::range_test::LossCurve;

/// Weight of the newest loss in the running mean.
pub const SMOOTH_F: f64 = 0.05;
/// The test stops at the first smoothed loss above this multiple of the best one.
const DIVERGE_TH: f64 = 5.0;

/// Ignite's suggestion from its own running mean, up to its own stop.
pub fn suggestion(curve: &LossCurve) -> Option<f64> {
    let smoothed = smooth::running_mean(curve.loss(), SMOOTH_F);
    let recorded = python::recorded(&smoothed, DIVERGE_TH);
    lr_suggestion(&smoothed[..recorded]).map(|index| curve.lr()[index])
}

/// The index of the steepest central difference up to the smallest loss. `None` if the smallest
/// loss is one of the first two, where the original raises an exception.
pub fn lr_suggestion(losses: &[f64]) -> Option<usize> {
    let falling = losses.get(..=python::argmin(losses)?)?;
    let slopes: Vec<f64> = falling.windows(3).map(|w| 0.5 * (w[2] - w[0])).collect();
    Some(python::argmin(&slopes)? + 1)
}
