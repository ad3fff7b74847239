//! Many runs as one piece of work: every cell of a table trained in a folder of its own, whatever comes in between.
//!
//! A [`Study`] is a list of [`RunSpec`]s. [`Study::run`] trains each in `FOLDER/runs/LABEL-seedN`. A cell with a summary is done
//! and never trained again; one that was cut is taken up from its checkpoint; so the same call again goes on where the last
//! one was stopped or killed, and comes to the same numbers. More cells in the same folder, further seeds say, cost only
//! themselves. A loss that is not finite is a result of its cell, not an error of the study.
//!
//! ```no_run
//! use std::path::Path;
//! use onecycle_train::{Config, observer::Silent};
//! use crate::{study::RunSpec, study::StudyOutcome, study::Study};
//!
//! let base = Config { epochs: Some(1.0), ..Config::default() };
//! let cells = [0.1, 0.4].into_iter().flat_map(|lr_max| {
//!     let mut config = base.clone();
//!     config.policy.preset = onecycle::OneCycle::new(lr_max).into();
//!     [1, 2, 3].map(|seed| RunSpec::new(format!("lr-{lr_max}"), config.clone(), seed))
//! });
//! let study = Study::new(cells)?.without_pictures();
//! if let StudyOutcome::Finished(results) = study.run(Path::new("rates"), &mut Silent)? {
//!     for result in results {
//!         println!("{} seed {}: {:.2} %", result.label, result.seed, 100.0 * result.final_accuracy);
//!     }
//! }
//! # Ok::<(), crate::StudyError>(())
//! ```

mod remaining_time;
mod result;
mod run_observer;
mod variant;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub use result::{Divergence, RunResult, TimeToAccuracy};
pub use variant::{TimeToAccuracySummary, Variant, VariantSummary, XAxis, curves};

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

use remaining_time::RemainingTime;
use run_observer::RunObserver;

/// One training of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    /// What it is called, in tables and as the name of its folder: letters, digits, `-`, `_` and `.`, a letter or digit
    /// first. Cells of several seeds share it.
    pub label: String,
    /// What is trained, its seed apart.
    pub config: Config,
    /// Seed of every random stream.
    pub seed: u64,
}

impl RunSpec {
    /// A cell of this label. `seed` takes the place of the configuration's own.
    pub fn new(label: impl Into<String>, config: Config, seed: u64) -> Self {
        RunSpec {
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
    specs: Vec<RunSpec>,
    artifacts: Artifacts,
}

/// How a study ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StudyOutcome {
    /// All cells are trained: a result a cell, in their order.
    Finished(Vec<RunResult>),
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
    pub fn new(specs: impl IntoIterator<Item = RunSpec>) -> Result<Self, StudyError> {
        let mut study = Study {
            specs: Vec::new(),
            artifacts: Artifacts::All,
        };
        let mut names = BTreeSet::new();
        for spec in specs {
            spec.check()?;
            if !names.insert(spec.name()) {
                return Err(ConfigError::setting(
                    "label",
                    spec.name(),
                    "another name for each spec",
                )
                .into());
            }
            let config = spec.config.with_absolute_path()?;
            study.specs.push(RunSpec { config, ..spec });
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
    pub fn specs(&self) -> &[RunSpec] {
        &self.specs
    }

    /// The folder of a cell's run below the study's.
    pub fn run_folder(folder: &Path, spec: &RunSpec) -> PathBuf {
        folder.join("runs").join(spec.name())
    }

    /// Checks that what is in `folder` was made by the settings of these cells, and reads the results of those that are
    /// done. `None` for the others. Nothing is written.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with the run and what differs; records that cannot be read.
    pub fn results(&self, folder: &Path) -> Result<Vec<Option<RunResult>>, StudyError> {
        self.specs
            .iter()
            .map(|spec| {
                let root = Study::run_folder(folder, spec);
                if !root.join("run.toml").exists() {
                    return Ok(None);
                }
                let run = RunFolder::look(&root)?;
                let was = run.read_run_file()?.config;
                let differences = was.differences(&spec.config)?;
                if !differences.is_empty() {
                    return Err(RunError::OtherSettings {
                        run: root,
                        differences,
                    }
                    .into());
                }
                RunResult::read(spec, &run)
            })
            .collect()
    }

    /// Trains what is not trained yet.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] before anything is trained; [`RunError::InUse`] where another process works in `folder`;
    /// those of [`Experiment::prepare`] and of [`Training::run`], a divergence apart.
    pub fn run(
        &self,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<StudyOutcome, StudyError> {
        let mut results = self.results(folder)?;
        let done = results.iter().flatten().count();
        observer.study(self.specs.len(), done);
        let left_over = self.left_over(folder, &results);
        if done < self.specs.len() || !left_over.is_empty() {
            files::create_folder(&folder.join("runs"))?;
            let _lock = RunLock::acquire(folder)?;
            left_over.iter().try_for_each(|path| remove_folder(path))?;
            let pending = self.specs.iter().zip(&results).enumerate();
            let pending = pending.filter(|(_, (_, result))| result.is_none());
            let mut clock =
                RemainingTime::new(pending.map(|(index, (spec, _))| (index, &spec.config)));
            let mut cache = DataCache::default();
            for (index, spec) in self.specs.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                let run = Study::run_folder(folder, spec);
                let mut watch =
                    RunObserver::new(index, self.specs.len(), spec, &mut clock, observer);
                match self.train(spec, &run, &mut cache, &mut watch)? {
                    None => {
                        return Ok(StudyOutcome::Stopped {
                            done: results.iter().flatten().count(),
                            of: self.specs.len(),
                        });
                    }
                    Some(result) => {
                        watch.end(&result);
                        results[index] = Some(result);
                    }
                }
            }
        }
        Ok(StudyOutcome::Finished(
            results.into_iter().flatten().collect(),
        ))
    }

    /// Trains one cell to its end, or until the observer asks to stop.
    fn train(
        &self,
        spec: &RunSpec,
        root: &Path,
        cache: &mut DataCache,
        watch: &mut RunObserver<'_>,
    ) -> Result<Option<RunResult>, StudyError> {
        if watch.stop() {
            return Ok(None);
        }
        let training = if root.join("run.toml").exists() {
            Training::resume(RunFolder::open(root)?, watch)?
        } else {
            let experiment = Experiment::prepare_from(spec.config.clone(), cache)?;
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
        RunResult::read(spec, &run)
    }

    /// Checkpoints of cells that are done, which were to be removed: the process was killed before.
    fn left_over(&self, folder: &Path, results: &[Option<RunResult>]) -> Vec<PathBuf> {
        if self.artifacts == Artifacts::All {
            return Vec::new();
        }
        let done = self.specs.iter().zip(results);
        let done = done.filter(|(_, result)| result.is_some());
        done.map(|(spec, _)| RunFolder::at(&Study::run_folder(folder, spec)).checkpoints())
            .filter(|path| path.exists())
            .collect()
    }
}

fn remove_folder(path: &Path) -> Result<(), StudyError> {
    Ok(fs::remove_dir_all(path).map_err(FileError::io("remove", path))?)
}
