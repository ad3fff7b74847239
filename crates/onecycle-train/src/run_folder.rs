//! The folder of a run. The main type is [`RunFolder`], which knows the paths in it.
//!
//! ```text
//! run.toml            complete configuration, version, data checksums
//! steps.jsonl         one line per step
//! epochs.jsonl        one line per evaluated epoch
//! data.json           classes and parts of the images, files that are not used
//! diagnose.jsonl      one line per diagnosis during the run, if there are any
//! diagnose.json       the diagnosis of `onecycle diagnose`, if it was made
//! range_test.json     curves, suggestions and verdict, if there was a range test
//! range_test.jsonl    its finished parts, until the run is finished
//! checkpoints/        the newest two
//! features/           features of a frozen network, if only the last layer is trained
//! head/               the run that trained the last layer before this one, if `fit` made it
//! model.safetensors   the trained network
//! summary.json        the result in numbers
//! diverged.json       replaces summary.json if a run of a study diverged
//! tensorboard/        event files, if they were asked for
//! assessment/         confusion matrix, classes, reliability and worst images as CSV and JSON
//! report.html         the report; figures/ has its figures as SVG, PNG and CSV
//! .lock               locked while a process works on the run
//! stop                asks the process that trains to stop; removed when it does, or when it resumes
//! ```

mod lock;
mod run_file;
mod stop_request;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub use lock::RunLock;
pub use run_file::{DataSummary, FORMAT, Retry, RunFile};
pub(crate) use stop_request::StopOnRequest;

use crate::{
    FileError, RunError, TrainError,
    checkpoint::{CheckpointFile, CheckpointKind},
    files,
    record::{EpochRecord, StepRecord},
};

/// The folder of a run, and the paths in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    root: PathBuf,
}

impl RunFolder {
    /// Creates the folder for a new run.
    ///
    /// # Errors
    /// [`RunError::RunExists`] if it contains a run, [`RunError::Leftovers`] if it contains results
    /// or checkpoints of one; a folder cannot be created.
    pub fn create(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder::free(root)?;
        files::create_folder(&folder.checkpoints())?;
        files::create_folder(&folder.figures())?;
        Ok(folder)
    }

    /// A folder that may or may not contain a run. Nothing is checked or created.
    pub fn at(root: &Path) -> Self {
        RunFolder {
            root: root.to_path_buf(),
        }
    }

    /// A folder in which a new run can be created. Nothing is created.
    ///
    /// # Errors
    /// Those of [`RunFolder::create`].
    pub fn free(root: &Path) -> Result<Self, TrainError> {
        let folder = RunFolder {
            root: root.to_path_buf(),
        };
        folder.check_unused()?;
        Ok(folder)
    }

    /// Checks that the folder contains neither a run nor files of one.
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

    /// Finds a file of another run that could be mistaken for one of a new run. The checkpoint of
    /// step 0 does not count: a run that was killed at its very start leaves it, and the next run
    /// overwrites it.
    fn leftover(&self) -> Option<PathBuf> {
        let checkpoints = fs::read_dir(self.checkpoints()).into_iter().flatten();
        let later = checkpoints
            .filter_map(|entry| CheckpointFile::parse(entry.ok()?.path()))
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

    /// Like [`open`](Self::open), but only for reading: nothing is created.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
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

    /// Creates the empty folder `RUNS/DATA-MODEL-NUMBER` for a new run of `model` on `data`, with
    /// the first unused number. Each of several processes that do this at once gets its own folder.
    ///
    /// # Errors
    /// A folder cannot be created.
    pub fn create_next(runs: &Path, data: &str, model: &str) -> Result<Self, TrainError> {
        files::create_folder(runs)?;
        let mut number = 1_u64;
        loop {
            let root = runs.join(format!("{data}-{model}-{number:03}"));
            match fs::create_dir(&root) {
                Ok(()) => return Ok(RunFolder { root }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(FileError::io("create the folder", &root)(error).into()),
            }
        }
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

    /// `features/`.
    pub fn features(&self) -> PathBuf {
        self.root.join("features")
    }

    /// `head/`.
    pub fn head(&self) -> PathBuf {
        self.root.join("head")
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

    /// `data.json`.
    pub fn data(&self) -> PathBuf {
        self.root.join("data.json")
    }

    /// `assessment/`.
    pub fn assessment(&self) -> PathBuf {
        self.root.join("assessment")
    }

    /// `tensorboard/`.
    pub fn tensorboard(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// `report.html`.
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// Reads `run.toml`.
    ///
    /// # Errors
    /// The file is missing, has another format, or cannot be parsed.
    pub fn read_run_file(&self) -> Result<RunFile, TrainError> {
        RunFile::read(&self.run_file(), false)
    }

    /// Reads all lines of `steps.jsonl`.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a record.
    pub fn read_steps(&self) -> Result<Vec<StepRecord>, TrainError> {
        Ok(files::read_json_lines(&self.steps())?.values)
    }

    /// Reads all lines of `epochs.jsonl`.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not a record.
    pub fn read_epochs(&self) -> Result<Vec<EpochRecord>, TrainError> {
        Ok(files::read_json_lines(&self.epochs())?.values)
    }

    /// Updates made when the run was last asked to stop; `None` if it has made a regular checkpoint
    /// since, or was never asked.
    pub fn stopped_at(&self) -> Option<u64> {
        let checkpoints = fs::read_dir(self.checkpoints()).into_iter().flatten();
        checkpoints
            .filter_map(|entry| CheckpointFile::parse(entry.ok()?.path()))
            .max()
            .filter(|newest| newest.kind == CheckpointKind::Stop)
            .map(|newest| newest.step)
    }

    /// Whether the run is finished.
    pub fn is_finished(&self) -> bool {
        fs::exists(self.summary()).unwrap_or(false)
    }
}
