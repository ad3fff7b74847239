use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    StatsError, check,
    vector::{add, dot},
};

/// Minimum number of groups for a standard error.
const GROUPS_FOR_AN_ERROR: usize = 3;
/// An estimate counts as positive if it exceeds this many standard errors.
const SIGNIFICANT: f64 = 2.0;
/// Largest standard error of the noise scale that counts as [`NoiseVerdict::Ok`], relative to the
/// scale.
const LARGEST_ERROR: f64 = 0.5;

/// A value with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The estimated value.
    pub value: f64,
    /// Its standard error by the jackknife (leaving out one group at a time); `None` for fewer than
    /// 3 groups.
    pub error: Option<f64>,
}

/// Noise of the gradient. McCandlish et al., "An Empirical Model of Large-Batch Training" (2018,
/// arXiv:1812.06162), section 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseScale {
    /// `|G|²`, squared length of the true gradient. Unbiased, so it can be negative if noise hides
    /// the gradient.
    pub gradient: Estimate,
    /// `tr Σ`, sum of the variances of a single sample's gradient entries. Unbiased.
    pub trace: Estimate,
    /// `B_simple = tr Σ / |G|²` in samples: the batch size at which noise and gradient are equally
    /// large. As a ratio of two unbiased estimates it has a bias of the order of its squared
    /// standard error. `None` if one of the two is not positive.
    pub scale: Option<Estimate>,
    /// Whether the estimate can be trusted.
    pub verdict: NoiseVerdict,
}

/// Whether a [`NoiseScale`] can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseVerdict {
    /// The standard error of the scale is at most half of the scale.
    Ok,
    /// `|G|²` is not significantly above 0.
    HiddenGradient,
    /// `tr Σ` is 0 or negative.
    NoNoise,
    /// The standard error of the scale is more than half of the scale.
    Uncertain,
    /// There are fewer than 3 groups of micro-batches, so the standard error is unknown.
    TooFew,
}

impl NoiseVerdict {
    /// What the verdict means, and what to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            NoiseVerdict::Ok => "known to within half of it",
            NoiseVerdict::HiddenGradient => {
                "the gradient cannot be told from 0 under its noise: take more batches"
            }
            NoiseVerdict::NoNoise => "the batches agree to within rounding: there is no noise",
            NoiseVerdict::Uncertain => "uncertain by more than half of it: take more batches",
            NoiseVerdict::TooFew => "too few batches to know the error: take more batches",
        }
    }
}

impl fmt::Display for NoiseVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoiseVerdict::Ok => "ok",
            NoiseVerdict::HiddenGradient => "hidden gradient",
            NoiseVerdict::NoNoise => "no noise",
            NoiseVerdict::Uncertain => "uncertain",
            NoiseVerdict::TooFew => "too few batches",
        })
    }
}

/// Unbiased `(|G|², tr Σ)` from the squared lengths of gradients at two batch sizes. McCandlish et
/// al. 2018, appendix A.1:
///
/// ```text
/// |G|²  = (B_big |G_big|² - B_small |G_small|²) / (B_big - B_small)
/// tr Σ  = (|G_small|² - |G_big|²) / (1 / B_small - 1 / B_big)
/// ```
///
/// `small` and `big` are pairs of a batch size in samples and the squared length of its gradient
/// (or the mean of several squared lengths).
///
/// ```
/// use onecycle_stats::two_batch_sizes;
/// // |G|² = 4 and tr Σ = 24, so that E|G_B|² = 4 + 24 / B.
/// assert_eq!(two_batch_sizes((2, 16.0), (12, 6.0))?, (4.0, 24.0));
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
///
/// # Errors
/// Returns an error if the `small` batch is empty or not smaller than the `big` one, or if a
/// squared length is negative or not finite.
pub fn two_batch_sizes(small: (u64, f64), big: (u64, f64)) -> Result<(f64, f64), StatsError> {
    let ((small, small_squared), (big, big_squared)) = (small, big);
    let (b, big) = (small as f64, big as f64);
    check::ensure(small > 0, "small batch", b, "at least 1 sample")?;
    check::ensure(b < big, "big batch", big, "more samples than the small one")?;
    check::not_negative(
        "squared length of the small batch's gradient",
        small_squared,
    )?;
    check::not_negative("squared length of the big batch's gradient", big_squared)?;
    let gradient = (big * big_squared - b * small_squared) / (big - b);
    let trace = (small_squared - big_squared) / (1.0 / b - 1.0 / big);
    Ok((gradient, trace))
}

