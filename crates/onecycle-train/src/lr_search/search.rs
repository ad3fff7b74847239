//! The maximum for one cycle by a few short cycles of the configuration itself, judged on held-out images.
//!
//! The range test says where to begin ([`start`]), [`CycleSearch`] which peaks to try. Each trial trains a network of its own
//! from the start and throws it away, so that trials are independent of one another and of what follows.

use onecycle::range_test::{CycleSearch, Rule, Verdict};

use super::{
    cycles::PeakSearch,
    found::{CurveGroup, RangeTestRun},
    journal::Journal,
    trial::{self, HoldOut},
};
use crate::{Experiment, RunError, TrainError, observer::Observer};

/// Length of a short cycle, as a share of the run.
const SHARE: f64 = 0.2;
/// Updates of a short cycle, at least. In shorter ones too little is learnt before they are over: speed counts for more than
/// in the run, and rates win that are too high for it.
const FEWEST: u64 = 100;
/// And at most: where runs are long, the search need not be.
const MOST: u64 = 400;
/// The seed of a second cycle's weights is so much larger.
const SECOND: u64 = 1000;
/// Cycles that may be made.
const CYCLES: usize = 7;

/// Updates of a short cycle for a run of so many; never more than those.
pub fn steps(run: u64) -> u64 {
    let steps = (run as f64 * SHARE) as u64;
    steps.clamp(FEWEST, MOST).min(run)
}

/// The rate that the curves of a range test over one or several seeds name: the median of their maxima for one cycle; of a
/// curve that never rises again, its last rate counts. `None` where half of the curves or more name nothing.
pub fn named(group: &CurveGroup) -> Option<f64> {
    let rate = |test: &RangeTestRun| {
        let answer = Rule::OneCycleMax.apply(&test.curve);
        match answer.verdict {
            Verdict::NeverDiverged => test.curve.lr().last().copied(),
            _ => answer.lr,
        }
    };
    let rates: Vec<f64> = group.tests.iter().filter_map(rate).collect();
    (2 * rates.len() > group.tests.len())
        .then(|| middle(rates))
        .flatten()
}

/// Where to begin by the curves of a range test: at the rate that they [name](named), or, where the loss falls too little
/// against its scatter for that, at the rate of the lowest smoothed loss. Whether anything can be learnt, the cycles tell.
///
/// # Errors
/// [`RunError::NoRate`] where a curve is too short or has no finite losses.
pub fn start(group: &CurveGroup) -> Result<f64, RunError> {
    let lowest = |test: &RangeTestRun| {
        let losses = test.curve.smoothed();
        let points = test.curve.lr().iter().zip(losses);
        let sound = points.filter(|(lr, loss)| **lr > 0.0 && loss.is_finite());
        sound.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(lr, _)| *lr)
    };
    if let Some(named) = named(group) {
        return Ok(named);
    }
    match group.verdict() {
        verdict @ (Verdict::TooShort | Verdict::NotFinite) => Err(RunError::no_rate(verdict)),
        verdict => middle(group.tests.iter().filter_map(lowest).collect())
            .ok_or_else(|| RunError::no_rate(verdict)),
    }
}

/// The lower median.
fn middle(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len().saturating_sub(1) / 2).copied()
}

/// The search for an experiment's peak, from `start` on.
///
/// # Errors
/// A `start` that is not above 0.
pub fn machine(experiment: &Experiment, start: f64) -> Result<CycleSearch, TrainError> {
    // What a network that knows nothing loses: it gives every class the same probability.
    let untrained = (experiment.data.classes.len() as f64).ln();
    Ok(CycleSearch::new(start, untrained, CYCLES)?)
}

/// The experiment as it is, or for a second cycle with the same peak: from other weights, on the same images in the same order.
pub fn from_weights(experiment: &Experiment, second: bool) -> Experiment {
    let mut experiment = experiment.clone();
    if second {
        experiment.config.seed = experiment.config.seed.wrapping_add(SECOND);
    }
    experiment
}

