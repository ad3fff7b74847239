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
//! All trainings are lines of a ledger, one for each task and seed, and are not repeated. So the same
//! call continues after a stop or a crash. Several processes can share a folder: each works on the
//! ledgers that no other process works on.
//!
//! | output | content |
//! |---|---|
//! | `TASK/seedN/trials.jsonl`, `TASK/seedN/range_tests.jsonl` | all trainings |
//! | `suggestions.json`, `suggestions.csv` | regret, range and cost of each rule and task |
//! | `figures/` | one figure per task: accuracy over the peak, with the suggestions |

mod figures;
mod ledger;
mod regret;
mod table;
mod tasks;

use std::path::Path;

use onecycle::range_test::{CycleSearch, LossCurve, LrSweep, Rule, SearchReason};

pub use regret::{GridPoint, Regret, regret};
pub use table::{RuleResult, RuleSummary, SuggestionResults, TaskResult};
pub use tasks::{Task, names, tasks};

use crate::{
    StudyError,
    study::{Part, StudyOutcome, write_results},
};
use ledger::Ledger;
use onecycle_train::{
    Experiment, RunError, files,
    lr_search::{
        found::{CurveGroup, RangeTestRun},
        one_test, range_test, search,
        settings::RangeTestConfig,
        trial::{self, Cycle, HoldOut, Trial},
    },
    observer::{Observer, ShortCycle},
    run_folder::RunLock,
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

/// Trains what is missing in `folder` and writes the results there, after each task. Returns `None`
/// if the observer stopped it; the same call continues.
///
/// # Errors
/// Those of [`take_part`].
pub fn run(
    study: &SuggestionStudy,
    folder: &Path,
    observer: &mut dyn Observer,
) -> Result<Option<SuggestionResults>, StudyError> {
    Ok(take_part(study, (folder, Part::All), observer)?.finished())
}

/// Like [`run`], for one of several processes that share the folder. Its unit is a task with one
/// seed. The process that finishes the last one writes the results.
///
/// # Errors
/// [`RunError::OtherSettings`] if `folder` was made with other settings; [`RunError::InUse`] if
/// another process works in it, with [`Part::All`]; [`RunError::NoLocks`]; the errors of
/// [`one_test::run`] and [`trial::run`]; files that cannot be read or written.
pub fn take_part(
    study: &SuggestionStudy,
    (folder, part): (&Path, Part),
    observer: &mut dyn Observer,
) -> Result<StudyOutcome<SuggestionResults>, StudyError> {
    for task in &study.tasks {
        // The whole study takes hours: report a data set that is missing before its first training.
        let first = study.seeds.get(..1).unwrap_or_default();
        range_test::prepare(&task.config, first, None)?;
    }
    let units = study.tasks.len() * study.seeds.len();
    let mut walk = Walk {
        study,
        folder,
        part,
        results: vec![None; study.tasks.len()],
        done: 0,
    };
    files::create_folder(folder)?;
    let lock = match part {
        Part::All => Some(RunLock::acquire(folder)?),
        Part::Worker | Part::Shard(_) => None,
    };
    // A task with a seed that another process worked on may be free in the next pass.
    loop {
        match walk.pass(observer)? {
            Pass::Trained => {}
            Pass::Nothing => break,
            Pass::Stopped => {
                let (done, of) = (walk.done, units);
                return Ok(StudyOutcome::Stopped { done, of });
            }
        }
    }
    drop(lock);
    let finished: Option<Vec<TaskResult>> = walk.results.into_iter().collect();
    let Some(finished) = finished else {
        let (done, of) = (walk.done, units);
        return Ok(StudyOutcome::Left { done, of });
    };
    write_results(folder, (part, units), observer, || {
        let suggested = SuggestionResults::new(finished);
        write(&suggested, folder)?;
        Ok(suggested)
    })
}

/// One process's way through the tasks.
struct Walk<'a> {
    study: &'a SuggestionStudy,
    folder: &'a Path,
    part: Part,
    /// Results of the finished tasks.
    results: Vec<Option<TaskResult>>,
    /// Finished tasks times seeds, as far as the last pass has seen.
    done: usize,
}

