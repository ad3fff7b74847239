//! Many runs as one piece of work: every cell of a table trained in a folder of its own, whatever comes in between.
//!
//! A [`Study`] is a list of [`Cell`]s. [`Study::run`] trains each in `FOLDER/runs/LABEL-seedN`. A cell with a summary is done
//! and never trained again; one that was cut is taken up from its checkpoint; so the same call again goes on where the last
//! one was stopped or killed, and comes to the same numbers. More cells in the same folder, further seeds say, cost only
//! themselves. A loss that is not finite is a result of its cell, not an error of the study.
//!
//! ```no_run
//! use std::path::Path;
//! use onecycle_train::{Config, observer::Silent};
//! use crate::{study::Cell, study::Outcome, study::Study};
//!
//! let base = Config { epochs: Some(1.0), ..Config::default() };
//! let cells = [0.1, 0.4].into_iter().flat_map(|lr_max| {
//!     let mut config = base.clone();
//!     config.policy.preset = onecycle::OneCycle::new(lr_max).into();
//!     [1, 2, 3].map(|seed| Cell::new(format!("lr-{lr_max}"), config.clone(), seed))
//! });
//! let study = Study::new(cells)?.without_pictures();
//! if let Outcome::Finished(results) = study.run(Path::new("rates"), &mut Silent)? {
//!     for result in results {
//!         println!("{} seed {}: {:.2} %", result.label, result.seed, 100.0 * result.final_accuracy);
//!     }
//! }
//! # Ok::<(), crate::StudyError>(())
//! ```

mod clock;
mod result;
mod variant;
mod watch;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub use result::{CellResult, Divergence, Reached};
pub use variant::{Along, ReachedSummary, Variant, VariantSummary, curves};

use crate::StudyError;
use onecycle_train::{
    Config, ConfigError, Experiment, FileError, RunError, TrainError,
    experiment::DataCache,
    files,
    finish::Artifacts,
    observer::Observer,
    run_folder::{RunFolder, RunLock},
    training::{self, Training},
};

use clock::Clock;
use watch::Watch;

/// One training of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it is called, in tables and as the name of its folder: letters, digits, `-`, `_` and `.`, a letter or digit
    /// first. Cells of several seeds share it.
    pub label: String,
    /// What is trained, its seed apart.
    pub config: Config,
    /// Seed of every random stream.
    pub seed: u64,
}

impl Cell {
    /// A cell of this label. `seed` takes the place of the configuration's own.
    pub fn new(label: impl Into<String>, config: Config, seed: u64) -> Self {
        Cell {
            label: label.into(),
            config: Config { seed, ..config },
            seed,
        }
    }

    /// Name of its folder.
    pub fn name(&self) -> String {
        format!("{}-seed{}", self.label, self.seed)
    }

    fn check(&self) -> Result<(), StudyError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let starts = self.label.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !starts || !self.label.chars().all(plain) {
            return Err(ConfigError::setting(
                "label",
                self.label.clone(),
                "letters, digits, `-`, `_` and `.`, a letter or digit first",
            )
            .into());
        }
        Ok(self.config.check()?)
    }
}

/// A list of cells to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    cells: Vec<Cell>,
    artifacts: Artifacts,
}

/// How a study ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All cells are trained: a result a cell, in their order.
    Finished(Vec<CellResult>),
    /// The observer asked to stop. The same call goes on.
    Stopped {
        /// Cells that are done.
        done: usize,
        /// Cells in all.
        of: usize,
    },
}

impl Study {
    /// A study of these cells, trained in their order.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a label that cannot name a folder, or two cells of the same label and seed; an impossible
    /// configuration.
    pub fn new(cells: impl IntoIterator<Item = Cell>) -> Result<Self, StudyError> {
        let mut study = Study {
            cells: Vec::new(),
            artifacts: Artifacts::All,
        };
        let mut names = BTreeSet::new();
        for cell in cells {
            cell.check()?;
            if !names.insert(cell.name()) {
                return Err(ConfigError::setting(
                    "label",
                    cell.name(),
                    "another name for each cell",
                )
                .into());
            }
            let config = cell.config.with_absolute_path()?;
            study.cells.push(Cell { config, ..cell });
        }
        Ok(study)
    }

    /// The same study, whose runs leave neither figures nor a report, and no checkpoints once they are done: for hundreds of
    /// short runs.
    #[must_use]
    pub fn without_pictures(self) -> Self {
        Study {
            artifacts: Artifacts::WithoutFigures,
            ..self
        }
    }

    /// The cells in the order of the results.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The folder of a cell's run below the study's.
    pub fn run_folder(folder: &Path, cell: &Cell) -> PathBuf {
        folder.join("runs").join(cell.name())
    }

