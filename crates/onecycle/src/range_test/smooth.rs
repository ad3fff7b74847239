//! Smoothing of a loss curve.
//!
//! A running mean that looks only backwards lags: with fastai's beta of 0.98 it reports the
//! steepest point of a curve several times too high. [`forward_backward`] and [`local_linear`] look
//! both ways and have no lag; the latter also gives the slope on log-lr. The running means of other
//! tools are here because their rules need them.

use alloc::vec::Vec;

use crate::math;

/// Exponential smoothing in both directions: `y_i = sum_j beta^|i-j| l_j / sum_j beta^|i-j|`,
/// without lag.
///
/// `beta` is from 0 (no smoothing) to below 1. Losses that are not finite are skipped, and their
/// positions are filled from their neighbours. The result is NaN if no loss is finite.
pub fn forward_backward(losses: &[f64], beta: f64) -> Vec<f64> {
    let n = losses.len();
    // Weighted sum of the losses, and sum of the weights, over all points up to and including i.
    let sweep = |order: &mut dyn Iterator<Item = usize>| {
        let mut sums = alloc::vec![(0.0, 0.0); n];
        let (mut value, mut weight) = (0.0, 0.0);
        for i in order {
            value *= beta;
            weight *= beta;
            if losses[i].is_finite() {
                value += losses[i];
                weight += 1.0;
            }
            sums[i] = (value, weight);
        }
        sums
    };
    let forward = sweep(&mut (0..n));
    let backward = sweep(&mut (0..n).rev());
    (0..n)
        .map(|i| {
            // The point itself is contained in both sums.
            let (own, one) = if losses[i].is_finite() {
                (losses[i], 1.0)
            } else {
                (0.0, 0.0)
            };
            (forward[i].0 + backward[i].0 - own) / (forward[i].1 + backward[i].1 - one)
        })
        .collect()
}

/// A straight line fitted to the neighbourhood of one point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LocalFit {
    /// The line's value at the point: the smoothed loss.
    pub value: f64,
    /// Its slope, loss per unit of `x`.
    pub slope: f64,
    /// Standard error of `value` if the losses have independent errors of 1.
    pub error: f64,
}

/// Local linear regression with tricube weights at every point of `x`, which must increase.
///
/// The neighbourhood extends `half_width` to either side, or to the `at_least`-th neighbour on that
/// side if that one is farther: on log-lr, the rates of a linear sweep are far apart on the left
/// and close together on the right. All `y` must be finite. Source: Cleveland, "Robust Locally
/// Weighted Regression and Smoothing Scatterplots" (1979).
pub fn local_linear(x: &[f64], y: &[f64], half_width: f64, at_least: usize) -> Vec<LocalFit> {
    let n = x.len();
    let fit = |i: usize| {
        let (first, last) = (i.saturating_sub(at_least), (i + at_least).min(n - 1));
        // Slightly beyond the neighbour, which would otherwise have weight 0.
        let left = half_width.max((x[i] - x[first]) * (1.0 + 1e-9));
        let right = half_width.max((x[last] - x[i]) * (1.0 + 1e-9));
        let begin = x.partition_point(|other| *other <= x[i] - left);
        let end = x.partition_point(|other| *other < x[i] + right);
        let weight = |j: usize| {
            let width = if j < i { left } else { right };
            let distance = (x[j] - x[i]).abs() / width;
            let falling = 1.0 - distance * distance * distance;
            falling * falling * falling
        };
        let (mut s0, mut s1, mut s2) = (0.0, 0.0, 0.0);
        for j in begin..end {
            let (w, dx) = (weight(j), x[j] - x[i]);
            s0 += w;
            s1 += w * dx;
            s2 += w * dx * dx;
        }
        let determinant = s0 * s2 - s1 * s1;
        let flat = determinant <= 1e-12 * s0 * s2;
        let (mut value, mut slope, mut error) = (0.0, 0.0, 0.0);
        for j in begin..end {
            let (w, dx) = (weight(j), x[j] - x[i]);
            let share = if flat {
                w / s0
            } else {
                w * (s2 - s1 * dx) / determinant
            };
            value += share * y[j];
            error += share * share;
            if !flat {
                slope += w * (s0 * dx - s1) / determinant * y[j];
            }
        }
        LocalFit {
            value,
            slope,
            error: math::sqrt(error),
        }
    };
    (0..n).map(fit).collect()
}