/// Searches from `start` on by cycles of `steps` updates. Under several seeds, the mean of their losses counts, and a peak
/// at which one of them diverged is too high.
///
/// Cycles that the journal holds are not made again. `None` where the observer ended it.
///
/// # Errors
/// No experiment; those of [`trial::run`]; a journal that cannot be written.
pub fn search(
    experiments: &[Experiment],
    start: f64,
    steps: u64,
    journal: &mut Journal,
    observer: &mut dyn Observer,
) -> Result<Option<PeakSearch>, TrainError> {
    let Some(first) = experiments.first() else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let mut machine = machine(first, start)?;
    let mut cycles = Vec::new();
    while let Some(lr_max) = machine.next_lr_max() {
        let mut sum = 0.0;
        for experiment in experiments {
            let experiment = &from_weights(experiment, machine.is_second());
            let trial = match journal.cycle() {
                Some(trial) => trial,
                None => {
                    observer.short_cycle(lr_max, experiment.config.seed, steps);
                    let mut stop = || {
                        observer.search_step(lr_max);
                        observer.stop()
                    };
                    let deal = HoldOut::judging(experiment.data.validation.len());
                    let made = trial::run(experiment, lr_max, steps, deal, &mut stop)?;
                    let Some(trial) = made else {
                        return Ok(None);
                    };
                    journal.keep_cycle(&trial)?;
                    trial
                }
            };
            sum += trial.loss();
            cycles.push(trial);
        }
        machine.record(sum / experiments.len() as f64);
    }
    Ok(Some(PeakSearch {
        start,
        steps,
        answer: machine.suggestion(),
        cycles,
    }))
}

#[cfg(test)]
mod tests {
    use onecycle::range_test::{LossCurve, LrSweep, StopReason};

    use super::*;
    use crate::lr_search::found::RangeTestCost;

    fn group(losses: impl Fn(usize, f64) -> f64, num_steps: u64) -> Result<CurveGroup, TrainError> {
        let lr: Vec<f64> = LrSweep::exponential(1e-4, 10.0, num_steps)?
            .iter()
            .collect();
        let loss = lr.iter().enumerate().map(|(i, lr)| losses(i, *lr));
        let test = RangeTestRun {
            seed: 1,
            stop: StopReason::Finished,
            cost: RangeTestCost {
                updates: num_steps,
                training_seconds: 0.0,
                validation_seconds: 0.0,
                overhead_seconds: 0.0,
            },
            curve: LossCurve::new(lr.clone(), loss.collect())?,
        };
        Ok(CurveGroup::new(None, vec![test]))
    }

    /// Up and down by a loss of `size`, as small batches do.
    fn scatter(i: usize, size: f64) -> f64 {
        size * [0.9, -1.0, 0.3, -0.6, 1.0, -0.2][i % 6]
    }

    #[test]
    fn a_descent_within_the_scatter_still_says_where_to_begin() -> Result<(), TrainError> {
        let dip = |lr: f64| 0.4 * (-f64::powi((lr / 0.1).ln(), 2)).exp();
        let unsure = group(|i, lr| 2.3 - dip(lr) + scatter(i, 0.3), 100)?;
        assert_eq!(named(&unsure), None, "{}", unsure.verdict());
        let start = start(&unsure)?;
        assert!((0.03..0.3).contains(&start), "{start}");
        Ok(())
    }

    #[test]
    fn a_descent_beyond_it_names_the_rate() -> Result<(), TrainError> {
        let valley = |lr: f64| 1.0 + 1.3 / (1.0 + lr / 0.003) + f64::powi(lr, 2);
        let sure = group(|i, lr| valley(lr) + scatter(i, 0.01), 100)?;
        assert_eq!(named(&sure), Some(start(&sure)?));
        Ok(())
    }

    #[test]
    fn nothing_can_be_said_of_too_few_losses_or_none_that_is_finite() -> Result<(), TrainError> {
        for nothing in [group(|_, _| 1.0, 5)?, group(|_, _| f64::NAN, 100)?] {
            assert!(matches!(start(&nothing), Err(RunError::NoRate { .. })));
        }
        Ok(())
    }
}
