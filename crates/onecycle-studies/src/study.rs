//! Trains many runs as one resumable unit of work.
//!
//! A [`Study`] is a list of [`RunSpec`]s. [`Study::run`] trains each one in
//! `FOLDER/runs/LABEL-seedN`. A run with a summary is finished and is not trained again. An
//! interrupted run continues from its checkpoint. So repeating the same call after a stop or a
//! crash leads to the same numbers. Adding runs to the same folder, such as further seeds, only
//! trains the new ones. A loss that is not finite is a result of its run, not an error of the
//! study.
//!
//! Several processes, also on several machines, can train one study: see [`Part`].
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

mod part;
mod remaining_time;
mod result;
mod run_observer;
mod variant;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

pub use part::{Part, Shard, StudyOutcome};
pub use result::{Divergence, RunResult, TimeToAccuracy};
pub use variant::{TimeToAccuracySummary, Variant, VariantSummary, XAxis, curves};

use crate::StudyError;
use onecycle_train::{
    Config, ConfigError, Experiment, FileError, RunError, TrainError,
    config::{DataConfig, LogFormat},
    event_log,
    experiment::DataCache,
    files,
    finish::Artifacts,
    observer::Observer,
    run_folder::{DataSummary, RunFile, RunFolder, RunLock},
    training::{self, ResumeOptions, Training},
};

