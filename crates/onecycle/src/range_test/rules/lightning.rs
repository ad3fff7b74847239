//! Lightning 2.6's `_LRFinder.suggestion`: the steepest descent over the rate itself, not its
//! logarithm. The steps of an exponential sweep are closest together at its start, so noise there
//! decides.

use alloc::vec::Vec;

use super::{super::smooth, python};
use crate::range_test::LossCurve;

/// Beta of the running mean.
pub const BETA: f64 = 0.98;
/// The test stops at the first smoothed loss above this multiple of the best one.
const EARLY_STOP_THRESHOLD: f64 = 4.0;
/// Number of points skipped at the start and at the end.
const SKIP: (usize, usize) = (10, 1);

/// Lightning's suggestion from its own running mean, up to its own stop.
pub fn suggestion(curve: &LossCurve) -> Option<f64> {
    let smoothed = smooth::lightning_mean(curve.loss(), BETA);
    let index = steepest(curve.lr(), &smoothed[..recorded(&smoothed)])?;
    Some(curve.lr()[index])
}

/// The index of the steepest descent over the rate, without the first ten points and the last one.
/// `None` if fewer than two losses are finite. As in the original, losses that are not finite are
/// dropped before the index is taken, so after one of them the index is one step too low.
pub fn steepest(lr: &[f64], losses: &[f64]) -> Option<usize> {
    let (skip_begin, skip_end) = SKIP;
    let end = losses.len().saturating_sub(skip_end).max(skip_begin);
    let losses = losses.get(skip_begin..end)?.iter();
    let (losses, lr): (Vec<f64>, Vec<f64>) = losses
        .zip(&lr[skip_begin..])
        .filter(|(loss, _)| loss.is_finite())
        .unzip();
    Some(python::argmin(&python::gradient_over(&losses, &lr)?)? + skip_begin)
}

/// Number of losses that its test records. The first loss, which the correction halves, counts as
/// the best and stops nothing.
fn recorded(losses: &[f64]) -> usize {
    let mut best = f64::INFINITY;
    let stop = losses.iter().enumerate().position(|(i, loss)| {
        let stop = i > 0 && *loss > EARLY_STOP_THRESHOLD * best;
        if *loss < best {
            best = *loss;
        }
        stop
    });
    stop.map_or(losses.len(), |stop| stop + 1)
}
