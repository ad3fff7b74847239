use alloc::{vec, vec::Vec};
use core::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::{Conditions, LossCurve, LrSweep, Validation, smooth::median};
use crate::{GroupScale, Hyper};

/// Losses whose median is the level of the moment. A single spike is not divergence.
const WINDOW: usize = 5;
/// A test has diverged when the level has risen above the best one by this many times the descent from start to best:
/// half of the descent above where it began. Enough for every rule to see the rise.
const STOP_RISE: f64 = 1.5;
/// A descent below this many times the scatter of the losses counts as that much: noise alone does not stop a test.
const LEAST_DESCENT: f64 = 8.0;
/// Losses from which their scatter can be told: of fewer it comes out ten times too small now and then, and a test would stop
/// on its flat beginning.
const FOR_SCATTER: usize = 20;
/// Losses in a row that are not finite: weights that have become NaN do not recover.
const NOT_FINITE_IN_A_ROW: usize = 3;

/// Why a range test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The sweep is at its end.
    Finished,
    /// The loss has risen far above its best level.
    Diverged,
    /// Several losses in a row were NaN or infinite.
    NotFinite,
}

/// Smith's LR range test as a state machine.
///
/// ```text
/// while let Some(hyper) = test.next_hyper() {     // of this update; asking again gives the same
///     for each of the accumulation's micro-batches { loss, backward }
///     if test.record(loss).is_break() { break }    // once a micro-batch
///     update(hyper)
///     now and then: test.record_validation(loss, accuracy)
/// }
/// ```
///
/// Divergence is a rise measured against the descent so far, never a multiple of the best loss, so that it means the
/// same for losses that are negative, shifted or scaled.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeTest {
    sweep: LrSweep,
    base: Hyper,
    groups: Vec<GroupScale>,
    accumulation: u32,
    stops_early: bool,
    conditions: Conditions,
    /// Updates of the warm-up that are still to come.
    warm_up: u64,
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
    /// A test on this sweep: no warm-up, no accumulation, nothing but the learning rate set, stopping early.
    pub fn new(sweep: LrSweep) -> Self {
        RangeTest {
            sweep,
            base: Hyper::new(0.0),
            groups: vec![GroupScale::default()],
            accumulation: 1,
            stops_early: true,
            conditions: Conditions {
                num_steps: Some(sweep.num_steps()),
                ..Conditions::default()
            },
            warm_up: 0,
            micro: Vec::new(),
            lr: Vec::new(),
            loss: Vec::new(),
            validation: Vec::new(),
            best: f64::INFINITY,
            stopped: None,
        }
    }

    /// Takes momentum, weight decay and batch size from `base`, for every update and for the curve's conditions.
    #[must_use]
    pub fn with_base(mut self, base: Hyper) -> Self {
        self.conditions.momentum = base.momentum;
        self.conditions.weight_decay = base.weight_decay;
        self.conditions.batch_size = base.batch_size;
        self.base = base;
        self
    }

    /// Notes the conditions that the curve shall carry. Warm-up and sweep stay as they are.
    #[must_use]
    pub fn with_conditions(mut self, conditions: Conditions) -> Self {
        self.conditions = Conditions {
            warm_up: self.conditions.warm_up,
            num_steps: self.conditions.num_steps,
            ..conditions
        };
        self
    }

    /// Begins with so many updates at the sweep's first rate that are not recorded: batch norm's running statistics
    /// and the optimizer's averages settle.
    #[must_use]
    pub fn with_warm_up(mut self, updates: u64) -> Self {
        self.conditions.warm_up = (updates > 0).then_some(updates);
        self.warm_up = updates;
        self
    }

    /// Makes one update of so many micro-batches: [`record`](RangeTest::record) is called that often for each. 0 is
    /// taken for 1.
    #[must_use]
    pub fn with_accumulation(mut self, micro_batches: u32) -> Self {
        self.accumulation = micro_batches.max(1);
        self
    }

    /// Sets parameter groups, for [`hypers_of_groups`](RangeTest::hypers_of_groups). The curve shows the rate of a group
    /// whose factor is 1.
    #[must_use]
    pub fn with_groups(mut self, groups: Vec<GroupScale>) -> Self {
        self.groups = groups;
        self
    }

    /// Goes on to the sweep's end, whatever the losses.
    #[must_use]
    pub fn to_the_end(mut self) -> Self {
        self.stops_early = false;
        self
    }

    /// Hyper-parameters of the update that comes next; `None` once the test is over.
    pub fn next_hyper(&self) -> Option<Hyper> {
        if self.stop_reason().is_some() {
            return None;
        }
        Some(Hyper {
            lr: self.sweep.at(self.lr.len() as u64),
            ..self.base
        })
    }

    /// The same for each parameter group. Empty once the test is over.
    pub fn hypers_of_groups(&self) -> Vec<Hyper> {
        self.next_hyper().map_or_else(Vec::new, |hyper| {
            self.groups.iter().map(|group| group.apply(hyper)).collect()
        })
    }

    /// Takes the training loss of a micro-batch, measured before the update. With the last of an update's
    /// micro-batches their mean becomes the update's loss.
    ///
    /// Any number is a loss. After the end nothing is recorded.
    ///
    /// Breaks with the reason as soon as the test is over; the update of that loss need not be made.
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

    /// Takes a validation loss, an accuracy (0 to 1), or both, of the network after the last update. Ignored before
    /// the first recorded update, and a second time after the same one.
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

    /// Why the test is over; `None` while it goes on.
    pub fn stop_reason(&self) -> Option<StopReason> {
        let finished = self.lr.len() as u64 >= self.sweep.num_steps();
        self.stopped.or(finished.then_some(StopReason::Finished))
    }

    /// Updates made or to make in all, warm-up included, if nothing stops the test.
    pub fn total_updates(&self) -> u64 {
        self.conditions.warm_up.unwrap_or(0) + self.sweep.num_steps()
    }

    /// Losses to [`record`](RangeTest::record) an update.
    pub fn accumulation(&self) -> u32 {
        self.accumulation
    }

    /// Updates recorded so far.
    pub fn recorded(&self) -> usize {
        self.lr.len()
    }

    /// The curve so far.
    pub fn into_curve(self) -> LossCurve {
        LossCurve::recorded(self.lr, self.loss, self.validation, self.conditions)
    }

    /// Whether the newest loss ends the test.
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
        // For normal errors the median difference of neighbours is the standard deviation, within 5 %.
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
    use super::*;
    use crate::math;

    /// The losses of a test whose loss is a function of the rate.
    fn run(mut test: RangeTest, loss: impl Fn(f64) -> f64) -> (LossCurve, StopReason) {
        while let Some(hyper) = test.next_hyper() {
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
        while let Some(hyper) = test.next_hyper() {
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
    fn groups_take_their_share() {
        let base = Hyper {
            lr: 0.0,
            momentum: Some(0.9),
            weight_decay: Some(1e-3),
            batch_size: Some(64),
        };
        let test = RangeTest::new(LrSweep::linear(1.0, 3.0, 3).unwrap())
            .with_base(base)
            .with_groups(GroupScale::discriminative(2, 4.0).unwrap());
        let hypers = test.hypers_of_groups();
        assert_eq!((hypers[0].lr, hypers[1].lr), (0.25, 1.0));
        assert_eq!(hypers[0].momentum, Some(0.9));
        let conditions = *test.into_curve().conditions();
        assert_eq!(conditions.batch_size, Some(64));
    }
}
