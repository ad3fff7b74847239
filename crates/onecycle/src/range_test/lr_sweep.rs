use serde::{Deserialize, Serialize};

use crate::{Count, PolicyError, check, math};

/// How the learning rates of an [`LrSweep`] are spaced between its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Equal ratios: `start (end / start)^r`.
    Exponential,
    /// Equal differences: `start + r (end - start)`. Smith used it.
    Linear,
}

/// The fraction `r` of the way at step `k` of `n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Counting {
    /// `k / (n - 1)`: both bounds are visited.
    Closed,
    /// `k / n`: the end is never reached.
    OpenEnd,
    /// `(k + 1) / n`: the start is never visited.
    OpenStart,
}

/// The learning rates of a range test, from the smallest to the largest.
///
/// ```
/// use onecycle::range_test::LrSweep;
/// let rates = |sweep: LrSweep| sweep.iter().map(|lr| format!("{lr:.3}")).collect::<Vec<_>>();
/// assert_eq!(rates(LrSweep::exponential(0.001, 1.0, 4)?), ["0.001", "0.010", "0.100", "1.000"]);
/// assert_eq!(rates(LrSweep::linear(0.0, 3.0, 4)?), ["0.000", "1.000", "2.000", "3.000"]);
/// # Ok::<(), onecycle::PolicyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LrSweep {
    start: f64,
    end: f64,
    #[serde(alias = "steps")]
    num_steps: u64,
    spacing: Spacing,
    counting: Counting,
}

impl LrSweep {
    /// Equal ratios from `start` to `end`, both included: `start (end / start)^(k / (num_steps -
    /// 1))`.
    ///
    /// # Errors
    /// Returns an error if `start` is not positive, `end` is not above `start`, or `num_steps` is
    /// below 2.
    pub fn exponential(start: f64, end: f64, num_steps: impl Count) -> Result<Self, PolicyError> {
        LrSweep::new(
            start,
            end,
            num_steps.count(),
            Spacing::Exponential,
            Counting::Closed,
        )
    }

    /// Equal differences from `start` to `end`, both included: `start + k (end - start) /
    /// (num_steps - 1)`.
    ///
    /// # Errors
    /// Returns an error if `start` is negative, `end` is not above `start`, or `num_steps` is
    /// below 2.
    pub fn linear(start: f64, end: f64, num_steps: impl Count) -> Result<Self, PolicyError> {
        LrSweep::new(
            start,
            end,
            num_steps.count(),
            Spacing::Linear,
            Counting::Closed,
        )
    }

    /// fastai's `lr_find`: `start (end / start)^(k / num_steps)`. Its end is never reached.
    ///
    /// # Errors
    /// The same as for [`LrSweep::exponential`].
    pub fn fastai(start_lr: f64, end_lr: f64, num_it: u64) -> Result<Self, PolicyError> {
        LrSweep::new(
            start_lr,
            end_lr,
            num_it,
            Spacing::Exponential,
            Counting::OpenEnd,
        )
    }

    /// The sweep of torch-lr-finder's `range_test`: `step_mode` "exp" gives the rates of
    /// [`LrSweep::exponential`], "linear" those of [`LrSweep::linear`].
    ///
    /// # Errors
    /// The same as for [`LrSweep::exponential`] and [`LrSweep::linear`].
    pub fn torch_lr_finder(
        start_lr: f64,
        end_lr: f64,
        num_iter: u64,
        step_mode: Spacing,
    ) -> Result<Self, PolicyError> {
        LrSweep::new(start_lr, end_lr, num_iter, step_mode, Counting::Closed)
    }

    /// Ignite's `FastaiLRFinder`: its exponential sweep omits the start, its linear sweep the end.
    ///
    /// # Errors
    /// The same as for [`LrSweep::exponential`] and [`LrSweep::linear`].
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
        LrSweep::new(start_lr, end_lr, num_iter, step_mode, counting)
    }

    fn new(
        start: f64,
        end: f64,
        num_steps: u64,
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
        check::ensure(num_steps >= 2, "num_steps", num_steps as f64, "at least 2")?;
        Ok(LrSweep {
            start,
            end,
            num_steps,
            spacing,
            counting,
        })
    }

    /// Number of learning rates, one per update.
    pub fn num_steps(&self) -> u64 {
        self.num_steps
    }

    /// How the learning rates are spaced.
    pub fn spacing(&self) -> Spacing {
        self.spacing
    }

    /// Smallest and largest rate. Some sweeps of other tools omit one of them.
    pub fn bounds(&self) -> (f64, f64) {
        (self.start, self.end)
    }

    /// The learning rate of update `step`, counted from 0. Past the end it is the last rate.
    pub fn at(&self, step: impl Count) -> f64 {
        let step = step.count().min(self.num_steps - 1);
        let (k, n) = (math::real(step), math::real(self.num_steps));
        let r = match self.counting {
            Counting::Closed if step == self.num_steps - 1 => return self.end,
            Counting::Closed => k / (n - 1.0),
            Counting::OpenEnd => k / n,
            Counting::OpenStart => (k + 1.0) / n,
        };
        match self.spacing {
            Spacing::Exponential => self.start * math::pow(self.end / self.start, r),
            Spacing::Linear => self.start + r * (self.end - self.start),
        }
    }

    /// All learning rates in increasing order.
    pub fn iter(&self) -> impl Iterator<Item = f64> + '_ {
        (0..self.num_steps).map(|step| self.at(step))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use super::*;

    #[test]
    fn both_bounds_are_visited() {
        for steps in [2, 3, 100, 1237] {
            let exponential = LrSweep::exponential(3e-7, 7.3, steps).unwrap();
            let linear = LrSweep::linear(0.0, 3.1, steps).unwrap();
            for sweep in [exponential, linear] {
                let (start, end) = sweep.bounds();
                assert_eq!((sweep.at(0), sweep.at(steps - 1)), (start, end));
                assert_eq!(sweep.at(steps + 5), end);
            }
        }
    }

    #[test]
    fn impossible_sweeps_are_refused() {
        assert!(matches!(
            LrSweep::exponential(0.0, 1.0, 10),
            Err(PolicyError::OutOfRange { name: "start", .. })
        ));
        assert!(matches!(
            LrSweep::linear(2.0, 1.0, 10),
            Err(PolicyError::Order { low_value: 2.0, .. })
        ));
        assert!(matches!(
            LrSweep::linear(1.0, 1.0, 10),
            Err(PolicyError::OutOfRange { name: "end", .. })
        ));
        assert!(matches!(
            LrSweep::linear(0.0, f64::NAN, 10),
            Err(PolicyError::NotFinite { name: "end", .. })
        ));
        assert!(matches!(
            LrSweep::fastai(1e-7, 10.0, 1),
            Err(PolicyError::OutOfRange {
                name: "num_steps",
                ..
            })
        ));
    }
}
