use alloc::vec::Vec;
use core::{f64::consts::LN_2, fmt};

use serde::{Deserialize, Serialize};

use super::{Suggestion, Verdict};
use crate::{PolicyError, check, math};

/// Candidates are this rate times a power of two, so that the grid does not depend on the range
/// test.
const ANCHOR: f64 = 0.1;
/// Two losses count as equal if they differ by less than this fraction of the lowest loss (or of
/// the total decrease, if smaller).
const ALIKE: f64 = 0.1;
/// A cycle failed if it lost more than this fraction of the best descent: it diverged, or its
/// network died on the way up.
const FAILED: f64 = 0.5;
/// Smallest relative decrease that counts as learning.
const LEAST_DESCENT: f64 = 0.02;
/// As long as no cycle has learned anything, each candidate is this power of two below a last one
/// that did not diverge, and half of one that did.
const DOWNWARDS: i32 = 2;
/// The lowest candidate of this search downwards, `0.1 · 2^-20`: about 1e-7.
const LOWEST: i32 = -20;
/// If nothing learned there either, candidates up to this power of two above the start are tried.
const UPWARDS: i32 = 6;

/// Searches the peak for one cycle by trial: a few short cycles whose peaks differ by factors of
/// two, compared by their loss on held-out images.
///
/// A range test spends a single update at each rate. With batch norm the loss does not depend on
/// the scale of the weights, so the test sees no wall until rates at which a cycle has long lost
/// accuracy. If a rate diverges only after several updates, the test has already passed it. A short
/// cycle measures the policy itself, only shorter. It costs more, so a range test gives the
/// starting point, and the search stops as soon as the loss rises on both sides.
///
/// ```text
/// start at the candidate 0.1 · 2^k nearest to the range test's rate
/// while no cycle has learned anything: try a quarter of the last candidate, half if it diverged
/// until the limit of cycles is reached:
///     in each direction from the best candidate, find the first candidate
///         that was not tried or whose loss is more than t above the best
///     if one of the two was not tried: try it, the one nearer to the best first
///     else if one failed and was not repeated: repeat it from other weights; the lower loss counts
///     else: stop
/// suggestion: exp(sum w_i ln lr_i / sum w_i),  w_i = exp(-(loss_i - best) / t)
/// t = max(0.1 s, resolution),  s = min(best, untrained - best),  best = the lowest loss
/// ```
///
/// A failed cycle is repeated once. A short cycle climbs more steeply than the full run, and
/// without batch norm an unlucky start can die on the way to a peak that the full run would
/// tolerate.
///
/// The result is a weighted mean on log-lr, not the best candidate: near the optimum the losses
/// hardly differ, and the lowest one is chosen by chance. For the same reason the search covers all
/// candidates with equal losses, not only the neighbours of the best: the middle of a flat bottom
/// depends little on the starting point.
///
/// If the lowest loss is 0 or negative, `s` is the descent. The resolution is the smallest difference
/// of losses that the held-out images can show; see [`with_resolution`](Self::with_resolution).
///
/// ```
/// use onecycle::range_test::{CycleSearch, Verdict};
/// let mut search = CycleSearch::new(0.7, 2.3, 6)?;
/// while let Some(lr_max) = search.next_lr_max() {
///     // Train a short cycle with this peak; here, a loss that is lowest at 0.3.
///     let loss = 0.5 + 0.1 * f64::powi((lr_max / 0.3_f64).ln(), 2);
///     search.record(loss);
/// }
/// let tried: Vec<f64> = search.tried().iter().map(|one| one.lr_max).collect();
/// assert_eq!(tried, [0.8, 0.4, 0.2, 0.1]);
/// assert!((search.suggestion().lr.unwrap() / 0.3).ln().abs() < 0.1);
/// assert_eq!(search.suggestion().verdict, Verdict::Ok);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleSearch {
    /// Exponent of the first candidate.
    start: i32,
    /// Loss of the untrained network.
    untrained: f64,
    /// Maximum number of cycles, after those that came before one learned anything.
    most: usize,
    /// Smallest difference of losses that means anything.
    #[serde(default)]
    resolution: f64,
    /// Number of successive lower candidates that must be worse to end the search downwards.
    #[serde(default = "one")]
    patience: usize,
    /// Candidates in the order in which they were tried.
    tried: Vec<Tried>,
}

/// A candidate peak, with the loss of its short cycles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Peak learning rate.
    pub lr_max: f64,
    /// Held-out loss at the end of the cycle, the lower of two cycles; infinite if it diverged.
    pub loss: f64,
    /// Number of cycles with this peak: 1, or 2 if the first failed.
    pub cycles: usize,
    /// `lr_max = 0.1 · 2^exponent`.
    exponent: i32,
}

