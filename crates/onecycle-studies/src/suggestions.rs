//! How good the suggested rates are: every rule on tasks that differ, against the best peak of a grid.
//!
//! For each [`Task`] and seed: a range test on this program's own sweep and one on fastai's, the short cycles of [`search`],
//! and a whole run of the paper's 1cycle at each peak of a grid, a factor of two apart. The regret of a rule is the best mean
//! accuracy of the grid less the mean accuracy at the rate that it names ([`regret()`]).
//!
//! The test set plays no part. Of the held-out images a third is what the short cycles are judged by; accuracies are measured
//! on the other two thirds.
//!
//! All trainings are lines of a ledger in the task's folder; what is there is not trained again, so the same call goes on
//! where the last one was stopped or killed.
//!
//! | what it leaves | |
//! |---|---|
//! | `TASK/trials.jsonl`, `TASK/range_tests.jsonl` | what was trained |
//! | `suggestions.json`, `suggestions.csv` | regret, range and cost of each rule and task |
//! | `figures/` | a figure a task: accuracy over the peak, and where the rules point |

mod figures;
mod ledger;
mod regret;
mod table;
mod tasks;

use std::path::Path;

use onecycle::range_test::{CycleSearch, LossCurve, LrSweep, Rule};

pub use regret::{GridPoint, Regret, regret};
pub use table::{RuleResult, RuleSummary, SuggestionResults, TaskResult};
pub use tasks::{Task, names, tasks};

use crate::StudyError;
use ledger::Ledger;
use onecycle_train::{
    Experiment, RunError, files,
    lr_search::{
        found::{CurveGroup, RangeTestRun},
        range_test, search,
        settings::RangeTestConfig,
        trial::{self, HoldOut, Trial},
    },
    observer::Observer,
};

/// This program's own sweep in the study: 20 steps per decade.
const OWN_SWEEP: (f64, f64, u64) = (1e-4, 10.0, 100);
/// fastai's sweep, which the rules of the other tools are given.
const FASTAI_SWEEP: (f64, f64, u64) = (1e-7, 10.0, 100);

/// By the first of so many parts of the held-out images short cycles are judged, on the others whole runs are measured.
const PARTS: usize = 3;

/// What is studied.
#[derive(Debug, Clone, PartialEq)]
pub struct SuggestionStudy {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Seeds of each.
    pub seeds: Vec<u64>,
}

/// All that was trained for a task under one seed.
struct SeedRuns {
    /// On the own sweep.
    own: RangeTestRun,
    /// On fastai's.
    fastai: RangeTestRun,
    /// The search by short cycles; none where the range test names no rate to begin at.
    search: Option<CycleSearch>,
    /// Updates of those cycles.
    searched: u64,
    /// A whole run a peak of the grid.
    grid: Vec<Trial>,
}

