use alloc::vec::Vec;
use core::f64::consts::LN_2;

use serde::{Deserialize, Serialize};

use super::{Suggestion, Verdict};
use crate::{PolicyError, check, math};

/// Candidates are this rate times a power of two: everyone's grid is the same, whatever the range test said to begin at.
const ANCHOR: f64 = 0.1;
/// Losses are alike that differ by this share of the lowest, or of the descent to it where that is less.
const ALIKE: f64 = 0.1;
/// A cycle that loses more than this share of the best descent failed: it diverged, or its network died on the way up.
const FAILED: f64 = 0.5;
/// A descent below this share of the loss at the start is none.
const LEAST_DESCENT: f64 = 0.02;

/// The maximum for one cycle by trial: a few short cycles whose peaks are a factor of two apart, judged by the loss on
/// images that they were not trained on.
///
/// A range test sees each rate for a single update. Where batch norm makes the loss independent of the weights' scale it
/// sees no wall before rates at which a cycle has long lost accuracy; and where a rate diverges only after some updates it
/// is already past it. A short cycle is the thing itself, only shorter. It costs more, so the range test says where to begin,
/// and no more of them are made than it takes to see the loss rise on both sides.
///
/// ```text
/// begin at 0.1 · 2^k next to the range test's rate
/// while more may be made:
///     go from the best candidate down, and up, to the first that is not tried or whose loss is more than 0.1 s higher
///     if one is not tried: try it, the nearer to the best first
///     else if one failed, once: try it again from other weights; the lower loss counts
///     else: end
/// answer: exp(sum w_i ln lr_i / sum w_i),  w_i = exp(-(loss_i - best) / (0.1 s))
/// s = min(best, untrained - best),  best = the lowest loss
/// ```
///
/// A failure is looked at twice: a short cycle climbs more steeply than the run, and without batch norm an unlucky start can
/// die on the way to a peak that the run would bear.
///
/// The mean on log-lr, not the best candidate: near the optimum the losses hardly differ, and which is the lowest is
/// chance. For the same reason all candidates that are alike are looked for, and not the best one's neighbours alone: the
/// middle of a flat bottom depends little on where the search began.
///
/// Where the lowest loss is 0 or negative, `s` is the descent.
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
    /// Cycles that may be made.
    most: usize,
    /// In the order in which they were made.
    tried: Vec<Tried>,
}

/// One short cycle.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tried {
    /// Its peak.
    pub lr_max: f64,
    /// Loss on held-out images at its end, the lower one of two cycles; infinite where it diverged.
    pub loss: f64,
    /// Cycles with this peak: 1, or 2 where the first failed.
    pub cycles: usize,
    /// `lr_max = 0.1 · 2^exponent`.
    exponent: i32,
}

/// Where the candidates that are as good as the best end.
struct End<'a> {
    exponent: i32,
    /// None where there was no cycle yet.
    tried: Option<&'a Tried>,
}

impl CycleSearch {
    /// A search from the candidate nearest to `start` on, of at most `most` cycles, for a network whose loss before any
    /// training is `untrained` (the logarithm of the number of classes, or measured).
    ///
    /// # Errors
    /// `start` not above 0, `untrained` not finite, fewer than three cycles.
    pub fn new(start: f64, untrained: f64, most: usize) -> Result<Self, PolicyError> {
        check::positive("start", start)?;
        check::finite("untrained", untrained)?;
        check::ensure(most >= 3, "most", most as f64, "at least 3")?;
        Ok(CycleSearch {
            start: math::round(math::ln(start / ANCHOR) / LN_2) as i32,
            untrained,
            most,
            tried: Vec::new(),
        })
    }

    /// The peak of the next cycle to make; none when there have been enough.
    pub fn next_lr_max(&self) -> Option<f64> {
        self.next().map(|(exponent, _)| rate(exponent))
    }

    /// Whether the next cycle is the second with its peak, and is to begin from other weights.
    pub fn is_second(&self) -> bool {
        self.next().is_some_and(|(_, second)| second)
    }

    /// Takes the held-out loss of the cycle that [`next_lr_max`](Self::next_lr_max) asked for. Anything not finite is a
    /// divergence. Ignored when nothing was asked for.
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

    /// The peaks so far, in their order.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The exponent of the next peak, and whether it is tried for the second time.
    fn next(&self) -> Option<(i32, bool)> {
        let made: usize = self.tried.iter().map(|one| one.cycles).sum();
        if made >= self.most {
            return None;
        }
        let Some(best) = self.best() else {
            return Some((self.start, false));
        };
        let ends = [-1, 1].map(|direction| self.end(best, direction));
        let untried = ends.iter().filter(|end| end.tried.is_none());
        if let Some(nearest) = untried.min_by_key(|end| end.exponent.abs_diff(best.exponent)) {
            return Some((nearest.exponent, false));
        }
        let failed = |one: &&Tried| one.cycles == 1 && self.has_failed(one, best);
        let mut tried = ends.iter().filter_map(|end| end.tried);
        tried.find(failed).map(|one| (one.exponent, true))
    }

    /// From the best on, down or up: the first candidate that is not tried, or whose loss is not alike.
    fn end(&self, best: &Tried, direction: i32) -> End<'_> {
        let mut exponent = best.exponent;
        loop {
            exponent += direction;
            let tried = self.tried.iter().find(|one| one.exponent == exponent);
            if !tried.is_some_and(|one| self.is_alike(one, best)) {
                return End { exponent, tried };
            }
        }
    }

    fn is_alike(&self, one: &Tried, best: &Tried) -> bool {
        let descent = self.untrained - best.loss;
        self.is_descent(descent) && one.loss - best.loss <= ALIKE * self.scale(best)
    }

    /// What differences of losses are shares of.
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

    /// The cycle with the lowest loss; of equals, as of several that diverged, the one of the lowest rate.
    fn best(&self) -> Option<&Tried> {
        let order = |a: &&Tried, b: &&Tried| {
            let by_loss = a.loss.total_cmp(&b.loss);
            by_loss.then(a.exponent.cmp(&b.exponent))
        };
        self.tried.iter().min_by(order)
    }

    /// What the cycles so far say. [`Verdict::TooShort`] before the first, [`Verdict::NoDescent`] where none learnt anything.
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
            let weight = math::exp(-(one.loss - best.loss) / (ALIKE * self.scale(best)));
            sum += weight * math::ln(one.lr_max);
            weights += weight;
        }
        Suggestion {
            lr: Some(math::exp(sum / weights)),
            verdict: Verdict::Ok,
        }
    }
}

fn rate(exponent: i32) -> f64 {
    ANCHOR * math::pow(2.0, f64::from(exponent))
}
