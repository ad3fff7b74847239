//! The training loop: plan, batch, forward, backward, update, record.
//!
//! **A loss that is not finite** ends the run ([`RunError::Diverged`]), or with `on_divergence = "retry"` sends it back
//! to a checkpoint, from where the plan's learning rate is halved: for a policy with `lr_max` as if that were half, for
//! any other all its rates. It goes back to the newest checkpoint that it has not gone back to in vain before, at last
//! to its start, and up to eight times in all. Each time is a [`Retry`](crate::run_folder::Retry) in `run.toml`.

mod retry;

use std::time::{Duration, Instant};

use burn::module::Module;
use onecycle::Hyper;
use onecycle_burn::state;

use crate::{
    Experiment, FileError, RunError, TrainError,
    checkpoint::{Checkpoint, CheckpointKind, Progress},
    config::OnDivergence,
    device,
    diagnose::{self, Diagnosis},
    files::{self, JsonLines},
    finish::{self, Artifacts, Summary},
    metrics::{Evaluator, MetricSums},
    observer::Observer,
    record::{EpochRecord, StepRecord, generalisation_gap},
    run_folder::{RunFile, RunFolder, RunLock},
    trainer::{Cursor, StepResult, Trainer, Update},
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were made.
    Finished(Box<Summary>),
    /// The observer asked to stop before this step; a checkpoint was written.
    Stopped {
        /// Updates made so far.
        step: u64,
    },
}

/// How to take up a run, where not as it was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResumeOptions {
    /// Take a run of another format, or whose data have changed. Its bits are then not those of an undisturbed one.
    pub accept_changes: bool,
    /// In place of what the configuration says.
    pub on_divergence: Option<OnDivergence>,
}

/// A run in progress. While there is one, no other process can work on its folder.
#[derive(Debug)]
pub struct Training {
    experiment: Experiment,
    folder: RunFolder,
    run_file: RunFile,
    trainer: Trainer,
    /// Losses and correct answers of the current epoch, each before its update.
    trained: MetricSums,
    /// Seconds spent training in the current epoch.
    seconds: f64,
    /// The evaluation in progress.
    evaluated: MetricSums,
    /// Position of the newest checkpoint.
    saved: Progress,
    _lock: RunLock,
    steps: JsonLines<StepRecord>,
    epochs: JsonLines<EpochRecord>,
    artifacts: Artifacts,
    /// Where the run diagnoses itself along its way.
    diagnoses: Option<JsonLines<Diagnosis>>,
}

