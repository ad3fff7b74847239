use serde::{Deserialize, Serialize};

use crate::{PolicyError, check, math};

/// How the rungs of a [`Ladder`] lie between its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Equal ratios: `start (end / start)^r`.
    Exponential,
    /// Equal differences: `start + r (end - start)`. Smith's own.
    Linear,
}

/// Which share `r` of the way the rung `k` of `n` stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Counting {
    /// `k / (n - 1)`: both bounds are rungs.
    Closed,
    /// `k / n`: the end is never reached.
    OpenEnd,
    /// `(k + 1) / n`: the start is never visited.
    OpenStart,
}

/// The learning rates of a range test, from the smallest to the largest.
///
/// ```
/// use onecycle::range_test::Ladder;
/// let rates = |ladder: Ladder| ladder.iter().map(|lr| format!("{lr:.3}")).collect::<Vec<_>>();
/// assert_eq!(rates(Ladder::exponential(0.001, 1.0, 4)?), ["0.001", "0.010", "0.100", "1.000"]);
/// assert_eq!(rates(Ladder::linear(0.0, 3.0, 4)?), ["0.000", "1.000", "2.000", "3.000"]);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    start: f64,
    end: f64,
    steps: u64,
    spacing: Spacing,
    counting: Counting,
}

impl Ladder {
    /// Equal ratios from `start` to `end`, both of them rungs: `start (end / start)^(k / (steps - 1))`.
    ///
    /// # Errors
    /// `start` not above 0, `end` not above `start`, fewer than two steps.
    pub fn exponential(start: f64, end: f64, steps: u64) -> Result<Self, PolicyError> {
        Ladder::new(start, end, steps, Spacing::Exponential, Counting::Closed)
    }

    /// Equal differences from `start` to `end`, both of them rungs: `start + k (end - start) / (steps - 1)`.
    ///
    /// # Errors
    /// `start` below 0, `end` not above `start`, fewer than two steps.
    pub fn linear(start: f64, end: f64, steps: u64) -> Result<Self, PolicyError> {
        Ladder::new(start, end, steps, Spacing::Linear, Counting::Closed)
    }

    /// fastai's `lr_find`: `start (end / start)^(k / steps)`. Its end is never reached.
    ///
    /// # Errors
    /// As [`Ladder::exponential`].
    pub fn fastai(start_lr: f64, end_lr: f64, num_it: u64) -> Result<Self, PolicyError> {
        Ladder::new(
            start_lr,
            end_lr,
            num_it,
            Spacing::Exponential,
            Counting::OpenEnd,
        )
    }

    /// torch-lr-finder's `range_test`, with `step_mode` "exp" or "linear": this crate's own ladders.
    ///
    /// # Errors
    /// As [`Ladder::exponential`] and [`Ladder::linear`].
    pub fn torch_lr_finder(
        start_lr: f64,
        end_lr: f64,
        num_iter: u64,
        step_mode: Spacing,
    ) -> Result<Self, PolicyError> {
        Ladder::new(start_lr, end_lr, num_iter, step_mode, Counting::Closed)
    }

    /// Ignite's `FastaiLRFinder`: its exponential ladder leaves the start out, its linear one the end.
    ///
    /// # Errors
    /// As [`Ladder::exponential`] and [`Ladder::linear`].
    pub fn ignite(
        start_lr: f64,
        end_lr: f64,
        num_iter: u64,
        step_mode: Spacing,
    ) -> Result<Self, PolicyError> {
        let counting = match step_mode {
            Spacing::Exponential => Counting::OpenStart,
            Spacing::Linear => Counting::OpenEnd,
        };
        Ladder::new(start_lr, end_lr, num_iter, step_mode, counting)
    }

    fn new(
        start: f64,
        end: f64,
        steps: u64,
        spacing: Spacing,
        counting: Counting,
    ) -> Result<Self, PolicyError> {
        match spacing {
            Spacing::Exponential => check::positive("start", start)?,
            Spacing::Linear => check::rate("start", start)?,
        }
        check::positive("end", end)?;
        check::order("start", start, "end", end)?;
        check::ensure(end > start, "end", end, "a rate above `start`")?;
        check::ensure(steps >= 2, "steps", steps as f64, "at least 2")?;
        Ok(Ladder {
            start,
            end,
            steps,
            spacing,
            counting,
        })
    }

    /// Number of rungs.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// How the rungs lie.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Smallest and largest rate. Some ladders named after an original leave one of them out.
    pub fn bounds(&self) -> (f64, f64) {
        (self.start, self.end)
    }

    /// The learning rate of update `step`, counted from 0; past the end that of the last rung.
    pub fn at(&self, step: u64) -> f64 {
        let step = step.min(self.steps - 1);
        let (k, n) = (math::real(step), math::real(self.steps));
        let r = match self.counting {
            Counting::Closed if step == self.steps - 1 => return self.end,
            Counting::Closed => k / (n - 1.0),
            Counting::OpenEnd => k / n,
            Counting::OpenStart => (k + 1.0) / n,
        };
        match self.spacing {
            Spacing::Exponential => self.start * math::pow(self.end / self.start, r),
            Spacing::Linear => self.start + r * (self.end - self.start),
        }
    }

    /// All rates, the smallest first.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.steps).map(|step| self.at(step))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    #[test]
    fn bounds_are_rungs() {
        for steps in [2, 3, 100, 1237] {
            let exponential = Ladder::exponential(3e-7, 7.3, steps).unwrap();
            let linear = Ladder::linear(0.0, 3.1, steps).unwrap();
            for ladder in [exponential, linear] {
                let (start, end) = ladder.bounds();
                assert_eq!((ladder.at(0), ladder.at(steps - 1)), (start, end));
                assert_eq!(ladder.at(steps + 5), end);
            }
        }
    }

    #[test]
    fn impossible_ladders_are_refused() {
        assert!(matches!(
            Ladder::exponential(0.0, 1.0, 10),
            Err(PolicyError::OutOfRange { name: "start", .. })
        ));
        assert!(matches!(
            Ladder::linear(2.0, 1.0, 10),
            Err(PolicyError::Order { low_value: 2.0, .. })
        ));
        assert!(matches!(
            Ladder::linear(1.0, 1.0, 10),
            Err(PolicyError::OutOfRange { name: "end", .. })
        ));
        assert!(matches!(
            Ladder::linear(0.0, f64::NAN, 10),
            Err(PolicyError::NotFinite { name: "end", .. })
        ));
        assert!(matches!(
            Ladder::fastai(1e-7, 10.0, 1),
            Err(PolicyError::OutOfRange { name: "steps", .. })
        ));
    }
}