/// Trains what is not trained yet in `folder`, and leaves the results there. `None` where the observer stopped it.
///
/// # Errors
/// [`RunError::OtherSettings`] where `folder` is of other settings; those of [`find::find`] and of [`trial::run`]; files that
/// cannot be read or written.
pub fn run(
    study: &SuggestionStudy,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<SuggestionResults>, StudyError> {
    let mut results = Vec::with_capacity(study.tasks.len());
    for task in &study.tasks {
        let mut ledger = Ledger::open(folder, task)?;
        let mut seen = Vec::with_capacity(study.seeds.len());
        let experiments = range_test::prepare(&task.config, &study.seeds, None)?;
        for experiment in &experiments {
            observer.note(&format!("{}, seed {}", task.name, experiment.config.seed));
            match of_seed(task, experiment, &mut ledger, observer)? {
                None => return Ok(None),
                Some(one) => seen.push(one),
            }
        }
        results.push(TaskResult::new(task, &experiments, &seen));
        let suggested = SuggestionResults::new(results.clone());
        write(&suggested, folder)?;
    }
    Ok(Some(SuggestionResults::new(results)))
}

/// What one task and seed need, from the ledger or trained now.
fn of_seed(
    task: &Task,
    experiment: &Experiment,
    ledger: &mut Ledger,
    observer: &mut dyn Observer,
) -> Result<Option<SeedRuns>, StudyError> {
    let (from, to, num_steps) = OWN_SWEEP;
    let own = LrSweep::exponential(from, to, num_steps)?;
    let (from, to, num_steps) = FASTAI_SWEEP;
    let fastai = LrSweep::fastai(from, to, num_steps)?;
    let Some(own) = range_test(experiment, own, ledger, observer)? else {
        return Ok(None);
    };
    let Some(fastai) = range_test(experiment, fastai, ledger, observer)? else {
        return Ok(None);
    };
    let run = experiment.plan.steps();
    let short = search::steps(run);
    let group = CurveGroup::new(None, vec![own.clone()]);
    let mut search = match search::start(&group) {
        Ok(start) => Some(search::cycle_search(experiment, start)?),
        Err(RunError::NoRate { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut searched = 0;
    if let Some(machine) = &mut search {
        while let Some(lr_max) = machine.next_lr_max() {
            let experiment = &search::of_cycle(experiment, machine.is_second());
            let Some(trial) = cycle(experiment, lr_max, short, ledger, observer)? else {
                return Ok(None);
            };
            searched += trial.updates();
            machine.record(trial.loss());
        }
    }
    let mut grid = Vec::with_capacity(task.grid.len());
    for lr_max in &task.grid {
        match cycle(experiment, *lr_max, run, ledger, observer)? {
            None => return Ok(None),
            Some(trial) => grid.push(trial),
        }
    }
    Ok(Some(SeedRuns {
        own,
        fastai,
        search,
        searched,
        grid,
    }))
}

fn range_test(
    experiment: &Experiment,
    sweep: LrSweep,
    ledger: &mut Ledger,
    observer: &mut dyn Observer,
) -> Result<Option<RangeTestRun>, StudyError> {
    let seed = experiment.config.seed;
    if let Some(test) = ledger.test(&sweep, seed) {
        return Ok(Some(test.clone()));
    }
    let config = RangeTestConfig {
        sweep,
        ..RangeTestConfig::new(seed)?
    };
    observer.range_test(0, &format!("seed {seed}"), sweep.num_steps());
    let test = range_test::test(
        experiment,
        &config,
        range_test::peak_hyper(experiment),
        observer,
    )?;
    if let Some(test) = &test {
        ledger.push_test(sweep, test.clone())?;
    }
    Ok(test)
}

fn cycle(
    experiment: &Experiment,
    lr_max: f64,
    steps: u64,
    ledger: &mut Ledger,
    observer: &mut dyn Observer,
) -> Result<Option<Trial>, StudyError> {
    let seed = experiment.config.seed;
    if let Some(trial) = ledger.trial(seed, lr_max, steps) {
        return Ok(Some(*trial));
    }
    observer.short_cycle(lr_max, seed, steps);
    let whole = steps == experiment.plan.steps();
    let trial = {
        let mut stop = || {
            observer.search_step(lr_max);
            observer.stop()
        };
        let hold_out = HoldOut {
            parts: PARTS,
            measure: whole,
        };
        trial::run(experiment, lr_max, steps, hold_out, &mut stop)?
    };
    if let Some(trial) = trial {
        ledger.push_trial(trial)?;
    }
    Ok(trial)
}

/// What a rule says of one seed's trainings, and the updates that it took.
fn answer(rule: table::AnyRule, seen: &SeedRuns) -> (Option<f64>, u64) {
    let of = |curve: &LossCurve, rule: Rule| rule.apply(curve).lr;
    match rule {
        table::AnyRule::ShortCycles => {
            let suggestion = seen.search.as_ref().map(CycleSearch::suggestion);
            let updates = seen.own.cost.updates + seen.searched;
            (suggestion.and_then(|suggestion| suggestion.lr), updates)
        }
        table::AnyRule::Curve(rule @ (Rule::OneCycleMax | Rule::Constant)) => {
            (of(&seen.own.curve, rule), seen.own.cost.updates)
        }
        table::AnyRule::Curve(rule) => (of(&seen.fastai.curve, rule), seen.fastai.cost.updates),
    }
}

fn write(suggested: &SuggestionResults, folder: &Path) -> Result<(), StudyError> {
    let path = folder.join("suggestions.json");
    files::write_json(&path, "the suggestions", suggested)?;
    files::write_whole(&folder.join("suggestions.csv"), suggested.csv().as_bytes())?;
    for task in &suggested.tasks {
        onecycle_train::figures::write(&folder.join("figures"), &figures::figure(task))?;
    }
    Ok(())
}