/// Estimates gradient noise from gradients of equally large micro-batches, collected in groups.
///
/// The samples must be independent draws: no image may occur twice. Then `E|g|² = |G|² + tr Σ / B`
/// for a batch of any size `B`, and both terms can be estimated in two ways. Only one sum per group
/// is kept, so the memory is one gradient per group.
///
/// ```
/// use onecycle_stats::GradientNoise;
///
/// // Single samples of a gradient (1, 0) with variance 1 in each of the two weights.
/// let mut noise = GradientNoise::new(1)?;
/// for group in [[[2.0, 1.0], [0.0, -1.0]], [[0.0, 1.0], [2.0, -1.0]]] {
///     noise.begin_group();
///     for gradient in group {
///         noise.push(&gradient)?;
///     }
/// }
/// let estimate = noise.over_micro_batches()?;
/// // 4 samples: the sums of squared deviations, 4 + 4, over 3.
/// assert!((estimate.trace.value - 8.0 / 3.0).abs() < 1e-12);
/// assert!((estimate.gradient.value - (1.0 - 2.0 / 3.0)).abs() < 1e-12);
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct GradientNoise {
    batch_size: u64,
    groups: Vec<Group>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Group {
    /// Number of micro-batches.
    count: usize,
    /// Sum of their gradients.
    sum: Vec<f64>,
    /// Sum of the squared lengths of their gradients.
    squares: f64,
}

impl GradientNoise {
    /// An estimator for micro-batches of `batch_size` samples.
    ///
    /// # Errors
    /// Returns an error if the batch size is 0.
    pub fn new(batch_size: u64) -> Result<Self, StatsError> {
        check::ensure(batch_size > 0, "batch_size", 0.0, "at least 1")?;
        Ok(GradientNoise {
            batch_size,
            groups: Vec::new(),
        })
    }

    /// Starts a new group. The gradients pushed from now on form one big batch.
    pub fn begin_group(&mut self) {
        self.groups.push(Group::default());
    }

    /// Adds the gradient of a micro-batch: the gradient of the mean loss over its samples.
    ///
    /// # Errors
    /// Returns an error if the gradient has another number of entries than those before it, or an
    /// entry that is not finite.
    pub fn push(&mut self, gradient: &[f64]) -> Result<(), StatsError> {
        let known = self.groups.iter().map(|group| group.sum.len());
        let weights = known.max().filter(|n| *n > 0).unwrap_or(gradient.len());
        check::vector("gradient", gradient, weights)?;
        if self.groups.is_empty() {
            self.begin_group();
        }
        if let Some(group) = self.groups.last_mut() {
            group.count += 1;
            group.squares += dot(gradient, gradient);
            group.sum.resize(weights, 0.0);
            add(&mut group.sum, 1.0, gradient);
        }
        Ok(())
    }

    /// Number of micro-batches so far.
    pub fn count(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// Estimate from the sample variance over all `K` micro-batches of `b` samples with mean
    /// gradient `ḡ`:
    ///
    /// ```text
    /// tr Σ = b Σ |g - ḡ|² / (K - 1)
    /// |G|² = |ḡ|² - tr Σ / (b K)
    /// ```
    ///
    /// With one group this equals [`two_batch_sizes`] of `b` and `b K`. It makes the best use of
    /// the micro-batches.
    ///
    /// # Errors
    /// Returns an error for fewer than 2 micro-batches.
    pub fn over_micro_batches(&self) -> Result<NoiseScale, StatsError> {
        let count = self.count() as f64;
        check::ensure(count >= 2.0, "micro-batches", count, "at least 2")?;
        Ok(self.jackknifed(|totals| {
            let (b, k) = (self.batch_size as f64, totals.count);
            let trace = b * (totals.squares - totals.sum_squared / k) / (k - 1.0);
            (totals.sum_squared / (k * k) - trace / (b * k), trace)
        }))
    }

    /// Estimate by [`two_batch_sizes`]: a micro-batch is the small batch, a whole group the big
    /// one. The squared lengths are means over all micro-batches and over all groups.
    ///
    /// # Errors
    /// Returns an error if the groups differ in size or have fewer than 2 micro-batches.
    pub fn between_batch_sizes(&self) -> Result<NoiseScale, StatsError> {
        let size = self.groups.first().map_or(0, |group| group.count);
        check::ensure(
            size >= 2,
            "micro-batches of a group",
            size as f64,
            "at least 2",
        )?;
        for group in &self.groups {
            check::count("group of micro-batches", group.count, size)?;
        }
        let small = self.batch_size;
        let big = small * size as u64;
        // Checks the batch sizes once; the squared lengths are finite sums of squares and need no
        // check.
        two_batch_sizes((small, 0.0), (big, 0.0))?;
        Ok(self.jackknifed(|totals| {
            let groups = totals.count / size as f64;
            let small_squared = totals.squares / totals.count;
            let big_squared = totals.groups_squared / (groups * (size * size) as f64);
            two_batch_sizes((small, small_squared), (big, big_squared))
                .unwrap_or((f64::NAN, f64::NAN))
        }))
    }

    /// Applies `estimate` to all groups, and to all but one group for the standard errors.
    fn jackknifed(&self, estimate: impl Fn(&Totals) -> (f64, f64)) -> NoiseScale {
        let products: Vec<Vec<f64>> = self
            .groups
            .iter()
            .map(|a| self.groups.iter().map(|b| dot(&a.sum, &b.sum)).collect())
            .collect();
        let whole = estimate(&self.totals(&products, None));
        let parts: Vec<(f64, f64)> = match self.groups.len() {
            0..GROUPS_FOR_AN_ERROR => Vec::new(),
            groups => (0..groups)
                .map(|left_out| estimate(&self.totals(&products, Some(left_out))))
                .collect(),
        };
        let gradient = with_error(whole.0, parts.iter().map(|part| part.0));
        let trace = with_error(whole.1, parts.iter().map(|part| part.1));
        let sound = gradient.value > 0.0 && trace.value > 0.0;
        let ratio = parts.iter().map(|(gradient, trace)| trace / gradient);
        let scale = sound.then(|| with_error(trace.value / gradient.value, ratio));
        NoiseScale {
            gradient,
            trace,
            scale,
            verdict: verdict(gradient, trace, scale),
        }
    }

    fn totals(&self, products: &[Vec<f64>], left_out: Option<usize>) -> Totals {
        let kept = || {
            let groups = self.groups.iter().enumerate();
            groups.filter(move |(i, _)| Some(*i) != left_out)
        };
        let pairs = kept().flat_map(|(i, _)| kept().map(move |(j, _)| products[i][j]));
        Totals {
            count: kept().map(|(_, group)| group.count as f64).sum(),
            squares: kept().map(|(_, group)| group.squares).sum(),
            sum_squared: pairs.sum(),
            groups_squared: kept().map(|(i, _)| products[i][i]).sum(),
        }
    }
}

/// Sums over some of the groups.
struct Totals {
    /// Number of micro-batches.
    count: f64,
    /// Sum of the squared lengths of their gradients.
    squares: f64,
    /// Squared length of the sum of all gradients.
    sum_squared: f64,
    /// Sum over the groups of the squared length of each group's sum.
    groups_squared: f64,
}

/// Jackknife standard error, `√((n - 1) / n Σ (xᵢ - x̄)²)` over the estimates that leave out one
/// group each. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans" (1982), section
/// 3.1.
fn with_error(value: f64, parts: impl ExactSizeIterator<Item = f64> + Clone) -> Estimate {
    let n = parts.len() as f64;
    let mean = parts.clone().sum::<f64>() / n;
    let squares: f64 = parts.map(|part| (part - mean) * (part - mean)).sum();
    let error = ((n - 1.0) / n * squares).sqrt();
    Estimate {
        value,
        // Not finite without parts, or if one of them divides by 0.
        error: error.is_finite().then_some(error),
    }
}

fn verdict(gradient: Estimate, trace: Estimate, scale: Option<Estimate>) -> NoiseVerdict {
    let Some(error) = gradient.error else {
        return match gradient.value > 0.0 {
            true => NoiseVerdict::TooFew,
            false => NoiseVerdict::HiddenGradient,
        };
    };
    if gradient.value <= SIGNIFICANT * error {
        return NoiseVerdict::HiddenGradient;
    }
    match scale {
        _ if trace.value <= 0.0 => NoiseVerdict::NoNoise,
        Some(scale)
            if scale
                .error
                .is_some_and(|e| e <= LARGEST_ERROR * scale.value) =>
        {
            NoiseVerdict::Ok
        }
        _ => NoiseVerdict::Uncertain,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn pushed(groups: &[&[f64]], batch_size: u64) -> GradientNoise {
        let mut noise = GradientNoise::new(batch_size).unwrap();
        for group in groups {
            noise.begin_group();
            group.iter().for_each(|g| noise.push(&[*g]).unwrap());
        }
        noise
    }

    /// Gradients 1, 3, 2, 6 of batches of 5: mean 3, sum of squared deviations 14.
    #[test]
    fn the_variance_is_the_hand_computed_one() {
        let noise = pushed(&[&[1.0, 3.0], &[2.0, 6.0]], 5);
        let estimate = noise.over_micro_batches().unwrap();
        let trace = 5.0 * 14.0 / 3.0;
        assert!((estimate.trace.value - trace).abs() < 1e-12);
        assert!((estimate.gradient.value - (9.0 - trace / 20.0)).abs() < 1e-12);
        assert_eq!(estimate.trace.error, None);
        assert_eq!(estimate.verdict, NoiseVerdict::TooFew);
    }

    /// |G_small|² = (1 + 9 + 4 + 36) / 4, |G_big|² = (2² + 4²) / 2.
    #[test]
    fn two_sizes_are_the_hand_computed_ones() {
        let noise = pushed(&[&[1.0, 3.0], &[2.0, 6.0]], 5);
        let estimate = noise.between_batch_sizes().unwrap();
        let (gradient, trace) = two_batch_sizes((5, 12.5), (10, 10.0)).unwrap();
        assert!((estimate.gradient.value - gradient).abs() < 1e-12);
        assert!((estimate.trace.value - trace).abs() < 1e-12);
    }

    #[test]
    fn with_one_group_both_ways_are_one() {
        let noise = pushed(&[&[1.0, -2.0, 4.0, 0.5]], 3);
        let (a, b) = (
            noise.over_micro_batches().unwrap(),
            noise.between_batch_sizes().unwrap(),
        );
        assert!((a.gradient.value - b.gradient.value).abs() < 1e-12);
        assert!((a.trace.value - b.trace.value).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_trusted_says_so() {
        let hidden = pushed(&[&[1.0, -1.0], &[-1.0, 1.0], &[1.0, -1.0]], 1);
        let estimate = hidden.over_micro_batches().unwrap();
        assert!(estimate.gradient.value < 0.0);
        assert_eq!(
            (estimate.scale, estimate.verdict),
            (None, NoiseVerdict::HiddenGradient)
        );
        let equal = pushed(&[&[2.0, 2.0], &[2.0, 2.0], &[2.0, 2.0]], 1);
        let estimate = equal.over_micro_batches().unwrap();
        assert_eq!(estimate.gradient.value, 4.0);
        assert_eq!(estimate.verdict, NoiseVerdict::NoNoise);
        let clear = pushed(&[&[10.0, 11.0], &[9.0, 10.0], &[10.5, 9.5]], 1);
        let estimate = clear.over_micro_batches().unwrap();
        assert_eq!(estimate.verdict, NoiseVerdict::Ok, "{estimate:?}");
    }

    #[test]
    fn wrong_input_is_named() {
        let text = |error: StatsError| error.to_string();
        let error = GradientNoise::new(0).unwrap_err();
        assert!(text(error).contains("`batch_size` is 0"));
        let mut noise = GradientNoise::new(1).unwrap();
        noise.push(&[1.0, 2.0]).unwrap();
        assert!(matches!(
            noise.push(&[1.0; 3]),
            Err(StatsError::Count {
                found: 3,
                expected: 2,
                ..
            })
        ));
        assert!(matches!(
            noise.push(&[1.0, f64::NAN]),
            Err(StatsError::NotFinite { .. })
        ));
        assert!(text(noise.over_micro_batches().unwrap_err()).contains("at least 2"));
        assert!(two_batch_sizes((4, 1.0), (4, 1.0)).is_err());
    }
}
