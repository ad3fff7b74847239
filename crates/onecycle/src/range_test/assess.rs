use alloc::vec::Vec;
use core::{f64::consts::LN_10, fmt, ops::Range};

use serde::{Deserialize, Serialize};

use super::{
    LossCurve,
    smooth::{LocalFit, local_linear, median},
};
use crate::math;

/// Half width of the smoothing window in units of ln(lr): 0.16 decades, or four updates of a
/// typical test with 25 steps per decade. The loss of a network without batch norm can fall and
/// explode within a third of a decade; a wider window would fill that valley.
const HALF_WIDTH: f64 = 0.16 * LN_10;
/// Minimum number of neighbours on either side, for coarser sweeps.
const AT_LEAST: usize = 3;
/// Half width of the window for slopes: half a decade.
const SLOPE_WIDTH: f64 = 0.5 * LN_10;
/// Minimum number of finite losses for an assessment.
const FEWEST: usize = 12;
/// Range in ln(lr), from the first rate on, of the losses (at least three) whose median is the
/// initial loss.
const START: f64 = 0.5 * LN_10;
/// Number of consecutive losses whose median gives the first estimate of the lowest loss.
const WINDOW: usize = 5;
/// Losses that exceed the initial loss by more than this fraction of the descent are clipped. The
/// size of an explosion says nothing about its position, and smoothing would smear it into the
/// valley.
const CEILING: f64 = 0.5;
/// Minimum number of losses from which the noise is estimated.
const FOR_NOISE: usize = 24;
/// Minimum depth of a significant descent, in standard errors. More than two, because the lowest of
/// many values is used.
const SIGNIFICANT: f64 = 3.5;
/// Minimum depth, in standard errors, at which positions on the curve can be told apart. With few
/// losses the noise estimate itself may be off by a third.
const CLEAR: f64 = 7.0;
/// Maximum number of points to smooth. Smoothing takes quadratic time, and a range test gains
/// nothing from more points than this.
const MOST_POINTS: usize = 4096;
/// Ratio of a normal distribution's standard deviation to its median absolute deviation.
const DEVIATIONS: f64 = 1.4826;

/// Whether a curve, or a suggestion from it, can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The curve falls, and rises again if the rule needs it.
    Ok,
    /// The loss falls but does not rise again: the sweep ends too early.
    NeverDiverged,
    /// The loss never falls: the sweep starts too late, or the network does not learn.
    NoDescent,
    /// The loss is too noisy to locate a rate: use larger batches or more steps.
    TooNoisy,
    /// There are too few points.
    TooShort,
    /// Almost all losses are NaN or infinite.
    NotFinite,
    /// The other tool gives no suggestion for this curve.
    NoAnswer,
    /// The rates that several seeds suggest differ by more than
    /// [`OverSeeds::MAX_SPREAD`](super::OverSeeds::MAX_SPREAD).
    SeedsDisagree,
}

