//! The maximum for one cycle by a few short cycles of the configuration itself, judged on held-out images.
//!
//! The range test says where to begin ([`start`]), [`CycleSearch`] which peaks to try. Each trial trains a network of its own
//! from the start and throws it away, so that trials are independent of one another and of what follows.

use onecycle::range_test::{Answer, CycleSearch, Rule, Verdict};
use serde::{Deserialize, Serialize};

use crate::{
    Experiment, LabError,
    find::{FindObserver, Group, Journal, Test},
    number::{percent, significant},
    plan_view::align,
    trial::{self, Deal, Trial},
};

/// Length of a short cycle, as a share of the run.
const SHARE: f64 = 0.1;
/// Updates of a short cycle, at least. In shorter ones too little is learnt before they are over: speed counts for more than
/// in the run, and rates win that are too high for it.
const FEWEST: u64 = 100;
/// And at most: where runs are long, the search need not be.
const MOST: u64 = 400;
/// Peaks that may be tried.
const CYCLES: usize = 6;

/// Short cycles, and what they say: a part of `range_test.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Search {
    /// The peak that the range test named to begin at.
    pub start: f64,
    /// Updates of each cycle.
    pub steps: u64,
    /// The maximum for one cycle.
    pub answer: Answer,
    /// A cycle a peak and seed, in the order in which they were made.
    pub cycles: Vec<Trial>,
}

/// Updates of a short cycle for a run of so many; never more than those.
pub fn steps(run: u64) -> u64 {
    let steps = (run as f64 * SHARE) as u64;
    steps.clamp(FEWEST, MOST).min(run)
}

/// Where to begin by the curves of a range test over one or several seeds: the median of the rates that they name.
///
/// That is the maximum for one cycle; of a curve that never rises again, its last rate.
///
/// # Errors
/// [`LabError::NoRate`] where half of the curves or more name nothing.
pub fn start(group: &Group) -> Result<f64, LabError> {
    let rate = |test: &Test| {
        let answer = Rule::OneCycleMax.apply(&test.curve);
        match answer.verdict {
            Verdict::NeverDiverged => test.curve.lr().last().copied(),
            _ => answer.lr,
        }
    };
    let mut rates: Vec<f64> = group.tests.iter().filter_map(rate).collect();
    rates.sort_by(f64::total_cmp);
    let most = 2 * rates.len() > group.tests.len();
    let middle = rates.get(rates.len().saturating_sub(1) / 2);
    let middle = middle.filter(|_| most).copied();
    middle.ok_or_else(|| LabError::no_rate(group.verdict()))
}

/// The search for an experiment's peak, from `start` on.
///
/// # Errors
/// A `start` that is not above 0.
pub fn machine(experiment: &Experiment, start: f64) -> Result<CycleSearch, LabError> {
    // What a network that knows nothing loses: it gives every class the same probability.
    let untrained = (experiment.data.classes.len() as f64).ln();
    Ok(CycleSearch::new(start, untrained, CYCLES)?)
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
    observer: &mut dyn FindObserver,
) -> Result<Option<Search>, LabError> {
    let Some(first) = experiments.first() else {
        return Err(LabError::no_rate(Verdict::TooShort));
    };
    let mut machine = machine(first, start)?;
    let mut cycles = Vec::new();
    while let Some(lr_max) = machine.next_lr_max() {
        let mut sum = 0.0;
        for experiment in experiments {
            let trial = match journal.cycle() {
                Some(trial) => trial,
                None => {
                    observer.cycle(lr_max, experiment.config.seed, steps);
                    let mut stop = || {
                        observer.step(lr_max);
                        observer.stop()
                    };
                    let deal = Deal::judging(experiment.data.validation.len());
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
    Ok(Some(Search {
        start,
        steps,
        answer: machine.answer(),
        cycles,
    }))
}

impl Search {
    /// Updates that it took.
    pub fn updates(&self) -> u64 {
        self.cycles.iter().map(Trial::updates).sum()
    }

    /// A table for people, a line a cycle, the lowest peak first.
    pub fn table(&self) -> String {
        let header = ["short cycle", "lr_max", "seed", "held-out loss", "accuracy"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        let mut cycles: Vec<&Trial> = self.cycles.iter().collect();
        cycles.sort_by(|a, b| a.lr_max.total_cmp(&b.lr_max).then(a.seed.cmp(&b.seed)));
        rows.extend(cycles.into_iter().map(|trial| {
            let (loss, accuracy) = match (trial.diverged, trial.judged) {
                (None, Some(score)) => (significant(trial.loss()), percent(score.accuracy)),
                (Some(step), _) => (format!("diverged at step {step}"), "–".to_owned()),
                _ => ("–".to_owned(), "–".to_owned()),
            };
            vec![
                format!("{} updates", trial.steps),
                significant(trial.lr_max),
                trial.seed.to_string(),
                loss,
                accuracy,
            ]
        }));
        align(&rows)
    }
}