/// fastai's loss meter: an exponential mean with bias correction, `avg_i / (1 - beta^(i+1))`.
///
/// After an infinite loss it stays NaN, as in the original.
pub fn fastai_mean(losses: &[f64], beta: f64) -> Vec<f64> {
    let mut average = 0.0;
    let mut seen = 0.0;
    losses
        .iter()
        .map(|loss| {
            // The arithmetic of `torch.lerp`, to the last bit: it decides fastai's `valley` on a
            // flat curve.
            average = math::fma(beta - 1.0, average - loss, average);
            seen += 1.0;
            average / (1.0 - math::pow(beta, seen))
        })
        .collect()
}

/// Lightning's running mean: fastai's, with a correction that is one step ahead, `avg_i / (1 -
/// beta^(i+2))`. Its first value is about half the loss.
pub fn lightning_mean(losses: &[f64], beta: f64) -> Vec<f64> {
    let mut average = 0.0;
    let mut unseen = beta;
    losses
        .iter()
        .map(|loss| {
            average = beta * average + (1.0 - beta) * loss;
            unseen *= beta;
            average / (1.0 - unseen)
        })
        .collect()
}

/// The running mean of torch-lr-finder and Ignite: `y_i = smooth_f l_i + (1 - smooth_f) y_(i-1)`,
/// without correction.
pub fn running_mean(losses: &[f64], smooth_f: f64) -> Vec<f64> {
    let mut last = None;
    losses
        .iter()
        .map(|loss| {
            let next = match last {
                None => *loss,
                Some(last) => smooth_f * loss + (1.0 - smooth_f) * last,
            };
            last = Some(next);
            next
        })
        .collect()
}

/// The median; NaN for no values. NaN counts as larger than any number.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    match n {
        0 => f64::NAN,
        _ if n.is_multiple_of(2) => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
        _ => sorted[n / 2],
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn symmetric() -> Vec<f64> {
        (0..41).map(|i: i32| f64::from((i - 20).pow(2))).collect()
    }

    #[test]
    fn smoothing_both_ways_keeps_the_place_of_a_minimum() {
        let smooth = forward_backward(&symmetric(), 0.8);
        let x: Vec<f64> = (0..41).map(f64::from).collect();
        let fits = local_linear(&x, &symmetric(), 5.0, 3);
        for (i, j) in (0..20).zip((21..41).rev()) {
            assert!((smooth[i] - smooth[j]).abs() < 1e-9);
            assert!((fits[i].value - fits[j].value).abs() < 1e-9);
            assert!((fits[i].slope + fits[j].slope).abs() < 1e-9);
            assert!(smooth[20] < smooth[i] && fits[20].value < fits[i].value);
        }
        let lagging = running_mean(&symmetric(), 0.2);
        assert!(lagging[24] < lagging[20], "what a one-sided mean does");
    }

    #[test]
    fn two_sided_mean_by_hand() {
        // (1 + 2/2 + 4/4) / (1 + 1/2 + 1/4), (1/2 + 2 + 4/2) / 2, ...
        let smooth = forward_backward(&[1.0, 2.0, 4.0], 0.5);
        let wanted = [3.0 / 1.75, 4.5 / 2.0, 5.25 / 1.75];
        for (smooth, wanted) in smooth.iter().zip(wanted) {
            assert!((smooth - wanted).abs() < 1e-15);
        }
        let gap = forward_backward(&[1.0, f64::NAN, 3.0], 0.5);
        assert_eq!(gap[1], 2.0);
        assert!(forward_backward(&[f64::INFINITY], 0.5)[0].is_nan());
    }

    #[test]
    fn straight_lines_stay_what_they_are() {
        // Unequal distances, as for a linear sweep on log-lr.
        let x: Vec<f64> = (1..60).map(|i| math::ln(f64::from(i))).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 - 2.0 * x).collect();
        for (fit, y) in local_linear(&x, &y, 0.5, 3).iter().zip(&y) {
            assert!((fit.value - y).abs() < 1e-10 && (fit.slope + 2.0).abs() < 1e-10);
            assert!(fit.error > 0.0 && fit.error <= 1.0 + 1e-12);
        }
        let single = local_linear(&[0.0], &[7.0], 0.5, 3);
        assert_eq!((single[0].value, single[0].slope), (7.0, 0.0));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0]), 2.5);
        assert!(median(vec![]).is_nan());
    }
}
