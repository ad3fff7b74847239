//! Starting and resuming a run.

use onecycle_burn::state;

use super::Training;
use crate::{
    Experiment, RunError, TrainError,
    assessment::Answers,
    checkpoint::{Checkpoint, CheckpointKind, Progress},
    config::{LogFormat, OnDivergence},
    data_report::DataReport,
    diagnose::{self, Diagnosis},
    experiment::DataCache,
    files::{self, JsonLines},
    finish::Artifacts,
    metrics::MetricSums,
    observer::{Observer, Silent},
    run_folder::{RunFile, RunFolder, RunLock},
    trainer::Trainer,
};

/// Options for resuming a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResumeOptions {
    /// Accept a run of another format, or whose data have changed. Its results are then not
    /// bit-identical to those of an uninterrupted run.
    pub accept_changes: bool,
    /// Overrides `on_divergence` of the configuration.
    pub on_divergence: Option<OnDivergence>,
    /// Log files to write, besides those of the configuration.
    pub log: Vec<LogFormat>,
}

impl Training {
    /// Starts a new run in `folder`.
    ///
    /// # Errors
    /// The folder is in use or already contains a run, files cannot be written, or the optimizer or
    /// network cannot be built.
    pub fn start(experiment: Experiment, folder: RunFolder) -> Result<Self, TrainError> {
        let lock = RunLock::acquire(folder.root())?;
        Training::start_locked(experiment, folder, lock)
    }

    /// Like [`start`](Self::start), in a folder whose lock the caller already holds.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), except for a folder in use.
    pub fn start_locked(
        mut experiment: Experiment,
        folder: RunFolder,
        lock: RunLock,
    ) -> Result<Self, TrainError> {
        // Another process may have used the folder since it was checked.
        folder.check_unused()?;
        // It was meant for another run, or came too late for this one.
        folder.take_stop_request()?;
        experiment.add_features(Some(&folder), &mut Silent)?;
        let trainer = experiment.trainer()?;
        truncate_records(&folder, &experiment, &Progress::default())?;
        let run_file = RunFile::of(&experiment);
        let report = DataReport::new(&experiment.data);
        files::write_json(&folder.data(), "the description of the data", &report)?;
        let mut training = Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            diagnoses: open_diagnoses(&experiment, &folder)?,
            trainer,
            train_metrics: MetricSums::default(),
            records: 0,
            seconds: 0.0,
            eval_metrics: MetricSums::default(),
            answers: Answers::default(),
            best: None,
            saved: Progress::default(),
            experiment,
            folder,
            run_file,
            _lock: lock,
            artifacts: Artifacts::All,
            log: None,
            team: None,
        };
        training.save(CheckpointKind::Regular)?;
        // Written last: a folder with a run.toml can be resumed.
        training.run_file.write(&training.folder.run_file())?;
        Ok(training)
    }

    /// Resumes a run from its newest complete checkpoint. The records are truncated to the lines
    /// that the checkpoint counts.
    ///
    /// # Errors
    /// The folder is in use; there is no complete checkpoint, or it belongs to another network; the
    /// run has another format; the data have changed since the run began.
    pub fn resume(folder: RunFolder, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        Training::resume_with(folder, ResumeOptions::default(), observer)
    }

    /// Like [`resume`](Self::resume), with options.
    ///
    /// # Errors
    /// Those of [`resume`](Self::resume) that the options do not accept; [`RunError::ShorterRun`]
    /// if the changed data leave fewer steps than were already made.
    pub fn resume_with(
        folder: RunFolder,
        options: ResumeOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let lock = RunLock::acquire(folder.root())?;
        Training::resume_locked(folder, lock, options, observer)
    }

    /// Like [`resume_with`](Self::resume_with), in a folder whose lock the caller already holds.
    ///
    /// # Errors
    /// Those of [`resume_with`](Self::resume_with), except for a folder in use.
    pub fn resume_locked(
        folder: RunFolder,
        lock: RunLock,
        options: ResumeOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let recorded = RunFile::read(&folder.run_file(), options.accept_changes)?;
        let mut config = recorded.config.clone();
        if let Some(on_divergence) = options.on_divergence {
            config.on_divergence = on_divergence;
        }
        for format in options.log {
            if !config.logs(format) {
                config.log.push(format);
            }
        }
        let experiment =
            Experiment::prepare_recorded(config, recorded.init.clone(), &mut DataCache::default())?;
        let run = Stopped {
            folder,
            lock,
            recorded,
        };
        run.resume(experiment, options.accept_changes, observer)
    }

    /// Resumes a run of `experiment`, whose data are in memory already.
    ///
    /// # Errors
    /// Those of [`resume`](Self::resume); [`RunError::OtherSettings`] if the run has another
    /// configuration.
    pub(crate) fn resume_experiment(
        folder: RunFolder,
        experiment: Experiment,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let lock = RunLock::acquire(folder.root())?;
        let recorded = folder.read_run_file()?;
        let found = RunFile::of(&experiment);
        recorded.check_same(&found, folder.root())?;
        let run = Stopped {
            folder,
            lock,
            recorded,
        };
        run.resume(experiment, false, observer)
    }
}

