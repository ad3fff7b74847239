//! Trains many runs as one resumable unit of work.
//!
//! A [`Study`] is a list of [`RunSpec`]s. [`Study::run`] trains each one in
//! `FOLDER/runs/LABEL-seedN`. A run with a summary is finished and is not trained again. An
//! interrupted run continues from its checkpoint. So repeating the same call after a stop or a
//! crash leads to the same numbers. Adding runs to the same folder, such as further seeds, only
//! trains the new ones. A loss that is not finite is a result of its run, not an error of the
//! study.
//!
//! ```no_run
//! use std::path::Path;
//! use onecycle_studies::study::{RunSpec, Study, StudyOutcome};
//! use onecycle_train::{Config, observer::Silent};
//!
//! let base = Config { epochs: Some(1.0), ..Config::default() };
//! let specs = [0.1, 0.4].into_iter().flat_map(|lr_max| {
//!     let mut config = base.clone();
//!     config.policy.preset = onecycle::OneCycle::new(lr_max).into();
//!     [1, 2, 3].map(|seed| RunSpec::new(format!("lr-{lr_max}"), config.clone(), seed))
//! });
//! let study = Study::new(specs)?.without_pictures();
//! if let StudyOutcome::Finished(results) = study.run(Path::new("rates"), &mut Silent)? {
//!     for result in results {
//!         let percent = 100.0 * result.final_accuracy;
//!         println!("{} seed {}: {percent:.2} %", result.label, result.seed);
//!     }
//! }
//! # Ok::<(), onecycle_studies::StudyError>(())
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
    config::DataConfig,
    experiment::DataCache,
    files,
    finish::Artifacts,
    observer::Observer,
    run_folder::{DataSummary, RunFile, RunFolder, RunLock},
    training::{self, Training},
};

use remaining_time::RemainingTime;
use run_observer::RunObserver;

/// Describes one run of a study.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSpec {
    /// Its name in tables and in the name of its folder: letters, digits, `-`, `_` and `.`,
    /// beginning with a letter or digit. Runs of several seeds share a label.
    pub label: String,
    /// The configuration. Its own seed is replaced by `seed`.
    pub config: Config,
    /// Seed of every random stream of the run.
    pub seed: u64,
}

impl RunSpec {
    /// A run with this label. `seed` replaces the seed of the configuration.
    pub fn new(label: impl Into<String>, config: Config, seed: u64) -> Self {
        RunSpec {
            label: label.into(),
            config: Config { seed, ..config },
            seed,
        }
    }

    /// Name of the run's folder, `LABEL-seedN`.
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
                "letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
            )
            .into());
        }
        Ok(self.config.check()?)
    }
}

/// A list of runs to train.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    specs: Vec<RunSpec>,
    artifacts: Artifacts,
}

/// How a study ended.
#[derive(Debug, Clone, PartialEq)]
pub enum StudyOutcome {
    /// All runs are trained: one result per run, in their order.
    Finished(Vec<RunResult>),
    /// The observer asked to stop. The same call continues.
    Stopped {
        /// Number of finished runs.
        done: usize,
        /// Number of all runs.
        of: usize,
    },
}

