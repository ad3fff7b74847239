use std::path::{Path, PathBuf};

use onecycle::range_test::LrSweep;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::Task;
use crate::{
    StudyError,
    study::{Part, see_changes},
};
use onecycle_train::{
    Config, RunError,
    files::{self, JsonLines},
    lr_search::{found::RangeTestRun, trial::Trial},
    run_folder::RunLock,
};

/// All trainings of a task with one seed, stored in `TASK/seedN/` so that none is repeated.
///
/// | file | content |
/// |---|---|
/// | `run.toml` | the configuration of the task; its seed does not matter |
/// | `range_tests.jsonl` | one range test per line |
/// | `trials.jsonl` | one cycle per line, short or complete |
///
/// Earlier versions kept all seeds in `TASK/`. Their lines are read too.
#[derive(Debug)]
pub(super) struct Ledger {
    tests: Vec<RangeTestRecord>,
    trials: Vec<Trial>,
    open: Option<Open>,
}

/// The files of a ledger that this process may continue.
#[derive(Debug)]
struct Open {
    tests: JsonLines<RangeTestRecord>,
    trials: JsonLines<Trial>,
    _lock: RunLock,
}

/// A range test with its sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RangeTestRecord {
    #[serde(alias = "ladder")]
    pub(super) sweep: LrSweep,
    pub(super) test: RangeTestRun,
}

const SETTINGS: &str = "run.toml";
const TESTS: &str = "range_tests.jsonl";
const TRIALS: &str = "trials.jsonl";

fn root(folder: &Path, task: &Task, seed: u64) -> PathBuf {
    folder.join(task.name).join(format!("seed{seed}"))
}

impl Ledger {
    /// Reads the ledger of a task and seed below `folder`. Nothing is locked or created, and nothing
    /// can be added.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] if the folder was made with other settings; files that cannot be
    /// read.
    pub(super) fn read(folder: &Path, task: &Task, seed: u64) -> Result<Self, StudyError> {
        let earlier = folder.join(task.name);
        let own = root(folder, task, seed);
        let mut ledger = Ledger {
            tests: Vec::new(),
            trials: Vec::new(),
            open: None,
        };
        for root in [&earlier, &own] {
            check_settings(root, task)?;
            ledger
                .tests
                .extend(lines::<RangeTestRecord>(&root.join(TESTS))?);
            ledger.trials.extend(lines::<Trial>(&root.join(TRIALS))?);
        }
        ledger.tests.retain(|one| one.test.seed == seed);
        Ok(ledger)
    }

    /// Reads and locks the ledger of a task and seed, so that trainings can be added. Returns `None`
    /// if another process holds the lock.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`RunError::InUse`] if another process works on it, with
    /// [`Part::All`]; [`RunError::NoLocks`]; files that cannot be written.
    pub(super) fn open(
        folder: &Path,
        part: Part,
        task: &Task,
        seed: u64,
    ) -> Result<Option<Self>, StudyError> {
        let root = root(folder, task, seed);
        files::create_folder(&root)?;
        let lock = match part {
            Part::All => RunLock::acquire(&root)?,
            Part::Worker | Part::Shard(_) => match RunLock::try_acquire(&root)? {
                Some(lock) => lock,
                None => return Ok(None),
            },
        };
        part.check(&lock, &root)?;
        see_changes(&root)?;
        let ledger = Ledger::read(folder, task, seed)?;
        let settings = root.join(SETTINGS);
        if !settings.exists() {
            files::write_whole(&settings, task.config.to_toml()?.as_bytes())?;
        }
        let open = Open {
            tests: continued(&root.join(TESTS))?,
            trials: continued(&root.join(TRIALS))?,
            _lock: lock,
        };
        Ok(Some(Ledger {
            open: Some(open),
            ..ledger
        }))
    }

    /// Whether trainings can be added.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub(super) fn test(&self, sweep: &LrSweep) -> Option<&RangeTestRun> {
        let known = self.tests.iter().find(|one| one.sweep == *sweep);
        known.map(|one| &one.test)
    }

    /// Adds a range test. A ledger that is only read keeps nothing.
    pub(super) fn push_test(
        &mut self,
        sweep: LrSweep,
        test: RangeTestRun,
    ) -> Result<(), StudyError> {
        let line = RangeTestRecord { sweep, test };
        if let Some(open) = &mut self.open {
            open.tests.push(&line)?;
            open.tests.sync()?;
        }
        self.tests.push(line);
        Ok(())
    }

    /// The cycle with this seed and peak. The seed of a second short cycle is not that of the task.
    pub(super) fn trial(&self, seed: u64, lr_max: f64, steps: u64) -> Option<&Trial> {
        let mut of_seed = self.trials.iter().filter(|one| one.seed == seed);
        of_seed.find(|one| one.lr_max == lr_max && one.steps == steps)
    }

    /// Adds a cycle. A ledger that is only read keeps nothing.
    pub(super) fn push_trial(&mut self, trial: Trial) -> Result<(), StudyError> {
        if let Some(open) = &mut self.open {
            open.trials.push(&trial)?;
            open.trials.sync()?;
        }
        self.trials.push(trial);
        Ok(())
    }
}

/// Checks that a folder with a configuration was made with that of the task.
fn check_settings(root: &Path, task: &Task) -> Result<(), StudyError> {
    let settings = root.join(SETTINGS);
    if !settings.exists() {
        return Ok(());
    }
    let differences = Config::read(&settings)?.differences(&task.config)?;
    match differences.is_empty() {
        true => Ok(()),
        false => Err(RunError::OtherSettings {
            run: root.to_path_buf(),
            differences,
        }
        .into()),
    }
}

/// The complete lines of a file; none if it does not exist.
fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, StudyError> {
    match path.exists() {
        true => Ok(files::read_json_lines(path)?.values),
        false => Ok(Vec::new()),
    }
}

/// Opens a file for appending. Removes a last line that a crash cut off.
fn continued<T: Serialize + DeserializeOwned>(path: &Path) -> Result<JsonLines<T>, StudyError> {
    files::keep_lines(path, lines::<T>(path)?.len())?;
    Ok(JsonLines::open(path)?)
}