/// A run that can be resumed.
struct Stopped {
    folder: RunFolder,
    lock: RunLock,
    /// Contents of `run.toml`.
    recorded: RunFile,
}

impl Stopped {
    fn resume(
        self,
        mut experiment: Experiment,
        accept_changes: bool,
        observer: &mut dyn Observer,
    ) -> Result<Training, TrainError> {
        let Stopped {
            folder,
            lock,
            recorded,
        } = self;
        let run_file = RunFile {
            retries: recorded.retries.clone(),
            ..RunFile::of(&experiment)
        };
        let differences = recorded.data.differences(&run_file.data);
        if !(differences.is_empty() || accept_changes) {
            return Err(RunError::OtherData {
                run: folder.root().to_path_buf(),
                differences,
            }
            .into());
        }
        for difference in &differences {
            observer.note(&format!("continuing with changed data: {difference}"));
        }
        if recorded.version != run_file.version {
            observer.note(&format!(
                "the run was started by onecycle {}, this is {}: the results may differ from an uninterrupted run",
                recorded.version, run_file.version
            ));
        }
        let (checkpoint, damaged) = Checkpoint::newest(&folder.checkpoints())?;
        for error in damaged {
            observer.note(&format!("{error}; continuing from the previous checkpoint"));
        }
        let progress = checkpoint.progress;
        let steps = experiment.plan.steps();
        if progress.step > steps {
            return Err(RunError::ShorterRun {
                run: folder.root().to_path_buf(),
                step: progress.step,
                steps,
            }
            .into());
        }
        experiment.add_features(Some(&folder), observer)?;
        let best = checkpoint.best();
        let trainer = restore(&experiment, checkpoint)?;
        // Up to here, nothing in the folder was changed.
        for folder in [folder.root(), &folder.checkpoints(), &folder.figures()] {
            files::remove_temporary_files(folder)?;
        }
        folder.take_stop_request()?;
        truncate_records(&folder, &experiment, &progress)?;
        if run_file != recorded {
            run_file.write(&folder.run_file())?;
        }
        Ok(Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            diagnoses: open_diagnoses(&experiment, &folder)?,
            trainer,
            train_metrics: progress.train_metrics(),
            seconds: progress.seconds,
            records: progress.records(),
            eval_metrics: progress.evaluated,
            answers: Answers::default(),
            best,
            saved: progress,
            experiment,
            folder,
            run_file,
            _lock: lock,
            artifacts: Artifacts::All,
            log: None,
            team: None,
        })
    }
}

/// Truncates the records of a run to the lines that it has written at `progress`.
pub(super) fn truncate_records(
    folder: &RunFolder,
    experiment: &Experiment,
    progress: &Progress,
) -> Result<(), TrainError> {
    files::keep_lines(&folder.steps(), progress.step as usize)?;
    let (every, steps) = (experiment.config.diagnose.every, experiment.plan.steps());
    files::keep_lines(&folder.epochs(), progress.records() as usize)?;
    let diagnoses = diagnose::count_until(every, progress.step, steps);
    Ok(files::keep_lines(&folder.diagnoses(), diagnoses)?)
}

/// Opens the record of diagnoses if the configuration asks for them.
fn open_diagnoses(
    experiment: &Experiment,
    folder: &RunFolder,
) -> Result<Option<JsonLines<Diagnosis>>, TrainError> {
    match experiment.config.diagnose.is_never() {
        true => Ok(None),
        false => Ok(JsonLines::open(&folder.diagnoses()).map(Some)?),
    }
}

/// Creates the trainer at the position of a checkpoint, with its weights and optimizer state.
pub(crate) fn restore(
    experiment: &Experiment,
    checkpoint: Checkpoint,
) -> Result<Trainer, TrainError> {
    // Its weights come from the checkpoint, not from the file of `init`.
    let mut trainer = experiment.trainer_of(experiment.untrained_model()?)?;
    trainer.model = state::load_weights(trainer.model, checkpoint.weights)?;
    trainer
        .optimizer
        .load_state(checkpoint.optimizer, &experiment.device)?;
    let averager = experiment.averager()?;
    let averager = averager.with_state(checkpoint.average, &experiment.device);
    Ok(trainer.at(checkpoint.progress.cursor(), averager))
}
