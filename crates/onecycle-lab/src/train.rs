//! The training loop: plan, batch, forward, backward, update, record.
//!
//! **A loss that is not finite** ends the run ([`LabError::Diverged`]), or with `on_divergence = "retry"` sends it back
//! to a checkpoint, from where the plan's learning rate is halved: for a policy with `lr_max` as if that were half, for
//! any other all its rates. It goes back to the newest checkpoint that it has not gone back to in vain before, at last
//! to its start, and up to eight times in all. Each time is a [`Retry`](crate::run_folder::Retry) in `run.toml`.

mod retry;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{Int, Tensor, TensorData},
};
use onecycle::{Hyper, Plan};
use onecycle_burn::{Optimizer, nn::cross_entropy, state};
use onecycle_vision::{Batch, models::Model};

use crate::{
    Experiment, LabError,
    checkpoint::{Checkpoint, Occasion, Progress},
    config::OnDivergence,
    device,
    diagnose::{self, Diagnosis},
    files::{self, JsonLines},
    finish::{self, Leaves, Summary},
    metrics::{self, Tally},
    record::{EpochRecord, StepRecord, generalisation_gap},
    run_folder::{RunFile, RunFolder, RunLock},
};

/// Who looks on while a run goes.
///
/// All methods do nothing by default. They are called on one of the threads that compute.
pub trait Observer: Send {
    /// An update was made.
    fn step(&mut self, _record: &StepRecord) {}
    /// An evaluation has seen so many of so many images.
    fn evaluation(&mut self, _images: u64, _of: u64) {}
    /// An epoch was trained and evaluated.
    fn epoch(&mut self, _record: &EpochRecord) {}
    /// Something to tell, such as a damaged checkpoint that was passed over.
    fn note(&mut self, _text: &str) {}
    /// Asked after each update, each batch of an evaluation and each epoch: true writes a checkpoint and stops the run.
    fn stop(&mut self) -> bool {
        false
    }
}

/// An observer that looks away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {}

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
    /// Where the newest checkpoint stands.
    saved: Progress,
    _lock: RunLock,
    model: Model,
    optimizer: Optimizer,
    progress: Progress,
    steps: JsonLines<StepRecord>,
    epochs: JsonLines<EpochRecord>,
    leaves: Leaves,
    /// Where the run diagnoses itself along its way.
    diagnoses: Option<JsonLines<Diagnosis>>,
}

impl Training {
    /// A new run in `folder`.
    ///
    /// # Errors
    /// A folder in use or no longer unused, files that cannot be written, an optimizer or network that cannot be built.
    pub fn start(experiment: Experiment, folder: RunFolder) -> Result<Self, LabError> {
        let lock = RunLock::acquire(folder.root())?;
        // Another process may have come and gone since the folder was looked at.
        folder.check_unused()?;
        let model = experiment.initial_model()?;
        let optimizer = experiment.config.optimizer.build()?;
        files::keep_lines(&folder.steps(), 0)?;
        files::keep_lines(&folder.epochs(), 0)?;
        files::keep_lines(&folder.diagnoses(), 0)?;
        let run_file = RunFile::new(&experiment.config, &experiment.data);
        let mut training = Training {
            steps: JsonLines::open(&folder.steps())?,
            epochs: JsonLines::open(&folder.epochs())?,
            diagnoses: open_diagnoses(&experiment, &folder)?,
            model,
            optimizer,
            progress: Progress::default(),
            saved: Progress::default(),
            experiment,
            folder,
            run_file,
            _lock: lock,
            leaves: Leaves::Everything,
        };
        training.save(Occasion::Regular)?;
        // Written last: a folder with a run file is one that can be resumed.
        training.run_file.write(&training.folder.run_file())?;
        Ok(training)
    }