impl Verdict {
    /// Name of the verdict, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::NeverDiverged => "never_diverged",
            Verdict::NoDescent => "no_descent",
            Verdict::TooNoisy => "too_noisy",
            Verdict::TooShort => "too_short",
            Verdict::NotFinite => "not_finite",
            Verdict::NoAnswer => "no_answer",
            Verdict::SeedsDisagree => "seeds_disagree",
        }
    }

    /// What to do about the verdict.
    pub fn advice(self) -> &'static str {
        match self {
            Verdict::Ok => "nothing to do",
            Verdict::NeverDiverged => {
                "the loss never rises again: extend the sweep to higher rates"
            }
            Verdict::NoDescent => {
                "the loss never falls: start the sweep at lower rates, or check data and model"
            }
            Verdict::TooNoisy => "the losses are too noisy: use larger batches or more steps",
            Verdict::TooShort => "there are too few points: use more steps",
            Verdict::NotFinite => {
                "almost all losses are NaN or infinite: start the sweep at lower rates"
            }
            Verdict::NoAnswer => "the other tool gives no suggestion for this curve",
            Verdict::SeedsDisagree => {
                "the seeds suggest rates more than a factor of 10 apart: use larger batches or more steps"
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A falling curve, smoothed without lag, with its measures. This crate's own rules use it.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// ln(lr) of each point. A point of a long curve is the mean of several updates, see [`bins`].
    pub(super) x: Vec<f64>,
    /// Raw losses; losses that are not finite at the end are infinity.
    pub(super) raw: Vec<f64>,
    /// The smoothed curve, with losses far above the initial loss clipped.
    pub(super) fits: Vec<LocalFit>,
    /// The clipped losses before smoothing.
    losses: Vec<f64>,
    /// The initial loss.
    pub(super) start: f64,
    /// Index of the lowest point.
    pub(super) lowest: usize,
    /// Standard deviation of single losses on the lower half of the descent.
    pub(super) noise: f64,
}

impl Profile {
    /// Smooths and measures a curve.
    ///
    /// The result does not depend on the scale or level of the losses.
    pub(super) fn of(curve: &LossCurve) -> Result<Profile, Verdict> {
        let (x, raw) = binned(points(curve)?);
        let near = x
            .iter()
            .take_while(|other| **other <= x[0] + START)
            .count()
            .max(3);
        let start = median(raw[..near].iter().copied());
        let level = raw.windows(WINDOW).map(|w| median(w.iter().copied()));
        let guess = level.fold(f64::INFINITY, f64::min);
        if guess >= start {
            return Err(Verdict::NoDescent);
        }
        let ceiling = start + CEILING * (start - guess);
        let losses: Vec<f64> = raw.iter().map(|l| l.min(ceiling)).collect();
        let fits = local_linear(&x, &losses, HALF_WIDTH, AT_LEAST);
        let lowest = lowest(&fits);
        let profile = Profile {
            noise: noise(&raw, &fits, start, lowest),
            losses,
            x,
            raw,
            fits,
            start,
            lowest,
        };
        // The standard error of the median of n normal values is 1.25 / sqrt(n).
        let of_start = 1.25 / math::sqrt(near as f64);
        let error = profile.noise * math::hypot(profile.fits[lowest].error, of_start);
        let depth = profile.depth();
        // NaN, from overflow, is no descent. On a rising curve the lowest point is among the first
        // ones.
        if depth.is_nan() || depth <= SIGNIFICANT * error || lowest < near {
            return Err(Verdict::NoDescent);
        }
        if depth < CLEAR * error {
            return Err(Verdict::TooNoisy);
        }
        Ok(profile)
    }

    /// The total decrease of the smoothed loss.
    pub(super) fn depth(&self) -> f64 {
        self.start - self.fits[self.lowest].value
    }

    /// The slope of the loss on ln(lr) at each point. The window is wider than for the values,
    /// because noise affects slopes more.
    pub(super) fn slopes(&self) -> Vec<f64> {
        let fits = local_linear(&self.x, &self.losses, SLOPE_WIDTH, AT_LEAST);
        fits.iter().map(|fit| fit.slope).collect()
    }

    /// The index at which half of the total decrease is reached. Bumps before it are not the wall
    /// of the valley.
    pub(super) fn half_way(&self) -> usize {
        let half = self.start - self.depth() / 2.0;
        let found = self.fits.iter().position(|fit| fit.value <= half);
        found.unwrap_or(self.lowest)
    }
}

impl LossCurve {
    /// The loss smoothed without lag on log-lr, one value per rate, as used by this crate's rules.
    /// Of a curve with more than 4096 losses, neighbours are averaged to 4096 points first.
    /// Losses far above the initial loss are clipped, so that an explosion does not distort the
    /// valley. NaN at rates without a value, such as 0.
    pub fn smoothed(&self) -> Vec<f64> {
        smoothed(self)
    }
}

/// The smoothed loss at each rate, NaN if there is none. See [`LossCurve::smoothed`].
fn smoothed(curve: &LossCurve) -> Vec<f64> {
    let profile = Profile::of(curve);
    // The losses after the last finite one belong to the profile, but not to a curve without one.
    let divergence = match &profile {
        Ok(_) => curve.loss().iter().rposition(|loss| loss.is_finite()),
        Err(_) => Some(usize::MAX),
    };
    let pairs = curve.lr().iter().zip(curve.loss()).enumerate();
    let used: Vec<(usize, f64, f64)> = pairs
        .filter(|(i, (lr, loss))| **lr > 0.0 && (loss.is_finite() || Some(*i) > divergence))
        .map(|(i, (lr, loss))| (i, math::ln(*lr), *loss))
        .collect();
    let (x, fits) = match profile {
        Ok(profile) => (profile.x, profile.fits),
        Err(_) => {
            let (x, y) = binned(used.iter().map(|(_, x, loss)| (*x, *loss)).unzip());
            let fits = local_linear(&x, &y, HALF_WIDTH, AT_LEAST);
            (x, fits)
        }
    };
    let mut smoothed = alloc::vec![f64::NAN; curve.len()];
    for (bin, points) in bins(used.len()).enumerate() {
        for (i, at, _) in &used[points] {
            let fit = &fits[bin];
            // Within a bin, the smoothed curve is the fitted line.
            let rise = if *at == x[bin] {
                0.0
            } else {
                fit.slope * (at - x[bin])
            };
            smoothed[*i] = fit.value + rise;
        }
    }
    smoothed
}

/// The bins in which `count` neighbouring points are averaged: one per point, but at most
/// [`MOST_POINTS`]. Their sizes differ by one at most, so their means have nearly equal errors.
fn bins(count: usize) -> impl Iterator<Item = Range<usize>> {
    let bins = count.min(MOST_POINTS);
    let start = move |bin: usize| bin * (count / bins) + bin * (count % bins) / bins;
    (0..bins).map(move |bin| start(bin)..start(bin + 1))
}

/// Averages neighbouring points in [`bins`]. A short curve stays as it is.
fn binned((x, y): (Vec<f64>, Vec<f64>)) -> (Vec<f64>, Vec<f64>) {
    if x.len() <= MOST_POINTS {
        return (x, y);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    bins(x.len())
        .map(|bin| (mean(&x[bin.clone()]), mean(&y[bin])))
        .unzip()
}

/// ln(lr) and loss of the points to use. Losses that are not finite are skipped if a finite one
/// follows. At the end they mean divergence and become infinity.
fn points(curve: &LossCurve) -> Result<(Vec<f64>, Vec<f64>), Verdict> {
    if curve.len() < FEWEST {
        return Err(Verdict::TooShort);
    }
    let losses = curve.loss();
    let last_finite = losses.iter().rposition(|loss| loss.is_finite());
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let mut finite = 0;
    for (i, (lr, loss)) in curve.lr().iter().zip(losses).enumerate() {
        // Smith's linear sweep starts at 0, which has no logarithm.
        if *lr <= 0.0 {
            continue;
        }
        if loss.is_finite() {
            finite += 1;
            y.push(*loss);
        } else if Some(i) > last_finite {
            y.push(f64::INFINITY);
        } else {
            continue;
        }
        x.push(math::ln(*lr));
    }
    if finite < FEWEST {
        return Err(Verdict::NotFinite);
    }
    Ok((x, y))
}

fn lowest(fits: &[LocalFit]) -> usize {
    let by_value = |a: &usize, b: &usize| fits[*a].value.total_cmp(&fits[*b].value);
    (0..fits.len()).min_by(by_value).unwrap_or(0)
}

/// Standard deviation of single losses on the lower half of the descent; at the start they often
/// scatter less, beyond the lowest point more. It uses second differences, which cancel a slope and
/// have sqrt(6) times the standard deviation of a loss. It uses raw losses, because clipped losses
/// lie on a line.
fn noise(raw: &[f64], fits: &[LocalFit], start: f64, lowest: usize) -> f64 {
    let half = (start + fits[lowest].value) / 2.0;
    let lower = fits.iter().position(|fit| fit.value <= half).unwrap_or(0);
    let end = (lowest + 1).max(FOR_NOISE).min(raw.len());
    let begin = lower.min(end.saturating_sub(FOR_NOISE));
    let bends = raw[begin..end]
        .windows(3)
        .map(|w| (w[0] - 2.0 * w[1] + w[2]).abs());
    DEVIATIONS * median(bends) / math::sqrt(6.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn bins_cover_all_points_once_and_evenly() {
        for count in [0, 1, 4095, 4096, 4097, 10_000, 1_000_000] {
            let mut next = 0;
            for bin in bins(count) {
                assert_eq!(bin.start, next);
                next = bin.end;
                let size = count.div_ceil(MOST_POINTS).max(1);
                assert!(
                    bin.len() == size || bin.len() + 1 == size,
                    "{count}: {bin:?}"
                );
            }
            assert_eq!((next, bins(count).count()), (count, count.min(MOST_POINTS)));
        }
    }

    #[test]
    fn bins_average_the_points_of_long_curves_only() {
        let short: Vec<f64> = (0..4096).map(f64::from).collect();
        assert_eq!(
            binned((short.clone(), short.clone())),
            (short.clone(), short)
        );
        let long: Vec<f64> = (0..3 * 4096).map(f64::from).collect();
        let (x, y) = binned((long.clone(), long));
        assert_eq!((x.len(), x[0], x[1], y[4095]), (4096, 1.0, 4.0, 12286.0));
    }
}