impl Training {
    /// A new run in `folder`.
    ///
    /// # Errors
    /// A folder in use or no longer unused, files that cannot be written, an optimizer or network that cannot be built.
    pub fn start(experiment: Experiment, folder: RunFolder) -> Result<Self, TrainError> {
        let lock = RunLock::acquire(folder.root())?;
        // Another process may have come and gone since the folder was looked at.
        folder.check_unused()?;
        let trainer = experiment.trainer()?;
        files::keep_lines(&folder.steps(), 0)?;
        files::keep_lines(&folder.epochs(), 0)?;
        files::keep_lines(&folder.diagnoses(), 0)?;
        let run_file = RunFile::new(&experiment.config, &experiment.data);
        let mut training = Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            diagnoses: open_diagnoses(&experiment, &folder)?,
            trainer,
            trained: MetricSums::default(),
            seconds: 0.0,
            evaluated: MetricSums::default(),
            saved: Progress::default(),
            experiment,
            folder,
            run_file,
            _lock: lock,
            artifacts: Artifacts::Everything,
        };
        training.save(CheckpointKind::Regular)?;
        // Written last: a folder with a run file is one that can be resumed.
        training.run_file.write(&training.folder.run_file())?;
        Ok(training)
    }

    /// Goes on with a run from its newest whole checkpoint. The records are cut to where the checkpoint stands.
    ///
    /// # Errors
    /// A folder in use; no whole checkpoint, or one that is not of this network; a run of another format; data that are
    /// not those the run began with.
    pub fn resume(folder: RunFolder, observer: &mut dyn Observer) -> Result<Self, TrainError> {
        Training::resume_with(folder, ResumeOptions::default(), observer)
    }

    /// As [`resume`](Self::resume), with options.
    ///
    /// # Errors
    /// The same, but for what the options accept; [`RunError::ShorterRun`] where that leaves nothing to go on with.
    pub fn resume_with(
        folder: RunFolder,
        options: ResumeOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, TrainError> {
        let lock = RunLock::acquire(folder.root())?;
        let was = RunFile::read(&folder.run_file(), options.accept_changes)?;
        let mut config = was.config.clone();
        if let Some(on_divergence) = options.on_divergence {
            config.on_divergence = on_divergence;
        }
        let experiment = Experiment::prepare(config)?;
        let run_file = RunFile {
            retries: was.retries.clone(),
            ..RunFile::new(&experiment.config, &experiment.data)
        };
        let differences = was.data.differences(&run_file.data);
        if !(differences.is_empty() || options.accept_changes) {
            return Err(RunError::OtherData {
                run: folder.root().to_path_buf(),
                differences,
            }
            .into());
        }
        for difference in &differences {
            observer.note(&format!("going on with other data: {difference}"));
        }
        if was.version != run_file.version {
            observer.note(&format!(
                "the run was begun by onecycle {}, this is {}: its results may differ from an undisturbed run's",
                was.version, run_file.version
            ));
        }
        let (checkpoint, damaged) = Checkpoint::newest(&folder.checkpoints())?;
        for error in damaged {
            observer.note(&format!("{error}; going on from the one before it"));
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
        let trainer = restore(&experiment, checkpoint)?;
        // Nothing was changed up to here.
        for folder in [folder.root(), &folder.checkpoints(), &folder.figures()] {
            files::remove_asides(folder)?;
        }
        files::keep_lines(&folder.steps(), progress.step as usize)?;
        files::keep_lines(&folder.epochs(), progress.epoch as usize)?;
        let diagnoses = diagnose::made_by(experiment.config.diagnose.every, progress.step, steps);
        files::keep_lines(&folder.diagnoses(), diagnoses)?;
        if run_file != was {
            run_file.write(&folder.run_file())?;
        }
        Ok(Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            diagnoses: open_diagnoses(&experiment, &folder)?,
            trainer,
            trained: progress.trained(),
            seconds: progress.seconds,
            evaluated: progress.evaluated,
            saved: progress,
            experiment,
            folder,
            run_file,
            _lock: lock,
            artifacts: Artifacts::Everything,
        })
    }

    /// The same run with other files at its end.
    #[must_use]
    pub fn leaving(self, artifacts: Artifacts) -> Self {
        Training { artifacts, ..self }
    }

    /// The experiment of this run.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Position of the run.
    pub fn progress(&self) -> Progress {
        let Cursor {
            step,
            epoch,
            images_of_epoch,
        } = self.trainer.cursor();
        Progress {
            step,
            epoch,
            images_of_epoch,
            loss: self.trained.loss,
            correct: self.trained.correct,
            seconds: self.seconds,
            evaluated: self.evaluated,
        }
    }

    /// Updates made.
    fn step(&self) -> u64 {
        self.trainer.cursor().step
    }

    /// Trains to the end, or until the observer asks to stop.
    ///
    /// # Errors
    /// A loss that is not finite ([`RunError::Diverged`]), files that cannot be written ([`RunError::Interrupted`]),
    /// data that cannot be read.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        match device::on_a_cpu_thread(|| self.run_on(observer)) {
            Err(TrainError::File(source @ FileError::Io { .. })) => Err(RunError::Interrupted {
                source: Box::new(source),
                step: self.saved.step,
                run: self.folder.root().to_path_buf(),
            }
            .into()),
            outcome => outcome,
        }
    }

    fn run_on(&mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        loop {
            match self.train_and_test(observer) {
                Ok(true) => {
                    self.save(CheckpointKind::Stop)?;
                    return Ok(Outcome::Stopped { step: self.step() });
                }
                Ok(false) => break,
                Err(TrainError::Run(RunError::Diverged { step, lr, .. })) if self.may_retry() => {
                    self.go_back(step, lr, observer)?;
                }
                Err(error) => return Err(error),
            }
        }
        let summary = finish::finish(
            &self.experiment,
            &self.folder,
            self.trainer.model.clone(),
            self.evaluated,
            self.artifacts,
        )?;
        Ok(Outcome::Finished(Box::new(summary)))
    }

    /// Trains all remaining epochs, and tests. True if the observer asked to stop before that.
    fn train_and_test(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        // After the last update, its epoch may not have been evaluated yet.
        while !self.trainer.is_finished() || self.trainer.cursor().images_of_epoch > 0 {
            if self.train_epoch(observer)? || self.end_epoch(observer)? {
                return Ok(true);
            }
            self.save(CheckpointKind::Regular)?;
            if !self.trainer.is_finished() && observer.stop() {
                return Ok(true);
            }
        }
        if self.experiment.data.validation_is == "test" {
            // The last epoch ended with the same network on the same images.
            return Ok(false);
        }
        self.evaluate(Part::Test, observer)
    }

    /// Trains the rest of the current epoch, or of the run. True if the observer asked to stop before that.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let seconds_before = self.seconds;
        let start = Instant::now();
        let mut diagnosing = Duration::ZERO;
        while !(self.trainer.is_finished() || self.trainer.epoch_is_over()) {
            let record = self.train_step()?;
            let training = start.elapsed() - diagnosing;
            self.seconds = seconds_before + training.as_secs_f64();
            observer.step(&record);
            diagnosing += self.diagnose_if_due()?;
            if self.trainer.is_finished() {
                break;
            }
            let every = self.experiment.config.checkpoint_steps;
            if every > 0 && self.step().is_multiple_of(every) {
                self.save(CheckpointKind::Regular)?;
            }
            if observer.stop() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Diagnoses the network as it stands, where the configuration says so; returns the time that it took.
    fn diagnose_if_due(&mut self) -> Result<Duration, TrainError> {
        let (every, step) = (self.experiment.config.diagnose.every, self.step());
        let total = self.experiment.plan.steps();
        let start = Instant::now();
        if let Some(lines) = &mut self.diagnoses
            && diagnose::is_due(every, step, total)
        {
            let (experiment, run_file) = (&self.experiment, &self.run_file);
            lines.push(&diagnose::along_the_way(
                experiment,
                run_file,
                &self.trainer.model,
                step,
            )?)?;
        }
        Ok(start.elapsed())
    }

    /// One update, and its line of the record.
    fn train_step(&mut self) -> Result<StepRecord, TrainError> {
        let hyper = self.hyper(self.step())?;
        let Update {
            step,
            epoch,
            metrics,
            grad_norm,
        } = match self.trainer.step_with(&hyper)? {
            StepResult::Updated(update) => update,
            StepResult::NotFinite => return Err(self.diverged(self.step(), hyper.lr)),
        };
        let record = StepRecord {
            step,
            epoch,
            lr: hyper.lr,
            momentum: Some(self.momentum(&hyper)),
            weight_decay: hyper
                .weight_decay
                .unwrap_or(self.trainer.optimizer.config().weight_decay()),
            batch_size: metrics.images,
            loss: metrics.mean_loss(),
            grad_norm,
        };
        self.steps.push(&record)?;
        self.trained.add(metrics);
        Ok(record)
    }

    /// The plan's hyper-parameters of an update, its learning rate scaled by the retries after a divergence.
    fn hyper(&self, step: u64) -> Result<Hyper, TrainError> {
        let hyper = self.experiment.plan.try_at(step)?;
        let lr = hyper.lr * self.run_file.lr_scale(step);
        Ok(Hyper { lr, ..hyper })
    }

    /// Momentum, or beta1, of an update with `hyper`.
    fn momentum(&self, hyper: &Hyper) -> f64 {
        hyper
            .momentum
            .unwrap_or(self.trainer.optimizer.config().momentum())
    }

    fn diverged(&self, step: u64, lr: f64) -> TrainError {
        RunError::Diverged {
            step,
            lr,
            retries: self.run_file.retries.len(),
            rate: retry::rate_key(&self.experiment.config.policy),
            run: self.folder.root().to_path_buf(),
        }
        .into()
    }

    /// Adds to the progress's tally what is left of the images of a part. True if the observer asked to stop before the
    /// last batch.
    fn evaluate(&mut self, part: Part, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let data = &self.experiment.data;
        let loader = match part {
            Part::Validation => &data.validation,
            Part::Test => &data.test,
        };
        let images = loader.len() as u64;
        let batch_size = self.experiment.config.eval_batch_size;
        let batches = loader
            .evaluation()
            .batch_size(batch_size)
            .skip(self.evaluated.images as usize)
            .batches();
        let model = self.trainer.model.valid();
        Evaluator::new(&model, data.shape, &self.experiment.device).add_until(
            &mut self.evaluated,
            batches,
            |seen| {
                observer.evaluation(seen, images);
                seen < images && observer.stop()
            },
        )?;
        Ok(self.evaluated.images < images)
    }

    /// Evaluates, writes the epoch's record and moves on to the next epoch. True if the observer asked to stop in the
    /// middle of the evaluation.
    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        if self.evaluate(Part::Validation, observer)? {
            return Ok(true);
        }
        let (trained, measured) = (self.trained, self.evaluated);
        let Cursor { step, epoch, .. } = self.trainer.cursor();
        let last = self.hyper(step - 1)?;
        let record = EpochRecord {
            epoch,
            steps: step,
            train_loss: trained.mean_loss(),
            train_accuracy: trained.accuracy(),
            val_loss: measured.mean_loss(),
            val_accuracy: measured.accuracy(),
            generalisation_gap: generalisation_gap(trained.mean_loss(), measured.mean_loss()),
            lr: last.lr,
            momentum: Some(self.momentum(&last)),
            seconds: self.seconds,
            images_per_second: trained.images as f64 / self.seconds,
        };
        self.epochs.push(&record)?;
        observer.epoch(&record);
        if !measured.loss.is_finite() {
            // Before the checkpoint: the one before it may still be of use.
            return Err(self.diverged(step - 1, last.lr));
        }
        self.trainer.begin_next_epoch();
        self.trained = MetricSums::default();
        self.evaluated = MetricSums::default();
        self.seconds = 0.0;
        Ok(false)
    }

    /// Writes a checkpoint. The records it relies on are on the disk before it.
    fn save(&mut self, kind: CheckpointKind) -> Result<(), TrainError> {
        let progress = self.progress();
        if kind == CheckpointKind::Stop && self.saved == progress {
            // The one that was just written serves.
            return Ok(());
        }
        self.steps.sync()?;
        self.epochs.sync()?;
        if let Some(diagnoses) = &self.diagnoses {
            diagnoses.sync()?;
        }
        Checkpoint {
            progress,
            weights: state::weights(&self.trainer.model),
            optimizer: self.trainer.optimizer.state(),
        }
        .save(&self.folder.checkpoints(), kind)?;
        self.saved = progress;
        Ok(())
    }
}

/// Images that are measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// After each epoch.
    Validation,
    /// After the last one.
    Test,
}

/// The record of diagnoses along the way, where the configuration asks for them.
fn open_diagnoses(
    experiment: &Experiment,
    folder: &RunFolder,
) -> Result<Option<JsonLines<Diagnosis>>, TrainError> {
    match experiment.config.diagnose.is_never() {
        true => Ok(None),
        false => Ok(JsonLines::open(&folder.diagnoses()).map(Some)?),
    }
}

/// The trainer at the position of a checkpoint, with its weights and optimizer state.
fn restore(experiment: &Experiment, checkpoint: Checkpoint) -> Result<Trainer, TrainError> {
    let mut trainer = experiment.trainer()?;
    trainer.model = state::load_weights(trainer.model, checkpoint.weights)?;
    trainer
        .optimizer
        .load_state(checkpoint.optimizer, &experiment.device)?;
    Ok(trainer.at(checkpoint.progress.cursor()))
}