pub(crate) use part::{pause, see_changes, wait_for, write_results};
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

    /// Label and seed of a run in the folder `root`, from its name; `None` if it is not a
    /// [`name`](Self::name).
    pub fn parse_name(root: &Path) -> Option<(String, u64)> {
        let (label, seed) = root.file_name()?.to_str()?.rsplit_once("-seed")?;
        Some((label.to_owned(), seed.parse().ok()?))
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

/// What became of one run that a process wanted to train.
enum Attempt {
    /// This process trained it to its end.
    Trained(Box<RunResult>),
    /// Another process has finished it.
    Known(Box<RunResult>),
    /// Another process trains it.
    Busy,
    /// The observer asked to stop.
    Stopped,
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
            .map(|spec| Study::result(spec, &Study::run_folder(folder, spec), data))
            .collect()
    }

    /// Reads the result of a run in `root`; `None` if it is not finished.
    fn result(
        spec: &RunSpec,
        root: &Path,
        data: &mut RecordedData,
    ) -> Result<Option<RunResult>, StudyError> {
        if !root.join("run.toml").exists() {
            return Ok(None);
        }
        let run = RunFolder::look(root)?;
        let previous = run.read_run_file()?;
        let differences = previous.config.differences(&spec.config)?;
        if !differences.is_empty() {
            return Err(RunError::OtherSettings {
                run: root.to_path_buf(),
                differences,
            }
            .into());
        }
        data.check(&spec.config.data, root, &previous.data)?;
        RunResult::read(spec, &run)
    }

    /// Trains all runs that are not finished yet: [`take_part`](Self::take_part) with [`Part::All`].
    ///
    /// # Errors
    /// Those of [`take_part`](Self::take_part).
    pub fn run(
        &self,
        folder: &Path,
        observer: &mut dyn Observer,
    ) -> Result<StudyOutcome<Vec<RunResult>>, StudyError> {
        self.take_part(folder, Part::All, observer)
    }

    /// Trains the runs of one part that are not finished yet. The results are those of all runs, in
    /// their order.
    ///
    /// # Errors
    /// [`RunError::OtherSettings`] and [`StudyError::OtherData`] before anything is trained;
    /// [`RunError::InUse`] if another process works in `folder` or on a run, with [`Part::All`];
    /// [`RunError::NoLocks`] for a worker on a file system without locks; the errors of
    /// [`Experiment::prepare`] and [`Training::run`], except for a divergence.
    pub fn take_part(
        &self,
        folder: &Path,
        part: Part,
        observer: &mut dyn Observer,
    ) -> Result<StudyOutcome<Vec<RunResult>>, StudyError> {
        let of = self.specs.len();
        let mut shared = Shared::default();
        let mut results = self.results_on(&mut shared.data, folder)?;
        observer.study(of, results.iter().flatten().count());
        if self.is_logged() {
            let out = RunFolder::at(folder).tensorboard();
            let runs = self.specs.iter();
            let runs = runs.map(|spec| (spec.label.as_str(), &spec.config));
            event_log::write_experiment(&out, runs)?;
        }
        if results.iter().any(Option::is_none) {
            files::create_folder(&folder.join("runs"))?;
            let _lock = match part {
                Part::All => Some(RunLock::acquire(folder)?),
                Part::Worker | Part::Shard(_) => None,
            };
            if !self.train_part(folder, part, &mut results, (&mut shared, observer))? {
                let done = results.iter().flatten().count();
                return Ok(StudyOutcome::Stopped { done, of });
            }
            // Other processes may have finished runs that this one did not try again.
            for (spec, result) in self.specs.iter().zip(&mut results) {
                if result.is_none() {
                    let root = Study::run_folder(folder, spec);
                    *result = Study::result(spec, &root, &mut shared.data)?;
                }
            }
        }
        let finished: Vec<RunResult> = results.into_iter().flatten().collect();
        if finished.len() < of {
            let done = finished.len();
            return Ok(StudyOutcome::Left { done, of });
        }
        self.remove_left_over(folder)?;
        self.log_finished(folder)?;
        Ok(StudyOutcome::Finished(finished))
    }

    /// Whether runs write event files for TensorBoard.
    fn is_logged(&self) -> bool {
        let logs = |spec: &RunSpec| spec.config.logs(LogFormat::TensorBoard);
        self.specs.iter().any(logs)
    }

    /// Writes the event files of runs that were finished before event files were asked for.
    fn log_finished(&self, folder: &Path) -> Result<(), StudyError> {
        for spec in &self.specs {
            let run = RunFolder::at(&Study::run_folder(folder, spec));
            let has_files = !event_log::event_files(&run.tensorboard())?.is_empty();
            if spec.config.logs(LogFormat::TensorBoard) && !has_files {
                event_log::convert(&run, None)?;
            }
        }
        Ok(())
    }

    /// Trains the runs of a part, in passes over all of them: a run that another process trained may
    /// be free in the next pass, because that process was stopped. Ends after a pass that trained
    /// nothing. Returns false if the observer asked to stop.
    fn train_part(
        &self,
        folder: &Path,
        part: Part,
        results: &mut [Option<RunResult>],
        (shared, observer): (&mut Shared, &mut dyn Observer),
    ) -> Result<bool, StudyError> {
        let pending = |results: &[Option<RunResult>]| -> Vec<usize> {
            (0..results.len())
                .filter(|index| part.contains(*index) && results[*index].is_none())
                .collect()
        };
        let runs = pending(results);
        // Nobody knows which runs are left for a worker.
        let known = if part == Part::Worker { &[][..] } else { &runs };
        let known = known
            .iter()
            .map(|index| (*index, &self.specs[*index].config));
        let mut clock = RemainingTime::new(known);
        self.check_inputs(folder, &runs, shared)?;
        loop {
            let mut trained = false;
            for index in pending(results) {
                let spec = &self.specs[index];
                let root = Study::run_folder(folder, spec);
                let mut watch =
                    RunObserver::new(index, self.specs.len(), spec, &mut clock, observer);
                match self.attempt(spec, &root, part, (shared, &mut watch))? {
                    Attempt::Stopped => return Ok(false),
                    Attempt::Busy => {}
                    Attempt::Known(result) => results[index] = Some(*result),
                    Attempt::Trained(result) => {
                        trained = true;
                        watch.end(&result);
                        results[index] = Some(*result);
                    }
                }
            }
            if !trained {
                return Ok(true);
            }
        }
    }

    /// Prepares one run of each data set and network that is still to train, so that a missing or
    /// changed data set is reported before the first training and not after some of them.
    fn check_inputs(
        &self,
        folder: &Path,
        runs: &[usize],
        shared: &mut Shared,
    ) -> Result<(), StudyError> {
        let mut seen: Vec<(DataConfig, String)> = Vec::new();
        for spec in runs.iter().map(|index| &self.specs[*index]) {
            let mut config = spec.config.clone();
            // A curriculum is a training of its own.
            config.data.curriculum = None;
            let key = (config.data.clone(), config.model.clone());
            if !seen.contains(&key) {
                seen.push(key);
                let experiment = Experiment::prepare_from(config, &mut shared.cache)?;
                let read = RunFile::new(&experiment.config, &experiment.data).data;
                let root = Study::run_folder(folder, spec);
                shared.data.check(&spec.config.data, &root, &read)?;
            }
        }
        Ok(())
    }

    /// Trains one run, unless another process has finished it or trains it.
    fn attempt(
        &self,
        spec: &RunSpec,
        root: &Path,
        part: Part,
        (shared, watch): (&mut Shared, &mut RunObserver<'_>),
    ) -> Result<Attempt, StudyError> {
        if watch.stop() {
            return Ok(Attempt::Stopped);
        }
        files::create_folder(root)?;
        let lock = match part {
            Part::All => RunLock::acquire(root)?,
            Part::Worker | Part::Shard(_) => match RunLock::try_acquire(root)? {
                Some(lock) => lock,
                None => return Ok(Attempt::Busy),
            },
        };
        part.check(&lock, root)?;
        see_changes(root)?;
        // Another process may have finished it before the lock was free.
        if let Some(result) = Study::result(spec, root, &mut shared.data)? {
            return Ok(Attempt::Known(Box::new(result)));
        }
        let trained = self.train(spec, root, &lock, (shared, watch))?;
        Ok(trained.map_or(Attempt::Stopped, |result| {
            Attempt::Trained(Box::new(result))
        }))
    }

    /// Trains one run, whose lock this process holds, to its end or until the observer asks to stop.
    fn train(
        &self,
        spec: &RunSpec,
        root: &Path,
        lock: &RunLock,
        (shared, watch): (&mut Shared, &mut RunObserver<'_>),
    ) -> Result<Option<RunResult>, StudyError> {
        let training = if root.join("run.toml").exists() {
            let options = ResumeOptions {
                log: spec.config.log.clone(),
                ..ResumeOptions::default()
            };
            Training::resume_locked(RunFolder::open(root)?, lock.clone(), options, watch)?
        } else {
            let experiment = Experiment::prepare_from(spec.config.clone(), &mut shared.cache)?;
            let read = RunFile::new(&experiment.config, &experiment.data).data;
            shared.data.check(&spec.config.data, root, &read)?;
            for note in &experiment.data.notes {
                watch.note(note);
            }
            Training::start_locked(experiment, RunFolder::create(root)?, lock.clone())?
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

    /// Removes checkpoints of finished runs that remain because a process was killed before it
    /// removed them.
    fn remove_left_over(&self, folder: &Path) -> Result<(), StudyError> {
        if self.artifacts == Artifacts::All {
            return Ok(());
        }
        for spec in &self.specs {
            let root = Study::run_folder(folder, spec);
            let checkpoints = RunFolder::at(&root).checkpoints();
            if !checkpoints.exists() {
                continue;
            }
            // A process that holds the lock is about to remove them.
            let lock = RunLock::try_acquire(&root)?;
            if lock.is_some() && checkpoints.exists() {
                remove_folder(&checkpoints)?;
            }
        }
        Ok(())
    }
}

/// What the runs of a study share.
#[derive(Debug, Default)]
struct Shared {
    cache: DataCache,
    data: RecordedData,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed() {
        let spec = RunSpec::new("a-seed2", Config::default(), 13);
        let root = Path::new("study/runs").join(spec.name());
        assert_eq!(RunSpec::parse_name(&root), Some(("a-seed2".to_owned(), 13)));
        for other in ["mnist-lenet5-001", "a-seed", "a-seedx", "seed3"] {
            assert_eq!(RunSpec::parse_name(Path::new(other)), None, "{other}");
        }
    }
}
