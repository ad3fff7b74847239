//! Means over seeds with confidence intervals, and paired differences.

use std::{
    f64::consts::{FRAC_2_PI, FRAC_PI_2},
    fmt,
};

use serde::{Deserialize, Serialize};

/// Probability that an interval contains the true mean.
const CONFIDENCE: f64 = 0.95;

/// A mean over seeds with its 95 % confidence interval.
///
/// Training the same network with another seed gives another accuracy. A claim about two policies
/// must therefore hold for the mean over seeds, within a confidence interval. If both policies ran
/// with the same seeds, they also shared initial weights and image order, so the differences per
/// seed vary less than the accuracies themselves.
///
/// The interval is Student's ("The probable error of a mean", 1908): `mean ± t s / sqrt(n)`. `s` is
/// the sample standard deviation (divisor `n - 1`) and `t` the 97.5 % point of Student's
/// distribution with `n - 1` degrees of freedom. It assumes independent, normally distributed
/// values.
///
/// ```
/// use onecycle_stats::SampleMean;
/// let accuracy = SampleMean::of(&[0.917, 0.921, 0.919]).unwrap();
/// assert_eq!(accuracy.to_string(), "0.9190 (0.9140 to 0.9240, n = 3)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct SampleMean {
    /// Arithmetic mean.
    pub mean: f64,
    /// Half the width of the 95 % interval; `None` for a single value.
    pub half_width: Option<f64>,
    /// Number of values.
    pub n: usize,
}

/// Sign of a difference, as far as its confidence interval decides it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The whole interval lies above 0.
    Above,
    /// The whole interval lies below 0.
    Below,
    /// The interval contains 0, or there is no interval.
    Open,
}

impl fmt::Display for SampleMean {
    /// Mean, 95 % interval and number of values, to two digits of the half width. A single value
    /// has no interval: `0.917 (n = 1)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SampleMean { mean, n, .. } = self;
        let Some((low, high)) = self.interval() else {
            return write!(f, "{mean} (n = {n})");
        };
        let decimals = match (high - low) / 2.0 {
            half if half > 0.0 => (1.0 - half.log10().floor()).clamp(0.0, 15.0) as usize,
            _ => return write!(f, "{mean} ({low} to {high}, n = {n})"),
        };
        write!(
            f,
            "{mean:.decimals$} ({low:.decimals$} to {high:.decimals$}, n = {n})"
        )
    }
}

impl SampleMean {
    /// The mean of `values`; `None` if there are none. If a value is not finite, the mean is not
    /// finite either and there is no interval.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        let half_width = (n > 1 && mean.is_finite()).then(|| {
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            let deviation = (squares / (n - 1) as f64).sqrt();
            student_t(n - 1) * deviation / (n as f64).sqrt()
        });
        Some(SampleMean {
            mean,
            half_width,
            n,
        })
    }

    /// The mean of the paired differences `a[i] - b[i]`; `None` if the lists are empty or differ in
    /// length.
    ///
    /// ```
    /// use onecycle_stats::{SampleMean, Sign};
    /// let (new, old) = ([0.92, 0.90, 0.91], [0.91, 0.89, 0.90]);
    /// let difference = SampleMean::of_difference(&new, &old).unwrap();
    /// assert_eq!(difference.sign(), Sign::Above);
    /// ```
    pub fn of_difference(a: &[f64], b: &[f64]) -> Option<Self> {
        if a.len() != b.len() {
            return None;
        }
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        SampleMean::of(&differences)
    }

    /// The difference of the means of two independent samples, the mean of `a` minus that of `b`,
    /// whose sizes may differ; `None` if one is empty. `n` counts the values of both.
    ///
    /// The interval is Student's for two samples of the same variance:
    /// `t s sqrt(1 / len(a) + 1 / len(b))` with `len(a) + len(b) - 2` degrees of freedom, where `s²` is
    /// the sum of the squared deviations of both samples from their own means, divided by these
    /// degrees of freedom. One of the samples may be a single value; two single values give no
    /// interval.
    ///
    /// ```
    /// use onecycle_stats::{SampleMean, Sign};
    /// // Three short runs against one that is too expensive to repeat.
    /// let lead = SampleMean::of_independent_difference(&[0.921, 0.923, 0.922], &[0.905]).unwrap();
    /// assert_eq!(lead.sign(), Sign::Above);
    /// ```
    pub fn of_independent_difference(a: &[f64], b: &[f64]) -> Option<Self> {
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let mean_and_squares = |values: &[f64]| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
            (mean, squares)
        };
        let ((mean_a, squares_a), (mean_b, squares_b)) = (mean_and_squares(a), mean_and_squares(b));
        let (mean, n) = (mean_a - mean_b, a.len() + b.len());
        let half_width = (n > 2 && mean.is_finite()).then(|| {
            let variance = (squares_a + squares_b) / (n - 2) as f64;
            let of_means = variance * (1.0 / a.len() as f64 + 1.0 / b.len() as f64);
            student_t(n - 2) * of_means.sqrt()
        });
        Some(SampleMean {
            mean,
            half_width,
            n,
        })
    }

    /// The lower and upper end of the 95 % interval.
    pub fn interval(&self) -> Option<(f64, f64)> {
        self.half_width
            .map(|half| (self.mean - half, self.mean + half))
    }

    /// The side of 0 on which the whole interval lies.
    pub fn sign(&self) -> Sign {
        match self.interval() {
            Some((low, _)) if low > 0.0 => Sign::Above,
            Some((_, high)) if high < 0.0 => Sign::Below,
            _ => Sign::Open,
        }
    }
}

