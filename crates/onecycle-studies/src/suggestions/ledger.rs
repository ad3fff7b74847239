use std::path::{Path, PathBuf};

use onecycle::range_test::LrSweep;
use serde::{Deserialize, Serialize};

use super::Task;
use crate::StudyError;
use onecycle_train::{
    Config, RunError,
    files::{self, JsonLines},
    lr_search::{found::RangeTestRun, trial::Trial},
    run_folder::RunLock,
};

/// All trainings of a task, stored in its folder so that none is repeated.
///
/// | file | content |
/// |---|---|
/// | `run.toml` | the configuration; its seed does not matter |
/// | `range_tests.jsonl` | one range test per line |
/// | `trials.jsonl` | one cycle per line, short or complete |
#[derive(Debug)]
pub(super) struct Ledger {
    tests: RecordFile<RangeTestRecord>,
    trials: RecordFile<Trial>,
    _lock: RunLock,
}

/// A range test with its sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct RangeTestRecord {
    #[serde(alias = "ladder")]
    pub(super) sweep: LrSweep,
    pub(super) test: RangeTestRun,
}

/// The lines of one file, in memory and on disk.
#[derive(Debug)]
struct RecordFile<T> {
    lines: Vec<T>,
    file: JsonLines<T>,
}

impl<T: Serialize + serde::de::DeserializeOwned> RecordFile<T> {
    /// Reads the complete lines. Removes a last line that a crash cut off.
    fn open(path: PathBuf) -> Result<Self, StudyError> {
        let lines = match path.exists() {
            true => files::read_json_lines(&path)?.values,
            false => Vec::new(),
        };
        files::keep_lines(&path, lines.len())?;
        Ok(RecordFile {
            lines,
            file: JsonLines::open(&path)?,
        })
    }

    fn push(&mut self, line: T) -> Result<(), StudyError> {
        self.file.push(&line)?;
        self.lines.push(line);
        Ok(self.file.sync()?)
    }
}

impl Ledger {
    /// Opens the ledger of a task below `folder`.
    ///
    /// # Errors
    /// [`RunError::InUse`] if another process works on the task; [`RunError::OtherSettings`] if the
    /// folder was made with other settings; files that cannot be read or written.
    pub(super) fn open(folder: &Path, task: &Task) -> Result<Self, StudyError> {
        let root = folder.join(task.name);
        files::create_folder(&root)?;
        let lock = RunLock::acquire(&root)?;
        let settings = root.join("run.toml");
        if settings.exists() {
            let differences = Config::read(&settings)?.differences(&task.config)?;
            if !differences.is_empty() {
                return Err(RunError::OtherSettings {
                    run: root,
                    differences,
                }
                .into());
            }
        } else {
            files::write_whole(&settings, task.config.to_toml()?.as_bytes())?;
        }
        Ok(Ledger {
            tests: RecordFile::open(root.join("range_tests.jsonl"))?,
            trials: RecordFile::open(root.join("trials.jsonl"))?,
            _lock: lock,
        })
    }

    pub(super) fn test(&self, sweep: &LrSweep, seed: u64) -> Option<&RangeTestRun> {
        let mut of_seed = self.tests.lines.iter().filter(|one| one.test.seed == seed);
        of_seed.find(|one| one.sweep == *sweep).map(|one| &one.test)
    }

    pub(super) fn push_test(
        &mut self,
        sweep: LrSweep,
        test: RangeTestRun,
    ) -> Result<(), StudyError> {
        self.tests.push(RangeTestRecord { sweep, test })
    }

    pub(super) fn trial(&self, seed: u64, lr_max: f64, steps: u64) -> Option<&Trial> {
        let mut of_seed = self.trials.lines.iter().filter(|one| one.seed == seed);
        of_seed.find(|one| one.lr_max == lr_max && one.steps == steps)
    }

    pub(super) fn push_trial(&mut self, trial: Trial) -> Result<(), StudyError> {
        self.trials.push(trial)
    }
}
