//! The training loop with records and checkpoints. The main type is [`Training`], a [`Trainer`] and
//! a run folder.
//!
//! **A loss that is not finite** ends the run with [`RunError::Diverged`]. If the configuration has
//! `on_divergence = "retry"`, the run returns to a checkpoint instead, and from there the learning
//! rate of the plan is halved. It returns to the newest checkpoint before the update with that loss;
//! if it came no further than before, to an earlier one than the last time, and finally to its start.
//! It retries at most eight times. Each retry is recorded as a
//! [`Retry`](crate::run_folder::Retry) in `run.toml`.

mod retry;
mod start;

pub(crate) use retry::rate_key;
pub use start::ResumeOptions;
pub(crate) use start::restore;

use std::time::{Duration, Instant};

use onecycle::Hyper;
use onecycle_burn::state;
use onecycle_vision::models::Model;

use crate::{
    Experiment, FileError, RunError, TrainError,
    assessment::Answers,
    best::{Best, BestEpoch},
    checkpoint::{Checkpoint, CheckpointKind, Progress},
    config::{Keep, LogFormat},
    device,
    diagnose::{self, Diagnosis},
    event_log::EventLog,
    files::JsonLines,
    finish::{self, Artifacts, FinalNetwork, Summary},
    leader,
    metrics::{BatchLogits, Evaluator, MetricSums},
    observer::Observer,
    processes::{EvalSet, Team},
    record::{EpochRecord, EpochSums, StepRecord},
    rounds,
    run_folder::{RunFile, RunFolder, RunLock, StopOnRequest},
    trainer::{Cursor, StepResult, Trainer},
    tta::Tta,
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were made.
    Finished(Box<Summary>),
    /// The observer, or a request in the folder, asked to stop before this step. A checkpoint was written.
    Stopped {
        /// Updates made so far.
        step: u64,
    },
}

/// A run in progress. It holds the lock of its folder, so no other process can work on it.
#[derive(Debug)]
pub struct Training {
    experiment: Experiment,
    folder: RunFolder,
    run_file: RunFile,
    trainer: Trainer,
    /// Training metrics since the last evaluation, each image measured before its update.
    train_metrics: MetricSums,
    /// Seconds spent training since the last evaluation.
    seconds: f64,
    /// Number of lines of `epochs.jsonl`.
    records: u64,
    /// Metrics of the evaluation in progress.
    eval_metrics: MetricSums,
    /// Answers of the final network to the test images, as far as this process has computed them.
    answers: Answers,
    /// The best network so far, if the run keeps it.
    best: Option<Best>,
    /// Position of the newest checkpoint.
    saved: Progress,
    _lock: RunLock,
    steps: JsonLines<StepRecord>,
    epochs: JsonLines<EpochRecord>,
    artifacts: Artifacts,
    /// Record of diagnoses, if the configuration asks for them.
    diagnoses: Option<JsonLines<Diagnosis>>,
    /// The event file, while the run trains and if the configuration asks for it.
    log: Option<EventLog>,
    /// The processes that train together; this one leads.
    team: Option<Team>,
}

impl Training {
    /// Selects the files to write at the end of the run.
    #[must_use]
    pub fn with_artifacts(self, artifacts: Artifacts) -> Self {
        Training { artifacts, ..self }
    }

    /// Trains together with the other processes of `team`, which [`follow`](crate::follower::follow);
    /// this process leads. They read the data that the configuration names, and wait for another run
    /// or [`Team::end`] when this one has ended.
    ///
    /// # Errors
    /// The shards cannot be divided equally among the processes; a process cannot be reached.
    pub fn with_team(mut self, team: Team) -> Result<Self, TrainError> {
        leader::prepare(&team, &mut self.trainer, &self.run_file)?;
        self.team = Some(team);
        self.share_state()?;
        Ok(self)
    }