    /// Goes on with a run from its newest whole checkpoint. The records are cut to where the checkpoint stands.
    ///
    /// # Errors
    /// A folder in use; no whole checkpoint, or one that is not of this network; a run of another format; data that are
    /// not those the run began with.
    pub fn resume(folder: RunFolder, observer: &mut dyn Observer) -> Result<Self, LabError> {
        Training::resume_with(folder, ResumeOptions::default(), observer)
    }

    /// As [`resume`](Self::resume), with options.
    ///
    /// # Errors
    /// The same, but for what the options accept; [`LabError::ShorterRun`] where that leaves nothing to go on with.
    pub fn resume_with(
        folder: RunFolder,
        options: ResumeOptions,
        observer: &mut dyn Observer,
    ) -> Result<Self, LabError> {
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
            return Err(LabError::OtherData {
                run: folder.root().to_path_buf(),
                differences,
            });
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
            return Err(LabError::ShorterRun {
                run: folder.root().to_path_buf(),
                step: progress.step,
                steps,
            });
        }
        let model = state::load_weights(experiment.initial_model()?, checkpoint.weights)?;
        let mut optimizer = experiment.config.optimizer.build()?;
        optimizer.load_state(checkpoint.optimizer, &experiment.device)?;
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
            saved: progress,
            experiment,
            folder,
            run_file,
            model,
            optimizer,
            progress,
            _lock: lock,
            leaves: Leaves::Everything,
        })
    }

    /// The same run with other files at its end.
    #[must_use]
    pub fn leaving(self, leaves: Leaves) -> Self {
        Training { leaves, ..self }
    }

    /// The experiment of this run.
    pub fn experiment(&self) -> &Experiment {
        &self.experiment
    }

    /// Where the run stands.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Trains to the end, or until the observer asks to stop.
    ///
    /// # Errors
    /// A loss that is not finite ([`LabError::Diverged`]), files that cannot be written ([`LabError::Interrupted`]),
    /// data that cannot be read.
    pub fn run(mut self, observer: &mut dyn Observer) -> Result<Outcome, LabError> {
        match device::on_a_cpu_thread(|| self.run_on(observer)) {
            Err(source @ LabError::Io { .. }) => Err(LabError::Interrupted {
                source: Box::new(source),
                step: self.saved.step,
                run: self.folder.root().to_path_buf(),
            }),
            outcome => outcome,
        }
    }

    fn run_on(&mut self, observer: &mut dyn Observer) -> Result<Outcome, LabError> {
        loop {
            match self.train_and_test(observer) {
                Ok(true) => {
                    self.save(Occasion::Stop)?;
                    return Ok(Outcome::Stopped {
                        step: self.progress.step,
                    });
                }
                Ok(false) => break,
                Err(LabError::Diverged { step, lr, .. }) if self.may_retry() => {
                    self.go_back(step, lr, observer)?;
                }
                Err(error) => return Err(error),
            }
        }
        let summary = finish::finish(
            &self.experiment,
            &self.folder,
            self.model.clone(),
            self.progress.evaluated,
            self.leaves,
        )?;
        Ok(Outcome::Finished(Box::new(summary)))
    }

    /// Trains all epochs that are left, and tests. True if the observer asked to stop before that.
    fn train_and_test(&mut self, observer: &mut dyn Observer) -> Result<bool, LabError> {
        let total = self.experiment.plan.steps();
        // After the last update, an epoch that was not evaluated yet is left.
        while self.progress.step < total || self.progress.images_of_epoch > 0 {
            if self.train_epoch(observer)? || self.end_epoch(observer)? {
                return Ok(true);
            }
            self.save(Occasion::Regular)?;
            if self.progress.step < total && observer.stop() {
                return Ok(true);
            }
        }
        if self.experiment.data.validation_is == "test" {
            // The last epoch ended with the same network on the same images.
            return Ok(false);
        }
        self.evaluate(Part::Test, observer)
    }

    /// Trains what is left of the current epoch, or of the run. True if the observer asked to stop before that.
    fn train_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, LabError> {
        let plan = Arc::clone(&self.experiment.plan);
        let total = plan.steps();
        if self.progress.step == total {
            return Ok(false);
        }
        let batches = self.experiment.data.train.epoch(
            self.progress.epoch,
            batch_sizes(&plan, self.progress.step, self.experiment.config.batch_size),
            self.progress.images_of_epoch as usize,
        );
        let saved_seconds = self.progress.seconds;
        let start = Instant::now();
        let mut diagnosing = Duration::ZERO;
        for batch in batches {
            let hyper = self.scaled(plan.try_at(self.progress.step)?);
            let record = self.train_step(&hyper, batch?)?;
            let training = start.elapsed() - diagnosing;
            self.progress.seconds = saved_seconds + training.as_secs_f64();
            observer.step(&record);
            diagnosing += self.diagnose_if_due(total)?;
            let step = self.progress.step;
            if step == total {
                break;
            }
            let every = self.experiment.config.checkpoint_steps;
            if every > 0 && step.is_multiple_of(every) {
                self.save(Occasion::Regular)?;
            }
            if observer.stop() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Diagnoses the network as it stands, where the configuration says so; returns the time that it took.
    fn diagnose_if_due(&mut self, total: u64) -> Result<Duration, LabError> {
        let (every, step) = (self.experiment.config.diagnose.every, self.progress.step);
        let start = Instant::now();
        if let Some(lines) = &mut self.diagnoses
            && diagnose::is_due(every, step, total)
        {
            let (experiment, run_file) = (&self.experiment, &self.run_file);
            lines.push(&diagnose::along_the_way(
                experiment,
                run_file,
                &self.model,
                step,
            )?)?;
        }
        Ok(start.elapsed())
    }

    /// The plan's hyper-parameters of the next update, as retries after a divergence have left them.
    fn scaled(&self, hyper: Hyper) -> Hyper {
        let lr = hyper.lr * self.run_file.lr_scale(self.progress.step);
        Hyper { lr, ..hyper }
    }

    /// One update.
    fn train_step(&mut self, hyper: &Hyper, mut batch: Batch) -> Result<StepRecord, LabError> {
        let (logits, loss) = forward(&self.experiment, &self.model, &mut batch);
        let grads = GradientsParams::from_grads(loss.backward(), &self.model);
        let tally = Tally::of(&metrics::host(logits.without_autodiff())?, &batch.labels);
        if !tally.loss.is_finite() {
            return Err(self.diverged(self.progress.step, hyper.lr));
        }
        let report;
        (self.model, report) = self.optimizer.step(hyper, self.model.clone(), grads)?;

        let record = StepRecord {
            step: self.progress.step,
            epoch: self.progress.epoch,
            lr: hyper.lr,
            momentum: Some(self.momentum(hyper)),
            weight_decay: hyper
                .weight_decay
                .unwrap_or(self.optimizer.config().weight_decay()),
            batch_size: batch.len as u64,
            loss: tally.mean_loss(),
            grad_norm: report.grad_norm,
        };
        self.steps.push(&record)?;
        self.progress.step += 1;
        self.progress.images_of_epoch += tally.images;
        self.progress.loss += tally.loss;
        self.progress.correct += tally.correct;
        Ok(record)
    }

    /// Momentum, or beta1, in force under `hyper`.
    fn momentum(&self, hyper: &Hyper) -> f64 {
        hyper.momentum.unwrap_or(self.optimizer.config().momentum())
    }

    fn diverged(&self, step: u64, lr: f64) -> LabError {
        LabError::Diverged {
            step,
            lr,
            retries: self.run_file.retries.len(),
            rate: retry::rate_key(&self.experiment.config.policy),
            known: retry::known(&self.folder),
            run: self.folder.root().to_path_buf(),
        }
    }

    /// Adds to the progress's tally what is left of the images of a part. True if the observer asked to stop before the
    /// last batch.
    fn evaluate(&mut self, part: Part, observer: &mut dyn Observer) -> Result<bool, LabError> {
        let data = &self.experiment.data;
        let loader = match part {
            Part::Validation => &data.validation,
            Part::Test => &data.test,
        };
        let images = loader.len() as u64;
        metrics::evaluate_until(
            &mut self.progress.evaluated,
            &self.model.valid(),
            &self.experiment,
            loader,
            |seen| {
                observer.evaluation(seen, images);
                seen < images && observer.stop()
            },
        )?;
        Ok(self.progress.evaluated.images < images)
    }

    /// Evaluates, writes the epoch's record and moves on to the next epoch. True if the observer asked to stop in the
    /// middle of the evaluation.
    fn end_epoch(&mut self, observer: &mut dyn Observer) -> Result<bool, LabError> {
        if self.evaluate(Part::Validation, observer)? {
            return Ok(true);
        }
        let measured = self.progress.evaluated;
        let trained = self.progress.tally();
        let step = self.progress.step - 1;
        let last = self.experiment.plan.at(step);
        let lr = last.lr * self.run_file.lr_scale(step);
        let seconds = self.progress.seconds;
        let record = EpochRecord {
            epoch: self.progress.epoch,
            steps: self.progress.step,
            train_loss: trained.mean_loss(),
            train_accuracy: trained.accuracy(),
            val_loss: measured.mean_loss(),
            val_accuracy: measured.accuracy(),
            generalisation_gap: generalisation_gap(trained.mean_loss(), measured.mean_loss()),
            lr,
            momentum: Some(self.momentum(&last)),
            seconds,
            images_per_second: trained.images as f64 / seconds,
        };
        self.epochs.push(&record)?;
        observer.epoch(&record);
        if !measured.loss.is_finite() {
            // Before the checkpoint: the one before it may still be of use.
            return Err(self.diverged(step, lr));
        }
        self.progress = Progress {
            step: self.progress.step,
            epoch: self.progress.epoch + 1,
            ..Progress::default()
        };
        Ok(false)
    }

    /// Writes a checkpoint. The records it relies on are on the disk before it.
    fn save(&mut self, occasion: Occasion) -> Result<(), LabError> {
        if occasion == Occasion::Stop && self.saved == self.progress {
            // The one that was just written serves.
            return Ok(());
        }
        self.steps.sync()?;
        self.epochs.sync()?;
        if let Some(diagnoses) = &self.diagnoses {
            diagnoses.sync()?;
        }
        Checkpoint {
            progress: self.progress,
            weights: state::weights(&self.model),
            optimizer: self.optimizer.state(),
        }
        .save(&self.folder.checkpoints(), occasion)?;
        self.saved = self.progress;
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
) -> Result<Option<JsonLines<Diagnosis>>, LabError> {
    match experiment.config.diagnose.is_never() {
        true => Ok(None),
        false => JsonLines::open(&folder.diagnoses()).map(Some),
    }
}

/// Logits and loss, `[1]`, of a training batch, whose images are taken out of it.
pub(crate) fn forward(
    experiment: &Experiment,
    model: &Model,
    batch: &mut Batch,
) -> (Tensor<2>, Tensor<1>) {
    let shape = experiment.data.shape;
    let device = experiment.device.clone().autodiff();
    let images = TensorData::new(
        std::mem::take(&mut batch.images),
        [batch.len, shape.channels, shape.height, shape.width],
    );
    let labels = TensorData::new(batch.labels.clone(), [batch.len]);
    let logits = model.forward(Tensor::<4>::from_data(images, &device));
    let labels = Tensor::<1, Int>::from_data(labels, &device);
    let loss = cross_entropy(logits.clone(), labels, experiment.config.label_smoothing);
    (logits, loss)
}

/// The batch size of each update from `first` on, as the loader asks for them.
pub(crate) fn batch_sizes(
    plan: &Arc<Plan>,
    first: u64,
    default: usize,
) -> impl FnMut(u64) -> usize + Send + 'static {
    let plan = Arc::clone(plan);
    move |index| {
        plan.at(first + index)
            .batch_size
            .map_or(default, |size| size as usize)
    }
}