impl Study {
    /// A study that trains these runs in their order.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] for a label that cannot name a folder and for two runs with the
    /// same label and seed; errors of an invalid configuration.
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
                    "a unique label and seed for each run",
                )
                .into());
            }
            let config = spec.config.with_absolute_path()?;
            study.specs.push(RunSpec { config, ..spec });
        }
        Ok(study)
    }

    /// The same study, but its runs write neither figures nor a report, and delete their
    /// checkpoints when they end. Use it for hundreds of short runs.
    #[must_use]
    pub fn without_pictures(self) -> Self {
        Study {
            artifacts: Artifacts::WithoutFigures,
            ..self
        }
    }

    /// The runs, in the order of the results.
    pub fn specs(&self) -> &[RunSpec] {
        &self.specs
    }

    /// The folder of a run below the study's folder.
    pub fn run_folder(folder: &Path, spec: &RunSpec) -> PathBuf {
        folder.join("runs").join(spec.name())
    }

    /// Reads the results of the finished runs in `folder`; `None` for the others. Checks that the
    /// runs there have the same configurations. Writes nothing.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] with the run and the differing keys;
    /// [`StudyError::OtherData`] if runs were trained on different data; records that cannot be
    /// read.
    pub fn results(&self, folder: &Path) -> Result<Vec<Option<RunResult>>, StudyError> {
        self.results_on(&mut RecordedData::default(), folder)
    }

    /// Like [`results`](Self::results); adds the data that the runs recorded to `data`.
    fn results_on(
        &self,
        data: &mut RecordedData,
        folder: &Path,
    ) -> Result<Vec<Option<RunResult>>, StudyError> {
        self.specs
            .iter()
            .map(|spec| {
                let root = Study::run_folder(folder, spec);
                if !root.join("run.toml").exists() {
                    return Ok(None);
                }
                let run = RunFolder::look(&root)?;
                let previous = run.read_run_file()?;
                let differences = previous.config.differences(&spec.config)?;
                if !differences.is_empty() {
                    return Err(RunError::OtherSettings {
                        run: root,
                        differences,
                    }
                    .into());
                }
                data.check(&spec.config.data, &root, &previous.data)?;
                RunResult::read(spec, &run)
            })
            .collect()
    }

    /// Trains all runs that are not finished yet.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] and [`StudyError::OtherData`] before anything is trained; [`RunError::InUse`] if another
    /// process works in `folder`; the errors of [`Experiment::prepare`] and [`Training::run`],
    /// except for a divergence.
    pub fn run(
        &self,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<StudyOutcome, StudyError> {
        let mut data = RecordedData::default();
        let mut results = self.results_on(&mut data, folder)?;
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
            self.check_inputs(&results, &mut cache)?;
            for (index, spec) in self.specs.iter().enumerate() {
                if results[index].is_some() {
                    continue;
                }
                let run = Study::run_folder(folder, spec);
                let mut watch =
                    RunObserver::new(index, self.specs.len(), spec, &mut clock, observer);
                match self.train(spec, &run, (&mut cache, &mut data), &mut watch)? {
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

    /// Prepares one run of each data set and network that is still to train, so that a missing data
    /// set is reported before the first training and not after some of them.
    fn check_inputs(
        &self,
        results: &[Option<RunResult>],
        cache: &mut DataCache,
    ) -> Result<(), StudyError> {
        let mut seen: Vec<(DataConfig, String)> = Vec::new();
        for (spec, _) in self
            .specs
            .iter()
            .zip(results)
            .filter(|(_, done)| done.is_none())
        {
            let mut config = spec.config.clone();
            // A curriculum is a training of its own.
            config.data.curriculum = None;
            let key = (config.data.clone(), config.model.clone());
            if !seen.contains(&key) {
                seen.push(key);
                Experiment::prepare_from(config, cache)?;
            }
        }
        Ok(())
    }

    /// Trains one run to its end, or until the observer asks to stop.
    fn train(
        &self,
        spec: &RunSpec,
        root: &Path,
        (cache, data): (&mut DataCache, &mut RecordedData),
        watch: &mut RunObserver<'_>,
    ) -> Result<Option<RunResult>, StudyError> {
        if watch.stop() {
            return Ok(None);
        }
        let training = if root.join("run.toml").exists() {
            Training::resume(RunFolder::open(root)?, watch)?
        } else {
            let experiment = Experiment::prepare_from(spec.config.clone(), cache)?;
            let read = RunFile::new(&experiment.config, &experiment.data).data;
            data.check(&spec.config.data, root, &read)?;
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

    /// Checkpoints of finished runs that remain because the process was killed before it deleted
    /// them.
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

/// The data of the runs of a study, as they recorded it. Runs with the same `[data]` table must have
/// the same data, or an interval over their seeds would mix two data sets.
#[derive(Debug, Default)]
struct RecordedData {
    /// One run for each `[data]` table: the table, the folder of the run, its data.
    runs: Vec<(DataConfig, PathBuf, DataSummary)>,
}

impl RecordedData {
    /// Compares the data of a run with those of an earlier run of the same table.
    fn check(
        &mut self,
        table: &DataConfig,
        run: &Path,
        data: &DataSummary,
    ) -> Result<(), StudyError> {
        let Some((_, first, was)) = self.runs.iter().find(|(known, ..)| known == table) else {
            self.runs
                .push((table.clone(), run.to_path_buf(), data.clone()));
            return Ok(());
        };
        match was.differences(data) {
            differences if differences.is_empty() => Ok(()),
            differences => Err(StudyError::OtherData {
                run: first.clone(),
                differences,
            }),
        }
    }
}

fn remove_folder(path: &Path) -> Result<(), StudyError> {
    Ok(fs::remove_dir_all(path).map_err(FileError::io("remove", path))?)
}