    /// Brings the other processes to the position of this one.
    fn share_state(&self) -> Result<(), TrainError> {
        match &self.team {
            None => Ok(()),
            Some(team) => leader::share(team, &self.trainer, self.progress()),
        }
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
            images_before: self.train_metrics.images.saturating_sub(images_of_epoch),
            loss: self.train_metrics.loss,
            correct: self.train_metrics.correct,
            seconds: self.seconds,
            evaluated: self.eval_metrics,
            records: (self.records != epoch).then_some(self.records),
            averaged: self.trainer.averager().count(),
            best: self.best.as_ref().map(|best| best.epoch),
        }
    }

    /// Updates made.
    fn step(&self) -> u64 {
        self.trainer.cursor().step
    }

    /// Trains to the end, or until the observer or a request in the folder
    /// ([`RunFolder::request_stop`]) asks to stop.
    ///
    /// # Errors
    /// The loss is not finite ([`RunError::Diverged`]), files cannot be written
    /// ([`RunError::Interrupted`]), or the data cannot be read.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        let mut observer = StopOnRequest::new(self.folder.clone(), observer);
        let outcome = device::on_pool_thread(|| self.run_to_end(&mut observer));
        match outcome {
            Err(TrainError::File(source @ FileError::Io { .. })) => Err(RunError::Interrupted {
                source: Box::new(source),
                step: self.saved.step,
                run: self.folder.root().to_path_buf(),
            }
            .into()),
            outcome => outcome,
        }
    }

    fn run_to_end(&mut self, observer: &mut dyn Observer) -> Result<Outcome, TrainError> {
        self.open_log()?;
        observer.plan(&self.experiment.plan);
        loop {
            match self.train_and_test(observer) {
                Ok(true) => {
                    self.save(CheckpointKind::Stop)?;
                    if let Some(log) = &mut self.log {
                        log.flush()?;
                    }
                    return Ok(Outcome::Stopped { step: self.step() });
                }
                Ok(false) => break,
                Err(TrainError::Run(RunError::Diverged { step, lr, .. })) if self.can_retry() => {
                    self.roll_back(step, lr, observer)?;
                    self.open_log()?;
                }
                Err(error) => {
                    if let (TrainError::Run(RunError::Diverged { .. }), Some(log)) =
                        (&error, &mut self.log)
                    {
                        log.diverged()?;
                    }
                    return Err(error);
                }
            }
        }
        let network = FinalNetwork {
            model: self.kept_network()?,
            parameters: self.trainer.parameters(),
            best: self.best.as_ref().map(|best| best.epoch),
            tested: self.eval_metrics,
            answers: std::mem::take(&mut self.answers),
        };
        let (artifacts, log) = (self.artifacts, self.log.as_mut());
        let summary = finish::finish(&self.experiment, &self.folder, network, artifacts, log)?;
        Ok(Outcome::Finished(Box::new(summary)))
    }

    /// Begins the event file with what the records contain, if the configuration asks for one.
    fn open_log(&mut self) -> Result<(), TrainError> {
        if self.experiment.config.logs(LogFormat::TensorBoard) {
            let out = self.folder.tensorboard();
            self.log = Some(EventLog::of_run(&self.folder, &self.run_file, &out)?);
        }
        Ok(())
    }

    /// Trains all remaining epochs, then measures on the test set. Returns true if the observer
    /// asked to stop before that.
    fn train_and_test(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        // After the last update, its epoch may still have to be evaluated.
        while !self.trainer.is_finished() || self.trainer.cursor().images_of_epoch > 0 {
            if self.train_epoch(observer)?
                || self.measure_statistics(observer)?
                || self.end_epoch(observer)?
            {
                return Ok(true);
            }
            self.save(CheckpointKind::Regular)?;
            if !self.trainer.is_finished() && observer.stop() {
                return Ok(true);
            }
        }
        let Experiment { data, config, .. } = &self.experiment;
        if data.validation_is == "test" && config.tta == Tta::Image {
            // The last epoch already measured this network on these images.
            return Ok(false);
        }
        self.evaluate(EvalSet::Test, observer)
    }

    /// Trains the rest of the current epoch, or of the run. Returns true if the observer asked to
    /// stop before that.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let seconds_before = self.seconds;
        let start = Instant::now();
        let mut diagnosis_time = Duration::ZERO;
        while !(self.trainer.is_finished() || self.trainer.epoch_is_over()) {
            let record = self.train_step()?;
            let training_time = start.elapsed() - diagnosis_time;
            self.seconds = seconds_before + training_time.as_secs_f64();
            observer.step(&record);
            diagnosis_time += self.diagnose_if_due()?;
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

    /// The network that the run saves, in evaluation mode.
    fn kept_network(&self) -> Result<Model, TrainError> {
        let model = self.trainer.network();
        match &self.best {
            None => Ok(model),
            Some(best) => Ok(state::load_weights(model, best.weights.clone())?),
        }
    }

    /// At the end of the run, measures the statistics of batch norm if the average of the weights
    /// needs it. Returns true if the observer asked to stop before that; a resumed run measures them
    /// again.
    fn measure_statistics(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        if !self.trainer.is_finished() {
            return Ok(false);
        }
        let stopped = self.trainer.measure_statistics(|| observer.stop())?;
        if self.trainer.averager().needs_statistics() {
            // Only this process has measured them.
            self.share_state()?;
        }
        Ok(stopped)
    }

    /// Diagnoses the network if a diagnosis is due. Returns the time it took.
    fn diagnose_if_due(&mut self) -> Result<Duration, TrainError> {
        let (every, step) = (self.experiment.config.diagnose.every, self.step());
        let total = self.experiment.plan.steps();
        let start = Instant::now();
        if let Some(lines) = &mut self.diagnoses
            && diagnose::is_due(every, step, total)
        {
            let (experiment, run_file) = (&self.experiment, &self.run_file);
            lines.push(&diagnose::during_run(
                experiment,
                run_file,
                &self.trainer.model,
                step,
            )?)?;
        }
        Ok(start.elapsed())
    }

    /// Makes one update and writes its line of the record.
    fn train_step(&mut self) -> Result<StepRecord, TrainError> {
        let hyper = self.hyper(self.step())?;
        let update = match self.trainer.step_with(&hyper)? {
            StepResult::Updated(update) => update,
            StepResult::NotFinite => return Err(self.diverged(self.step(), hyper.lr)),
        };
        let record = StepRecord::of(&update, &hyper, self.trainer.optimizer.config());
        self.steps.push(&record)?;
        if let Some(log) = &mut self.log {
            log.step(&record)?;
        }
        self.train_metrics.add(update.metrics);
        Ok(record)
    }

    /// Hyper-parameters of an update: the plan's, with the learning rate scaled by the retries.
    fn hyper(&self, step: u64) -> Result<Hyper, TrainError> {
        let hyper = self.experiment.plan.try_at(step)?;
        let lr = hyper.lr * self.run_file.lr_scale(step);
        Ok(Hyper { lr, ..hyper })
    }

    fn diverged(&self, step: u64, lr: f64) -> TrainError {
        RunError::Diverged {
            step,
            lr,
            retries: self.run_file.retries.len(),
            rate: rate_key(&self.experiment.config.policy),
            run: self.folder.root().to_path_buf(),
        }
        .into()
    }

    /// Evaluates the remaining images of a set. Returns true if the observer asked to stop before
    /// the last batch.
    fn evaluate(&mut self, set: EvalSet, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        let experiment = &self.experiment;
        let (loader, tta) = rounds::images(experiment, set);
        let images = loader.len() as u64;
        let model = match set {
            EvalSet::Validation => self.trainer.network(),
            EvalSet::Test => self.kept_network()?,
        };
        // With `keep = "best"` the network of the last epoch need not be the final one.
        let last_is_final =
            experiment.data.validation_is == "test" && experiment.config.keep == Keep::Last;
        let is_final = set == EvalSet::Test || last_is_final;
        let keeps_answers = is_final && self.trainer.is_finished();
        let (sums, answers) = (&mut self.eval_metrics, &mut self.answers);
        if sums.images == 0 {
            *answers = Answers::default();
        }
        let batch_size = experiment.config.eval_batch_size;
        let first = sums.images as usize;
        let mut visit = |logits: BatchLogits<'_>| {
            sums.add(MetricSums::of(logits.values, logits.labels));
            if keeps_answers {
                answers.add(logits.values, logits.labels, logits.indices);
            }
            observer.evaluation(sums.images, images);
            sums.images < images && observer.stop()
        };
        match &self.team {
            // Only this process has the best network.
            Some(team) if set == EvalSet::Validation || self.best.is_none() => {
                rounds::each(team, experiment, &model, set, first, visit)?;
            }
            _ => {
                let batches = loader.evaluation(batch_size).skip(first).batches();
                let evaluator = Evaluator::new(&model, &experiment.device).with_tta(tta);
                evaluator.each(batches, &mut visit)?;
            }
        }
        Ok(self.eval_metrics.images < images)
    }

    /// Evaluates and writes the record of the epoch if both are due, and moves to the next one. Returns
    /// true if the observer asked to stop during the evaluation.
    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, TrainError> {
        if !self
            .trainer
            .evaluation_is_due(self.experiment.config.eval_every())
        {
            self.trainer.begin_next_epoch();
            return Ok(false);
        }
        if self.evaluate(EvalSet::Validation, observer)? {
            return Ok(true);
        }
        let end = self.trainer.cursor();
        let last = self.hyper(end.step - 1)?;
        let sums = EpochSums {
            train: self.train_metrics,
            validation: self.eval_metrics,
            seconds: self.seconds,
        };
        let record = EpochRecord::of(&sums, end, &last, self.trainer.optimizer.config());
        self.epochs.push(&record)?;
        self.records += 1;
        if let Some(log) = &mut self.log {
            log.epoch(&record)?;
        }
        observer.epoch(&record);
        if !sums.validation.loss.is_finite() {
            // Before the checkpoint is written: the previous one may still be usable.
            return Err(self.diverged(end.step - 1, last.lr));
        }
        let epoch = BestEpoch::of(&record);
        let best = self.best.as_ref().map(|best| &best.epoch);
        if self.experiment.config.keep == Keep::Best && epoch.beats(best) {
            let weights = state::weights(&self.trainer.network());
            self.best = Some(Best { epoch, weights });
        }
        self.trainer.begin_next_epoch();
        self.train_metrics = MetricSums::default();
        self.eval_metrics = MetricSums::default();
        self.seconds = 0.0;
        Ok(false)
    }

    /// Writes a checkpoint. The records that it counts are synced to disk first.
    fn save(&mut self, kind: CheckpointKind) -> Result<(), TrainError> {
        let progress = self.progress();
        if kind == CheckpointKind::Stop && self.saved == progress {
            // The checkpoint that was just written is the same.
            return Ok(());
        }
        self.steps.sync()?;
        self.epochs.sync()?;
        if let Some(diagnoses) = &self.diagnoses {
            diagnoses.sync()?;
        }
        let checkpoint = Checkpoint::of(&self.trainer, progress, self.best.as_ref());
        checkpoint.save(&self.folder.checkpoints(), kind)?;
        self.saved = progress;
        Ok(())
    }
}
