use alloc::vec::Vec;
use core::{convert::Infallible, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use super::{Conditions, LossCurve, LrSweep, Validation, smooth::median};
use crate::{Count, Hyper, Plan, PolicyError};

/// Number of losses whose median is the current level. A single spike is not divergence.
const WINDOW: usize = 5;
/// The test has diverged if the current level exceeds the best one by this multiple of the descent
/// from start to best, that is half a descent above the start. Every rule can then see the rise.
const STOP_RISE: f64 = 1.5;
/// Minimum descent, as a multiple of the scatter of the losses, so that noise alone does not stop a
/// test.
const LEAST_DESCENT: f64 = 8.0;
/// Minimum number of losses for an estimate of the scatter. Estimates from fewer losses are
/// occasionally ten times too small and would stop a test on its flat start.
const FOR_SCATTER: usize = 20;
/// Number of consecutive losses that are not finite and end the test: weights that became NaN do
/// not recover.
const NOT_FINITE_IN_A_ROW: usize = 3;

/// Why a range test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// All steps of the sweep are done.
    Finished,
    /// The loss has risen far above its best level.
    Diverged,
    /// Several losses in a row were NaN or infinite.
    NotFinite,
}

/// Smith's LR range test as a state machine.
///
/// [`run`](Self::run) drives a closure that makes one update. A loop that does more drives the test
/// itself:
///
/// ```text
/// while let Some(hyper) = test.next_hyper()? {
///     for each micro-batch { loss, backward }
///     if test.record(loss).is_break() { break }     // once per micro-batch
///     update(hyper)
///     optionally: test.record_validation(loss, accuracy)
/// }
/// ```
///
/// Parameter groups are the optimizer's concern: scale each [`Hyper`] by
/// [`GroupScale::apply`](crate::GroupScale::apply). The curve then shows the rate of a group with
/// factor 1.
///
/// Divergence is measured against the descent so far, never as a multiple of the best loss. It
/// therefore does not change if losses are negative, shifted or scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeTest {
    sweep: LrSweep,
    base: Hyper,
    accumulation: u32,
    stops_early: bool,
    conditions: Conditions,
    /// Remaining updates of the warm-up.
    warm_up: u64,
    /// The rate that [`next_hyper`](Self::next_hyper) returned, until its loss is recorded.
    pending: Option<f64>,
    /// Losses of the current update's micro-batches.
    micro: Vec<f64>,
    lr: Vec<f64>,
    loss: Vec<f64>,
    validation: Vec<Validation>,
    /// Lowest level so far.
    best: f64,
    stopped: Option<StopReason>,
}

impl RangeTest {
    /// A test that follows `sweep` and stops early, without warm-up or accumulation. It sets only
    /// the learning rate.
    pub fn new(sweep: LrSweep) -> Self {
        RangeTest {
            sweep,
            base: Hyper::new(0.0),
            accumulation: 1,
            stops_early: true,
            conditions: Conditions {
                num_steps: Some(sweep.num_steps()),
                ..Conditions::default()
            },
            warm_up: 0,
            pending: None,
            micro: Vec::new(),
            lr: Vec::new(),
            loss: Vec::new(),
            validation: Vec::new(),
            best: f64::INFINITY,
            stopped: None,
        }
    }

    /// A test for the peak of `plan`: it follows `sweep` with the momentum, weight decay and batch
    /// size of the plan's [peak](Plan::peak_step). A rate found under other values does not hold
    /// for the plan.
    ///
    /// ```
    /// use onecycle::{OneCycle, Run, range_test::{LrSweep, RangeTest}};
    /// let one_cycle = OneCycle::new(0.1).weight_decay(1e-4); // 0.1 is a placeholder
    /// let plan = one_cycle.plan(&Run::steps(1000))?;
    /// let mut test = RangeTest::for_plan(&plan, LrSweep::exponential(1e-5, 10.0, 150)?);
    /// let first = test.next_hyper()?.unwrap();
    /// assert_eq!(first.to_string(), "lr 1e-5, momentum 0.85, weight decay 0.0001");
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    pub fn for_plan(plan: &Plan, sweep: LrSweep) -> Self {
        RangeTest::new(sweep).with_base(plan.at(plan.peak_step()))
    }

    /// Sets momentum, weight decay and batch size for every update, and records them as the curve's
    /// conditions.
    #[must_use]
    pub fn with_base(mut self, base: Hyper) -> Self {
        self.conditions.momentum = base.momentum;
        self.conditions.weight_decay = base.weight_decay;
        self.conditions.batch_size = base.batch_size;
        self.base = base;
        self
    }