/// Why a search tries a peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SearchReason {
    /// The first one is that of the range test.
    Start,
    /// No cycle has learned anything yet.
    NothingLearned,
    /// It is not known yet where the loss rises below the peak with the lowest loss.
    Lower {
        /// The peak with the lowest loss.
        best: f64,
    },
    /// The same above it.
    Higher {
        /// The peak with the lowest loss.
        best: f64,
    },
    /// The first try failed.
    SecondTry,
}

/// For people, in a few words.
impl fmt::Display for SearchReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SearchReason::Start => f.write_str("suggested by the range test"),
            SearchReason::NothingLearned => f.write_str("nothing has learned yet"),
            SearchReason::Lower { best } => write!(f, "is less than {best} better?"),
            SearchReason::Higher { best } => write!(f, "is more than {best} better?"),
            SearchReason::SecondTry => f.write_str("again, because the first try failed"),
        }
    }
}

/// End, on one side, of the candidates with losses equal to the best.
struct End<'a> {
    exponent: i32,
    /// `None` if this candidate has not been tried.
    tried: Option<&'a Tried>,
}

impl CycleSearch {
    /// Creates a search that starts at the candidate nearest to `start` and makes at most `most`
    /// cycles, not counting those before the first one that learned anything. `untrained` is the loss
    /// of the network before any training: measured, or the logarithm of the number of classes.
    ///
    /// # Errors
    /// Returns an error if `start` is not positive, `untrained` is not finite, or `most` is
    /// below 3.
    pub fn new(start: f64, untrained: f64, most: usize) -> Result<Self, PolicyError> {
        check::positive("start", start)?;
        check::finite("untrained", untrained)?;
        check::ensure(most >= 3, "most", most as f64, "at least 3")?;
        Ok(CycleSearch {
            start: math::round(math::ln(start / ANCHOR) / LN_2) as i32,
            untrained,
            most,
            resolution: 0.0,
            patience: one(),
            tried: Vec::new(),
        })
    }

    /// Sets how many successive lower candidates must be worse than the best to end the search
    /// downwards; 1 by default, and at least 1. With a few held-out images a cycle can fail by
    /// chance at a rate that works, and a single failure would hide all lower rates.
    pub fn with_patience(self, patience: usize) -> Self {
        CycleSearch {
            patience: patience.max(1),
            ..self
        }
    }

    /// Sets the smallest difference of losses that means anything, at least 0: losses that differ
    /// by less count as equal.
    ///
    /// If all of a few held-out images are classified correctly, the loss still falls with the rate,
    /// up to the edge of stability, because the network is ever more certain. Without a resolution
    /// the search would choose that edge; with one, it chooses the middle of the rates that work.
    ///
    /// # Errors
    /// Returns an error if `resolution` is negative or not finite.
    pub fn with_resolution(self, resolution: f64) -> Result<Self, PolicyError> {
        check::rate("resolution", resolution)?;
        Ok(CycleSearch { resolution, ..self })
    }

    /// The peak of the next cycle to train; `None` if the search is over.
    pub fn next_lr_max(&self) -> Option<f64> {
        self.next().map(|(exponent, _)| rate(exponent))
    }

    /// Whether the next cycle repeats a peak, and must start from other weights.
    pub fn is_second(&self) -> bool {
        self.next().is_some_and(|(_, second)| second)
    }

    /// Why [`next_lr_max`](Self::next_lr_max) asks for its peak; [`SearchReason::Start`] if the search
    /// is over.
    pub fn reason(&self) -> SearchReason {
        let (Some((exponent, second)), Some(best)) = (self.next(), self.best()) else {
            return SearchReason::Start;
        };
        let lr_max = best.lr_max;
        if second {
            SearchReason::SecondTry
        } else if !self.is_descent(self.untrained - best.loss) {
            SearchReason::NothingLearned
        } else if exponent < best.exponent {
            SearchReason::Lower { best: lr_max }
        } else {
            SearchReason::Higher { best: lr_max }
        }
    }

    /// Records the held-out loss of the cycle requested by [`next_lr_max`](Self::next_lr_max). A
    /// loss that is not finite means divergence. Ignored if the search is over.
    pub fn record(&mut self, loss: f64) {
        let loss = if loss.is_finite() {
            loss
        } else {
            f64::INFINITY
        };
        let Some((exponent, _)) = self.next() else {
            return;
        };
        match self.tried.iter_mut().find(|one| one.exponent == exponent) {
            Some(first) => {
                first.loss = first.loss.min(loss);
                first.cycles += 1;
            }
            None => self.tried.push(Tried {
                lr_max: rate(exponent),
                loss,
                cycles: 1,
                exponent,
            }),
        }
    }

