//! Search for the peak of the 1cycle policy by a few short cycles, judged on held-out images.
//!
//! The range test gives the first peak ([`start`]), and [`CycleSearch`] chooses the others. Each
//! trial trains a new network and discards it, so trials are independent of each other and of the
//! run.

use onecycle::range_test::{CycleSearch, Rule, Verdict};

use super::{
    context::Context,
    cycles::PeakSearch,
    found::{CurveGroup, RangeTestRun},
    trial::{self, Cycle, HoldOut},
};
use crate::{Experiment, RunError, TrainError, observer::ShortCycle};

/// Length of a short cycle, as a share of the run. With five cycles and a range test, a search makes
/// half as many updates as a run of 2000 to 4000.
const SHARE: f64 = 0.1;
/// Shorter cycles than this, in updates, learn too little: they favour speed more than the run does,
/// and rates that are too high for the run win. In short runs, half of the run must do.
const ENOUGH_STEPS: u64 = 200;
/// Smallest length of a short cycle, in updates.
const MIN_STEPS: u64 = 100;
/// Largest length of a short cycle, in updates: in long runs the search can be relatively shorter.
const MAX_STEPS: u64 = 400;
/// Added to the seed for the initial weights of a second cycle.
const SECOND_SEED: u64 = 1000;
/// Largest number of cycles per seed.
const MAX_CYCLES: usize = 5;
/// Fewer held-out images than this are few: they can hardly distinguish rates, so more rates are
/// tried, with more seeds.
pub(super) const FEW_IMAGES: usize = 200;
/// Largest number of cycles per seed with few held-out images: the rates that work extend over more
/// factors of two.
const MAX_CYCLES_FEW: usize = 12;
/// Number of successive lower rates that must be worse to end the search, with few held-out images.
const PATIENCE_FEW: usize = 2;
/// Standard deviation over the images of the difference between the losses of two networks, as a
/// share of the loss of an untrained network. Divided by the root of the number of images, it is the
/// smallest difference that they can show.
const DEVIATION: f64 = 0.1;

/// Updates of a short cycle for a run of `run` updates; never more than `run`.
pub fn steps(run: u64) -> u64 {
    let share = (run as f64 * SHARE) as u64;
    let steps = share.max(ENOUGH_STEPS.min(run / 2));
    steps.clamp(MIN_STEPS, MAX_STEPS).min(run)
}

/// The learning rate that the curves of a range test over one or several seeds suggest: the median
/// of their maxima for one cycle. For a curve that never rises again, this is its last rate. `None`
/// if half of the curves or more suggest nothing.
pub fn suggested(group: &CurveGroup) -> Option<f64> {
    let rate = |test: &RangeTestRun| {
        let answer = Rule::OneCycleMax.apply(&test.curve);
        match answer.verdict {
            Verdict::NeverDiverged => test.curve.lr().last().copied(),
            _ => answer.lr,
        }
    };
    let rates: Vec<f64> = group.tests.iter().filter_map(rate).collect();
    (2 * rates.len() > group.tests.len())
        .then(|| lower_median(rates))
        .flatten()
}

/// The first peak to try: the rate that the curves [suggest](suggested). If they suggest none,
/// because the loss decreases too little compared with its noise, the rate of the lowest smoothed
/// loss; the cycles then show whether the network learns at all.
///
/// # Errors
/// [`RunError::NoRate`] if a curve is too short or has no finite losses.
pub fn start(group: &CurveGroup) -> Result<f64, RunError> {
    let lowest = |test: &RangeTestRun| {
        let losses = test.curve.smoothed();
        let points = test.curve.lr().iter().zip(losses);
        let finite = points.filter(|(lr, loss)| **lr > 0.0 && loss.is_finite());
        finite.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(lr, _)| *lr)
    };
    if let Some(suggested) = suggested(group) {
        return Ok(suggested);
    }
    match group.verdict() {
        verdict @ (Verdict::TooShort | Verdict::NotFinite) => Err(RunError::no_rate(verdict)),
        verdict => lower_median(group.tests.iter().filter_map(lowest).collect())
            .ok_or_else(|| RunError::no_rate(verdict)),
    }
}

/// The lower median.
fn lower_median(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len().saturating_sub(1) / 2).copied()
}

