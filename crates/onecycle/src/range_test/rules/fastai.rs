//! The four suggestion functions of fastai 2.8, and the data that its `lr_find` passes to them
//! (`fastai/callback/schedule.py`).
//!
//! Each takes learning rates and losses of equal length and returns an index, or `None` if the
//! original raises an exception. `valley` (Wang & Zhao) is the default, from "a data scientist's
//! guide to the LR finder"; `slide` is by Novik, `minimum` and `steep` by Gugger.

use alloc::vec::Vec;

use super::{super::smooth, python};
use crate::{math, range_test::LossCurve};

/// Beta of the loss meter.
pub const BETA: f64 = 0.98;
/// The test stops at the first smoothed loss above this multiple of the best one.
const STOP: f64 = 4.0;
/// Number of points skipped at the end.
const SKIP_END: usize = 5;
/// Width of `slide`'s interval, and the difference of slopes at which it stops.
const SLIDE: (usize, f64) = (15, 0.005);

/// The rate at the index that `rule` returns for the data of `lr_find`: smoothed losses up to the
/// stop, without the first tenth of all points and the last five, truncated at the first NaN.
pub fn lr_find(curve: &LossCurve, rule: fn(&[f64], &[f64]) -> Option<usize>) -> Option<f64> {
    let smoothed = smooth::fastai_mean(curve.loss(), BETA);
    let planned = curve.conditions().num_steps;
    let begin = planned.map_or(curve.len(), |steps| steps as usize) / 10;
    let end = python::recorded(&smoothed, STOP).saturating_sub(SKIP_END);
    if end <= begin {
        return None;
    }
    let losses = &smoothed[begin..end];
    let nan = losses.iter().position(|loss| loss.is_nan());
    let losses = &losses[..nan.unwrap_or(losses.len())];
    let lr = &curve.lr()[begin..begin + losses.len()];
    rule(lr, losses).map(|index| lr[index])
}

/// The longest decreasing subsequence, in the middle of its last two thirds.
pub fn valley(_lr: &[f64], losses: &[f64]) -> Option<usize> {
    let n = losses.len();
    if n == 0 {
        return None;
    }
    // The original compares all pairs of points. Here `ends[k]` is the largest end of the
    // decreasing subsequences of length `k + 1`, which gives the same lengths by bisection. NaN is
    // neither larger nor smaller than any loss, so it extends nothing.
    let mut ends: Vec<f64> = Vec::new();
    // `begin` is a number, not an index: in the original it is -1 for a curve that falls from its
    // first point on, and Python counts -1 from the end.
    let (mut begin, mut end, mut longest) = (0_i64, 0_usize, 1);
    for (i, loss) in losses.iter().enumerate() {
        if loss.is_nan() {
            continue;
        }
        let before = ends.partition_point(|end| end > loss);
        match ends.get_mut(before) {
            Some(end) => *end = *loss,
            None => ends.push(*loss),
        }
        if before + 1 > longest {
            longest = before + 1;
            end = i;
            begin = end as i64 - longest as i64;
        }
    }
    let section = (end as f64 - begin as f64) / 3.0;
    let index = begin + section as i64 + (section / 2.0) as i64;
    Some(index.rem_euclid(n as i64) as usize)
}

/// An interval of 15 points that slides from the right until the slopes at its ends differ by at
/// most 0.005. Needs 16 points.
pub fn slide(_lr: &[f64], losses: &[f64]) -> Option<usize> {
    let (width, threshold) = SLIDE;
    let slopes = python::gradient(losses)?;
    let mut right = losses.len() - 1;
    let mut left = right.checked_sub(width)?;
    let mut index = left;
    while (slopes[right] - slopes[left]).abs() > threshold {
        index = left;
        if left == 0 {
            break;
        }
        right -= 1;
        left -= 1;
    }
    Some(index)
}

/// The smallest loss. fastai suggests a tenth of its rate.
pub fn minimum(_lr: &[f64], losses: &[f64]) -> Option<usize> {
    python::argmin(losses)
}

/// The left end of the steepest difference between neighbours on log-lr.
pub fn steep(lr: &[f64], losses: &[f64]) -> Option<usize> {
    let slopes: Vec<f64> = losses
        .windows(2)
        .zip(lr.windows(2))
        .map(|(loss, lr)| (loss[1] - loss[0]) / (math::ln(lr[1]) - math::ln(lr[0])))
        .collect();
    python::argmin(&slopes)
}