/// The 97.5 % point of Student's distribution with `df` degrees of freedom, at least 1: the `t`
/// with `P(|T| <= t) = 0.95`.
///
/// Found by bisection on the angle `atan(t / sqrt(df))`, because the distribution over that angle
/// is a finite sum for a whole number of degrees.
pub fn student_t(df: usize) -> f64 {
    let (mut low, mut high) = (0.0, FRAC_PI_2);
    // Each iteration halves the interval; after 64 it is below floating-point precision.
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        match within(middle, df) < CONFIDENCE {
            true => low = middle,
            false => high = middle,
        }
    }
    let cosine = low.cos();
    (df as f64).sqrt() * (1.0 - cosine * cosine).sqrt() / cosine
}

/// `P(|T| <= sqrt(df) tan(angle))`: Abramowitz & Stegun, "Handbook of Mathematical Functions",
/// 26.7.3 and 26.7.4.
fn within(angle: f64, df: usize) -> f64 {
    let cosine = angle.cos();
    let square = cosine * cosine;
    let sine = (1.0 - square).sqrt();
    // Odd: cos + 2/3 cos^3 + ... up to cos^(df - 2); even: 1 + 1/2 cos^2 + ... up to the same.
    let odd = df % 2 == 1;
    let (mut power, mut term) = match odd {
        true => (1, cosine),
        false => (0, 1.0),
    };
    let mut sum = 0.0;
    while power + 2 <= df {
        sum += term;
        term *= square * (power + 1) as f64 / (power + 2) as f64;
        power += 2;
    }
    match odd {
        true => FRAC_2_PI * (angle + sine * sum),
        false => sine * sum,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // scipy 1.17.1:
    //     from scipy.stats import t
    //     for n in (1, 2, 3, 4, 5, 9, 10, 29, 100, 1001):
    //         print(n, t.ppf(0.975, n))
    #[test]
    fn points_of_student_s_distribution_are_those_of_scipy() {
        let known = [
            (1, 12.706204736174694),
            (2, 4.302652729749462),
            (3, 3.1824463052837078),
            (4, 2.7764451051977934),
            (5, 2.5705818356363146),
            (9, 2.262157162798205),
            (10, 2.228138851986274),
            (29, 2.045229642132703),
            (100, 1.9839715185235518),
            (1001, 1.9623367052808798),
        ];
        for (df, t) in known {
            let got = student_t(df);
            assert!((got / t - 1.0).abs() < 1e-12, "{df}: {got} for {t}");
        }
    }

    #[test]
    fn means_are_shown_to_two_digits_of_their_half_width() {
        let shown = |values: &[f64]| SampleMean::of(values).map(|mean| mean.to_string());
        let cases: [(&[f64], &str); 4] = [
            (&[0.917], "0.917 (n = 1)"),
            (&[0.5, 0.5], "0.5 (0.5 to 0.5, n = 2)"),
            (&[10.0, 20.0, 60.0], "30 (-36 to 96, n = 3)"),
            (&[1.0, f64::NAN], "NaN (n = 2)"),
        ];
        for (values, text) in cases {
            assert_eq!(shown(values).as_deref(), Some(text));
        }
    }

    const A: [f64; 4] = [0.917, 0.921, 0.919, 0.9155];
    const B: [f64; 4] = [0.914, 0.9195, 0.9151, 0.9149];

    // import numpy as np; from scipy import stats
    // for x in (A, np.subtract(A, B)):
    //     print(np.mean(x), stats.t.interval(0.95, len(x) - 1, loc=np.mean(x), scale=stats.sem(x)))
    #[test]
    fn intervals_are_those_of_scipy() {
        let estimates = [SampleMean::of(&A), SampleMean::of_difference(&A, &B)];
        let known = [
            [0.9181250000000001, 0.914316299547928, 0.9219337004520721],
            [
                0.002250000000000002,
                -0.00010479522593638026,
                0.004604795225936384,
            ],
        ];
        for (estimate, [mean, low, high]) in estimates.into_iter().zip(known) {
            let estimate = estimate.expect("numbers");
            let interval = estimate.interval().expect("four numbers");
            for (got, known) in [estimate.mean, interval.0, interval.1]
                .into_iter()
                .zip([mean, low, high])
            {
                assert!((got - known).abs() < 1e-13, "{got} for {known}");
            }
        }
    }

    // for x, y in ((A, B[:3]), (A, B[:1])):
    //     r = stats.ttest_ind(x, y).confidence_interval(0.95) if len(y) > 1 else None
    //     s = np.sqrt((len(x) * np.var(x) + len(y) * np.var(y)) / (len(x) + len(y) - 2))
    //     h = stats.t.ppf(0.975, len(x) + len(y) - 2) * s * np.sqrt(1 / len(x) + 1 / len(y))
    //     print(np.mean(x) - np.mean(y), h, r)
    #[test]
    fn intervals_of_independent_samples_are_those_of_scipy() {
        let known = [
            (&B[..3], (0.0019250000000001766, 0.005129287790774712)),
            (&B[..1], (0.004125000000000045, 0.008516513116767321)),
        ];
        for (b, (mean, half)) in known {
            let found = SampleMean::of_independent_difference(&A, b).expect("numbers");
            let width = found.half_width.expect("more than two numbers");
            assert!((found.mean - mean).abs() < 1e-15, "{found}");
            assert!((width - half).abs() < 1e-13, "{width} for {half}");
            assert_eq!(found.n, 4 + b.len());
        }
        let single = SampleMean::of_independent_difference(&[0.9], &[0.8]);
        assert_eq!(single.map(|one| one.half_width), Some(None));
        assert_eq!(SampleMean::of_independent_difference(&[], &[0.8]), None);
        assert_eq!(SampleMean::of_independent_difference(&[0.8], &[]), None);
    }

    #[test]
    fn a_sign_needs_an_interval_on_one_side() {
        let sign = |values: &[f64]| SampleMean::of(values).map(|estimate| estimate.sign());
        assert_eq!(sign(&[0.01, 0.011, 0.012]), Some(Sign::Above));
        assert_eq!(sign(&[-0.01, -0.011, -0.012]), Some(Sign::Below));
        assert_eq!(sign(&[0.01, -0.01, 0.02]), Some(Sign::Open));
        assert_eq!(sign(&[0.5]), Some(Sign::Open), "one seed says nothing");
        assert_eq!(sign(&[f64::NAN, 1.0]), Some(Sign::Open));
        assert_eq!(sign(&[]), None);
        assert_eq!(SampleMean::of_difference(&[1.0], &[1.0, 2.0]), None);
    }
}