/// Creates the search for the peak of an experiment, beginning at `start`, with cycles over this
/// number of `seeds`.
///
/// # Errors
/// `start` is not above 0.
pub fn cycle_search(
    experiment: &Experiment,
    seeds: usize,
    start: f64,
) -> Result<CycleSearch, TrainError> {
    // Loss of an untrained network, which gives every class the same probability.
    let untrained = (experiment.data.classes.len() as f64).ln();
    let images = experiment.data.validation.len();
    let (most, patience) = if images < FEW_IMAGES {
        (MAX_CYCLES_FEW, PATIENCE_FEW)
    } else {
        (MAX_CYCLES, 1)
    };
    let resolution = DEVIATION * untrained / ((images * seeds.max(1)) as f64).sqrt();
    let search = CycleSearch::new(start, untrained, most)?;
    Ok(search.with_resolution(resolution)?.with_patience(patience))
}

/// The experiment of a cycle. A second cycle with the same peak has other initial weights, but the
/// same images in the same order.
pub fn of_cycle(experiment: &Experiment, second: bool) -> Experiment {
    let mut experiment = experiment.clone();
    if second {
        experiment.weights_seed = experiment.weights_seed.wrapping_add(SECOND_SEED);
    }
    experiment
}

/// Searches with cycles of `steps` updates, beginning at `start`. With several seeds, the mean of
/// their losses counts, and a peak at which one of them diverges is too high.
///
/// Cycles in the journal are not made again. Returns `None` if the observer stopped the search.
///
/// # Errors
/// There is no experiment; those of [`trial::run`]; the journal cannot be written.
pub fn search(
    experiments: &[Experiment],
    start: f64,
    steps: u64,
    context: &mut Context<'_>,
) -> Result<Option<PeakSearch>, TrainError> {
    let Some(first) = experiments.first() else {
        return Err(RunError::no_rate(Verdict::TooShort).into());
    };
    let (journal, observer) = (&mut *context.journal, &mut *context.observer);
    let mut cycle_search = cycle_search(first, experiments.len(), start)?;
    let mut cycles = Vec::new();
    while let Some(lr_max) = cycle_search.next_lr_max() {
        let mut sum = 0.0;
        for experiment in experiments {
            let experiment = &of_cycle(experiment, cycle_search.is_second());
            let trial = match journal.cycle() {
                Some(trial) => trial,
                None => {
                    observer.short_cycle(&ShortCycle {
                        lr_max,
                        seed: experiment.weights_seed,
                        updates: steps,
                        reason: Some(cycle_search.reason()),
                    });
                    let mut stop = || {
                        observer.search_step(lr_max);
                        observer.stop()
                    };
                    let hold_out = HoldOut::judging(experiment.data.validation.len());
                    let made = trial::run(
                        experiment,
                        Cycle {
                            lr_max,
                            steps,
                            hold_out,
                        },
                        context.team,
                        &mut stop,
                    )?;
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
        cycle_search.record(sum / experiments.len() as f64);
    }
    Ok(Some(PeakSearch {
        start,
        steps,
        answer: cycle_search.suggestion(),
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

    /// Noise of the amplitude `size`, as small batches cause it.
    fn noise(i: usize, size: f64) -> f64 {
        size * [0.9, -1.0, 0.3, -0.6, 1.0, -0.2][i % 6]
    }

    #[test]
    fn a_descent_within_the_noise_still_gives_a_start() -> Result<(), TrainError> {
        let dip = |lr: f64| 0.4 * (-f64::powi((lr / 0.1).ln(), 2)).exp();
        let unsure = group(|i, lr| 2.3 - dip(lr) + noise(i, 0.3), 100)?;
        assert_eq!(suggested(&unsure), None, "{}", unsure.verdict());
        let start = start(&unsure)?;
        assert!((0.03..0.3).contains(&start), "{start}");
        Ok(())
    }

    #[test]
    fn a_descent_beyond_the_noise_suggests_a_rate() -> Result<(), TrainError> {
        let valley = |lr: f64| 1.0 + 1.3 / (1.0 + lr / 0.003) + f64::powi(lr, 2);
        let sure = group(|i, lr| valley(lr) + noise(i, 0.01), 100)?;
        assert_eq!(suggested(&sure), Some(start(&sure)?));
        Ok(())
    }

    #[test]
    fn too_few_losses_or_none_finite_give_no_start() -> Result<(), TrainError> {
        for nothing in [group(|_, _| 1.0, 5)?, group(|_, _| f64::NAN, 100)?] {
            assert!(matches!(start(&nothing), Err(RunError::NoRate { .. })));
        }
        Ok(())
    }
}
