//! This crate's own rules. They use the smoothed curve ([`Profile`]) and measure rises relative to
//! the descent before them.

use alloc::vec::Vec;

use super::{
    super::{LossCurve, Verdict, assess::Profile, smooth::median},
    Suggestion,
};
use crate::math;

/// The wall of the valley is where the smoothed loss has risen by this fraction of the descent
/// before it,
const RISE: f64 = 0.1;
/// and by this many standard errors, so that it is not noise,
const SIGNIFICANT: f64 = 4.0;
/// and where the median of this many following losses is as high, so that it is not a single spike.
const LASTING: usize = 5;
/// and where the smoothed loss does not fall below that bottom again by this fraction of the descent,
/// so that it is not a wave on a falling curve.
const LOWER: f64 = 0.05;
/// Peak for one cycle, and largest constant rate, relative to the wall.
const BELOW_WALL: f64 = 0.5;
/// The steepest descent has passed if the last slope is below this fraction of it.
const FLATTER: f64 = 0.5;

impl Suggestion {
    fn ok(lr: f64) -> Suggestion {
        Suggestion {
            lr: Some(lr),
            verdict: Verdict::Ok,
        }
    }

    fn none(verdict: Verdict) -> Suggestion {
        Suggestion { lr: None, verdict }
    }
}

pub(super) fn one_cycle_max(curve: &LossCurve) -> Suggestion {
    match Profile::of(curve) {
        Err(verdict) => Suggestion::none(verdict),
        Ok(profile) => match wall(&profile) {
            None => Suggestion::none(Verdict::NeverDiverged),
            Some(wall) => Suggestion::ok(BELOW_WALL * math::exp(wall)),
        },
    }
}

pub(super) fn constant(curve: &LossCurve) -> Suggestion {
    let profile = match Profile::of(curve) {
        Err(verdict) => return Suggestion::none(verdict),
        Ok(profile) => profile,
    };
    let slopes = profile.slopes();
    let falling = 0..=profile.lowest;
    let steepest = falling
        .min_by(|a, b| slopes[*a].total_cmp(&slopes[*b]))
        .unwrap_or(0);
    let lr = math::exp(profile.x[steepest]);
    let last = slopes[slopes.len() - 1];
    match wall(&profile) {
        Some(wall) => Suggestion::ok(lr.min(BELOW_WALL * math::exp(wall))),
        // Without a wall the curve may end before its steepest descent.
        None if last > FLATTER * slopes[steepest] => Suggestion::ok(lr),
        None => Suggestion::none(Verdict::NeverDiverged),
    }
}

/// ln(lr) at which the smoothed loss has clearly risen for the first time, interpolated linearly
/// between two points.
fn wall(profile: &Profile) -> Option<f64> {
    let Profile {
        x,
        raw,
        fits,
        start,
        noise,
        ..
    } = profile;
    // The lowest value from each point on.
    let mut lowest_after: Vec<f64> = fits.iter().rev().map(|fit| fit.value).collect();
    for i in 1..lowest_after.len() {
        lowest_after[i] = lowest_after[i].min(lowest_after[i - 1]);
    }
    lowest_after.reverse();
    let mut low = profile.half_way();
    for i in low + 1..fits.len() {
        if fits[i].value < fits[low].value {
            low = i;
            continue;
        }
        let bottom = fits[low].value;
        let needed = |i: usize| {
            let error = noise * math::hypot(fits[i].error, fits[low].error);
            (RISE * (start - bottom)).max(SIGNIFICANT * error)
        };
        let next = raw[i..].iter().copied().take(LASTING);
        if fits[i].value - bottom < needed(i) || median(next) - bottom < needed(i) {
            continue;
        }
        if lowest_after[i] < bottom - LOWER * (start - bottom) {
            continue;
        }
        let over = |i: usize| fits[i].value - bottom - needed(i);
        let (before, after) = (over(i - 1), over(i));
        let share = if after > before {
            -before / (after - before)
        } else {
            1.0
        };
        return Some(x[i - 1] + share.clamp(0.0, 1.0) * (x[i] - x[i - 1]));
    }
    None
}
