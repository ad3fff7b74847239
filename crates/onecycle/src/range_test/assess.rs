use alloc::vec::Vec;
use core::{f64::consts::LN_10, fmt};

use serde::{Deserialize, Serialize};

use super::{
    LossCurve,
    smooth::{LocalFit, local_linear, median},
};
use crate::math;

/// Reach of the smoothing to either side, in units of ln(lr): 0.16 decades, four updates of a usual test of 25 steps a
/// decade. A network without batch norm falls into its valley and jumps out of it within a third of a decade; a wider
/// window would fill the valley up.
const HALF_WIDTH: f64 = 0.16 * LN_10;
/// Neighbours that count on either side where the sweep is coarser than that.
const AT_LEAST: usize = 3;
/// The same for slopes: half a decade.
const SLOPE_WIDTH: f64 = 0.5 * LN_10;
/// Finite losses from which something can be said.
const FEWEST: usize = 12;
/// The median of the losses up to so far from the first, in units of ln(lr), and of at least three, is the level that the
/// loss starts from.
const START: f64 = 0.5 * LN_10;
/// Losses whose median gives the first guess of the lowest level.
const WINDOW: usize = 5;
/// Losses above the start by this share of the descent are cut off: how far a loss explodes says nothing about where,
/// and would be smeared into the valley.
const CEILING: f64 = 0.5;
/// Losses that the scatter is measured on, at least.
const FOR_NOISE: usize = 24;
/// A descent must be so many standard errors deep to be one. More than two, as the lowest of many values is looked at.
const SIGNIFICANT: f64 = 3.5;
/// And so many to be told in its parts. Few losses give a scatter that may itself be a third off.
const CLEAR: f64 = 7.0;
/// Ratio of a normal distribution's standard deviation to its median deviation.
const DEVIATIONS: f64 = 1.4826;

/// What a curve, or an answer drawn from it, is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// The curve falls, and rises where that matters.
    Ok,
    /// The loss falls but does not rise again: the sweep ends too early.
    NeverDiverged,
    /// The loss falls nowhere: the sweep begins too late, or nothing is learnt.
    NoDescent,
    /// The loss scatters so much that no place on the sweep can be told: use a larger batch or more steps.
    TooNoisy,
    /// Too few points.
    TooShort,
    /// Almost all losses are NaN or infinite.
    NotFinite,
    /// The original has no answer for this curve.
    NoAnswer,
}