    /// The candidates so far, in the order in which they were tried.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The exponent of the next peak, and whether it is a repetition.
    fn next(&self) -> Option<(i32, bool)> {
        let Some(best) = self.best() else {
            return Some((self.start, false));
        };
        if !self.is_descent(self.untrained - best.loss) {
            let down = match self.tried.last() {
                Some(last) if last.loss.is_infinite() => 1,
                _ => DOWNWARDS,
            };
            let exponents = self.tried.iter().map(|one| one.exponent);
            let below = exponents.clone().min().unwrap_or(self.start) - down;
            let above = exponents.max().unwrap_or(self.start) + 1;
            let diverged = |one: &&Tried| one.exponent == above - 1 && one.loss.is_infinite();
            let may_rise =
                above <= self.start + UPWARDS && !self.tried.iter().any(|one| diverged(&one));
            return match below >= LOWEST {
                true => Some((below, false)),
                false => may_rise.then_some((above, false)),
            };
        }
        let learned = |one: &&Tried| self.is_descent(self.untrained - one.loss);
        let before = self.tried.iter().take_while(|one| !learned(one)).count();
        let made: usize = self.tried.iter().map(|one| one.cycles).sum();
        if made >= self.most + before {
            return None;
        }
        let ends = [-1, 1].map(|direction| self.end(best, direction));
        let untried = ends.iter().filter(|end| end.tried.is_none());
        if let Some(nearest) = untried.min_by_key(|end| end.exponent.abs_diff(best.exponent)) {
            return Some((nearest.exponent, false));
        }
        let failed = |one: &&Tried| one.cycles == 1 && self.has_failed(one, best);
        let mut tried = ends.iter().filter_map(|end| end.tried);
        tried.find(failed).map(|one| (one.exponent, true))
    }

    /// The first candidate below or above the best that was not tried, or whose loss is not equal
    /// to the best. Downwards, as many in a row as the patience must not be equal.
    fn end(&self, best: &Tried, direction: i32) -> End<'_> {
        let needed = if direction < 0 { self.patience } else { 1 };
        let mut worse: Vec<&Tried> = Vec::new();
        let mut exponent = best.exponent;
        loop {
            exponent += direction;
            match self.tried.iter().find(|one| one.exponent == exponent) {
                None => {
                    return End {
                        exponent,
                        tried: None,
                    };
                }
                Some(one) if self.is_alike(one, best) => worse.clear(),
                Some(one) => worse.push(one),
            }
            if let (Some(first), true) = (worse.first(), worse.len() >= needed) {
                return End {
                    exponent: first.exponent,
                    tried: Some(first),
                };
            }
        }
    }

    fn is_alike(&self, one: &Tried, best: &Tried) -> bool {
        let descent = self.untrained - best.loss;
        self.is_descent(descent) && one.loss - best.loss <= self.tolerance(best)
    }

    /// Losses that differ by less count as equal.
    fn tolerance(&self, best: &Tried) -> f64 {
        (ALIKE * self.scale(best)).max(self.resolution)
    }

    /// The scale for differences of losses.
    fn scale(&self, best: &Tried) -> f64 {
        let descent = self.untrained - best.loss;
        if best.loss > 0.0 {
            descent.min(best.loss)
        } else {
            descent
        }
    }

    fn has_failed(&self, one: &Tried, best: &Tried) -> bool {
        let descent = self.untrained - best.loss;
        self.is_descent(descent) && one.loss - best.loss > FAILED * descent
    }

    fn is_descent(&self, descent: f64) -> bool {
        descent > LEAST_DESCENT * self.untrained.abs()
    }

    /// The cycle with the lowest loss. On ties, such as several that diverged, the one with the
    /// lowest rate.
    fn best(&self) -> Option<&Tried> {
        let order = |a: &&Tried, b: &&Tried| {
            let by_loss = a.loss.total_cmp(&b.loss);
            by_loss.then(a.exponent.cmp(&b.exponent))
        };
        self.tried.iter().min_by(order)
    }

    /// The suggestion from the cycles so far. The verdict is [`Verdict::TooShort`] before the first
    /// cycle and [`Verdict::NoDescent`] if no cycle learned anything.
    pub fn suggestion(&self) -> Suggestion {
        let none = |verdict| Suggestion { lr: None, verdict };
        let Some(best) = self.best() else {
            return none(Verdict::TooShort);
        };
        let descent = self.untrained - best.loss;
        if !self.is_descent(descent) {
            return none(Verdict::NoDescent);
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for one in &self.tried {
            let weight = math::exp(-(one.loss - best.loss) / self.tolerance(best));
            sum += weight * math::ln(one.lr_max);
            weights += weight;
        }
        Suggestion {
            lr: Some(math::exp(sum / weights)),
            verdict: Verdict::Ok,
        }
    }
}

fn one() -> usize {
    1
}

fn rate(exponent: i32) -> f64 {
    ANCHOR * math::pow(2.0, f64::from(exponent))
}
