//! The folder that a run leaves.
//!
//! ```text
//! run.toml            the whole configuration, versions, data checksums
//! steps.jsonl         a line a step
//! epochs.jsonl        a line an epoch
//! diagnose.jsonl      a line a diagnosis along the way, where there were any
//! diagnose.json       the diagnosis of `onecycle diagnose`, where one was made
//! range_test.json     curves, suggestions and verdict, where a range test was made before
//! range_test.jsonl    its finished parts, until the run is finished
//! checkpoints/        the newest two
//! model.safetensors   the result
//! summary.json        the result in numbers
//! diverged.json       in its place, where a run of a study came to a loss that is not finite
//! report.html         one page; figures/ holds its figures as SVG, PNG and CSV
//! .lock               held while a process works on the run
//! ```

mod lock;
mod run_file;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub use lock::RunLock;
pub use run_file::{DataSummary, FORMAT, Retry, RunFile};

use crate::{
    RunError, TrainError,
    checkpoint::Saved,
    files,
    record::{EpochRecord, StepRecord},
};

/// A run's folder and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Creates the folder for a new run.
    ///
    /// # Errors
    /// [`RunError::RunExists`] if a run is there already, [`RunError::Leftovers`] if its results or checkpoints are;
    /// folders that cannot be made.
    pub fn create(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder::free(root)?;
        files::create_folder(&folder.checkpoints())?;
        files::create_folder(&folder.figures())?;
        Ok(folder)
    }

    /// A folder, whatever is or is not in it.
    pub fn at(root: &Path) -> Self {
        RunFolder {
            root: root.to_path_buf(),
        }
    }

    /// A folder in which a new run can be created, without creating it.
    ///
    /// # Errors
    /// As [`RunFolder::create`].
    pub fn free(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder {
            root: root.to_path_buf(),
        };
        folder.check_unused()?;
        Ok(folder)
    }

    /// That there is no run in the folder, nor what is left of one.
    pub(crate) fn check_unused(&self) -> Result<(), TrainError> {
        let path = self.root.clone();
        if self.run_file().exists() {
            return Err(RunError::RunExists { path }.into());
        }
        match self.leftover() {
            None => Ok(()),
            Some(file) => Err(RunError::Leftovers { path, file }.into()),
        }
    }

    /// A file of a run by which a new one could be mistaken. The checkpoint of step 0 is none: a run that was killed
    /// before it began in earnest leaves it, and the next one writes it again.
    fn leftover(&self) -> Option<PathBuf> {
        let checkpoints = fs::read_dir(self.checkpoints()).into_iter().flatten();
        let later = checkpoints
            .filter_map(|entry| Saved::of(entry.ok()?.path()))
            .find(|saved| saved.step > 0)
            .map(|saved| saved.path);
        [self.summary(), self.model()]
            .into_iter()
            .find(|path| path.exists())
            .or(later)
    }

    /// Opens the folder of an existing run.
    ///
    /// # Errors
    /// [`RunError::NoRun`] if there is none.
    pub fn open(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder::look(root)?;
        files::create_folder(&folder.checkpoints())?;
        files::create_folder(&folder.figures())?;
        Ok(folder)
    }

    /// As [`open`](Self::open), only to read what is there: nothing is created.
    ///
    /// # Errors
    /// The same.
    pub fn look(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder {
            root: root.to_path_buf(),
        };
        match folder.run_file().exists() {
            true => Ok(folder),
            false => Err(RunError::NoRun {
                path: root.to_path_buf(),
            }
            .into()),
        }
    }

    /// The first free folder `runs/NAME-NUMBER` for a run of `model` on `data`.
    pub fn next_name(runs: &Path, data: &str, model: &str) -> PathBuf {
        (1u32..)
            .map(|number| runs.join(format!("{data}-{model}-{number:03}")))
            .find(|path| !path.exists())
            .unwrap_or_else(|| runs.join(data))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `run.toml`.
    pub fn run_file(&self) -> PathBuf {
        self.root.join("run.toml")
    }

    /// `steps.jsonl`.
    pub fn steps(&self) -> PathBuf {
        self.root.join("steps.jsonl")
    }

    /// `epochs.jsonl`.
    pub fn epochs(&self) -> PathBuf {
        self.root.join("epochs.jsonl")
    }

    /// `checkpoints/`.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// `figures/`.
    pub fn figures(&self) -> PathBuf {
        self.root.join("figures")
    }

    /// `model.safetensors`.
    pub fn model(&self) -> PathBuf {
        self.root.join("model.safetensors")
    }

    /// `summary.json`.
    pub fn summary(&self) -> PathBuf {
        self.root.join("summary.json")
    }

    /// `diverged.json`.
    pub fn diverged(&self) -> PathBuf {
        self.root.join("diverged.json")
    }

    /// `range_test.json`.
    pub fn range_test(&self) -> PathBuf {
        self.root.join("range_test.json")
    }

    /// `range_test.jsonl`.
    pub fn journal(&self) -> PathBuf {
        self.root.join("range_test.jsonl")
    }

    /// `diagnose.jsonl`.
    pub fn diagnoses(&self) -> PathBuf {
        self.root.join("diagnose.jsonl")
    }

    /// `diagnose.json`.
    pub fn diagnosis(&self) -> PathBuf {
        self.root.join("diagnose.json")
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Reads `run.toml`.
    ///
    /// # Errors
    /// A file that is missing, of another format, or not what this version writes.
    pub fn read_run_file(&self) -> Result<RunFile, TrainError> {
        RunFile::read(&self.run_file(), false)
    }

    /// All lines of `steps.jsonl`.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is not a record.
    pub fn read_steps(&self) -> Result<Vec<StepRecord>, TrainError> {
        Ok(files::read_json_lines(&self.steps())?.values)
    }

    /// All lines of `epochs.jsonl`.
    ///
    /// # Errors
    /// A file that cannot be read, or a line that is not a record.
    pub fn read_epochs(&self) -> Result<Vec<EpochRecord>, TrainError> {
        Ok(files::read_json_lines(&self.epochs())?.values)
    }

    /// Whether the run came to its end.
    pub fn is_finished(&self) -> bool {
        fs::exists(self.summary()).unwrap_or(false)
    }
}