impl Verdict {
    /// Its name, as in files.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::NeverDiverged => "never_diverged",
            Verdict::NoDescent => "no_descent",
            Verdict::TooNoisy => "too_noisy",
            Verdict::TooShort => "too_short",
            Verdict::NotFinite => "not_finite",
            Verdict::NoAnswer => "no_answer",
        }
    }

    /// What to do about it, in words.
    pub fn advice(self) -> &'static str {
        match self {
            Verdict::Ok => "nothing to do",
            Verdict::NeverDiverged => "the loss never rises again: let the sweep go higher",
            Verdict::NoDescent => {
                "the loss never falls: let the sweep begin lower, or check data and model"
            }
            Verdict::TooNoisy => "the losses scatter too much: take larger batches or more steps",
            Verdict::TooShort => "there are too few points: take more steps",
            Verdict::NotFinite => {
                "almost all losses are NaN or infinite: let the sweep begin lower"
            }
            Verdict::NoAnswer => "the original has no answer for this curve",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A curve that falls, smoothed without lag, and its measures. What this crate's own rules look at.
#[derive(Debug, Clone)]
pub(super) struct Profile {
    /// ln(lr) of each point.
    pub(super) x: Vec<f64>,
    /// Raw losses, infinity for those that were not finite at the end.
    pub(super) raw: Vec<f64>,
    /// The smoothed curve, with losses far above the start cut off.
    pub(super) fits: Vec<LocalFit>,
    /// What was smoothed.
    losses: Vec<f64>,
    /// Level from which the loss starts.
    pub(super) start: f64,
    /// Index of the lowest point.
    pub(super) lowest: usize,
    /// Standard deviation of single losses on the lower half of the descent.
    pub(super) noise: f64,
}

impl Profile {
    /// Smooths and measures a curve.
    ///
    /// Nothing here depends on the losses' scale or level.
    pub(super) fn of(curve: &LossCurve) -> Result<Profile, Verdict> {
        let (x, raw) = points(curve)?;
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
        // The median of n normal values has an error of 1.25 / sqrt(n).
        let of_start = 1.25 / math::sqrt(near as f64);
        let error = profile.noise * math::hypot(profile.fits[lowest].error, of_start);
        let depth = profile.depth();
        // NaN, from overflow, is no descent either; and on a rising curve the lowest point is one of the start's.
        if depth.is_nan() || depth <= SIGNIFICANT * error || lowest < near {
            return Err(Verdict::NoDescent);
        }
        if depth < CLEAR * error {
            return Err(Verdict::TooNoisy);
        }
        Ok(profile)
    }

    /// How far the smoothed loss falls in all.
    pub(super) fn depth(&self) -> f64 {
        self.start - self.fits[self.lowest].value
    }

    /// The slope of the loss on ln(lr) at each point, over a wider window than the values: noise weighs more in a slope.
    pub(super) fn slopes(&self) -> Vec<f64> {
        let fits = local_linear(&self.x, &self.losses, SLOPE_WIDTH, AT_LEAST);
        fits.iter().map(|fit| fit.slope).collect()
    }

    /// The index from which the loss has fallen by half of its depth. Bumps before that are not the valley's wall.
    pub(super) fn half_way(&self) -> usize {
        let half = self.start - self.depth() / 2.0;
        let found = self.fits.iter().position(|fit| fit.value <= half);
        found.unwrap_or(self.lowest)
    }
}

/// The smoothed loss at each point, NaN where there is none. See [`LossCurve::smoothed`].
pub(super) fn smoothed(curve: &LossCurve) -> Vec<f64> {
    let mut smoothed = alloc::vec![f64::NAN; curve.len()];
    let value = |fit: &LocalFit| fit.value;
    let (x, values): (Vec<f64>, Vec<f64>) = match Profile::of(curve) {
        Ok(profile) => (profile.x, profile.fits.iter().map(value).collect()),
        Err(_) => {
            let pairs = curve.lr().iter().zip(curve.loss());
            let finite = pairs.filter(|(lr, loss)| **lr > 0.0 && loss.is_finite());
            let (x, y): (Vec<f64>, Vec<f64>) = finite.map(|(lr, l)| (math::ln(*lr), *l)).unzip();
            let fits = local_linear(&x, &y, HALF_WIDTH, AT_LEAST);
            (x, fits.iter().map(value).collect())
        }
    };
    let mut known = x.iter().zip(values).peekable();
    for (lr, smoothed) in curve.lr().iter().zip(&mut smoothed) {
        if let Some((_, value)) = known.next_if(|(x, _)| *lr > 0.0 && **x == math::ln(*lr)) {
            *smoothed = value;
        }
    }
    smoothed
}

/// ln(lr) and loss of the points that count. Losses that are not finite are left out where finite ones follow; at the end
/// they are divergence, and stand as infinity.
fn points(curve: &LossCurve) -> Result<(Vec<f64>, Vec<f64>), Verdict> {
    if curve.len() < FEWEST {
        return Err(Verdict::TooShort);
    }
    let losses = curve.loss();
    let last_finite = losses.iter().rposition(|loss| loss.is_finite());
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let mut finite = 0;
    for (i, (lr, loss)) in curve.lr().iter().zip(losses).enumerate() {
        // Smith's linear ramp begins at 0, which has no logarithm.
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

/// Standard deviation of single losses on the lower half of the descent: at the start they often scatter less, beyond the
/// lowest point more. From second differences, in which a slope cancels, and whose standard deviation is sqrt(6) times
/// that of a loss. From raw losses: those that were cut off lie on a line.
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