    /// Checks that what is in `folder` was made by the settings of these cells, and reads the results of those that are
    /// done. `None` for the others. Nothing is written.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with the run and what differs; records that cannot be read.
    pub fn results(&self, folder: &Path) -> Result<Vec<Option<CellResult>>, StudyError> {
        self.cells
            .iter()
            .map(|cell| {
                let root = Study::run_folder(folder, cell);
                if !root.join("run.toml").exists() {
                    return Ok(None);
                }
                let run = RunFolder::look(&root)?;
                let was = run.read_run_file()?.config;
                let differences = was.differences(&cell.config)?;
                if !differences.is_empty() {
                    return Err(RunError::OtherSettings {
                        run: root,
                        differences,
                    }
                    .into());
                }
                CellResult::read(cell, &run)
            })
            .collect()
    }

    /// Trains what is not trained yet.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] before anything is trained; [`RunError::InUse`] where another process works in `folder`;
    /// those of [`Experiment::prepare`] and of [`Training::run`], a divergence apart.
    pub fn run(&self, folder: &Path, observer: &mut dyn Observer) -> Result<Outcome, StudyError> {
        let mut results = self.results(folder)?;
        let done = results.iter().flatten().count();
        observer.study(self.cells.len(), done);
        let left_over = self.left_over(folder, &results);
        if done < self.cells.len() || !left_over.is_empty() {
            files::create_folder(&folder.join("runs"))?;
            let _lock = RunLock::acquire(folder)?;
            left_over.iter().try_for_each(|path| remove_folder(path))?;
            let pending = self.cells.iter().zip(&results).enumerate();
            let pending = pending.filter(|(_, (_, result))| result.is_none());
            let mut clock = Clock::new(pending.map(|(index, (cell, _))| (index, &cell.config)));
            let mut cache = DataCache::default();
            for (index, cell) in self.cells.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                let run = Study::run_folder(folder, cell);
                let mut watch = Watch::new(index, self.cells.len(), cell, &mut clock, observer);
                match self.train(cell, &run, &mut cache, &mut watch)? {
                    None => {
                        return Ok(Outcome::Stopped {
                            done: results.iter().flatten().count(),
                            of: self.cells.len(),
                        });
                    }
                    Some(result) => {
                        watch.end(&result);
                        results[index] = Some(result);
                    }
                }
            }
        }
        Ok(Outcome::Finished(results.into_iter().flatten().collect()))
    }

    /// Trains one cell to its end, or until the observer asks to stop.
    fn train(
        &self,
        cell: &Cell,
        root: &Path,
        cache: &mut DataCache,
        watch: &mut Watch<'_>,
    ) -> Result<Option<CellResult>, StudyError> {
        if watch.stop() {
            return Ok(None);
        }
        let training = if root.join("run.toml").exists() {
            Training::resume(RunFolder::open(root)?, watch)?
        } else {
            let experiment = Experiment::prepare_from(cell.config.clone(), cache)?;
            for note in &experiment.data.notes {
                watch.note(note);
            }
            Training::start(experiment, RunFolder::create(root)?)?
        };
        let run = RunFolder::look(root)?;
        watch.begin(training.progress().step, training.experiment().plan.steps());
        let classes = training.experiment().data.classes.len();
        match training.with_artifacts(self.artifacts).run(watch) {
            Ok(training::Outcome::Stopped { .. }) => return Ok(None),
            Ok(training::Outcome::Finished(_)) => {}
            Err(TrainError::Run(RunError::Diverged { step, lr, .. })) => {
                let chance = 1.0 / classes as f64;
                Divergence { step, lr, chance }.write(&run.diverged())?;
            }
            Err(error) => return Err(error.into()),
        }
        if self.artifacts == Artifacts::WithoutFigures {
            remove_folder(&run.checkpoints())?;
        }
        CellResult::read(cell, &run)
    }

    /// Checkpoints of cells that are done, which were to be removed: the process was killed before.
    fn left_over(&self, folder: &Path, results: &[Option<CellResult>]) -> Vec<PathBuf> {
        if self.artifacts == Artifacts::All {
            return Vec::new();
        }
        let done = self.cells.iter().zip(results);
        let done = done.filter(|(_, result)| result.is_some());
        done.map(|(cell, _)| RunFolder::at(&Study::run_folder(folder, cell)).checkpoints())
            .filter(|path| path.exists())
            .collect()
    }
}

fn remove_folder(path: &Path) -> Result<(), StudyError> {
    Ok(fs::remove_dir_all(path).map_err(FileError::io("remove", path))?)
}
