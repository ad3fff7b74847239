//! Measures how good the suggested learning rates are: every rule on several tasks, against the
//! best peak of a grid.
//!
//! Each [`Task`] and seed takes a range test over this program's own sweep and one over fastai's,
//! the short cycles of [`search`], and a complete run of the paper's 1cycle at each peak of a grid
//! with a factor of two between peaks. The regret of a rule is the best mean accuracy of the grid
//! minus the mean accuracy at the suggested rate ([`regret()`]).
//!
//! The test set is not used. A third of the held-out images decides between the short cycles;
//! accuracies are measured on the other two thirds.
//!
//! All trainings are lines of a ledger in the task's folder and are not repeated. So the same call
//! continues after a stop or a crash.
//!
//! | output | content |
//! |---|---|
//! | `TASK/trials.jsonl`, `TASK/range_tests.jsonl` | all trainings |
//! | `suggestions.json`, `suggestions.csv` | regret, range and cost of each rule and task |
//! | `figures/` | one figure per task: accuracy over the peak, with the suggestions |

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

/// Range of learning rates and number of steps of this program's own sweep: 20 steps per decade.
const OWN_SWEEP: (f64, f64, u64) = (1e-4, 10.0, 100);
/// The same for fastai's sweep, on which the rules of the other tools are applied.
const FASTAI_SWEEP: (f64, f64, u64) = (1e-7, 10.0, 100);

/// The held-out images are split into this many parts. The first part decides between short cycles;
/// complete runs are measured on the others.
const PARTS: usize = 3;

/// Tasks and seeds to study.
#[derive(Debug, Clone, PartialEq)]
pub struct SuggestionStudy {
    /// The tasks.
    pub tasks: Vec<Task>,
    /// Seeds of each task.
    pub seeds: Vec<u64>,
}

/// All trainings of a task with one seed.
struct SeedRuns {
    /// Range test over this program's own sweep.
    own: RangeTestRun,
    /// Range test over fastai's sweep.
    fastai: RangeTestRun,
    /// The search by short cycles; `None` if the range test suggests no rate to start from.
    search: Option<CycleSearch>,
    /// Updates of all short cycles.
    searched: u64,
    /// One complete run per peak of the grid.
    grid: Vec<Trial>,
}

/// Trains what is missing in `folder` and writes the results there. Returns `None` if the observer
/// stopped it; the same call continues.
///
/// # Errors
/// [`RunError::OtherSettings`] if `folder` was made with other settings; the errors of
/// [`range_test::test`] and [`trial::run`]; files that cannot be read or written.
pub fn run(
    study: &SuggestionStudy,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<SuggestionResults>, StudyError> {
    for task in &study.tasks {
        // The whole study takes hours: report a data set that is missing before its first training.
        let first = study.seeds.get(..1).unwrap_or_default();
        range_test::prepare(&task.config, first, None)?;
    }
    let mut results = Vec::with_capacity(study.tasks.len());
    for task in &study.tasks {
        let mut ledger = Ledger::open(folder, task)?;
        let mut runs = Vec::with_capacity(study.seeds.len());
        let experiments = range_test::prepare(&task.config, &study.seeds, None)?;
        for experiment in &experiments {
            observer.note(&format!("{}, seed {}", task.name, experiment.config.seed));
            match of_seed(task, experiment, &mut ledger, observer)? {
                None => return Ok(None),
                Some(one) => runs.push(one),
            }
        }
        results.push(TaskResult::new(task, &experiments, &runs));
        let suggested = SuggestionResults::new(results.clone());
        write(&suggested, folder)?;
    }
    Ok(Some(SuggestionResults::new(results)))
}

/// The trainings of one task and seed, from the ledger or made now.
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
        Ok(start) => Some(search::cycle_search(experiment, 1, start)?),
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

/// The rate that a rule suggests from the trainings of one seed, and the updates that it took.
fn suggested_lr(rule: table::AnyRule, runs: &SeedRuns) -> (Option<f64>, u64) {
    let of = |curve: &LossCurve, rule: Rule| rule.apply(curve).lr;
    match rule {
        table::AnyRule::ShortCycles => {
            let suggestion = runs.search.as_ref().map(CycleSearch::suggestion);
            let updates = runs.own.cost.updates + runs.searched;
            (suggestion.and_then(|suggestion| suggestion.lr), updates)
        }
        table::AnyRule::Curve(rule @ (Rule::OneCycleMax | Rule::Constant)) => {
            (of(&runs.own.curve, rule), runs.own.cost.updates)
        }
        table::AnyRule::Curve(rule) => (of(&runs.fastai.curve, rule), runs.fastai.cost.updates),
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