    /// Sets the conditions recorded with the curve. Warm-up and number of steps are not changed.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = Conditions {
            warm_up: self.conditions.warm_up,
            num_steps: self.conditions.num_steps,
            ..conditions
        };
        self
    }

    /// Starts with `updates` unrecorded updates at the first rate, so that batch norm's running
    /// statistics and the optimizer's averages settle.
    #[must_use]
    pub fn with_warm_up(mut self, updates: impl Count) -> Self {
        let updates = updates.count();
        self.conditions.warm_up = (updates > 0).then_some(updates);
        self.warm_up = updates;
        self
    }

    /// Sets the number of micro-batches per update: [`record`](RangeTest::record) must be called
    /// for each of them. 0 counts as 1.
    #[must_use]
    pub fn with_accumulation(mut self, micro_batches: u32) -> Self {
        self.accumulation = micro_batches.max(1);
        self
    }

    /// Runs to the end of the sweep, regardless of the losses.
    #[must_use]
    pub fn to_the_end(mut self) -> Self {
        self.stops_early = false;
        self
    }

    /// Runs the test with a closure that makes one update under the given hyper-parameters and
    /// returns the loss before it, as the mean over its micro-batches.
    ///
    /// ```
    /// use onecycle::range_test::{LrSweep, RangeTest, Rule};
    /// // Gradient descent on x² / 2 with a little noise diverges above lr = 2.
    /// let (mut x, mut noise): (f64, f64) = (10.0, 0.1);
    /// let curve = RangeTest::new(LrSweep::exponential(1e-4, 10.0, 200)?).run(|hyper| {
    ///     let loss = x * x / 2.0;
    ///     noise = -noise;
    ///     x -= hyper.lr * (x + noise);
    ///     loss
    /// });
    /// let lr = Rule::OneCycleMax.apply(&curve).lr.unwrap();
    /// assert!((1.0..6.0).contains(&lr));
    /// # Ok::<(), onecycle::PolicyError>(())
    /// ```
    pub fn run(self, mut update: impl FnMut(Hyper) -> f64) -> LossCurve {
        let Ok(curve) = self.try_run(|hyper| Ok::<_, Infallible>(update(hyper)));
        curve
    }

    /// [`run`](Self::run) with a closure that can fail.
    ///
    /// # Errors
    /// The first error of the closure.
    pub fn try_run<E>(
        mut self,
        mut update: impl FnMut(Hyper) -> Result<f64, E>,
    ) -> Result<LossCurve, E> {
        while let Some(hyper) = self.upcoming() {
            let loss = update(hyper)?;
            if self.record_update(loss).is_break() {
                break;
            }
        }
        Ok(self.into_curve())
    }

    /// The hyper-parameters of the next update; `None` if the test is over.
    ///
    /// # Errors
    /// Returns [`PolicyError::LossNotRecorded`] if the losses of the update before were not
    /// [recorded](Self::record): without them the test would never advance.
    pub fn next_hyper(&mut self) -> Result<Option<Hyper>, PolicyError> {
        if let Some(lr) = self.pending {
            return Err(PolicyError::LossNotRecorded {
                lr,
                recorded: self.micro.len(),
                expected: self.accumulation as usize,
            });
        }
        let next = self.upcoming();
        self.pending = next.map(|hyper| hyper.lr);
        Ok(next)
    }

    fn upcoming(&self) -> Option<Hyper> {
        if self.stop_reason().is_some() {
            return None;
        }
        Some(Hyper {
            lr: self.sweep.at(self.lr.len() as u64),
            ..self.base
        })
    }

    /// Records the training loss of a micro-batch, measured before the update. After the last
    /// micro-batch of an update, their mean becomes the update's loss.
    ///
    /// Any number is accepted. After the end, nothing is recorded.
    ///
    /// Returns `Break` with the reason if the test is over; the update for that loss can then be
    /// skipped.
    pub fn record(&mut self, loss: f64) -> ControlFlow<StopReason> {
        if let Some(reason) = self.stop_reason() {
            return ControlFlow::Break(reason);
        }
        self.micro.push(loss);
        if self.micro.len() < self.accumulation as usize {
            return ControlFlow::Continue(());
        }
        let mean = self.micro.iter().sum::<f64>() / self.micro.len() as f64;
        self.micro.clear();
        self.record_update(mean)
    }

    /// Records the loss of a whole update.
    fn record_update(&mut self, mean: f64) -> ControlFlow<StopReason> {
        self.pending = None;
        if self.warm_up > 0 {
            self.warm_up -= 1;
            return ControlFlow::Continue(());
        }
        self.lr.push(self.sweep.at(self.lr.len() as u64));
        self.loss.push(mean);
        if self.stops_early {
            self.stopped = self.look();
        }
        self.stopped
            .map_or(ControlFlow::Continue(()), ControlFlow::Break)
    }

    /// Records a validation loss, an accuracy (0 to 1), or both, for the network after the last
    /// update. Ignored before the first recorded update, and if one was already recorded after the
    /// same update.
    pub fn record_validation(&mut self, loss: Option<f64>, accuracy: Option<f64>) {
        let after = self.lr.len();
        if after > self.validation.last().map_or(0, |last| last.after) {
            self.validation.push(Validation {
                after,
                loss,
                accuracy,
            });
        }
    }

    /// Why the test ended; `None` if it has not.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let finished = self.lr.len() as u64 >= self.sweep.num_steps();
        self.stopped.or(finished.then_some(StopReason::Finished))
    }

    /// Total number of updates, including the warm-up, if nothing stops the test early.
    pub fn total_updates(&self) -> u64 {
        self.conditions.warm_up.unwrap_or(0) + self.sweep.num_steps()
    }

    /// Number of losses to [`record`](RangeTest::record) per update.
    pub fn accumulation(&self) -> u32 {
        self.accumulation
    }

    /// Number of recorded updates.
    pub fn recorded(&self) -> usize {
        self.lr.len()
    }

    /// The curve recorded so far.
    pub fn into_curve(self) -> LossCurve {
        LossCurve::recorded(self.lr, self.loss, self.validation, self.conditions)
    }

    /// Whether the latest loss ends the test.
    fn look(&mut self) -> Option<StopReason> {
        let losses = &self.loss;
        let not_finite = losses.iter().rev().take_while(|l| !l.is_finite()).count();
        if not_finite >= NOT_FINITE_IN_A_ROW {
            return Some(StopReason::NotFinite);
        }
        let finite = |losses: &[f64]| -> Vec<f64> {
            losses.iter().copied().filter(|l| l.is_finite()).collect()
        };
        let n = losses.len();
        if n < FOR_SCATTER {
            return None;
        }
        let level = median(finite(&losses[n - WINDOW..]));
        self.best = self.best.min(level);
        let start = median(finite(&losses[..WINDOW]));
        // For normal errors, the median difference of neighbours equals the standard deviation to
        // within 5 %.
        let scatter = median(
            finite(losses)
                .windows(2)
                .map(|pair| (pair[1] - pair[0]).abs()),
        );
        let descent = (start - self.best).max(LEAST_DESCENT * scatter);
        (level > self.best + STOP_RISE * descent && descent > 0.0).then_some(StopReason::Diverged)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a failed unwrap is a failed test
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::{OneCycle, Run, math};

    /// The recorded losses of a test whose loss is a function of the learning rate.
    fn run(mut test: RangeTest, loss: impl Fn(f64) -> f64) -> (LossCurve, StopReason) {
        while let Some(hyper) = test.next_hyper().unwrap() {
            if test.record(loss(hyper.lr)).is_break() {
                break;
            }
        }
        let reason = test.stop_reason().unwrap();
        (test.into_curve(), reason)
    }

    fn sweep() -> LrSweep {
        LrSweep::exponential(1e-4, 1e2, 121).unwrap()
    }

    /// Falls by 1 around lr = 0.01, rises without limit from 1 on.
    fn valley(lr: f64) -> f64 {
        -1.0 / (1.0 + math::pow(0.01 / lr, 2.0)) + lr * lr
    }

    #[test]
    fn a_rise_stops_whatever_level_and_scale() {
        let (_, plain) = run(RangeTest::new(sweep()), valley);
        let (curve, _) = run(RangeTest::new(sweep()), valley);
        assert_eq!(plain, StopReason::Diverged);
        assert!(curve.len() < 100, "{}", curve.len());
        for (scale, shift) in [(1.0, 1000.0), (1.0, -1000.0), (1e-6, 0.0), (1e6, 7.0)] {
            let (other, reason) = run(RangeTest::new(sweep()), |lr| scale * valley(lr) + shift);
            assert_eq!((other.len(), reason), (curve.len(), plain));
        }
    }

    #[test]
    fn what_never_rises_goes_to_the_end() {
        let falling = |lr: f64| 1.0 - lr / 100.0;
        let (curve, reason) = run(RangeTest::new(sweep()), falling);
        assert_eq!((curve.len(), reason), (121, StopReason::Finished));
        let (curve, reason) = run(RangeTest::new(sweep()), |_| 2.5);
        assert_eq!((curve.len(), reason), (121, StopReason::Finished));
        let (curve, reason) = run(RangeTest::new(sweep()).to_the_end(), valley);
        assert_eq!((curve.len(), reason), (121, StopReason::Finished));
    }

    #[test]
    fn one_bad_loss_is_passed_over_and_three_are_not() {
        let nan_above = |limit: f64| move |lr: f64| if lr > limit { f64::NAN } else { 1.0 };
        let (curve, reason) = run(RangeTest::new(sweep()), nan_above(0.1));
        assert_eq!(reason, StopReason::NotFinite);
        assert_eq!(curve.loss().iter().filter(|l| l.is_nan()).count(), 3);
        let once = |lr: f64| {
            if (0.085..0.095).contains(&lr) {
                f64::INFINITY
            } else {
                1.0
            }
        };
        let (curve, reason) = run(RangeTest::new(sweep()), once);
        assert_eq!(reason, StopReason::Finished);
        assert_eq!(curve.loss().iter().filter(|l| l.is_infinite()).count(), 1);
    }

    #[test]
    fn warm_up_and_accumulation() {
        let mut test = RangeTest::new(LrSweep::linear(1.0, 3.0, 3).unwrap())
            .with_warm_up(2)
            .with_accumulation(2);
        assert_eq!(test.total_updates(), 5);
        let mut asked = Vec::new();
        let mut loss = 0.0;
        while let Some(hyper) = test.next_hyper().unwrap() {
            asked.push(hyper.lr);
            for _ in 0..2 {
                loss += 1.0;
                assert_eq!(test.record(loss), ControlFlow::Continue(()));
                test.record_validation(None, Some(loss / 100.0));
            }
        }
        assert_eq!(asked, [1.0, 1.0, 1.0, 2.0, 3.0]);
        assert_eq!(test.record(9.0), ControlFlow::Break(StopReason::Finished));
        let curve = test.into_curve();
        assert_eq!(
            (curve.lr(), curve.loss()),
            (&[1.0, 2.0, 3.0][..], &[5.5, 7.5, 9.5][..])
        );
        let after: Vec<_> = curve.validation().iter().map(|one| one.after).collect();
        assert_eq!(after, [1, 2, 3]);
        assert_eq!(curve.conditions().warm_up, Some(2));
    }

    #[test]
    fn the_next_update_needs_the_loss_of_the_last() {
        let mut test = RangeTest::new(LrSweep::linear(1.0, 3.0, 3).unwrap()).with_accumulation(2);
        test.next_hyper().unwrap();
        let error = |recorded| {
            Err(PolicyError::LossNotRecorded {
                lr: 1.0,
                recorded,
                expected: 2,
            })
        };
        assert_eq!(test.next_hyper(), error(0));
        let _ = test.record(0.5);
        assert_eq!(test.next_hyper(), error(1));
        let _ = test.record(0.5);
        assert_eq!(test.next_hyper().unwrap().unwrap().lr, 2.0);
    }

    #[test]
    fn a_closure_gives_the_curve_of_a_loop() {
        let test = || RangeTest::new(sweep()).with_warm_up(3).with_accumulation(4);
        let mut asked = Vec::new();
        let curve = test().run(|hyper| {
            asked.push(hyper.lr);
            valley(hyper.lr)
        });
        let (known, _) = run(RangeTest::new(sweep()), valley);
        assert_eq!((curve.lr(), curve.loss()), (known.lr(), known.loss()));
        assert_eq!(curve.conditions().warm_up, Some(3));
        assert_eq!(asked.len(), curve.len() + 3);

        let failing = |hyper: Hyper| match hyper.lr > 0.1 {
            true => Err("no data"),
            false => Ok(1.0),
        };
        assert_eq!(test().try_run(failing), Err("no data"));
    }

    #[test]
    fn conditions_are_those_of_the_peak_of_the_plan() {
        let one_cycle = OneCycle::new(0.8)
            .momentum(0.95, 0.8)
            .weight_decay(1e-3)
            .batch_size(64);
        let plan = one_cycle
            .plan(&Run::epochs(10, 6400_u32, 64_usize))
            .unwrap();
        let mut test = RangeTest::for_plan(&plan, sweep());
        assert_eq!(
            test.next_hyper().unwrap().unwrap().to_string(),
            "lr 0.0001, momentum 0.8, weight decay 0.001, batch size 64"
        );
        let conditions = *test.into_curve().conditions();
        assert_eq!(
            (conditions.momentum, conditions.batch_size),
            (Some(0.8), Some(64))
        );
    }
}
