use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    StatsError, check,
    vector::{add, dot},
};

/// Groups from which a standard error can be told.
const GROUPS_FOR_AN_ERROR: usize = 3;
/// An estimate must be so many standard errors above 0 to be told from 0.
const SIGNIFICANT: f64 = 2.0;
/// Largest standard error of the noise scale, as a share of it.
const LARGEST_ERROR: f64 = 0.5;

/// A number with its standard error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its standard error, by leaving out one group after the other (jackknife). `None` for fewer than 3 groups.
    pub error: Option<f64>,
}

/// How noisy the gradient is. McCandlish et al., "An Empirical Model of Large-Batch Training" (2018, arXiv:1812.06162),
/// section 2.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NoiseScale {
    /// `|G|²`, squared length of the true gradient. Unbiased, so it may come out below 0 where noise hides the gradient.
    pub gradient: Estimate,
    /// `tr Σ`, sum of the variances of a single sample's gradient. Unbiased.
    pub trace: Estimate,
    /// `B_simple = tr Σ / |G|²`, in samples: the batch size at which noise and gradient are of equal size. A ratio of
    /// two unbiased estimates, so itself biased by the order of its squared standard error. `None` where one of them is
    /// not above 0.
    pub scale: Option<Estimate>,
    /// What it is worth.
    pub verdict: NoiseVerdict,
}

/// What a [`NoiseScale`] is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoiseVerdict {
    /// The scale is known to within half of it.
    Ok,
    /// `|G|²` cannot be told from 0.
    HiddenGradient,
    /// `tr Σ` came out at or below 0.
    NoNoise,
    /// The standard error of the scale is more than half of it.
    Uncertain,
    /// Fewer than 3 groups of micro-batches: nothing is known of the error.
    TooFew,
}

impl NoiseVerdict {
    /// What it means, and what to do about it.
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

/// Unbiased `(|G|², tr Σ)` from the squared lengths of gradients of two batch sizes. McCandlish et al. 2018, appendix A.1:
///
/// ```text
/// |G|²  = (B_big |G_big|² - B_small |G_small|²) / (B_big - B_small)
/// tr Σ  = (|G_small|² - |G_big|²) / (1 / B_small - 1 / B_big)
/// ```
///
/// `small` and `big` are a batch size in samples and the squared length, or a mean of several, at that size.
///
/// ```
/// use onecycle_stats::two_batch_sizes;
/// // |G|² = 4 and tr Σ = 24, so that E|G_B|² = 4 + 24 / B.
/// assert_eq!(two_batch_sizes((2, 16.0), (12, 6.0))?, (4.0, 24.0));
/// # Ok::<(), onecycle_stats::StatsError>(())
/// ```
///
/// # Errors
/// A `small` batch that is empty or not smaller than the `big` one; a length that is negative or not finite.
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

/// Gradients of micro-batches of one size, summed up in groups.
///
/// The samples must be independent draws: a different gradient for a different image, no image twice. Then
/// `E|g|² = |G|² + tr Σ / B` for a batch of any size, from which both are estimated in two ways. Only a sum a group is kept,
/// so the memory is that of as many gradients as there are groups.
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
    /// Micro-batches.
    count: usize,
    /// Sum of their gradients.
    sum: Vec<f64>,
    /// Sum of the squared lengths of these.
    squares: f64,
}

impl GradientNoise {
    /// For micro-batches of `batch_size` samples.
    ///
    /// # Errors
    /// A batch size of 0.
    pub fn new(batch_size: u64) -> Result<Self, StatsError> {
        check::ensure(batch_size > 0, "batch_size", 0.0, "at least 1")?;
        Ok(GradientNoise {
            batch_size,
            groups: Vec::new(),
        })
    }

    /// What is pushed from now on belongs to a new group: a big batch of its own.
    pub fn begin_group(&mut self) {
        self.groups.push(Group::default());
    }

    /// Takes the gradient of a micro-batch: the gradient of the mean loss over its samples.
    ///
    /// # Errors
    /// One that has another number of entries than those before, or a non-finite entry.
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

    /// Micro-batches so far.
    pub fn count(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// By the sample variance over all `K` micro-batches of `b` samples, with mean `ḡ`:
    ///
    /// ```text
    /// tr Σ = b Σ |g - ḡ|² / (K - 1)
    /// |G|² = |ḡ|² - tr Σ / (b K)
    /// ```
    ///
    /// With one group this is [`two_batch_sizes`] of `b` and `b K` to the last digit of the algebra; it makes the best use of
    /// the micro-batches.
    ///
    /// # Errors
    /// Fewer than 2 micro-batches.
    pub fn over_micro_batches(&self) -> Result<NoiseScale, StatsError> {
        let count = self.count() as f64;
        check::ensure(count >= 2.0, "micro-batches", count, "at least 2")?;
        Ok(self.jackknifed(|totals| {
            let (b, k) = (self.batch_size as f64, totals.count);
            let trace = b * (totals.squares - totals.sum_squared / k) / (k - 1.0);
            (totals.sum_squared / (k * k) - trace / (b * k), trace)
        }))
    }

    /// By [`two_batch_sizes`]: a micro-batch, and a whole group as one batch; squared lengths are means over all micro-batches
    /// and over all groups.
    ///
    /// # Errors
    /// Groups of unequal size, or of fewer than 2 micro-batches.
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
        // The batch sizes are sound, so only the lengths could be refused; those are finite sums of squares.
        two_batch_sizes((small, 0.0), (big, 0.0))?;
        Ok(self.jackknifed(|totals| {
            let groups = totals.count / size as f64;
            let small_squared = totals.squares / totals.count;
            let big_squared = totals.groups_squared / (groups * (size * size) as f64);
            two_batch_sizes((small, small_squared), (big, big_squared))
                .unwrap_or((f64::NAN, f64::NAN))
        }))
    }

    /// An estimate of `(|G|², tr Σ)` with the standard errors that leaving out one group after the other gives.
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

/// All that the estimates need of some groups.
struct Totals {
    /// Micro-batches.
    count: f64,
    /// Sum of the squared lengths of their gradients.
    squares: f64,
    /// Squared length of the sum of all gradients.
    sum_squared: f64,
    /// Sum over groups of the squared lengths of each one's sum.
    groups_squared: f64,
}

/// The jackknife's standard error, `√((n - 1) / n Σ (xᵢ - x̄)²)` over the estimates that leave out one group each. Efron,
/// "The Jackknife, the Bootstrap and Other Resampling Plans" (1982), section 3.1.
fn with_error(value: f64, parts: impl ExactSizeIterator<Item = f64> + Clone) -> Estimate {
    let n = parts.len() as f64;
    let mean = parts.clone().sum::<f64>() / n;
    let squares: f64 = parts.map(|part| (part - mean) * (part - mean)).sum();
    let error = ((n - 1.0) / n * squares).sqrt();
    Estimate {
        value,
        // Not so without parts, or where one of them divides by 0.
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