/// What one pass over all tasks did.
enum Pass {
    Trained,
    Nothing,
    Stopped,
}

impl Walk<'_> {
    /// Goes over all tasks and seeds, and trains those of this part that are neither finished nor
    /// locked.
    fn pass(&mut self, observer: &mut dyn Observer) -> Result<Pass, StudyError> {
        let seeds = &self.study.seeds;
        self.done = self.results.iter().flatten().count() * seeds.len();
        let mut trained = false;
        for (number, task) in self.study.tasks.iter().enumerate() {
            if self.results[number].is_some() {
                continue;
            }
            let experiments = range_test::prepare(&task.config, seeds, None)?;
            let mut runs = Vec::with_capacity(seeds.len());
            for (index, experiment) in experiments.iter().enumerate() {
                let seed = experiment.config.seed;
                let mut known = Ledger::read(self.folder, task, seed)?;
                if let Some(finished) = of_seed(task, experiment, &mut known, observer)? {
                    runs.push(finished);
                    continue;
                }
                if !self.part.contains(number * seeds.len() + index) {
                    continue;
                }
                let ledger = Ledger::open(self.folder, self.part, task, seed)?;
                let Some(mut ledger) = ledger else {
                    continue;
                };
                observer.note(&format!("{}, seed {seed}", task.name));
                match of_seed(task, experiment, &mut ledger, observer)? {
                    None => return Ok(Pass::Stopped),
                    Some(one) => runs.push(one),
                }
                trained = true;
            }
            self.done += runs.len();
            if runs.len() == experiments.len() {
                self.results[number] = Some(TaskResult::new(task, &experiments, &runs));
                self.write_first()?;
            }
        }
        Ok(if trained {
            Pass::Trained
        } else {
            Pass::Nothing
        })
    }

    /// Writes the results of the first tasks, if this process works alone.
    fn write_first(&self) -> Result<(), StudyError> {
        if self.part != Part::All {
            return Ok(());
        }
        let first: Vec<TaskResult> = self.results.iter().map_while(Clone::clone).collect();
        write(&SuggestionResults::new(first), self.folder)
    }
}

/// The trainings of one task and seed, from the ledger or made now. Returns `None` if the observer
/// stopped it, or if a training is missing in a ledger that is only read.
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
            let reason = Some(machine.reason());
            let experiment = &search::of_cycle(experiment, machine.is_second());
            let Some(trial) = cycle(experiment, (lr_max, short), reason, ledger, observer)? else {
                return Ok(None);
            };
            searched += trial.updates();
            machine.record(trial.loss());
        }
    }
    let mut grid = Vec::with_capacity(task.grid.len());
    for lr_max in &task.grid {
        match cycle(experiment, (*lr_max, run), None, ledger, observer)? {
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
    if let Some(test) = ledger.test(&sweep) {
        return Ok(Some(test.clone()));
    }
    if !ledger.is_open() {
        return Ok(None);
    }
    let config = RangeTestConfig {
        sweep,
        ..RangeTestConfig::new(seed)?
    };
    observer.range_test(0, &format!("seed {seed}"), sweep.num_steps());
    let test = one_test::run(
        experiment,
        &config,
        one_test::peak_hyper(experiment),
        observer,
    )?;
    if let Some(test) = &test {
        ledger.push_test(sweep, test.clone())?;
    }
    Ok(test)
}

fn cycle(
    experiment: &Experiment,
    (lr_max, steps): (f64, u64),
    reason: Option<SearchReason>,
    ledger: &mut Ledger,
    observer: &mut dyn Observer,
) -> Result<Option<Trial>, StudyError> {
    let seed = experiment.weights_seed;
    if let Some(trial) = ledger.trial(seed, lr_max, steps) {
        return Ok(Some(*trial));
    }
    if !ledger.is_open() {
        return Ok(None);
    }
    observer.short_cycle(&ShortCycle {
        lr_max,
        seed,
        updates: steps,
        reason,
    });
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
        trial::run(
            experiment,
            Cycle {
                lr_max,
                steps,
                hold_out,
            },
            None,
            &mut stop,
        )?
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
