use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::{LossCurve, Rule, Suggestion, Verdict, smooth::median};
use crate::{math, text::Short};

/// Suggestions of one rule for the same test over several seeds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverSeeds {
    /// Median of the suggested rates on a logarithmic scale; `None` unless a majority of the seeds
    /// gave one.
    pub lr: Option<f64>,
    /// Smallest and largest suggested rate.
    #[serde(alias = "interval")]
    pub range: Option<(f64, f64)>,
    /// If at most half of the seeds gave a rate: the most frequent verdict other than `Ok`. Otherwise
    /// [`Verdict::Ok`], or [`Verdict::SeedsDisagree`] if the largest rate is more than
    /// [`MAX_SPREAD`](Self::MAX_SPREAD) times the smallest. With `SeedsDisagree`, `lr` is still the
    /// median but should not be trusted.
    pub verdict: Verdict,
    /// Seeds whose curve gave a rate.
    #[serde(rename = "answers")]
    pub suggestions: usize,
    /// Number of seeds.
    pub seeds: usize,
}

impl OverSeeds {
    /// Largest ratio of two suggestions that counts as agreement. A peak ten times too low hardly
    /// trains, and a peak ten times too high diverges.
    pub const MAX_SPREAD: f64 = 10.0;

    /// Ratio of the largest to the smallest suggestion; 1 if all seeds agree.
    pub fn spread(&self) -> Option<f64> {
        self.range.map(|(low, high)| high / low)
    }
}

impl fmt::Display for OverSeeds {
    /// Median, range and verdict: `lr 0.36 (0.3 to 0.4 in 5 of 5 seeds, ok)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.lr {
            Some(lr) => write!(f, "lr {} (", Short(lr))?,
            None => f.write_str("no lr (")?,
        }
        if let Some((low, high)) = self.range {
            write!(f, "{} to {} in ", Short(low), Short(high))?;
        }
        let OverSeeds {
            suggestions, seeds, ..
        } = self;
        write!(f, "{suggestions} of {seeds} seeds, {})", self.verdict)
    }
}

/// Applies a rule to the curves of several seeds and combines the suggestions.
///
/// The rate is the median, so that a single bad seed hardly changes it.
///
/// ```
/// use onecycle::range_test::{LossCurve, LrSweep, Rule, Verdict, over_seeds};
/// let curve = |wall: f64| {
///     let lr: Vec<f64> = LrSweep::exponential(1e-4, 10.0, 100)?.iter().collect();
///     let falling = |lr: f64| (2.0 - (1000.0 * lr).ln_1p() / 4.0).max(1.0);
///     let loss = lr.iter().map(|lr| falling(*lr) + (lr / wall).powi(2)).collect();
///     LossCurve::new(lr, loss)
/// };
/// let together = over_seeds(&[curve(0.5)?, curve(1.0)?, curve(0.6)?], Rule::OneCycleMax);
/// let (low, high) = together.range.unwrap();
/// let lr = together.lr.unwrap();
/// assert_eq!(together.verdict, Verdict::Ok);
/// assert!(low < lr && lr < high && together.spread().unwrap() < 3.0);
/// println!("{together}"); // lr 0.3 (0.25 to 0.5 in 3 of 3 seeds, ok)
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
pub fn over_seeds(curves: &[LossCurve], rule: Rule) -> OverSeeds {
    let suggestions: Vec<Suggestion> = curves.iter().map(|curve| rule.apply(curve)).collect();
    let sound = |one: &&Suggestion| one.verdict == Verdict::Ok && one.lr.is_some();
    let rates: Vec<f64> = suggestions
        .iter()
        .filter(sound)
        .filter_map(|a| a.lr)
        .collect();
    let most = 2 * rates.len() > suggestions.len();
    let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let high = rates.iter().copied().fold(0.0, f64::max);
    let middle = math::exp(median(rates.iter().map(|lr| math::ln(*lr))));
    OverSeeds {
        lr: most.then(|| middle.clamp(low, high)),
        range: (!rates.is_empty()).then_some((low, high)),
        verdict: match most {
            true if high > OverSeeds::MAX_SPREAD * low => Verdict::SeedsDisagree,
            true => Verdict::Ok,
            false => most_frequent(&suggestions),
        },
        suggestions: rates.len(),
        seeds: suggestions.len(),
    }
}

/// The most frequent verdict other than `Ok`. On ties, the first in the order of [`Verdict`].
fn most_frequent(suggestions: &[Suggestion]) -> Verdict {
    let mut verdicts: Vec<Verdict> = suggestions.iter().map(|one| one.verdict).collect();
    verdicts.retain(|verdict| *verdict != Verdict::Ok);
    verdicts.sort_unstable();
    let runs = verdicts.chunk_by(|a, b| a == b);
    // `max_by_key` returns the last of equal runs, so iterate backwards.
    let longest = runs.rev().max_by_key(|run| run.len());
    longest.map_or(Verdict::TooShort, |run| run[0])
}
